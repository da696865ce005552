# SPDX-License-Identifier: Apache-2.0
"""
What a process must be: one rule per attribute of `bridge.sdk.Process`, each with its cure.

Called by `bridge.hosting` for everything that a plugin contributes; never runs a process.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from bridge.domain import patterns, retry
from bridge.sdk.process import AnyProcess, Process
from bridge.topics import TAKEN

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NAME_CHARS = 60
VERSION_CHARS = 40
TITLE_CHARS = 100
SHARED_LANE_S = 5.0
"""Longest deadline of a process in the shared lane."""

OWN_LANE_S = 300.0

MOST_RETRIES = 20
RESERVED = frozenset({"buildable", "runs", "webhook"})
MEMORY_MB = range(16, 65_537)


def faults_of(thing: object) -> list[str]:
    """Say everything that keeps a thing from being run as a process; an empty list for a sound one."""
    if isinstance(thing, type) and issubclass(thing, Process):
        return [f"bridge_processes returned the class {thing.__name__}; return an instance: [{thing.__name__}()]"]
    if not isinstance(thing, Process):
        return [f"bridge_processes returned {thing!r:.80}; return instances of subclasses of bridge.sdk.Process"]
    label = f"process {getattr(thing, 'name', type(thing).__name__)!r}"
    return [f"{label}: {fault}" for rule in RULES for fault in rule(thing)]


def _name(process: AnyProcess) -> Iterator[str]:
    name = getattr(process, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > NAME_CHARS:
        yield (
            f"name is {name!r}; use lower-case letters, digits and single hyphens, at most {NAME_CHARS} characters, "
            "such as 'crm-sync'"
        )
    elif name in RESERVED:
        yield f"name is {name!r}, which is taken by the bridge itself; choose another one"


def _version(process: AnyProcess) -> Iterator[str]:
    version = getattr(process, "version", None)
    if not isinstance(version, str) or not version.strip() or len(version) > VERSION_CHARS:
        yield f"version is {version!r}; give a text of 1 to {VERSION_CHARS} characters, such as '1.0.0'"


def _events(process: AnyProcess) -> Iterator[str]:
    events: Any = getattr(process, "events", None)
    if isinstance(events, str):
        yield f"events is the text {events!r}; make it a tuple: events = ({events!r},)"
    elif not isinstance(events, (tuple, list)) or not events:
        yield f"events is {events!r}; give at least one pattern, such as events = ('user.created',)"
    else:
        for pattern in events:
            if not isinstance(pattern, str):
                yield f"events has {pattern!r}; every pattern is a text"
            elif fault := patterns.fault(pattern):
                yield f"events: {fault}"


def _timeout(process: AnyProcess) -> Iterator[str]:
    timeout: Any = process.timeout_s
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    most = OWN_LANE_S if process.lane == "own" else SHARED_LANE_S
    if not number or not 0 < timeout <= most:
        cure = "" if process.lane == "own" else f", or up to {OWN_LANE_S:g} with lane = 'own'"
        yield f"timeout_s is {timeout!r}; give seconds above 0 and at most {most:g}{cure}"


def _lane(process: AnyProcess) -> Iterator[str]:
    if process.lane not in ("shared", "own"):
        yield f"lane is {process.lane!r:.40}; it is 'shared' or 'own'"


def _isolation(process: AnyProcess) -> Iterator[str]:
    isolation: Any = process.isolation
    if isolation == "process":
        if fault := child_fault(process):
            yield (
                f"isolation is 'process', but it cannot be handed to a child process ({fault}); define its class at the top of a "
                "module, and keep connections, locks and lambdas out of the object"
            )
    elif isolation != "loop":
        yield f"isolation is {isolation!r:.40}; give 'loop' or 'process'"


def child_fault(process: AnyProcess) -> str:
    """Say what keeps a process from being handed to a child process; an empty text where nothing does."""
    try:
        # Pickle names classes instead of writing them down, so that this also says whether a child could import them.
        pickle.dumps((process, process.Config))
        if "__main__" in (type(process).__module__, process.Config.__module__):
            return "a child process cannot import what __main__ defines"
    except Exception as err:  # noqa: BLE001  the edge to foreign code: an object may say itself how it is pickled
        return f"{type(err).__name__}: {err}"
    return ""


def _memory(process: AnyProcess) -> Iterator[str]:
    memory: Any = process.memory_mb
    if not isinstance(memory, int) or isinstance(memory, bool) or memory not in MEMORY_MB:
        yield f"memory_mb is {memory!r:.40}; give whole MB from {MEMORY_MB[0]} to {MEMORY_MB[-1]}"


def _retry(process: AnyProcess) -> Iterator[str]:
    labels: Any = process.retry
    if labels is None:
        return
    if not isinstance(labels, (tuple, list)) or len(labels) > MOST_RETRIES:
        yield f"retry is {labels!r:.80}; give a tuple of at most {MOST_RETRIES} delays, such as ('5s', '5m'), or None"
        return
    for label in labels:
        if not isinstance(label, str) or not retry.LABEL.fullmatch(label):
            yield f"retry has {label!r:.40}; a delay is a text such as '5s', '30m' or '2h'"


def _ordered(process: AnyProcess) -> Iterator[str]:
    if not isinstance(process.ordered, bool):
        yield f"ordered is {process.ordered!r:.40}; it is True or False"


def _state(process: AnyProcess) -> Iterator[str]:
    state: Any = process.state
    if state == "":
        return
    if not isinstance(state, str) or not NAME.fullmatch(state) or len(state) > NAME_CHARS:
        yield f"state is {state!r:.80}; use lower-case letters, digits and single hyphens, such as 'orders'"
    elif state in TAKEN:
        yield f"state is {state!r}, which is the name of a topic of the bridge; choose another one"
    if process.ordered is not True or process.lane != "shared" or process.isolation != "loop":
        yield "it keeps state, so it needs ordered = True, the shared lane and isolation = 'loop'"


def _default_enabled(process: AnyProcess) -> Iterator[str]:
    if not isinstance(process.default_enabled, bool):
        yield f"default_enabled is {process.default_enabled!r:.40}; it is True or False"


def _business(process: AnyProcess) -> Iterator[str]:
    if not isinstance(process.business_process, bool):
        yield f"business_process is {process.business_process!r:.40}; it is True or False"
    elif process.business_process:
        pattern = f"eventingress.*.*.{getattr(process, 'name', '')}"
        if pattern not in (getattr(process, "events", None) or ()):
            yield f"it is a business process, whose messages have types of their own; add {pattern!r} to events"


def _title(process: AnyProcess) -> Iterator[str]:
    title: Any = process.title
    if not isinstance(title, str) or len(title) > TITLE_CHARS or not title.isprintable() or title != title.strip():
        yield f"title is {title!r:.80}; give a text of at most {TITLE_CHARS} characters that people can read, or none"


def _config(process: AnyProcess) -> Iterator[str]:
    config: Any = process.Config
    if not isinstance(config, type) or not issubclass(config, BaseModel):
        yield f"Config is {config!r}; make it a subclass of pydantic.BaseModel"
        return
    try:
        config.model_json_schema()
    except Exception as err:  # noqa: BLE001  the edge to foreign code: pydantic runs the model's own hooks here
        yield f"Config has no JSON Schema ({type(err).__name__}: {err}); use types that pydantic can describe"


def _run(process: AnyProcess) -> Iterator[str]:
    run: Any = process.run
    if getattr(type(process), "run", None) is Process.run or not callable(run):
        yield "it has no run(); write: async def run(self, event, context)"
    elif inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run):
        yield "run() is a generator; return one outcome instead of yielding"
    else:
        try:
            inspect.signature(run).bind(object(), object())
        except TypeError:
            yield f"run{inspect.signature(run)} cannot be called; its parameters are (self, event, context)"


RULES: tuple[Callable[[AnyProcess], Iterator[str]], ...] = (
    _name,
    _version,
    _events,
    _lane,
    _timeout,
    _isolation,
    _memory,
    _retry,
    _ordered,
    _state,
    _default_enabled,
    _business,
    _title,
    _config,
    _run,
)
