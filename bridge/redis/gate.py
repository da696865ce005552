# SPDX-License-Identifier: Apache-2.0
"""
The intake's two script calls: ask whether a request's events may come in, and say afterwards what became of them.

Used by `bridge.intake` only. Knows the layout of `scripts/gate.lua` and `scripts/confirm.lua`, decides nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.domain.errors import Quota
from bridge.domain.event import Event
from bridge.domain.ids import execution_id
from bridge.domain.limits import Window
from bridge.redis.connection import Reply
from bridge.redis.keys import Keys, event_member, execution_member, pointer
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.summaries import encode, summarise

PENDING_S: Final = 30.0


@dataclass(slots=True)
class Entrant:
    """One event at the gate: named and stamped, with the processes that are expected to run it."""

    event: Event
    born: bool
    accepted_ms: int
    expected: Sequence[str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    Every event may come in; `known` holds what is kept of those that have come before, None for the others.

    `view_whole` says whether the view's epoch stands.
    """

    known: tuple[bytes | None, ...]
    quotas: tuple[Quota, ...]
    view_whole: bool


@dataclass(frozen=True, slots=True)
class Clashing:
    """Some ids stand for other events; `indexes` counts from 0."""

    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Full:
    """A rate window is full; the request would fit after `wait_s` seconds."""

    quotas: tuple[Quota, ...]
    wait_s: int


Verdict = Admitted | Clashing | Full | Exception


class Gate:
    """
    Asks Redis on behalf of one tenant's request.

    Owners are letters and digits only. `pending_s` is how long a reservation holds other requests back.
    """

    def __init__(self, pipe: Pipe, settings: Settings, pending_s: float = PENDING_S) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)
        self._gate, self._confirm = script("gate"), script("confirm")
        self._bounds = (settings.retention_hours * 3600, settings.duplicate_window_s * 1000, int(pending_s * 1000))

    def ask(
        self, tenant: str, windows: Sequence[Window], entrants: Sequence[Entrant], owner: str, done: Callable[[Verdict], None]
    ) -> None:
        """
        Let the script decide; `done` is called once, on the loop, with the verdict, or with the exception that prevented it.

        Again: every event counts in every window each time it is let in, a repetition too; a refused request never does.
        """
        keys: list[Argument] = [self._keys.epoch, self._keys.rate(tenant)]
        args: list[Argument] = [self._pipe.run_id, owner, *self._bounds, len(windows)]
        for window in windows:
            args += (window.quota, window.seconds)
        args.append(len(entrants))
        for entrant in entrants:
            self._describe(entrant, keys, args)

        def decided(reply: Reply) -> None:
            done(reply if isinstance(reply, Exception) else _verdict(reply, windows))

        self._pipe.send_script(self._gate, keys, args, decided)

    def _describe(self, entrant: Entrant, keys: list[Argument], args: list[Argument]) -> None:
        names, event, expected = self._keys, entrant.event, entrant.expected
        tenant, key, correlation_id = event.tenant, event.key, event.correlation_id
        where = names.event(tenant, key)
        keys += (
            where if entrant.born else names.id(tenant, event.source, event.id),
            where,
            names.correlation(tenant, correlation_id),
        )
        summary = encode(summarise(event, entrant.accepted_ms))
        args += (key, int(entrant.born), entrant.accepted_ms, correlation_id, summary, event_member(key), len(expected))
        for process in expected:
            execution = execution_id(key, process)
            keys.append(names.execution(tenant, execution))
            args += (execution_member(execution), pointer(key, process))

    def settle(self, outcomes: Sequence[tuple[Entrant, str, str]], done: Callable[[Reply], None]) -> None:
        """
        Say what became of let-in events: each with its owner and its `partition:offset`, empty where Kafka did not confirm.

        Shape: `done` gets the number of confirmed events that the view does not know any more, or an exception.
        """
        keys: list[Argument] = []
        args: list[Argument] = []
        for entrant, owner, position in outcomes:
            event = entrant.event
            where = self._keys.event(event.tenant, event.key)
            keys += (where if entrant.born else self._keys.id(event.tenant, event.source, event.id), where)
            args += (owner, position)
        self._pipe.send_script(self._confirm, keys, args, done)

    async def known(self, event: Event) -> bytes | None:
        """Read what is known under an event's source and id. Raises: ViewUnavailable."""
        text: bytes | None = await self._pipe.call("GET", self._keys.id(event.tenant, event.source, event.id))
        return text


def _verdict(reply: list[Reply], windows: Sequence[Window]) -> Verdict:
    if reply[0] == 2:
        return Clashing(tuple(reply[2]))
    states = iter(reply[3:])
    quotas = tuple(
        Quota(f"{window.seconds}s", window.quota, window.seconds, remaining, math.ceil(reset_ms / 1000))
        for window, remaining, reset_ms in zip(windows, states, states, strict=True)
    )
    if reply[0] == 1:
        return Admitted(tuple(reply[2]), quotas, reply[1] == 1)
    return Full(quotas, max(1, math.ceil(reply[2] / 1000)))
