# SPDX-License-Identifier: Apache-2.0
"""What integrators are told of their messages: notices in Kafka, and the feeds from which they are polled."""
