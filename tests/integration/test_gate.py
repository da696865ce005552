# SPDX-License-Identifier: Apache-2.0
"""The gate's script on a real Valkey, with a clock that the test sets."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
import redis

from bridge.domain.event import Event
from bridge.domain.limits import Window
from bridge.redis.connection import Reply
from bridge.redis.gate import CALL_EVENTS, Admitted, Clashing, Entrant, Full, Gate, Verdict
from bridge.redis.keys import Keys, read_known
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import Script, script
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.sliding_log import SlidingLog

STEPS = int(os.environ.get("TEST_STEPS", "10000"))
START_MS = 1_800_000_000_000
WIDE = (Window(1_000_000, 3600),)


class ClockedGate:
    """The product's gate, whose script reads the time from a key instead of the server's clock."""

    def __init__(self, pipe: Pipe, settings: Settings, outside: redis.Redis) -> None:
        product = script("gate").source
        assert product.count(b"redis.call('TIME')") == 1
        source = product.replace(b"redis.call('TIME')", b"redis.call('LRANGE', KEYS[1] .. ':clock', 0, 1)")
        self.gate = Gate(pipe, settings)
        self.gate._gate = Script("clocked-gate", source, str(outside.script_load(source)).encode())
        self.keys, self.outside, self.now_ms = Keys(settings.topic_prefix), outside, START_MS
        self.at(START_MS)

    def at(self, now_ms: int) -> None:
        self.now_ms = now_ms
        with self.outside.pipeline() as both:
            both.delete(f"{self.keys.epoch}:clock")
            both.rpush(f"{self.keys.epoch}:clock", now_ms // 1000, now_ms % 1000 * 1000)
            both.execute()

    def later(self, ms: int) -> None:
        self.at(self.now_ms + ms)

    async def ask(self, *entrants: Entrant, windows: Sequence[Window] = WIDE, owner: str = "o1") -> Verdict:
        return await _awaited(lambda done: self.gate.ask("acme", windows, entrants, owner, done))

    async def settle(self, *outcomes: tuple[Entrant, str, str]) -> Reply:
        return await _awaited(lambda done: self.gate.settle(outcomes, done))

    def everything(self) -> dict[str, object]:
        """All keys of this installation but the clock, with what they hold."""
        found: dict[str, object] = {}
        for key in self.outside.scan_iter(f"{self.keys.prefix}:*"):
            if not key.endswith(":clock"):
                found[key] = self.outside.dump(key)
        return found


async def _awaited(begin: Callable[[Callable[[Reply], None]], None]) -> Reply:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    begin(future.set_result)
    return await asyncio.wait_for(future, 5)


@pytest.fixture
async def gate(stack: StackOfTests) -> AsyncIterator[ClockedGate]:
    settings = stack.settings()
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    with redis.Redis.from_url(stack.redis, decode_responses=True) as outside:
        yield ClockedGate(pipe, settings, outside)
    await pipe.close()


def entrant(name: str = "1", key: str = "", *, born: bool = False, at: int = START_MS, expected: Sequence[str] = ()) -> Entrant:
    key = key or f"key-{name}"
    attributes = {"specversion": "1.0", "id": name, "source": "/s", "type": "t", "tenantid": "acme", "eventkey": key}
    return Entrant(Event({**attributes, "correlationid": f"a|b {key}"}, b"{}"), born, at, expected)


def steps(seed: int) -> Iterator[tuple[int, int]]:
    """Milliseconds until the next request, and its events: bursts, pauses and batches."""
    chance = random.Random(seed)
    while True:
        gap = chance.choice((0, 0, 0, 1, 1, 3, 40, chance.randrange(400), chance.randrange(400)))
        yield gap if chance.random() > 0.003 else 70_000, chance.choice((1, 1, 1, 1, 2, 5, 30))


@pytest.mark.parametrize(
    "windows",
    [
        pytest.param((Window(100, 10),), id="one"),
        pytest.param((Window(25, 1), Window(100, 10), Window(400, 60)), id="three"),
        pytest.param((Window(400, 60), Window(25, 1), Window(60, 60)), id="any-order"),
    ],
)
@pytest.mark.timeout(300)
async def test_rate_windows_are_an_exact_sliding_log(gate: ClockedGate, windows: tuple[Window, ...]) -> None:
    model, differences, refused = SlidingLog(windows), [], 0
    for step, (gap, events) in zip(range(STEPS), steps(7), strict=False):
        gate.later(gap)
        verdict = await gate.ask(*(entrant(f"{step}-{i}", born=True) for i in range(events)), windows=windows)
        assert isinstance(verdict, Admitted | Full)
        said = (verdict.wait_s if isinstance(verdict, Full) else 0, [(q.remaining, q.reset_s) for q in verdict.quotas])
        if said != (wanted := model.ask(gate.now_ms, events)):
            differences.append((step, said, wanted))
        refused += isinstance(verdict, Full)
        if step % 1000 == 0:
            _drop_events(gate)
    assert not differences, differences[:5]
    assert STEPS / 20 < refused < STEPS * 19 / 20, "the sequence must fill the windows, and let them empty again"


def _drop_events(gate: ClockedGate) -> None:
    for key in list(gate.outside.scan_iter(f"{gate.keys.prefix}:acme:[ec]*")):
        gate.outside.delete(key)


async def test_a_log_holds_only_its_window_and_expires(gate: ClockedGate) -> None:
    long, short = gate.keys.rate("acme", 10), gate.keys.rate("acme", 2)
    windows = (Window(5000, 10), Window(5000, 2))
    for step in range(50):
        gate.later(100)
        await gate.ask(*(entrant(f"{step}-{i}", born=True) for i in range(20)), windows=windows)
    assert (gate.outside.llen(long), gate.outside.llen(short)) == (1000, 400)
    assert 9_000 < gate.outside.pttl(long) <= 11_000
    assert 1_000 < gate.outside.pttl(short) <= 3_000
    gate.later(9_000)
    await gate.ask(entrant("last", born=True), windows=windows)
    assert gate.outside.llen(long) == 201, "the 800 events of the first 4 s have left"
    assert gate.outside.llen(short) == 1


async def test_a_clock_that_steps_back_does_not_lock_a_tenant_out(gate: ClockedGate) -> None:
    windows = (Window(2, 10),)
    assert isinstance(await gate.ask(entrant("1"), entrant("2"), windows=windows), Admitted)
    gate.later(-400)
    assert isinstance(await gate.ask(entrant("3"), windows=windows), Full), "a small step is ridden out"
    gate.later(-3_600_000)
    assert isinstance(await gate.ask(entrant("4"), windows=windows), Admitted)


async def test_a_batch_larger_than_a_window_never_fits_and_says_the_window(gate: ClockedGate) -> None:
    verdict = await gate.ask(*(entrant(f"{i}") for i in range(4)), windows=(Window(3, 7),))
    assert isinstance(verdict, Full)
    assert verdict.wait_s == 7


async def test_a_refused_request_leaves_nothing(gate: ClockedGate) -> None:
    windows = (Window(3, 60),)
    assert isinstance(await gate.ask(entrant("1"), entrant("2", expected=("p",)), windows=windows), Admitted)
    before = gate.everything()
    assert isinstance(await gate.ask(entrant("3"), entrant("4"), windows=windows), Full)
    verdict = await gate.ask(entrant("5"), entrant("1", "other-key"), windows=WIDE)
    assert verdict == Clashing((1,))
    assert gate.everything() == before


async def test_a_batch_names_every_conflict(gate: ClockedGate) -> None:
    await gate.ask(entrant("1"), entrant("2"), entrant("3"))
    verdict = await gate.ask(entrant("0"), entrant("1", "x"), entrant("2"), entrant("3", "y"))
    assert verdict == Clashing((1, 3))


async def test_what_a_reservation_writes(gate: ClockedGate) -> None:
    subject = entrant("1", expected=("audit", "mail"))
    assert isinstance(await gate.ask(subject), Admitted)
    keys, outside = gate.keys, gate.outside
    known = read_known(outside.get(keys.id("acme", "/s", "1")).encode())
    assert (known.state, known.event_key, known.accepted_ms, known.correlation_id) == ("p", "key-1", START_MS, "a|b key-1")
    assert known.owner == f"o1@{START_MS}"
    summary = outside.hgetall(keys.event("acme", "key-1"))
    assert summary.keys() == {"d", "r"}
    assert summary["r"] == str(START_MS)
    members = outside.smembers(keys.correlation("acme", "a|b key-1"))
    executions = {m.removeprefix("x:") for m in members if m.startswith("x:")}
    assert members == {"e:key-1", *(f"x:{e}" for e in executions)}
    pointers = {outside.get(keys.execution("acme", e)) for e in executions}
    assert pointers == {f'-1|{{"event_key":"key-1","process":"{p}"}}' for p in ("audit", "mail")}
    every = [keys.id("acme", "/s", "1"), keys.event("acme", "key-1"), keys.correlation("acme", "a|b key-1")]
    every += [keys.execution("acme", e) for e in executions]
    assert {outside.ttl(key) for key in every} <= {168 * 3600, 168 * 3600 - 1}


async def test_an_execution_that_is_known_better_is_not_overwritten(gate: ClockedGate) -> None:
    subject = entrant("1", expected=("audit",))
    await gate.ask(subject)
    (where,) = [key for key in gate.everything() if ":x:" in key]
    gate.outside.set(where, "17|{}")
    gate.later(31_000)
    assert isinstance(await gate.ask(subject, owner="o2"), Admitted)
    assert gate.outside.get(where) == "17|{}"


async def test_a_repetition_is_known_while_pending_and_when_done(gate: ClockedGate) -> None:
    subject = entrant("1")
    await gate.ask(subject)
    verdict = await gate.ask(subject, entrant("2"), owner="o2")
    assert isinstance(verdict, Admitted)
    assert verdict.known[0] is not None
    assert verdict.known[1] is None
    assert read_known(verdict.known[0]).state == "p"
    assert await gate.settle((subject, "o1", "3:17")) == 0
    gate.later(86_000_000)
    verdict = await gate.ask(subject, owner="o3")
    assert isinstance(verdict, Admitted)
    assert verdict.known[0] is not None
    known = read_known(verdict.known[0])
    assert (known.state, known.accepted_ms, known.correlation_id, known.owner) == ("d", START_MS, "a|b key-1", "")
    assert gate.outside.hget(gate.keys.event("acme", "key-1"), "p") == "3:17"


async def test_after_the_duplicate_window_the_same_id_is_an_event_of_its_own(gate: ClockedGate) -> None:
    subject, other = entrant("1"), entrant("1", "other-key", at=START_MS + 86_400_000)
    await gate.ask(subject)
    await gate.settle((subject, "o1", "0:1"))
    gate.later(86_399_999)
    assert await gate.ask(other) == Clashing((0,))
    gate.later(1)
    verdict = await gate.ask(other, owner="o2")
    assert isinstance(verdict, Admitted)
    assert verdict.known == (None,)
    assert read_known(gate.outside.get(gate.keys.id("acme", "/s", "1")).encode()).event_key == "other-key"


async def test_a_reservation_that_nobody_confirmed_is_taken_over_after_30_s(gate: ClockedGate) -> None:
    subject = entrant("1")
    await gate.ask(subject)
    gate.later(29_999)
    verdict = await gate.ask(subject, owner="o2")
    assert isinstance(verdict, Admitted)
    assert verdict.known[0] is not None
    gate.later(1)
    verdict = await gate.ask(subject, owner="o3")
    assert isinstance(verdict, Admitted)
    assert verdict.known == (None,)
    await gate.settle((subject, "o1", ""))
    assert gate.outside.exists(gate.keys.id("acme", "/s", "1")), "the late first request must not free what another one took"
    await gate.settle((subject, "o3", "0:4"))
    assert read_known(gate.outside.get(gate.keys.id("acme", "/s", "1")).encode()).state == "d"


async def test_a_failed_event_frees_its_id_at_once(gate: ClockedGate) -> None:
    subject = entrant("1")
    await gate.ask(subject)
    await gate.settle((subject, "o1", ""))
    verdict = await gate.ask(entrant("1", "other-key"), owner="o2")
    assert isinstance(verdict, Admitted)
    assert verdict.known == (None,)


async def test_settling_keeps_the_later_record_and_counts_what_is_gone(gate: ClockedGate) -> None:
    subject, born = entrant("1"), entrant("2", born=True)
    await gate.ask(subject, born)
    await gate.settle((subject, "o1", "2:9"), (born, "o1", "2:10"))
    await gate.settle((subject, "o1", "2:8"))
    assert gate.outside.hget(gate.keys.event("acme", "key-1"), "p") == "2:9"
    assert gate.outside.hget(gate.keys.event("acme", "key-2"), "p") == "2:10"
    assert not gate.outside.exists(gate.keys.id("acme", "/s", "2")), "a born event needs no look-up by id"
    gate.outside.delete(gate.keys.event("acme", "key-1"))
    assert await gate.settle((subject, "o1", "2:9"), (born, "o1", "2:10")) == 1


async def test_the_gate_says_whether_the_view_is_whole(gate: ClockedGate) -> None:
    run_id = gate.outside.info("server")["run_id"]
    for epoch, whole in ((None, False), (f"{'0' * 40}:1", False), (f"{run_id}:3", True)):
        if epoch:
            gate.outside.set(gate.keys.epoch, epoch)
        verdict = await gate.ask(entrant("1"))
        assert isinstance(verdict, Admitted)
        assert verdict.view_whole is whole


async def test_redis_decides_on_some_requests_while_the_turn_still_brings_others(gate: ClockedGate) -> None:
    told: list[Verdict] = []
    for n in range(CALL_EVENTS + 1):
        gate.gate.ask("acme", WIDE, [entrant(str(n))], f"o{n}", told.append)
    deadline = time.monotonic() + 5
    while gate.outside.exists(gate.keys.event("acme", f"key-{CALL_EVENTS - 1}")) == 0 and time.monotonic() < deadline:
        pass  # the turn goes on: nothing that waits for its end leaves now
    here = [gate.outside.exists(gate.keys.event("acme", f"key-{n}")) for n in range(CALL_EVENTS + 1)]
    assert here == [1] * CALL_EVENTS + [0]
    while len(told) <= CALL_EVENTS and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert [type(one) for one in told] == [Admitted] * (CALL_EVENTS + 1)


async def test_tenants_share_nothing(gate: ClockedGate) -> None:
    windows = (Window(1, 60),)
    assert isinstance(await gate.ask(entrant("1"), windows=windows), Admitted)
    other = Event(entrant("1").event.attributes | {"tenantid": "zeta"}, b"{}")
    verdict = await _awaited(lambda done: gate.gate.ask("zeta", windows, [Entrant(other, False, START_MS, ())], "o2", done))
    assert isinstance(verdict, Admitted)
    assert verdict.known == (None,)
