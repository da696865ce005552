# SPDX-License-Identifier: Apache-2.0
"""
Faults planted into the facts of a run that was clean: each must turn the check red, or the check proves nothing.

Used on small facts by the tests and on those of a whole run by every run of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from tests.chaos.accounting import FINAL, Facts, Published, Sent, account

Plant = Callable[[Facts, Random], object]


def _drop_event(facts: Facts, random: Random) -> None:
    """Drop 1 in 10,000 of what was stored, at least one: a broker that loses a record."""
    accepted = {s.id for s in facts.sent if s.verdict == "accepted"}
    ids = sorted({s.id for s in facts.stored} & accepted)
    gone = set(random.sample(ids, max(1, len(ids) // 10_000)))
    facts.stored[:] = [s for s in facts.stored if s.id not in gone]


def _drop_result(facts: Facts, random: Random) -> None:
    ids = sorted({p.id for p in facts.published})
    gone = set(random.sample(ids, max(1, len(ids) // 10_000)))
    facts.published[:] = [p for p in facts.published if p.id not in gone]


def _drop_final(facts: Facts, random: Random) -> None:
    gone = random.choice([e for e in facts.executed if e.status in FINAL]).execution_id
    facts.executed[:] = [e for e in facts.executed if e.execution_id != gone or e.status not in FINAL]


def _second_final(facts: Facts, random: Random) -> None:
    """Give one execution another final status as well."""
    one = random.choice([e for e in facts.executed if e.status in FINAL])
    facts.executed.append(replace(one, status="failed" if one.status != "failed" else "completed"))


def _ack_before_produce(facts: Facts, random: Random) -> None:
    """Tell a client 202 for an event that never reached Kafka: a door that answers first and produces afterwards."""
    one = random.choice(facts.sent)
    facts.sent.append(Sent("acknowledged-too-early", "accepted", "-", one.process, one.status, one.results))


def _swap_results(facts: Facts, random: Random) -> None:
    """Exchange the first and the last result of a lane."""
    places = _result_places(facts)
    first, *_, last = random.choice([p for p in places.values() if _number(facts, p[0]) < _number(facts, p[-1])])
    facts.published[first], facts.published[last] = facts.published[last], facts.published[first]


def _swap_events(facts: Facts, random: Random) -> None:
    """Exchange the first and the last stored event of a lane."""
    lanes: dict[str, list[int]] = {}
    of = {s.id: s.lane for s in facts.sent if s.lane and s.verdict == "accepted"}
    seen: set[str] = set()
    for place, s in enumerate(facts.stored):
        if s.id in of and s.id not in seen:
            lanes.setdefault(of[s.id], []).append(place)
        seen.add(s.id)
    first, *_, last = random.choice([places for places in lanes.values() if len(places) > 1])
    facts.stored[first], facts.stored[last] = facts.stored[last], facts.stored[first]


PLANTED: Mapping[str, tuple[str, Plant]] = {
    "1 in 10,000 events dropped": ("lost event", _drop_event),
    "1 in 10,000 results dropped": ("missing result", _drop_result),
    "a final status dropped": ("not exactly one final status", _drop_final),
    "a second final status": ("not exactly one final status", _second_final),
    "202 before Kafka had it": ("lost event", _ack_before_produce),
    "two events exchanged": ("stored out of order", _swap_events),
    "two results exchanged": ("result out of order", _swap_results),
}
"""What is planted -> the kind of finding that must name it, and how it is planted."""


def blind(facts: Facts, seed: int) -> list[str]:
    """Plant each fault into a copy of clean facts; gives those that the check does not see."""
    return [name for name, (kind, plant) in PLANTED.items() if kind not in account(_with(facts, plant, seed)).wrong]


def _with(facts: Facts, plant: Plant, seed: int) -> Facts:
    lists = list(facts.sent), list(facts.stored), list(facts.executed), list(facts.published), list(facts.dead)
    copied = Facts(*lists, facts.shown)
    plant(copied, Random(seed))
    return copied


def _result_places(facts: Facts) -> dict[tuple[str, str], list[int]]:
    """Give where the first records of the results lie that count for the order, by process and lane."""
    again = {e.execution_id for e in facts.executed if e.status == "pending"}
    lanes = {s.id: (s.process, s.lane) for s in facts.sent if s.lane and s.verdict == "accepted"}
    ids = {s.key: s.id for s in facts.stored}
    of = {e.execution_id: lanes.get(ids.get(e.event_key, ""), ("", "")) for e in facts.executed if e.execution_id not in again}
    places: dict[tuple[str, str], list[int]] = {}
    seen: set[str] = set()
    for place, p in enumerate(facts.published):
        if p.id not in seen and of.get(p.execution_id, ("", ""))[1] and p.number >= 0:
            places.setdefault(of[p.execution_id], []).append(place)
        seen.add(p.id)
    return places


def _number(facts: Facts, place: int) -> int:
    found: Published = facts.published[place]
    return found.number
