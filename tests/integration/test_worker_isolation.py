# SPDX-License-Identifier: Apache-2.0
"""
Processes that do everything a plugin must not do, each in a child of one real worker: every execution ends with its reason, the
worker and the good processes beside them go on, and no child outlives the worker.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import pytest

from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from tests.conftest import StackOfTests
from tests.integration.test_retries import final, histories
from tests.integration.workers import Aftermath, Sender, event, headers, settled, site, until, working

FAILURES = {
    "abuser.spins": ("timeout", "no outcome within 2 s; its child process was killed"),
    "abuser.sleeps": ("timeout", "no outcome within 2 s; its child process was killed"),
    "async-abuser.hangs": ("timeout", "no outcome within 0.5 s; its child process was killed"),
    "abuser.exits": ("crashed", "its child process ended with exit code 1"),
    "abuser.faults": ("crashed", "its child process was killed by SIGSEGV"),
    "abuser.allocates": ("out-of-memory", "it needed more than its 64 MB"),
    "forker.forks": ("timeout", "no outcome within 5 s; its child process was killed"),
    "abuser.bloats": ("result-too-large", "results[0] has 6000"),
    "abuser.unserialisable": ("not-serialisable", "results[0] cannot be written as JSON"),
    "abuser.raises": ("exception", "ValueError: it is broken"),
}
"""The event's type -> the code and the reason of its dead letter."""


START_S = 100.0
"""Nine children start, most of them one after another, and the machine may be busy."""

pytestmark = pytest.mark.timeout(180)


@dataclass
class Run:
    """What was sent, and what came of it."""

    sent: dict[str, Event]
    good: list[Event]
    after: Aftermath
    pids: list[int]
    starts: int
    exit_code: int

    def only(self, sent: Event, process: str) -> Execution:
        """Give the event's one record of this process."""
        (found,) = self.after.executions[ids.execution_id(sent.key, process)]
        return found


@pytest.fixture(scope="module")
def run(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every abuse among good executions, in children and on the loop."""
    settings, files = site(stack), tmp_path_factory.mktemp("isolation")
    sent = {type_: event(type_, orjson.dumps(str(files / type_))) for type_ in (*FAILURES, "abuser.prints", "abuser.says")}
    good = [event("reliable.any" if n % 2 else "t.any", b'{"n": %d}' % n) for n in range(80)]
    sender = Sender(settings)
    sender.send(*good[:40], *sent.values(), *good[40:])
    sender.flush()
    with working(stack, settings, files) as worker:
        until(lambda: settled(settings), "everything is finished", START_S)
        code = worker.asked_to_end()
    pids = list(map(int, (files / "forker.forks").read_text().split()))
    starts = sum("worker is ready" in str(line["event"]) for line in worker.lines())
    assert worker.log.stat().st_size < 1_000_000, "what a child prints is not in the worker's log"
    return Run(sent, good, Aftermath.of(settings), pids, starts, code)


@pytest.mark.parametrize("type_", FAILURES)
def test_an_abuse_has_its_reason_in_the_record_and_the_dead_letter(run: Run, type_: str) -> None:
    code, reason = FAILURES[type_]
    execution = run.only(run.sent[type_], type_.split(".")[0])
    assert execution.status is Status.FAILED
    assert execution.reason.startswith(f"{code}: ")
    assert reason in execution.reason
    (letter,) = run.after.letters[execution.execution_id]
    assert headers(letter)["dl_code"] == code
    assert letter.value() == run.sent[type_].data


def test_good_executions_complete_with_their_results(run: Run) -> None:
    for sent in run.good:
        execution = run.only(sent, "reliable" if sent.type == "reliable.any" else "quick")
        assert (execution.status, execution.attempt) == (Status.COMPLETED, 1)
        (result,) = run.after.results[execution.execution_id]
        assert orjson.loads(result.value() or b"") == sent.json()
    assert run.only(run.sent["abuser.prints"], "abuser").status is Status.COMPLETED


def test_a_child_holds_the_plugin_and_not_the_worker(run: Run) -> None:
    execution = run.only(run.sent["abuser.says"], "abuser")
    assert orjson.loads(execution.data)["loaded"] == []


def test_the_worker_went_on_and_left_when_asked(run: Run) -> None:
    assert (run.starts, run.exit_code) == (1, 0)
    assert sum(map(len, run.after.letters.values())) == len(FAILURES)


def test_nothing_that_a_run_started_is_left(run: Run) -> None:
    assert len(run.pids) == 21
    assert not alive(run.pids)


def test_what_finds_no_child_waits_in_kafka(stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more than two children can do within the time that one waits in memory; in order, and no attempt is lost on it."""
    monkeypatch.setenv("TEST_QUEUE_S", "0.3")
    settings = site(stack)
    keys = {key: [event("napper.any", b"%d" % n, partitionkey=key) for n in range(3)] for key in "abcd"}
    alone = event("napper.any", b"0", tenant="other")
    sent = [one for of in zip(*keys.values(), strict=True) for one in of] + [alone]
    with working(stack, settings, tmp_path, processes="napper"):
        sender = Sender(settings)
        sender.send(*sent)
        sender.flush()
        until(lambda: final(settings, sent, "napper"), "everything has ended", START_S)
    found = histories(settings)
    told = {one.key: found[ids.execution_id(one.key, "napper")] for one in sent}
    assert {(of[-1].status, of[-1].attempt) for of in told.values()} == {(Status.COMPLETED, 1)}
    held = [state for of in told.values() for state in of[:-1]]
    assert "no child process was free within 0.3 s" in {state.reason for state in held}
    assert {(state.status, state.attempt, state.started_ms) for state in held} == {(Status.PENDING, 0, 0)}
    for events in keys.values():
        times = [moment for one in events for moment in orjson.loads(told[one.key][-1].data)]
        assert times == sorted(times), "one after another, in order"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_worker(stack: StackOfTests, tmp_path: Path, number: int) -> None:
    settings, file = site(stack), tmp_path / "pids"
    with working(stack, settings, tmp_path, processes="forker") as worker:
        sender = Sender(settings)
        sender.send(event("forker.any", orjson.dumps(str(file))))
        sender.flush()
        until(file.exists, "the run has started its processes")
        pids = list(map(int, file.read_text().split()))
        assert len(alive(pids)) == 21
        if number == signal.SIGKILL:
            worker.kill()
        else:
            assert worker.asked_to_end() == 0
        until(lambda: not alive(pids), "every child is gone")


def alive(pids: list[int]) -> list[int]:
    """Say which of these run; one that is dead and that nobody has waited for does not."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found
