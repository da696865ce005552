# SPDX-License-Identifier: Apache-2.0
"""`evb replay` on real topics: every mode, to processes and to a topic of one's own, and whatever is killed nothing twice."""

from __future__ import annotations

import re
import shlex
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from bridge import topics
from bridge.deadletters.index import Wanted, index
from bridge.deadletters.plan import plan_replay
from bridge.deadletters.run import replay as replay_letters
from bridge.domain.execution import Status
from bridge.kafka.admin import await_topics, client
from bridge.registry.session import reading
from bridge.replay.asked import Asked, Mode
from bridge.replay.run import Plan, plan, run
from bridge.stack.keeper import Keeper
from bridge.view.expecting import Expectation
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.deadletters import House, ended_after, execution_of, header, replays_of, said, wait_replayed
from tests.integration.workers import Sender, event, kept, site, until, working

pytestmark = pytest.mark.timeout(120)
FAST = 5000.0
FIRST = "quick"
"""The one process that the worker has at first; `second` is installed later."""


@pytest.fixture(scope="module")
def early(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A worker without `second`, for which events have passed already."""
    settings = site(stack)
    with working(stack, settings, tmp_path_factory.mktemp("early"), processes="quick,faulty") as worker:
        yield House(settings, worker)
        assert worker.asked_to_end() == 0


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack)
    with working(stack, settings, tmp_path_factory.mktemp("worker")) as worker:
        yield House(settings, worker)


def asked(mode: Mode, tenant: str, **more: Any) -> Asked:
    now = int(time.time() * 1000)
    return Asked(mode, now - 3_600_000, now + 1, tenant=tenant, **more)


def planned(house: House, what: Asked, name: str = "") -> Plan:
    with reading(house.settings) as registry:
        return plan(house.settings, what, Expectation(registry), name)


def carried_out(house: House, what: Asked, name: str = "") -> Plan:
    """Plan it and carry it out: what is done is what was planned."""
    found = planned(house, what, name)
    assert run(house.settings, found, FAST, lambda _: None) == found.count
    return found


def woken(house: House) -> None:
    """Let its frozen worker go on and finish everything; where it stood for so long that it ends, it is started again."""
    house.worker.thaw()
    kept(Keeper(house.worker, lambda _: None), house.settings)


def test_filters_mean_what_they_name() -> None:
    what = Asked(Mode.FORCE, 10, 20, "t.*", "acme")
    assert what.meant("acme", "t.one", 10)
    foreign = (("acme", "t.one", 9), ("acme", "t.one", 20), ("other", "t.one", 15), ("acme", "u.one", 15))
    assert not [one for one in foreign if what.meant(*one)]
    assert Asked(Mode.FORCE, 10, 20).meant("anybody", "any.thing", 19)


def test_another_question_has_another_name() -> None:
    what = Asked(Mode.FORCE, 10, 20, "t.*", "acme")
    changes: list[dict[str, Any]] = [{"mode": Mode.FAILED_ONLY}, {"since_ms": 9}, {"until_ms": 19}, {"type": ""}]
    changes += [{"tenant": ""}, {"process": "p"}, {"to": "x"}]
    assert what.name == replace(what).name
    assert len({what.name, *(replace(what, **change).name for change in changes)}) == 1 + len(changes)


def test_failed_only_replays_what_failed_last_and_names_it(house: House) -> None:
    events = house.dead(3, tenant="failed")
    house.send(event("t.fine", tenant="failed"))
    what = asked(Mode.FAILED_ONLY, "failed")
    assert (planned(house, what).count, house.redelivered("failed")) == (3, [])
    found = carried_out(house, what)
    assert (found.types, found.processes) == ({"second.time": 3}, {"second": 3})
    assert found.skipped == {"not-failed": 1}
    replays = wait_replayed(house, "failed", 3)
    assert set(replays) == {execution_of(one) for one in events}
    executions = house.executions("failed")
    for old, (new,) in replays.items():
        assert executions[old][-1].status is Status.FAILED
        assert executions[new][-1].status is Status.COMPLETED
        assert executions[new][-1].event_position == executions[old][-1].event_position
        assert executions[new][-1].received_ms == executions[old][-1].received_ms
    assert planned(house, what, "another").count == 0, "they did not fail last"
    again = planned(house, what)
    assert (again.name, again.count) == (found.name, 0)


def test_failed_only_leaves_what_is_being_replayed_alone(house: House) -> None:
    house.dead(2, tenant="under-way")
    wanted = Wanted(tenant="under-way")
    letters = plan_replay(index(house.settings, wanted), wanted)
    house.worker.freeze()
    try:
        assert replay_letters(house.settings, letters, FAST, lambda _: None) == 2
        found = planned(house, asked(Mode.FAILED_ONLY, "under-way"))
    finally:
        woken(house)
    assert (found.count, found.skipped) == (0, {"waiting": 2})


def test_force_repeats_everything_once_per_plan(house: House) -> None:
    events = [event("t.forced", b'{"n": 1}', "forced", time="2026-01-01T00:00:00Z") for _ in range(3)]
    house.send(*events, event("t.other", tenant="forced"))
    what = asked(Mode.FORCE, "forced", type="t.forced")
    found = carried_out(house, what)
    replays = wait_replayed(house, "forced", 3)
    assert set(replays) == {execution_of(one, "quick") for one in events}
    results = {header(m, "ce_causationid"): m for m in house.records(topics.results("quick")) if header(m, "ce_replayedfrom")}
    assert {header(results[new], "ce_replayedfrom") for (new,) in replays.values()} == set(replays)
    redelivered = house.redelivered("forced")
    assert {header(m, "ce_id") for m in redelivered} == {one.id for one in events}
    assert {header(m, "ce_time") for m in redelivered} == {"2026-01-01T00:00:00Z"}
    once_more = carried_out(house, what)
    assert (once_more.name, once_more.count, once_more.skipped) == (found.name, 0, {"sent": 3})
    assert carried_out(house, what, "asked-again").count == 3
    assert all(len(set(new)) == 2 for new in wait_replayed(house, "forced", 6).values())
    assert planned(house, replace(what, process="second")).count == 0


def test_unprocessed_fills_holes_under_the_first_id(stack: StackOfTests, early: House, tmp_path: Any) -> None:
    events = [event("second.time", tenant="holes") for _ in range(3)]
    early.send(*events, event("faulty.rejects", tenant="holes"), event("t.fine", tenant="holes"))
    early.worker.freeze()
    late = Sender(early.settings)
    late.send(event("t.late", tenant="holes"))
    late.flush()
    not_reached = planned(early, asked(Mode.UNPROCESSED, "holes"))
    woken(early)
    assert (not_reached.count, not_reached.skipped["not-reached"]) == (0, 1)
    with working(stack, early.settings, tmp_path, "1", "second") as worker:
        newer = House(early.settings, worker)
        what = asked(Mode.UNPROCESSED, "holes")
        until(lambda: planned(newer, what).count == 3, "the new process is announced")
        found = carried_out(newer, what)
        assert (found.processes, found.skipped["processed"]) == ({"second": 3}, 3)
        assert planned(newer, what, "another").count == 0, "what is on its way is no hole"
        names = {execution_of(one) for one in events}
        until(lambda: names <= set(newer.executions("holes")), "the holes are filled")
        states = newer.executions("holes")
        assert all(states[name][-1].replayed_from == "" and states[name][-1].attempt == 1 for name in names)
        assert planned(newer, what, "another").skipped["sent"] == 3


def test_a_run_that_was_killed_goes_on(house: House) -> None:
    events = [event("t.killed", tenant="killed") for _ in range(300)]
    house.send(*events)
    options = ("--since", "1h", "--tenant", "killed", "--mode", "force", "--plan", "k")
    done, code, _ = ended_after(house, 60, signal.SIGKILL, "replay", *options, "--rate", "150")
    assert code == -signal.SIGKILL
    first, *_, result = said(house.evb("replay", *options, "--rate", "3000", "--json"))
    assert first["plan"]["planned"] <= 300 - done
    assert first["plan"]["planned"] + first["plan"]["skipped"]["sent"] == 300
    assert result["result"]["left"] == 0
    replays = wait_replayed(house, "killed", 300)
    assert set(replays) == {execution_of(one, "quick") for one in events}
    assert len({new for (new,) in replays.values()}) == len(house.redelivered("killed")) == 300


def test_the_command_tells_how_to_go_on_and_names_faults(house: House) -> None:
    house.send(event("t.told", tenant="told"))
    shown = house.evb("replay", "--since", "1h", "--tenant", "told", "--mode", "force", "--dry-run")
    assert shown.stdout.startswith("1 execution, the oldest of ")
    [command] = re.findall(r"plan-\S+: evb (.*)", shown.stdout)
    assert not house.redelivered("told")
    assert house.evb(*shlex.split(command)).stdout.endswith("✓ 1 of 1 done\n")
    assert house.evb(*shlex.split(command)).stdout.startswith("0 executions.")
    assert len(house.redelivered("told")) == 1
    faults = {
        ("--since", "1h", "--until", "2h"): 1,
        ("--since", "1h", "--type", "a..b"): 1,
        ("--since", "1h", "--process", "nosuch"): 3,
        ("--since", "1h", "--to", f"no-such-{uuid.uuid4().hex}"): 3,
        ("--since", "1h", "--to", topics.EVENTS.name(house.settings)): 2,
        ("--since", "1h", "--mode", "all"): 2,
        (): 2,
    }
    assert {given: house.evb("replay", *given).returncode for given in faults} == faults


def own_topic(house: House) -> str:
    topic = f"shadow-{uuid.uuid4().hex[:6]}"
    admin = client(house.settings)
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(15)
    await_topics(house.settings, [topic])
    return topic


def test_copies_are_of_all_events_unless_a_mode_is_named(house: House) -> None:
    topic, options = own_topic(house), ("--since", "1h", "--tenant", "shadowed", "--dry-run", "--json")
    house.dead(tenant="shadowed")
    house.send(*(event("t.fine", tenant="shadowed") for _ in range(2)))

    def found(*more: str) -> tuple[str, int]:
        (plan_,) = said(house.evb("replay", *options, *more))
        return plan_["plan"]["mode"], plan_["plan"]["planned"]

    assert found("--to", topic) == ("force", 3)
    assert found("--to", topic, "--mode", "failed-only") == found() == ("failed-only", 1)


def test_copies_go_to_a_topic_of_ones_own_once(house: House) -> None:
    topic = own_topic(house)
    [failed] = house.dead(tenant="copied")
    fine = [event("t.fine", b"\x00\xff", "copied", time="2026-01-01T00:00:00Z") for _ in range(4)]
    house.send(*fine)
    forced = asked(Mode.FORCE, "copied", to=topic, type="t.*")
    assert carried_out(house, forced).count == 4
    assert planned(house, forced).skipped == {"sent": 4}
    assert carried_out(house, asked(Mode.FAILED_ONLY, "copied", to=topic)).count == 1
    assert not house.redelivered("copied")
    sources = {header(m, "ce_id"): m for m in house.records(topics.EVENTS)}
    copies = {header(m, "ce_id"): m for m in records(house.settings.kafka.bootstrap_servers, topic)}
    assert set(copies) == {failed.id, *(one.id for one in fine)}
    for name, copy in copies.items():
        source = sources[name]
        assert (copy.key(), copy.value()) == (source.key(), source.value())
        assert header(copy, "ce_replayedfrom") == f"{source.topic()}/{source.partition()}/{source.offset()}"
        given: Any = copy.headers()
        assert [one for one in given if one[0] not in ("ce_replayedfrom", "replay_plan")] == source.headers()
    assert replays_of(house, "copied") == {}
