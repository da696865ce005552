# SPDX-License-Identifier: Apache-2.0
"""Usage is exact: whatever is read again, and wherever a worker is killed, every record counts once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processors.tables.counting import MINUTE_MS, OPEN_MINUTES, PartitionUsage, UsageKey

Log = list[tuple[str, int]]

logs = st.lists(st.tuples(st.sampled_from(["acme", "globex"]), st.integers(0, 12)), min_size=1, max_size=60)
"""Records by offset: tenant and minute, in any order of time."""


def _sum(written: dict[UsageKey, tuple[int, int]]) -> Counter[tuple[str, int]]:
    counts: Counter[tuple[str, int]] = Counter()
    for key, (events, _) in written.items():
        counts[key.tenant, key.minute] += events
    return counts


@given(log=logs, lives=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), min_size=1, max_size=6))
def test_kills_between_write_and_commit_never_count_twice_or_lose(log: Log, lives: list[tuple[int, int]]) -> None:
    """Each life reads some records, writes its counts in full or up to a point, perhaps commits, and is killed."""
    topic: list[tuple[UsageKey, int, int]] = []
    committed = 0
    for reads, writes in [*lives, (len(log), 10**6)]:
        usage = PartitionUsage()
        for offset, (key, events, applied) in enumerate(topic):
            usage.restore(key, events, applied, offset)
        end = min(committed + reads, len(log))
        for offset in range(committed, end):
            tenant, minute = log[offset]
            usage.count(tenant, minute * MINUTE_MS, offset)
        due = [(key, count.events, count.applied) for key, count in usage.take()]
        topic += due[:writes]
        if len(due) <= writes:
            committed = end  # nothing is committed beyond what is written
    while committed < len(log):
        usage = PartitionUsage()
        for offset, (key, events, applied) in enumerate(topic):
            usage.restore(key, events, applied, offset)
        for offset in range(committed, len(log)):
            tenant, minute = log[offset]
            usage.count(tenant, minute * MINUTE_MS, offset)
        topic += [(key, count.events, count.applied) for key, count in usage.take()]
        committed = len(log)
    newest = {key: (events, applied) for key, events, applied in topic}
    assert _sum(newest) == Counter((tenant, minute) for tenant, minute in log)


def test_an_event_of_a_closed_minute_gets_a_key_of_its_own() -> None:
    usage = PartitionUsage()
    usage.count("acme", 0, 0)
    usage.count("acme", (OPEN_MINUTES + 2) * MINUTE_MS, 1)
    usage.close(2)
    usage.dirty.clear()
    usage.close(2)
    usage.count("acme", 0, 2)
    assert {key for key, _ in usage.take()} == {UsageKey("acme", 0, late=2)}


def test_only_what_changed_is_written_again() -> None:
    usage = PartitionUsage()
    usage.count("acme", 0, 0)
    assert [(key.tenant, count.events) for key, count in usage.take()] == [("acme", 1)]
    assert list(usage.take()) == []
    usage.count("acme", 0, 0)  # read again
    assert list(usage.take()) == []


def test_an_older_record_behind_a_newer_one_is_corrected_and_not_believed() -> None:
    """A worker that was paused wakes up and writes the count that it had: it must neither stand nor stay."""
    usage, key = PartitionUsage(), UsageKey("acme", 0)
    usage.restore(key, 5, 9, 0)
    usage.restore(key, 3, 4, 1)
    assert [(k, count.events, count.applied) for k, count in usage.take()] == [(key, 5, 9)]
