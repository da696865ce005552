# SPDX-License-Identifier: Apache-2.0
"""
What the Event Ingress dialect keeps in the registry: event types, and the clients that get tokens.

Objects like those of `objects`, which lists them; changed by the use cases of `event_types` and `clients`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bridge.domain.limits import Window
from bridge.registry.fields import Digest, Id, Key, Label, Millis, Name, Weight


class EventSubtype(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of an event type's messages, and the process that handles them."""

    key: Key
    display_name: Label
    business_process: Name


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of messages with its subtypes; `key` never changes."""

    tenant: Name
    key: Key
    display_name: Label
    subtypes: tuple[EventSubtype, ...]
    state: Literal["active", "deleted"] = "active"

    def subtype(self, key: str) -> EventSubtype | None:
        """Give the subtype of a key."""
        return next((one for one in self.subtypes if one.key == key), None)


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """
    What messages may weigh: points by business process (one that is not named weighs nothing), and the windows that they fill.

    Without weights or without windows nothing is weighed.
    """

    weights: dict[Name, Weight] = {}
    windows: tuple[Window, ...] = ()


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True):
    """
    A program that gets tokens for its tenant, by an id and a secret that is known by its SHA-256.

    `hint` is the secret's first and last characters, for people.
    """

    id: Id
    tenant: Name
    name: Label
    digest: Digest
    hint: str
    scopes: tuple[str, ...]
    state: Literal["active", "revoked"] = "active"
    expires_ms: Millis = 0
    created_ms: Millis = 0

    def valid(self, now_ms: int) -> bool:
        """Say whether it gets tokens, and its tokens open anything, at this time."""
        return self.state == "active" and (not self.expires_ms or now_ms < self.expires_ms)
