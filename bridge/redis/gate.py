# SPDX-License-Identifier: Apache-2.0
"""
The intake's two script calls: ask whether a request's events may come in, and say afterwards what became of them.

Used by `bridge.intake` only. Knows the layout of `scripts/gate.lua` and `scripts/confirm.lua`, decides nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from bridge.domain.errors import Quota
from bridge.domain.event import Event
from bridge.domain.ids import execution_id
from bridge.domain.limits import Window
from bridge.redis.connection import Reply
from bridge.redis.keys import Keys, execution_member, pointer
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings
from bridge.summaries import written

PENDING_S: Final = 30.0
CALL_EVENTS: Final = 16  # events that share a script call: so few that Redis decides on some while the loop still reads others


class Entrant(msgspec.Struct):
    """
    One event at the gate: named and stamped, with the processes that are expected to run it.

    `id_name` and `event_name` are where Redis keeps it, once it has been asked about.
    """

    event: Event
    born: bool
    accepted_ms: int
    expected: Sequence[str]
    id_name: str = ""
    event_name: str = ""


class Admitted(msgspec.Struct, frozen=True):
    """
    Every event may come in; `known` holds what is kept of those that have come before, None for the others.

    `view_whole` says whether the view's epoch stands.
    """

    known: tuple[bytes | None, ...]
    quotas: tuple[Quota, ...]
    view_whole: bool


class Clashing(msgspec.Struct, frozen=True):
    """Some ids stand for other events; `indexes` counts from 0."""

    indexes: tuple[int, ...]


class Full(msgspec.Struct, frozen=True):
    """A rate window is full; the request would fit after `wait_s` seconds."""

    quotas: tuple[Quota, ...]
    wait_s: int


Verdict = Admitted | Clashing | Full | Exception
Decided = Callable[[Verdict], None]


class _Call:
    """Requests of one tenant that share a script call, as its keys and arguments."""

    __slots__ = ("args", "events", "keys", "waiting", "windows")

    def __init__(self, epoch: str, logs: Iterable[str], windows: Sequence[Window]) -> None:
        self.windows, self.events, self.waiting = windows, 0, list[Decided]()
        self.keys: list[Argument] = [epoch, *logs]
        self.args: list[Argument] = []


class Gate:
    """
    Asks Redis on behalf of tenants' requests.

    Owners are letters and digits only. `pending_s` is how long a reservation holds other requests back.
    """

    def __init__(self, pipe: Pipe, settings: Settings, pending_s: float = PENDING_S) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)
        self._gate, self._confirm = script("gate"), script("confirm")
        self._bounds = (settings.retention_hours * 3600, settings.duplicate_window_s * 1000, int(pending_s * 1000))
        self._open: dict[str, _Call] = {}

    def ask(self, tenant: str, windows: Sequence[Window], entrants: Sequence[Entrant], owner: str, done: Decided) -> None:
        """
        Let the script decide; `done` is called once, on the loop, with the verdict, or with the exception that prevented it.

        Order: as asked. Requests of one tenant that are asked in one turn of the loop travel in few script calls, each decided
               by itself.
        Again: every event counts in every window each time it is let in, a repetition too; a refused request never does.
        """
        call = self._open.get(tenant)
        if call is None or call.windows is not windows or call.events + len(entrants) > CALL_EVENTS:
            call = self._begin(tenant, windows)
        call.waiting.append(done)
        call.events += len(entrants)
        call.args.append(len(entrants))
        for entrant in entrants:
            self._describe(entrant, owner, call)

    def _begin(self, tenant: str, windows: Sequence[Window]) -> _Call:
        """Open a call; one that the tenant has open already leaves first."""
        if tenant in self._open:
            self._leave(tenant)
        logs = [self._keys.rate(tenant, window.seconds) for window in windows]
        call = self._open[tenant] = _Call(self._keys.epoch, logs, windows)
        asyncio.get_running_loop().call_soon(self._leave, tenant, call)
        return call

    def _leave(self, tenant: str, call: _Call | None = None) -> None:
        """Send a tenant's open call, if it is still this one."""
        if call is None or self._open.get(tenant) is call:
            leaving = self._open.pop(tenant)
            sizes = [number for window in leaving.windows for number in (window.quota, window.seconds)]
            args = [self._pipe.run_id, *self._bounds, len(leaving.windows), *sizes, len(leaving.waiting), *leaving.args]
            self._pipe.send_script(self._gate, leaving.keys, args, partial(_decided, leaving))

    def _describe(self, entrant: Entrant, owner: str, call: _Call) -> None:
        names, event, expected, accepted_ms = self._keys, entrant.event, entrant.expected, entrant.accepted_ms
        given = event.attributes
        tenant, key, correlation_id = given["tenantid"], given["eventkey"], given["correlationid"]
        self._place(entrant)
        call.keys += (entrant.id_name, entrant.event_name, names.correlation(tenant, correlation_id))
        note = "" if entrant.born else f"|{key}|{accepted_ms}|{correlation_id}|{owner}"
        call.args += (key, note, written(event, accepted_ms), len(expected))
        for process in expected:
            execution = execution_id(key, process)
            call.keys.append(names.execution(tenant, execution))
            call.args += (execution_member(execution), pointer(key, process))

    def _place(self, entrant: Entrant) -> None:
        """Name the event's keys, once. A born event needs no look-up by its id, so its own key stands in."""
        if not entrant.event_name:
            names, given = self._keys, entrant.event.attributes
            tenant = given["tenantid"]
            entrant.event_name = names.event(tenant, given["eventkey"])
            entrant.id_name = entrant.event_name if entrant.born else names.id(tenant, given["source"], given["id"])

    def settle(self, outcomes: Sequence[tuple[Entrant, str, str]], done: Callable[[Reply], None]) -> None:
        """
        Say what became of let-in events: each with its owner and its `partition:offset`, empty where Kafka did not confirm.

        Shape: `done` gets the number of confirmed events that the view does not know any more, or an exception.
        """
        keys: list[Argument] = []
        args: list[Argument] = []
        for entrant, owner, position in outcomes:
            self._place(entrant)
            keys += (entrant.id_name, entrant.event_name)
            args += (owner, position)
        self._pipe.send_script(self._confirm, keys, args, done)

    async def known(self, event: Event) -> bytes | None:
        """Read what is known under an event's source and id. Raises: ViewUnavailable."""
        text: bytes | None = await self._pipe.call("GET", self._keys.id(event.tenant, event.source, event.id))
        return text


