# SPDX-License-Identifier: Apache-2.0
"""From a record to executions, and from each attempt to what Kafka gets of it."""
