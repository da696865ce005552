# SPDX-License-Identifier: Apache-2.0
"""What look-ups see: statuses in the live view, what is expected, and how a lost view is built again from Kafka."""
