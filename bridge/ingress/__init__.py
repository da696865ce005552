# SPDX-License-Identifier: Apache-2.0
"""What the Event Ingress dialect does behind its door: how often a tenant may ask, and the messages that it sent."""
