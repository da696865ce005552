# SPDX-License-Identifier: Apache-2.0
"""Runs of workflows as they live in Kafka: signals on their way, and look-ups. What a run is says `bridge.workflows`."""
