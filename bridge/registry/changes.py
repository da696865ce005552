# SPDX-License-Identifier: Apache-2.0
"""
Write objects of the registry as decisions, and see one's own change before it is answered.

Used by the use cases beside it (`tenants`, `keys`, `signing`); they alone know what a change means.
"""

from __future__ import annotations

import time
from typing import TypeVar

import msgspec

from bridge.decisions.decide import SUPERSEDED_MS, Decisions
from bridge.decisions.facts import Ref
from bridge.decisions.holds import Change
from bridge.domain.errors import InvalidValue, NotFound
from bridge.registry.objects import Object, decode, encode, ref_of
from bridge.registry.registry import Registry

ObjectT = TypeVar("ObjectT", bound=Object)

VALUE_BYTES = 65_536
"""Longest value of one object: every process holds all of them in memory."""


class Changes:
    """The way to change the registry from one process: its view, and the decisions on its topic."""

    def __init__(self, registry: Registry, decisions: Decisions[Change]) -> None:
        self.registry, self._decisions = registry, decisions

    async def put(self, value: Object, expected: int) -> int:
        """
        Replace an object whose version is `expected` (0: make it), and give its new version.

        Order:  when this returns, this process' registry shows the change; all others show it within 2 s.
        Raises: InvalidValue, and all that `Decisions.decide` raises.
        """
        ref = ref_of(value)
        body = _checked(ref, value)
        version = await self._decisions.decide(Change(ref, body, expected, self.registry.held(ref).version))
        self._decisions.forget(ref, self.registry.facts.outdated(ref, now_ms() - SUPERSEDED_MS))
        return version

    def erase(self, ref: Ref) -> None:
        """Remove an object that is of no use any more, with all its versions; nobody waits for it."""
        facts = self.registry.facts
        versions = facts.outdated(ref, now_ms() + SUPERSEDED_MS)
        if (current := facts.current.get(ref)) is not None:
            self._decisions.forget(ref, [*versions, current])

    def find(self, ref: Ref, type_: type[ObjectT]) -> tuple[ObjectT, int]:
        """Give an object and the version to base a change on. Raises: NotFound."""
        found = self.registry.held(ref)
        if not isinstance(found.object, type_):
            raise NotFound(f"There is no {ref}.")
        return found.object, found.version


def now_ms() -> int:
    """The time as it is written into objects."""
    return int(time.time() * 1000)


def _checked(ref: Ref, value: Object) -> bytes:
    """Encode a value that every process will be able to read."""
    try:
        body = encode(value)
        decode(ref, body)
    except (msgspec.ValidationError, TypeError) as err:
        raise InvalidValue(f"{ref}: {err}.") from err
    if len(body) > VALUE_BYTES:
        raise InvalidValue(f"{ref} would take {len(body)} bytes; the limit is {VALUE_BYTES}.")
    return body
