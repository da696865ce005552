# SPDX-License-Identifier: Apache-2.0
"""A process in a lane of its own has its backlog, its workers and its crashes for itself."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
import redis

from bridge import topics
from bridge.domain import ids
from bridge.domain.errors import Misconfigured, NotFound, ViewUnavailable
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.kafka.groups import committed
from bridge.redis.pipe import Pipe
from bridge.registry.session import reading
from bridge.replay.asked import Asked, Mode
from bridge.replay.run import plan
from bridge.settings import Settings
from bridge.view.expecting import Expectation
from bridge.view.rebuild import rebuild
from bridge.view.status import StatusView
from tests.conftest import StackOfTests
from tests.integration.test_pausing import newest
from tests.integration.test_retries import final, histories
from tests.integration.test_workers_command import evb_workers
from tests.integration.workers import Sender, ends, event, site, until, working


def lazy(seconds: float, fails: int = 0) -> Event:
    return event("lazy.now", orjson.dumps({"seconds": seconds, "fails": fails}))


def test_a_lane_works_beside_the_shared_one(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    slow, retried = [lazy(6) for _ in range(8)], lazy(0, fails=1)
    quick = [event("t.now") for _ in range(50)]
    with working(stack, settings, tmp_path) as shared:
        sender = Sender(settings)
        sender.send(*slow, retried, *quick)
        sender.flush()
        shared.settle(settings)
        assert final(settings, quick, "quick"), "the shared lane waits for nobody"
        assert not newest(settings, [*slow, retried], "lazy"), "only the lane's own worker records what becomes of them"
        with working(stack, settings, tmp_path, lane="lazy") as own:
            until(lambda: final(settings, [retried], "lazy"), "the quick one of the lane has ended, after a retry")
            own.kill()
            own.start()
            until(lambda: final(settings, slow, "lazy"), "the slow ones have ended, longer than the shared lane allows")
    told = histories(settings)
    for one in (*slow, retried):
        ends = [state for state in told[ids.execution_id(one.key, "lazy")] if state.status.final]
        assert {state.status for state in ends} == {Status.COMPLETED}
        assert all("/lazy/0" in state.worker for state in ends)
    assert [state.attempt for state in told[ids.execution_id(retried.key, "lazy")]] == [1, 2]


def test_a_lanes_worker_is_shown_like_any_other(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack, partitions=2)
    slow = [lazy(15) for _ in range(6)]  # longer than from one heartbeat to the next
    with working(stack, settings, tmp_path), working(stack, settings, tmp_path, lane="lazy") as own:
        sender = Sender(settings)
        for number, one in enumerate(slow):
            sender.send(one, partition=number % 2)
        sender.flush()
        until(lambda: held(stack, settings, "lazy") == [("0", 3, True, True)] * 2, "a heartbeat tells what it has in flight")
        found = json.loads(evb_workers(stack, settings, "--json"))
        assert [(row["slot"], row["lane"], row["state"]) for row in found["workers"]] == [
            ("0", "", "live"),
            ("0", "lazy", "live"),
        ]
        shared, lane = found["workers"]
        assert {"lazy": "1.0.0"} == lane["processes"] == {n: v for n, v in shared["processes"].items() if n == "lazy"}
        assert shared["where"] != lane["where"]
        assert [host.partition(":")[0] for host in (shared["where"], lane["where"])] == [socket.gethostname()] * 2
        until(lambda: completed(stack, settings, "lazy") == len(slow), "a later one tells what it has done")
        assert own.asked_to_end() == 0
    states = {row["lane"]: row["state"] for row in json.loads(evb_workers(stack, settings, "--json"))["workers"]}
    assert states["lazy"] == "stopped"


def held(stack: StackOfTests, settings: Settings, lane: str) -> list[tuple[str, int, bool, bool]]:
    """What `evb workers` shows of a lane's partitions: owner, in flight, and whether it says how old that and the offset are."""
    rows = json.loads(evb_workers(stack, settings, "--json"))["partitions"]
    mine = [row for row in rows if row["topic"] == topics.lane(lane).name(settings)]
    return [(row["owner"], row["in_flight"], bool(row["oldest_in_flight_s"]), bool(row["committed_age_s"])) for row in mine]


