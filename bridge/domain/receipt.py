# SPDX-License-Identifier: Apache-2.0
"""What goes into the intake and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge.domain.errors import Quota


class Draft(NamedTuple):
    """
    An event as a dialect understood it, before the bridge has named it.

    `attributes` are valid CloudEvents attributes without any that the bridge adds. `born` events got their id here (a fresh
    UUIDv7, which is also their event key); the others are known by (tenant, source, id) and content. `correlation_id` is the
    one that the caller chose and may choose, or empty.
    """

    attributes: Mapping[str, str]
    data: bytes = b""
    born: bool = False
    correlation_id: str = ""


class Receipt(NamedTuple):
    """
    Kafka has the event.

    A repetition of the same event gets an equal receipt, but for `duplicate`, which no answer's body shows.
    """

    key: str
    correlation_id: str
    type: str
    accepted_ms: int
    duplicate: bool = False


class Accepted(NamedTuple):
    """One receipt per draft, in order, and what is left of the tenant's rate windows."""

    receipts: tuple[Receipt, ...]
    quotas: tuple[Quota, ...]
