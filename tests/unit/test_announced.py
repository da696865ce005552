# SPDX-License-Identifier: Apache-2.0
"""What is made of the announcements of workers: of the shared lane, and of processes' own."""

from __future__ import annotations

import time
from typing import Any

from bridge.cli import checks
from bridge.decisions.facts import Line, Ref
from bridge.hosting.find import Installed, Origin, Plugins
from bridge.registry.business import BusinessProcesses
from bridge.registry.objects import AnnouncedProcess, Announcement, decode, encode, ref_of
from bridge.registry.view import View
from bridge.sdk import NoConfig, Process
from bridge.view.expecting import Expectation

DAY_S = 86_400


class Orders(Process[NoConfig]):
    name, version, events = "orders", "1.0.0", ("order.*",)


class Slow(Process[NoConfig]):
    name, version, events, lane = "slow", "1.0.0", ("order.*",), "own"


INSTALLED = Plugins(tuple(Installed(one, Origin("tests", "0", "tests")) for one in (Orders(), Slow())))


def said(slot: str, *processes: str, lane: str = "", seconds_ago: float = 1, **more: Any) -> Announcement:
    """What a worker announced: its processes as `name version`, all of them for orders."""
    pairs = (one.split() for one in processes)
    named = tuple(AnnouncedProcess(name, version, ("order.*",), business_process=True) for name, version in pairs)
    return Announcement(slot=slot, lane=lane, processes=named, at_ms=int((time.time() - seconds_ago) * 1000), **more)


def view(*announced: Announcement) -> View:
    """A registry that has read these announcements."""
    made = View(lambda text: b"")
    made.apply([Line(0, ref_of(one).record_key(None), encode(one), None, 0) for one in announced])
    assert made.unreadable == 0
    return made


def test_no_slot_of_a_lane_has_the_name_of_another() -> None:
    pairs = [("", "0"), ("slow", "0"), ("slow-0", "0"), ("slow", "0-0"), ("", "slow-0"), ("", "slow")]
    found = view(*(said(slot, lane=lane) for lane, slot in pairs))
    assert [(one.lane, one.slot) for one in found.workers()] == sorted(pairs)
    for lane, slot in pairs:
        one = found.last_announced(lane, slot)
        assert one is not None
        assert (one.lane, one.slot) == (lane, slot)
    assert found.last_announced("slow", "1") is None


def test_what_was_written_before_there_were_lanes_is_the_shared_ones() -> None:
    kept = b'{"slot":"0","processes":[{"name":"record","version":"1","patterns":["*"]}],"at_ms":1}'
    old = decode(Ref("worker", "", "0"), kept)
    assert isinstance(old, Announcement)
    assert (old.lane, old.name) == ("", "0")


def test_a_lanes_worker_must_have_the_version_that_the_shared_ones_announce() -> None:
    shared, old, gone = said("0", "orders 1", "slow 2"), said("0", "slow 1", lane="slow"), said("0", "gone 1", lane="gone")
    assert view(shared, old, gone).differing_plugins() == {"slow.0": old}


def test_workers_of_one_lane_are_compared() -> None:
    shared, lane = said("0", "orders 1", "slow 1"), said("0", "slow 1", lane="slow")
    assert view(shared, lane).differing_plugins() == {}
    newer = said("1", "slow 2", lane="slow")
    assert view(shared, lane, newer).differing_plugins() == {"slow.0": lane, "slow.1": newer}
    assert view(lane, newer).differing_plugins() == {"slow.0": lane, "slow.1": newer}, "also where no shared one is live"
    other = said("1", "orders 1")
    assert view(shared, other, lane).differing_plugins() == {"0": shared, "1": other}
    silent = said("1", "slow 2", lane="slow", seconds_ago=70)
    assert view(shared, lane, silent).differing_plugins() == {}


def test_which_processes_there_are_say_the_workers_of_the_shared_lane() -> None:
    shared = said("0", "orders 1", "slow 1", seconds_ago=2 * DAY_S)
    gone = said("0", "removed 1", lane="removed")  # live, and nothing is routed to it any more
    found = view(shared, gone)
    assert found.announced() == (shared,)
    assert sorted(Expectation(found)("acme", "order.placed")) == ["orders", "slow"]
    assert "slow" in BusinessProcesses(found)()
    assert "removed" not in BusinessProcesses(found)()
    assert view(gone).announced() == ()


def test_a_slots_count_is_found_however_long_it_was_away() -> None:
    away = said("1", "slow 1", lane="slow", seconds_ago=2 * DAY_S, stalls={"head": 2})
    found = view(said("0", "orders 1"), said("1", "orders 1"), away)
    assert found.last_announced("slow", "1") == away
    assert away not in found.workers()


def test_the_doctor_looks_for_a_worker_in_each_lane() -> None:
    shared, lane = said("0", "orders 1", "slow 1"), said("0", "slow 1", lane="slow")
    both = checks.workers(view(shared, lane), INSTALLED)
    assert [(one.ok, one.found.partition(",")[0]) for one in both] == [
        (True, "slot 0: orders"),
        (True, "slot 0 of lane slow: slow"),
    ]
    (nobody, _) = checks.workers(view(shared, said("0", "slow 1", lane="slow", seconds_ago=70)), INSTALLED)
    assert nobody.ok is False
    assert (nobody.found, nobody.cure) == (
        "none of lane slow has announced itself in the last minute",
        "Start one: `evb worker --lane slow` (or `evb dev`).",
    )
    (nobody, _) = checks.workers(view(lane), INSTALLED)
    assert (nobody.ok, nobody.cure) == (False, "Start one: `evb worker` (or `evb dev`).")
    foreign, _, _ = sorted(
        checks.workers(view(shared, lane, said("0", "removed 1", lane="removed")), INSTALLED), key=lambda one: one.ok is True
    )
    assert (foreign.ok, foreign.found) == (False, "slot 0 of lane removed runs removed; installed here: nothing")