def completed(stack: StackOfTests, settings: Settings, lane: str) -> int:
    """How many executions a lane's workers have completed, as `evb workers` shows it."""
    rows = json.loads(evb_workers(stack, settings, "--json"))["processes"]
    return sum(row["outcomes"].get("completed", 0) for row in rows if row["lane"] == lane)


def test_what_has_ended_stays_so_where_it_comes_again(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    one = lazy(0)
    lane, group = topics.lane("lazy"), topics.lane_group(settings, "lazy")
    with working(stack, settings, tmp_path) as shared, working(stack, settings, tmp_path, lane="lazy"):
        sender = Sender(settings)
        sender.send(one)
        sender.flush()
        until(lambda: final(settings, [one], "lazy"), "it has ended")
        sender.send(one)  # as a producer repeats it after the view was lost, or a restarted worker reads it again
        sender.flush()
        shared.settle(settings)
        until(lambda: sum(ends(settings, lane).values()) == 2, "it came into the lane again")
        until(lambda: sum(committed(settings, group, lane).values()) == 2, "and the lane has finished with it")
    assert [state.status for state in newest(settings, [one], "lazy")] == [Status.COMPLETED]


def test_what_waits_for_a_lane_without_a_worker_is_pending(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    waiting, quick = [lazy(0) for _ in range(20)], event("t.now")
    assert rebuild(settings) is not None
    with working(stack, settings, tmp_path) as shared:
        sender = Sender(settings)
        sender.send(*waiting, quick)
        sender.flush()
        shared.settle(settings)
        until(lambda: len(shown(settings, waiting)) == len(waiting), "the view has them")
        before = shown(settings, waiting)
        now = int(time.time() * 1000)
        with reading(settings) as registry:
            found = plan(settings, Asked(Mode.UNPROCESSED, now - 3_600_000, now + 1), Expectation(registry))
        assert found.skipped == {"waiting": len(waiting), "processed": 1}
        assert shared.asked_to_end() == 0
    assert {(one.status, one.attempt, one.reason) for one in before} == {(Status.PENDING, 0, "waits in its own lane")}
    empty(settings)
    assert rebuild(settings) is not None
    assert shown(settings, waiting) == before
    with working(stack, settings, tmp_path, lane="lazy"):
        until(lambda: final(settings, waiting, "lazy"), "they have ended")
        until(lambda: all(one.status.final for one in shown(settings, waiting)), "and the view says so")
    after = shown(settings, waiting)
    empty(settings)
    assert rebuild(settings) is not None
    assert shown(settings, waiting) == after, "what has ended does not wait again"


def shown(settings: Settings, events: list[Event], process: str = "lazy") -> list[Execution]:
    """What look-ups say of the events' executions; those that they do not know are left out."""

    async def look() -> list[Execution]:
        pipe = Pipe(settings.redis, asyncio.get_running_loop())
        try:
            assert await pipe.wait_connected(5)
            status, found = StatusView(pipe, settings), []
            for one in events:
                with suppress(NotFound, ViewUnavailable):
                    found.append(await status.execution(one.tenant, ids.execution_id(one.key, process)))
            return found
        finally:
            await pipe.close()

    return asyncio.run(look())


def empty(settings: Settings) -> None:
    """Lose the view."""
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as live:
        for key in live.scan_iter(f"{settings.topic_prefix}*"):
            live.delete(key)


def test_a_lane_that_nobody_has_is_refused(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    for lane, why in (("quick", "runs in the shared lane"), ("nobody", "No process 'nobody'")):
        with pytest.raises(Misconfigured, match=why), working(stack, settings, tmp_path, lane=lane):
            pass
