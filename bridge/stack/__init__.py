# SPDX-License-Identifier: Apache-2.0
"""The development stack: real Apache Kafka and real Valkey from wheels and jars, and their supervisor."""
