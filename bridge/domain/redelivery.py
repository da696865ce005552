# SPDX-License-Identifier: Apache-2.0
"""An event given again to one named process: what travels with it, so that nothing about a retry lives only in memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt that has ended without a final status; times in milliseconds since the epoch."""

    attempt: int
    started_ms: int
    ended_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Journey:
    """
    A run of a workflow that a message has to go through; `id` is the run's, `version` its workflow's where it is known.

    `status` is empty until it has ended; then it is a run's, `succeeded` where it ended well, and `reason` says why it did not.
    """

    id: str
    workflow: str
    status: str = ""
    reason: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Redelivery:
    """
    What the worker needs to go on with an execution.

    `attempt` is the one to make now. `topic`, `partition`, `offset` and `received_ms` are those of the event's own record, `key`
    its record's key. `belated`: a replay gives the event, so what came of later ones says nothing of it; `replayed_from` names
    the execution that is repeated, empty where the event has had none. `journeys` have ended, and `awaited` is the attempt that
    waited for them: its process's policy counts from there.
    """

    process: str
    execution_id: str
    attempt: int
    due_ms: int
    topic: str
    partition: int
    offset: int
    received_ms: int
    first_failed_ms: int = 0
    reason: str = ""
    tries: tuple[Try, ...] = ()
    belated: bool = False
    replayed_from: str = ""
    journeys: tuple[Journey, ...] = ()
    awaited: int = 0
