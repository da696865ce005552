# SPDX-License-Identifier: Apache-2.0
"""
Effects: what a step of a run asks the world for, as values. Whoever carries them out may do so again after a crash.

Their ids follow from the run, the task and the attempt, so a repetition is recognised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.domain.redelivery import Journey
from bridge.workflows.run import Asker, Origin, Parent, Run
from bridge.workflows.signals import Signal


class RunProcess(NamedTuple):
    """Give an event with these data to a process; its outcome comes back as `TaskEnded`. `id` is the event's key."""

    id: str
    process: str
    data: dict[str, Any]
    task: str
    attempt: int
    hops: int


class StartRun(NamedTuple):
    """Start a run of a workflow's current version for a task; where there is none, its parent is told that it failed."""

    id: str
    workflow: str
    params: dict[str, Any]
    parent: Parent
    hops: int
    trigger: Origin = "workflow"


class EmitEvent(NamedTuple):
    """Emit an event; `id` is its key."""

    id: str
    type: str
    data: Any
    subject: str
    hops: int


class Answer(NamedTuple):
    """Let a message's business process go on: its journeys have ended."""

    asker: Asker
    journeys: tuple[Journey, ...]


class TellRun(NamedTuple):
    """Send a signal to another run."""

    run_id: str
    signal: Signal


Effect = RunProcess | StartRun | EmitEvent | TellRun | Answer


class Step(NamedTuple):
    """
    A run after a signal, and what is to be done before it is kept; no run where the signal was for none.

    `forgotten`: it ended long ago, and nothing of it is to be kept any more.
    """

    run: Run | None
    effects: tuple[Effect, ...] = ()
    forgotten: bool = False