def _decided(call: _Call, reply: Reply) -> None:
    verdicts: list[Verdict]
    if isinstance(reply, Exception):
        verdicts = [reply] * len(call.waiting)
    else:
        windows = [(f"{window.seconds}s", window.quota, window.seconds) for window in call.windows]
        verdicts = [_verdict(one, windows, reply[0] == 1) for one in reply[1:]]
    for done, verdict in zip(call.waiting, verdicts, strict=True):
        try:
            done(verdict)
        except Exception as err:  # noqa: BLE001  one request's fault must not keep the other verdicts from their owners
            fault = {"message": "the handler of a verdict failed", "exception": err}
            asyncio.get_running_loop().call_exception_handler(fault)


def _verdict(reply: list[Reply], windows: Sequence[tuple[str, int, int]], view_whole: bool) -> Verdict:
    kind = reply[0]
    if kind == 2:
        return Clashing(tuple(reply[1]))
    quotas, at = [], 2
    for name, quota, seconds in windows:
        quotas.append(Quota(name, quota, seconds, reply[at], -(-reply[at + 1] // 1000)))
        at += 2
    if kind == 1:
        return Admitted(tuple(reply[1]), tuple(quotas), view_whole)
    return Full(tuple(quotas), max(1, -(-reply[1] // 1000)))
