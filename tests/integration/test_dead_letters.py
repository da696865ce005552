# SPDX-License-Identifier: Apache-2.0
"""Dead letters on real topics: whole, found by every filter, replayed once each whatever is killed, and purged."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.deadletters import document
from bridge.deadletters.index import Wanted, index
from bridge.deadletters.letter import Letter
from bridge.deadletters.plan import Plan, plan_purge, plan_replay
from bridge.deadletters.read import find, get, place_of
from bridge.deadletters.run import letters_of, purge, replay
from bridge.domain.errors import NotFound
from bridge.domain.execution import Status
from bridge.domain.moments import iso
from bridge.kafka.paced import Paced
from bridge.kafka.scan import Scan
from tests.conftest import StackOfTests
from tests.integration.deadletters import House, ended_after, execution_of, header, replays_of, said, wait_replayed
from tests.integration.workers import Sender, event, site, until, working

pytestmark = pytest.mark.timeout(120)
FAST = 5000.0


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack)
    with working(stack, settings, tmp_path_factory.mktemp("worker")) as worker:
        yield House(settings, worker)


def unseen(_: int) -> None:
    """Watch no progress."""


def plan_of(house: House, wanted: Wanted, again_ms: int = 0) -> Plan:
    return plan_replay(index(house.settings, wanted), wanted, again_ms)


# --- what a letter holds, and how it is found ---


def test_a_letter_keeps_the_record_and_says_everything_about_its_end(house: House) -> None:
    one = event("again.now", b'{"succeeds_at": 99, "text": "\xc3\xa9"}', "whole")
    house.send(one)
    until(lambda: index(house.settings, Wanted(tenant="whole")), "the letter is there")
    letter = get(house.settings, execution_of(one, "again"))
    [source] = [m for m in house.records(topics.EVENTS) if header(m, "ce_eventkey") == one.key]
    assert letter.data == one.data
    assert letter.own_headers() == source.headers()
    about = document.whole(letter)
    assert (about["code"], about["reason"]) == ("exception", "ValueError: attempt 3 fails")
    assert (about["process"], about["version"], about["attempts"]) == ("again", "1.0.0", 3)
    assert about["worker"]
    place = about["position"]
    assert (place["topic"], place["partition"], place["offset"]) == (source.topic(), source.partition(), source.offset())
    assert [one["attempt"] for one in about["tries"]] == [1, 2, 3]
    assert all(one["started_at"] <= one["ended_at"] <= about["died_at"] for one in about["tries"])
    assert letter.number("dl_received") == source.timestamp()[1]
    assert letter.text("dl_key").encode() == source.key()
    assert about["data"] == one.data.decode()


def test_filters_find_what_they_name_and_pages_hold_all_of_it(house: House) -> None:
    before = int(time.time() * 1000)
    seconds = house.dead(5, "second.time", "found")
    rejected = house.dead(3, "faulty.rejects", "found")
    after = int(time.time() * 1000) + 1
    house.dead(1, "second.time", "other")

    letters = find(house.settings, Wanted(tenant="found"), 100).letters

    def keys(**filters: Any) -> set[str]:
        return {letter.key for letter in letters if Wanted(**filters).fits(letter)}

    all_seconds = {execution_of(one) for one in seconds}
    all_rejected = {execution_of(one, "faulty") for one in rejected}
    assert keys() == keys(since_ms=before) == keys(until_ms=after) == keys(tenant="found") == all_seconds | all_rejected
    assert set(index(house.settings, Wanted(tenant="found", since_ms=before))) == keys(), "reading may begin at that time"
    assert keys(type="second.*") == keys(process="second") == keys(code="too-early") == all_seconds
    assert keys(type="faulty.rejects") == keys(process="faulty") == keys(code="bad-order") == all_rejected
    assert not keys(type="second") | keys(since_ms=after) | keys(until_ms=before) | keys(process="nobody")
    assert keys(keys=frozenset((execution_of(seconds[0]), "nosuch"))) == {execution_of(seconds[0])}
    assert not keys(tenant="other")
    assert set(index(house.settings, Wanted(process="second"))) > all_seconds, "nobody's tenant means everybody's"

    first = find(house.settings, Wanted(tenant="found"), 5)
    second = find(house.settings, Wanted(tenant="found"), 5, place_of(first.cursor))
    seen = [letter.key for page in (first, second) for letter in page.letters]
    assert (len(seen), set(seen), second.cursor) == (8, keys(), "")
    died = [letter.died_ms for page in (first, second) for letter in page.letters]
    assert died == sorted(died, reverse=True)


def test_the_command_lists_and_shows(house: House) -> None:
    [one] = house.dead(tenant="shown")
    key = execution_of(one)
    [row] = json.loads(house.evb("dlq", "list", "--tenant", "shown", "--since", "1h", "--json").stdout)
    assert (row["key"], row["code"], row["id"], row["replays"]) == (key, "too-early", one.id, 0)
    listed = house.evb("dlq", "list", "--tenant", "shown").stdout
    assert key in listed
    assert "too-early" in listed
    shown = house.evb("dlq", "get", key).stdout
    assert f"ce_id: {one.id}" in shown
    assert "too-early: the first time is too early" in shown
    assert shown.endswith(f"{one.data.decode()}\n")
    assert json.loads(house.evb("dlq", "get", key, "--json").stdout)["data"] == one.data.decode()
    assert house.evb("dlq", "get", "nosuch").returncode == 3
    assert house.evb("dlq", "list", "--since", "yesterday").returncode == 1
    assert house.evb("dlq", "list", "--type", "a..b").returncode == 1


# --- replay ---


def test_a_replay_is_a_new_execution_that_names_the_old_one(house: House) -> None:
    events = house.dead(3, tenant="replayed")
    wanted = Wanted(tenant="replayed")
    died = {key: entry.died_ms for key, entry in index(house.settings, wanted).items()}
    [planned] = said(house.evb("dlq", "replay", "--tenant", "replayed", "--dry-run", "--json"))
    assert not house.redelivered("replayed"), "a plan does nothing"
    plan, *_, result = said(house.evb("dlq", "replay", "--tenant", "replayed", "--json"))
    assert planned == plan
    assert plan["plan"]["types"] == {"second.time": 3}
    assert result["result"] == {"planned": 3, "done": 3, "left": 0}
    replays = wait_replayed(house, "replayed", 3)
    assert set(replays) == {execution_of(one) for one in events}
    executions = house.executions("replayed")
    for old, (new,) in replays.items():
        assert executions[old][-1].status is Status.FAILED, "the old one stays as it was"
        state = executions[new][-1]
        assert (state.status, state.process, state.attempt) == (Status.COMPLETED, "second", 1)
        assert state.event_position == executions[old][-1].event_position
        assert state.received_ms == executions[old][-1].received_ms
    results = [m for m in house.records(topics.results("second")) if header(m, "ce_tenantid") == "replayed"]
    assert {header(m, "ce_causationid"): header(m, "ce_replayedfrom") for m in results} == {
        new: old for old, (new,) in replays.items()
    }
    for letter in find(house.settings, wanted, 10).letters:
        assert letter.died_ms == died[letter.key], "a mark makes it no younger"
        assert (letter.number("dl_replays"), letter.text("dl_replayed_as")) == (1, replays[letter.key][0])


def test_a_letter_is_replayed_once_unless_asked(house: House) -> None:
    house.dead(4, tenant="once")
    wanted = Wanted(tenant="once")
    first = plan_of(house, wanted)
    assert replay(house.settings, first, FAST, unseen) == len(first.entries) == 4
    second = plan_of(house, wanted)
    assert (len(second.entries), second.skipped) == (0, {"replayed": 4})
    assert replay(house.settings, second, FAST, unseen) == 0
    assert replay(house.settings, first, FAST, unseen) == 4, "an old plan is carried out once more…"
    assert len(house.redelivered("once")) == 4, "…and repeats nothing"
    now = int(time.time() * 1000) + 1
    again = plan_of(house, wanted, again_ms=now)
    assert replay(house.settings, again, FAST, unseen) == 4
    assert not plan_of(house, wanted, again_ms=now - 1).entries, "what was replayed since then is not meant"
    replays = wait_replayed(house, "once", 8)
    assert all(len(set(new)) == 2 for new in replays.values())


def test_what_fails_again_in_its_replay_is_a_letter_of_its_own(house: House) -> None:
    house.dead(tenant="fails", type_="faulty.rejects")
    first_run = iso(int(time.time() * 1000) + 1)
    assert said(house.evb("dlq", "replay", "--tenant", "fails", "--json"))[-1]["result"]["done"] == 1
    until(lambda: len(index(house.settings, Wanted(tenant="fails"))) == 2, "it has failed again")
    same = ("dlq", "replay", "--tenant", "fails", "--dry-run", "--json")
    [taken], [left_out] = said(house.evb(*same)), said(house.evb(*same, "--until", first_run))
    assert (taken["plan"]["planned"], left_out["plan"]["planned"]) == (1, 0)
    assert taken["plan"]["skipped"] == left_out["plan"]["skipped"] == {"replayed": 1}


def test_a_run_that_was_killed_goes_on(house: House) -> None:
    events = house.dead(300, tenant="killed")
    command = ("dlq", "replay", "--tenant", "killed", "--rate", "20")  # leaves 13 s to end it in: a busy machine may be late
    before = iso(int(time.time() * 1000))
    stopped, code, told = ended_after(house, 40, signal.SIGINT, *command)
    assert (code, "The same command goes on" in told) == (130, True), told
    [began] = re.findall(r"With --until (\S+) it leaves out", told)
    assert before <= began < iso(int(time.time() * 1000)), "the time before which the run's letters have died"
    killed, code, _ = ended_after(house, 40, signal.SIGKILL, *command)
    assert code == -signal.SIGKILL
    done = stopped + killed
    plan, *_, result = said(house.evb("dlq", "replay", "--tenant", "killed", "--rate", "3000", "--json"))
    assert 0 < plan["plan"]["planned"] <= 300 - done
    assert plan["plan"]["planned"] + plan["plan"]["skipped"]["replayed"] == 300
    assert result["result"]["left"] == 0
    replays = wait_replayed(house, "killed", 300)
    assert set(replays) == {execution_of(one) for one in events}
    assert len({new for (new,) in replays.values()}) == 300
    assert len(house.redelivered("killed")) == 300
    assert not plan_of(house, Wanted(tenant="killed")).entries


def test_a_kill_between_the_redelivery_and_its_mark_leaves_only_the_mark_to_do(house: House) -> None:
    house.dead(2, tenant="between")
    plan = plan_of(house, Wanted(tenant="between"))
    with Paced(house.settings, FAST, unseen) as paced:
        for letter in letters_of(house.settings, plan):
            paced.send(letter.redelivery(house.settings, 0))
    assert plan_of(house, Wanted(tenant="between")).entries.keys() == plan.entries.keys()
    assert replay(house.settings, plan, FAST, unseen) == 2
    assert len(house.redelivered("between")) == 2
    assert plan_of(house, Wanted(tenant="between")).skipped == {"replayed": 2}


def test_a_letter_that_comes_twice_keeps_its_mark(house: House) -> None:
    house.dead(tenant="twice")
    plan = plan_of(house, Wanted(tenant="twice"))
    [letter] = letters_of(house.settings, plan)
    assert replay(house.settings, plan, FAST, unseen) == 1
    written = letter.mark(house.settings, 0, 0)
    with Paced(house.settings, FAST, unseen) as paced:  # as a worker that was killed before its commit writes it
        paced.send(type(written)(written.topic, written.partition, written.key, letter.data, letter.headers))
    assert plan_of(house, Wanted(tenant="twice")).skipped == {"replayed": 1}


def test_what_no_process_saw_is_named_and_not_replayed(house: House) -> None:
    bad = event("second.time", tenant="nobody")
    sender = Sender(house.settings)
    headers = [(name, value) for name, value in headers_of(bad) if name != "ce_source"]
    sender.send_raw(b"\xff\x00", record_key(bad), [*headers, ("x-odd", None)])  # type: ignore[list-item]
    sender.flush()
    house.send(event("second.time", tenant="nobody", hops="17"))
    until(lambda: len(index(house.settings, Wanted(tenant="nobody"))) == 2, "both letters are there")
    plan = plan_of(house, Wanted(tenant="nobody"))
    assert (dict(plan.entries), plan.skipped) == ({}, {"undecodable": 1, "too-many-hops": 1})
    [letter] = find(house.settings, Wanted(tenant="nobody", code="undecodable"), 1).letters
    topic, partition, offset = letter.key.split("/")
    assert (topic, letter.position.partition, letter.position.offset) == (
        topics.EVENTS.name(house.settings),
        int(partition),
        int(offset),
    )
    about = document.whole(letter)
    assert (about["data"], about["data_encoding"]) == ("/wA=", "base64")
    assert {"name": "x-odd", "value": None, "value_encoding": None} in about["headers"]


# --- purge ---


def test_a_purge_removes_what_it_planned_and_nothing_else(house: House) -> None:
    house.dead(3, tenant="purged")
    [kept] = house.dead(1, tenant="kept")
    refused = house.evb("dlq", "purge", "--tenant", "purged")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    [planned] = said(house.evb("dlq", "purge", "--tenant", "purged", "--dry-run", "--json"))
    assert planned["plan"]["planned"] == len(index(house.settings, Wanted(tenant="purged"))) == 3
    assert said(house.evb("dlq", "purge", "--tenant", "purged", "--yes", "--json"))[-1]["result"]["done"] == 3
    assert not index(house.settings, Wanted(tenant="purged"))
    assert index(house.settings, Wanted(tenant="kept")).keys() == {execution_of(kept)}
    tombstones = [m for m in house.records(topics.DEAD_LETTERS) if m.value() is None]
    places = {m.key(): m.partition() for m in house.records(topics.DEAD_LETTERS) if m.value() is not None}
    assert all(places[m.key()] == m.partition() for m in tombstones), "the tombstone lies where its letter lay"


def test_a_purge_by_key_asks_nobody_and_an_unknown_key_stops_it(house: House) -> None:
    one, two = house.dead(2, tenant="named")
    unknown = house.evb("dlq", "purge", execution_of(one), "nosuch")
    assert (unknown.returncode, "nothing was done" in unknown.stderr) == (3, True)
    assert len(index(house.settings, Wanted(tenant="named"))) == 2
    assert house.evb("dlq", "purge", execution_of(one)).returncode == 0
    with pytest.raises(NotFound):
        get(house.settings, execution_of(one))
    with pytest.raises(NotFound):
        get(house.settings, execution_of(two), tenant="somebody")
    wanted = Wanted(tenant="named")
    plan = plan_purge(index(house.settings, wanted), wanted)
    assert purge(house.settings, plan, 0.5, unseen, most_s=0) == 0, "no time, nothing done"
    assert purge(house.settings, plan, FAST, unseen) == 1


def test_a_bulk_action_keeps_to_its_rate_and_tells_how_far_it_is(house: House) -> None:
    house.dead(5, tenant="rated")
    wanted = Wanted(tenant="rated")
    told: list[int] = []
    began = time.monotonic()
    assert purge(house.settings, plan_purge(index(house.settings, wanted), wanted), 4, told.append) == 5
    assert time.monotonic() - began >= 1
    assert told == sorted(told)
    assert told[-1] == 5
    assert len(told) > 2


def test_a_stretch_ends_where_it_was_told_to(house: House) -> None:
    house.dead(8, tenant="stretch")
    entries = index(house.settings, Wanted(tenant="stretch")).values()
    partition = max((e.partition for e in entries), key=[e.partition for e in entries].count)
    offsets = sorted(e.offset for e in entries if e.partition == partition)
    where = topics.DEAD_LETTERS.name(house.settings), partition
    with Scan(
        house.settings, (), within={where: (offsets[0], offsets[-1] + 1), (where[0], 0 if partition else 1): (0, 0)}
    ) as scan:
        assert scan.stretches() == {where: (offsets[0], offsets[-1] + 1)}
        read = []
        while not scan.done:
            read += [Letter(message).offset for message in scan.read(3, 0.2)]
    assert read == list(range(offsets[0], offsets[-1] + 1))


def test_nothing_is_replayed_where_nothing_died(house: House) -> None:
    assert replays_of(house, "nobody-at-all") == {}
    assert replay(house.settings, plan_of(house, Wanted(tenant="nobody-at-all")), FAST, unseen) == 0
    assert "No dead letters." in house.evb("dlq", "list", "--tenant", "nobody-at-all").stdout
