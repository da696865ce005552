# SPDX-License-Identifier: Apache-2.0
"""From Kafka and back: Faust's app and transport, the in-order window of each partition, and the outbox."""
