# SPDX-License-Identifier: Apache-2.0
"""What a process with isolation `process` is given and what comes back from its child."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from bridge.domain.limits import REASON_BYTES
from bridge.egress.addresses import LOOPBACK
from bridge.sdk import Completed, Rejected, Result, RetryLater, Skipped
from bridge.sdk.testing import event
from bridge.settings import Settings
from processors.calls.calling import Caller
from processors.calls.isolation import Isolation
from processors.outcomes.verdicts import Failure
from tests.abusers import Abuser, Unimportable
from tests.canaries import listening
from tests.unit.isolation.running import ASYNC, RELIABLE, context, ran


async def test_a_process_gets_what_it_needs_and_one_child_serves_it_again(
    children: Isolation, capfd: pytest.CaptureFixture[str]
) -> None:
    first = await ran(children, "says", {"a": 1})
    second = await ran(children, "says", [2])
    assert isinstance(first, Completed)
    assert first.data == {
        "pid": second.data["pid"],
        "data": {"a": 1},
        "type": "abuser.says",
        "greeting": "moin",
        "ids": ["acme", "corr", "exec", 2],
        "loaded": [],
        "http": True,
    }
    assert first.data["pid"] != os.getpid()
    assert first.results == [Result("said", b'{"n":1}', "s")]
    line = next(line for line in capfd.readouterr().out.splitlines() if "Saying" in line)
    assert '"logger":"process.abuser"' in line
    assert '"execution_id":"exec"' in line


async def test_a_coroutine_has_a_session_of_its_own(children: Isolation) -> None:
    assert await ran(children, "says", process=ASYNC) == Completed("ClientSession")


async def test_the_session_of_a_child_reaches_what_the_installation_allows(children: Isolation) -> None:
    allowing = Isolation(Settings(log_format="json", egress_allowed_networks=LOOPBACK))
    async with listening() as canary:
        url = f"http://127.0.0.1:{canary.port}/"
        assert await ran(allowing, "calls", url, ASYNC) == Completed(200)
        refused = await ran(children, "calls", url, ASYNC)
        assert isinstance(refused, Failure)
        assert "address-not-allowed: 127.0.0.1 is not a public address" in refused.reason
        assert canary.visits == 1
    await allowing.close()


@pytest.mark.parametrize(
    ("what", "outcome"),
    [("skips", Skipped("not mine")), ("waits", RetryLater("closed", 7.0)), ("rejects", Rejected("bad-order", "no such order"))],
)
async def test_every_outcome_crosses(children: Isolation, what: str, outcome: object) -> None:
    assert await ran(children, what) == outcome


async def test_an_exceptions_text_is_bounded(children: Isolation) -> None:
    failure = await ran(children, "raises")
    assert failure.code == "exception"
    assert failure.reason.startswith("ValueError: it is broken")
    assert len(failure.reason.encode()) <= REASON_BYTES


async def test_a_plugin_that_a_child_cannot_import_says_so(children: Isolation) -> None:
    failure = await ran(children, "any", process=Unimportable())
    assert failure.code == "not-started"
    assert "cannot load it: ModuleNotFoundError: No module named 'nothing_of_this_name'" in failure.reason


async def test_a_process_that_cannot_be_pickled_says_so(children: Isolation) -> None:
    process = Abuser()
    process.lock = threading.Lock()
    failure = await ran(children, "says", process=process)
    assert failure == Failure(
        "not-started", "it cannot be handed to a child process: TypeError: cannot pickle '_thread.lock' object"
    )


class Deadly(Abuser):
    """Ends the child that loads it."""

    def __reduce__(self) -> Any:
        return os.abort, ()


async def test_a_child_that_dies_before_it_has_the_event_says_nothing_of_the_event(children: Isolation) -> None:
    failure = await ran(children, "says", process=Deadly())
    assert (failure.code, failure.reason) == ("not-started", "its child process was killed by SIGABRT")


async def test_where_no_process_can_start_the_run_fails(children: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refused)
    assert await ran(children, "says") == Failure("not-started", "no child process can be started for it")


async def test_the_caller_hands_on_what_a_child_answers() -> None:
    caller = Caller(asyncio.get_running_loop(), Settings())
    ends: list[object] = []
    await caller.call(RELIABLE, event("reliable.any", 5), context(RELIABLE), ends.append)
    assert ends == [Completed(5, [Result("reliable.done", b"5")])]
    await caller.close()
