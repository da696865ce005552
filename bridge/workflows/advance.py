# SPDX-License-Identifier: Apache-2.0
"""
The fold of a run: one signal more, at the time of its record. Pure, so that whoever applies the same signals has the same run.

The one who calls it carries out the effects, then keeps the run, then goes on to the next signal.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from bridge.domain.event import MAX_HOPS
from bridge.workflows.document import Workflow
from bridge.workflows.effects import Answer, Step
from bridge.workflows.journeys import JOINING, SHIPPED, journeys_of
from bridge.workflows.limits import EARLY, MINUTES, RUN_BYTES
from bridge.workflows.motion import Motion
from bridge.workflows.references import Unresolved, as_text
from bridge.workflows.retrying import retry
from bridge.workflows.run import Early, Run, encode, given_params, param_faults
from bridge.workflows.settling import settle
from bridge.workflows.signals import Approval, Callback, Cancel, Retry, Signal, Start, TaskEnded, Timer
from bridge.workflows.starting import minutes_ms
from bridge.workflows.tasks import ApprovalTask, EventWaitTask, ProcessTask, SleepTask, WorkflowTask

TOO_LARGE = f"The run would keep more than {RUN_BYTES} bytes."


def fresh(run_id: str, start: Start, at_ms: int) -> Run:
    """Give the run that a start makes, before anything of it has begun."""
    return Run(
        id=run_id,
        tenant=start.tenant,
        workflow=start.workflow,
        version=start.version,
        trigger=start.trigger,
        initiated_by=start.initiated_by,
        created_ms=at_ms,
        hops=start.hops,
        correlation_id=start.correlation_id,
        parent=start.parent,
        asker=start.asker,
        params=start.params,
        labels=start.labels,
    )


def advance(run_id: str, run: Run | None, workflow: Workflow | None, signal: Signal, at_ms: int) -> Step:
    """
    Apply a signal.

    Shape:  `run` is None before its start; `workflow` is the run's version, None where it is not there any more.
    Again:  a signal that comes twice or too late gives the run as it is, and no effects.
    """
    if run is None and isinstance(signal, Start):
        run = fresh(run_id, signal, at_ms)
    elif run is None:
        return Step(run)
    elif isinstance(signal, Start):
        return _asked_again(run, workflow, signal)
    if run.ended and not isinstance(signal, Retry):
        old = isinstance(signal, Timer) and 0 < run.next_due_ms <= max(at_ms, signal.due_ms)
        return Step(run, forgotten=old)
    if workflow is None:
        return _lost(run, at_ms)
    motion = Motion(run, workflow, at_ms)
    if isinstance(signal, Start):
        _begin(motion)
    else:
        _elapse(motion, signal)
        _apply(motion, signal)
    if not motion.run.ended:
        settle(motion)
    step = motion.step()
    if step.run is not None and len(encode(step.run)) > RUN_BYTES:
        return _burst(run, workflow, at_ms)
    return step if step.run != run else Step(run)


def _asked_again(run: Run, workflow: Workflow | None, start: Start) -> Step:
    """Answer the message that asks last: what asked before may have died, and a later attempt does not take its answer."""
    if start.asker is None or run.asker is None:
        return Step(run)
    if run.ended:
        return Step(run, (Answer(start.asker, journeys_of(run, workflow, run.tasks)),))
    return Step(msgspec.structs.replace(run, asker=start.asker))


def _begin(motion: Motion) -> None:
    run, workflow = motion.run, motion.workflow
    faults = param_faults(given_params(run, workflow), workflow)
    if run.hops > MAX_HOPS:
        faults.append(f"More than {MAX_HOPS} runs and events have caused one another.")
    if faults:
        motion.end_run("invalid", " ".join(faults))
    else:
        motion.change(status="running", due_ms=motion.at_ms + minutes_ms(workflow.timeout or MINUTES))


def _elapse(motion: Motion, signal: Signal) -> None:
    """Let happen what was due before a signal, in the order of time."""
    now_ms = max(motion.at_ms, signal.due_ms) if isinstance(signal, Timer) else motion.at_ms
    if motion.run.ended:
        return
    due = sorted((state.due_ms, name) for name, state in motion.tasks.items() if state.due_ms)
    for due_ms, name in due:
        if due_ms > min(now_ms, motion.run.due_ms):
            break
        if not _wakes(motion, name):
            motion.end_task(name, "timedout", message="The task took longer than its timeout.")
            motion.end_run("timedout", f"The task {name} timed out.")
            return
        motion.end_task(name, "succeeded")
    if motion.run.due_ms <= now_ms:
        motion.end_run("timedout", "The run took longer than its timeout.")


def _wakes(motion: Motion, name: str) -> bool:
    """Say whether what is due is the end of a sleep, not a timeout before it."""
    task, state = motion.workflow.by_name[name], motion.task(name)
    if not isinstance(task, SleepTask):
        return False
    return task.timeout is None or state.due_ms < state.started_ms + minutes_ms(task.timeout)


def _apply(motion: Motion, signal: Signal) -> None:
    if motion.run.ended and not isinstance(signal, Retry):
        return
    match signal:
        case Callback():
            _call_back(motion, signal)
        case TaskEnded():
            state = motion.task(signal.task)
            ours = isinstance(motion.workflow.by_name.get(signal.task), (ProcessTask, WorkflowTask))
            if ours and state.active and state.attempt == signal.attempt:
                motion.end_task(signal.task, signal.status, signal.results, signal.reason)
        case Approval():
            _approve(motion, signal)
        case Cancel():
            motion.end_run("cancelled", signal.reason)
        case Retry():
            retry(motion, signal)
        case Timer() | Start():
            pass
        case _:
            assert_never(signal)


def _call_back(motion: Motion, signal: Callback) -> None:
    early = False
    for task in motion.workflow.tasks:
        state = motion.task(task.name)
        if not isinstance(task, EventWaitTask) or state.ended:
            continue
        try:
            fits = as_text(motion.fill(task.params.topic)) == signal.topic
        except Unresolved:
            fits = True  # it may be: what the topic is made of is not there yet
        if fits and state.active:
            motion.end_task(task.name, signal.status, signal.results)
        early = early or (fits and not state.active)
    kept = motion.run.early
    if early and signal.topic not in kept and len(kept) < EARLY:
        motion.change(early=kept | {signal.topic: Early(signal.status, signal.results)})


def _approve(motion: Motion, signal: Approval) -> None:
    if isinstance(motion.workflow.by_name.get(signal.task), ApprovalTask) and motion.task(signal.task).active:
        data = {"approved": signal.approved, "approvedBy": signal.by, "comment": signal.comment}
        motion.end_task(signal.task, "succeeded" if signal.approved else "failed", {"data": data}, signal.comment)


def _lost(run: Run, at_ms: int) -> Step:
    """End a run whose workflow cannot be read any more."""
    if run.ended:
        return Step(run)
    motion = Motion(run, Workflow.model_construct(name=run.workflow, tasks=()), at_ms)
    motion.end_run("invalid", f"Version {run.version} of the workflow {run.workflow} is not there any more.")
    return motion.step()


def _burst(run: Run, workflow: Workflow, at_ms: int) -> Step:
    """End a run as it was before a signal that brought too much, or that began it with too much."""
    new = run.status == "notstarted"
    names = {name: value for name, value in run.params.items() if name == JOINING and run.version == SHIPPED}
    motion = Motion(msgspec.structs.replace(run, params=names, labels={}) if new else run, workflow, at_ms)
    motion.end_run("invalid" if new else "failed", TOO_LARGE)
    return motion.step()
