# SPDX-License-Identifier: Apache-2.0
"""The live view: connections, keys, scripts, projection. Everything in Redis can be rebuilt from Kafka."""
