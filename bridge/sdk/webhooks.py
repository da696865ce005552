# SPDX-License-Identifier: Apache-2.0
"""
For processes that send webhooks: post once to a URL that others chose, and the headers that sign and describe an event.

A module of its own, because it loads an HTTP client, which most plugins and commands do without.
"""

from __future__ import annotations

from bridge.cloudevents.http import binary_headers
from bridge.domain.event import RESERVED, Event
from bridge.egress.errors import EgressError
from bridge.egress.post import Reply, post
from bridge.egress.signing import fenx, key_of, standard_webhooks
from bridge.egress.urls import url_fault

__all__ = ["EgressError", "Reply", "cloudevents_headers", "fenx", "key_of", "post", "standard_webhooks", "url_fault"]


def cloudevents_headers(event: Event) -> dict[str, str]:
    """Give an event's headers in binary mode, without the attributes that only this bridge may set; the body is its data."""
    return binary_headers(Event({name: text for name, text in event.attributes.items() if name not in RESERVED}, event.data))
