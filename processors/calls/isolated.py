# SPDX-License-Identifier: Apache-2.0
"""
What runs in a child process: it limits itself, imports the one plugin whose process it serves, and runs that process on events.

Called by `children` over pebble's pipe. Imports neither Faust nor Kafka, and an HTTP client only for `async def`.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import inspect
import math
import os
import pickle
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from bridge import logs
from bridge.domain.event import Event
from bridge.domain.limits import MIB
from bridge.domain.redelivery import Journey
from bridge.sdk import Context
from bridge.sdk.process import AnyProcess
from processors.outcomes import answers
from processors.outcomes.verdicts import Failure, said

ANSWERING_MB = 16
"""What a child may take beyond the limit of a run before and after it, to read the event and to say what came of it."""

M_ARENA_MAX = -8
"""glibc's number of the setting; every arena that a thread gets would count with 64 MiB of addresses."""

LEFT, TIDY = b"L", b"T"  # the first byte of an answer: whether the run left processes of its own behind


class Request(NamedTuple):
    """One run, as it crosses to the child, pickled: only the worker writes it, and only the child reads it."""

    attributes: dict[str, str]
    data: bytes
    tenant: str
    correlation_id: str
    execution_id: str
    attempt: int
    config: Any
    journeys: tuple[Journey, ...] | None


class Wanted(NamedTuple):
    """The settings that a child needs: those of `bridge.logs.Wanted`, and what its HTTP client may reach."""

    log_format: str
    log_level: str
    egress_allowed_networks: str


class _Served(NamedTuple):
    process: AnyProcess
    running: tuple[int, int] | None
    """The address space of a run; None where the system does not say how much the child has."""

    answering: tuple[int, int]
    """The address space between runs. Made beforehand: at the moment it is needed there may not be room for a tuple."""


_wanted: list[Wanted] = []
_served: list[_Served] = []  # one at most: a child serves one process, so that plugins do not share an interpreter


def begin(wanted: Wanted) -> None:
    """Lead a session, so that what a plugin starts dies with this child, and let nothing but logs reach the worker's output."""
    os.setsid()
    _wanted.append(wanted)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    sys.stdout = os.fdopen(os.dup(1), "w")
    logs.configure(wanted)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = os.fdopen(nowhere, "w")


def load(pickled: bytes) -> bytes:
    """Import the plugin and limit the memory to what it has now and `memory_mb` more; answers only where that fails."""
    try:
        process: AnyProcess = pickle.loads(pickled)  # noqa: S301  the worker's own bytes
        if inspect.iscoroutinefunction(process.run):
            from bridge.egress import client  # noqa: F401  what the runs will need is there before the limit counts
    except BaseException as err:  # noqa: BLE001  the edge to foreign code: whatever the import does
        return answers.encode(Failure("not-started", f"a child process cannot load it: {said(err)}"))
    taken = _address_space()
    most = taken + process.memory_mb * MIB
    at_all = most + ANSWERING_MB * MIB if taken else resource.RLIM_INFINITY
    _served.append(_Served(process, (most, at_all) if taken else None, (at_all, at_all)))
    return b""


def run(pickled: bytes) -> bytes:
    """
    Run the process on one event; the answer is whether it left processes behind, and the outcome or failure.

    Where the last byte is taken, nothing may need one before the limit is up again: an exception that left this function would
    send CPython 3.11 to 3.13 into an endless search for room to note its place in, and msgspec expects its buffer to be there.
    """
    process, running, answering = _served[0]
    outcome: object = None
    raised: BaseException | None = None
    try:
        _limit(process, running)
        outcome = _outcome(process, Request(*pickle.loads(pickled)))  # noqa: S301  the worker's own bytes
    except BaseException as err:  # noqa: BLE001  the edge: a process may raise anything
        raised = err.with_traceback(None)  # which would keep every frame, and what they hold
    resource.setrlimit(resource.RLIMIT_AS, answering)
    return (LEFT if _has_children() else TIDY) + _answer(process, outcome, raised)


def _limit(process: AnyProcess, running: tuple[int, int] | None) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime + process.timeout_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    if running is not None:
        resource.setrlimit(resource.RLIMIT_AS, running)


def _answer(process: AnyProcess, outcome: object, raised: BaseException | None) -> bytes:
    if raised is not None:
        outcome = Failure("exception", said(raised))
    if not isinstance(raised, MemoryError):
        with suppress(MemoryError):  # an outcome too large to be written counts as well
            return answers.encode(outcome)
    return answers.encode(Failure("out-of-memory", f"it needed more than its {process.memory_mb} MB"))


def _outcome(process: AnyProcess, request: Request) -> object:
    event = Event(request.attributes, request.data)
    context: Context[Any] = Context(
        request.tenant,
        request.correlation_id,
        request.execution_id,
        request.attempt,
        request.config,
        logs.of_execution(process.name, event, request.execution_id),
        cast("Any", None),
        journeys=request.journeys,
    )
    if inspect.iscoroutinefunction(process.run):
        return asyncio.run(_with_http(process, event, context))
    return process.run(event, context)


async def _with_http(process: AnyProcess, event: Event, context: Context[Any]) -> object:
    from bridge.egress.addresses import networks
    from bridge.egress.client import session

    async with session(networks(_wanted[0].egress_allowed_networks)) as http:
        return await process.run(event, dataclasses.replace(context, http=http))  # type: ignore[misc]  # a coroutine function


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except FileNotFoundError:  # macOS has no /proc, and does not hold anyone to RLIMIT_AS
        return 0


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
