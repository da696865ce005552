# SPDX-License-Identifier: Apache-2.0
"""The Event Ingress API: tokens, event types, messages to business processes and what became of them."""
