# SPDX-License-Identifier: Apache-2.0
"""
Executions that ran when lives of this worker ended: where they run now, and what clears or convicts them.

What the journal remembers, this judges (docs/decisions/0059-a-journal-of-what-runs.md).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bridge.sdk import Context
from processors.outcomes.verdicts import Failure, Verdict

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

SUSPECT_LIVES: Final = 2
MOST_LIVES: Final = 3
"""
So many lives of a worker may end while one execution runs until it runs apart, and until it is set aside.

Once is no ground for suspicion: whoever is killed from outside was running something, and apart it would take long.
"""

UNCLEARED: Final = frozenset({"timeout", "not-started"})
"""What says nothing for a suspect: it was stopped, or has not run at all."""


def call(attempt: Attempt, context: Context[Any]) -> None:
    """Run an attempt in its process's way, or apart where it is suspected, or not at all."""
    around, execution_id = attempt.around, attempt.execution_id
    begun = partial(around.journal.begin, execution_id)
    lives = around.journal.suspects.get(execution_id, 0)
    attempt.suspect = lives >= SUSPECT_LIVES
    if lives >= MOST_LIVES:
        failure = Failure("crashed-worker", around.journal.story(execution_id))
        asyncio.get_running_loop().call_soon(attempt.ended, failure)
    elif attempt.suspect:
        attempt.task = around.caller.call_suspect(attempt.process, attempt.given.event, context, attempt.ended, begun)
    else:
        if attempt.process.isolation == "loop":  # what ends a child does not end the worker
            begun()
        attempt.task = around.caller.call(attempt.process, attempt.given.event, context, attempt.ended)


def convicted(outcome: object, story: str) -> object:
    """
    Judge what a suspect, with its story, left in its child process: who ends that as well does not get another worker.

    One that is stopped at its deadline may wait for a slow neighbour or may never end: it is tried again, apart as before.
    """
    if isinstance(outcome, Failure) and outcome.code in ("crashed", "out-of-memory"):
        return Failure("crashed-worker", f"{story}, and then it ended a child process: {outcome.reason}")
    if isinstance(outcome, Failure) and outcome.code in UNCLEARED:
        return Failure(outcome.code, f"{outcome.reason}; {story}")
    return outcome


def close(attempt: Attempt, verdict: Verdict) -> None:
    """End the journal's note of an attempt; a suspect that comes again and is not cleared runs apart again."""
    journal, execution_id = attempt.around.journal, attempt.execution_id
    ran = attempt.task is not None and (verdict.code not in UNCLEARED or journal.runs(execution_id))
    still = verdict.wait is not None and not ran and execution_id in journal.suspects
    (journal.keep if still else journal.end)(execution_id)
