# SPDX-License-Identifier: Apache-2.0
"""The rules by which facts count, one by one; `test_facts_model.py` holds the fold to all of them at once."""

from __future__ import annotations

import pytest

from bridge.decisions.facts import EPOCH_SPAN, Fact, Facts, Line, Ref, marker_key, parse_key

ACME, GLOBEX = Ref("tenant", "acme", ""), Ref("tenant", "globex", "")


def version_of(epoch: int, number: int) -> int:
    return epoch * EPOCH_SPAN + number


def put(ref: Ref, epoch: int, number: int, *, partition: int = 0, at_ms: int = 0) -> Line:
    version = version_of(epoch, number)
    return Line(partition, ref.record_key(version), f"{ref} at {version}".encode(), str(epoch).encode(), at_ms)


def tombstone(ref: Ref, epoch: int, number: int) -> Line:
    return Line(0, ref.record_key(version_of(epoch, number)), None, None, 0)


def marker(epoch: int, *, partition: int = 0, writer: str = "w") -> Line:
    return Line(partition, marker_key(epoch, writer), b"", str(epoch).encode(), 0)


def folded(*lines: Line) -> Facts:
    facts = Facts()
    for line in lines:
        facts.apply(line)
    return facts


def test_keys_are_read_as_they_are_written() -> None:
    for ref in (ACME, Ref("key", "acme", "a1"), Ref("worker", "", "w-1.x_y")):
        assert parse_key(ref.record_key(17)) == (ref, 17)
        assert parse_key(ref.record_key(None)) == (ref, None)


@pytest.mark.parametrize(
    "key", [b"", b"tenant/acme", b"tenant/acme//x", b"Tenant/acme//1", b"tenant/a/b/c/1", b"tenant/\xff//1", b"t/a//1\n"]
)
def test_any_other_key_is_none_of_ours(key: bytes) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_key(key)


@pytest.mark.parametrize("epoch", [None, b"", b"x", b"-1", "²".encode()])
def test_a_fact_without_its_epoch_counts_for_nothing(epoch: bytes | None) -> None:
    facts = folded(put(ACME, 1, 1))
    with pytest.raises(ValueError, match="epoch header"):
        facts.apply(put(ACME, 1, 2)._replace(epoch=epoch))
    assert facts.current == {ACME: version_of(1, 1)}


def test_the_highest_version_counts_and_a_late_lower_one_changes_nothing() -> None:
    facts = folded(put(ACME, 1, 1), put(ACME, 1, 3))
    assert facts.apply(put(ACME, 1, 2)) is None
    assert facts.fate(ACME, version_of(1, 3)) == "counts"
    assert facts.fate(ACME, version_of(1, 2)) == "superseded"
    assert facts.fate(ACME, version_of(1, 4)) is None
    assert facts.fate(GLOBEX, version_of(1, 1)) is None


def test_what_an_older_epoch_adds_behind_the_marker_is_void() -> None:
    facts = folded(put(ACME, 1, 1), marker(2))
    assert facts.apply(put(ACME, 1, 2)) is None, "although its version is the highest"
    assert facts.fate(ACME, version_of(1, 2)) == "void"
    assert facts.fate(ACME, version_of(1, 1)) == "counts", "what stands before the marker still does"
    assert facts.apply(put(ACME, 2, 1)) == Fact(ACME, version_of(2, 1), f"{ACME} at {version_of(2, 1)}".encode())


def test_a_marker_says_nothing_about_other_partitions_and_an_older_one_nothing_at_all() -> None:
    facts = folded(marker(3), marker(2), marker(9, partition=1), put(ACME, 2, 1), put(ACME, 3, 1))
    assert facts.fate(ACME, version_of(2, 1)) == "void"
    assert facts.fate(ACME, version_of(3, 1)) == "counts"
    assert facts.epoch == 9


def test_a_tombstone_removes_its_version_only() -> None:
    facts = folded(put(ACME, 1, 1), put(ACME, 1, 2), put(GLOBEX, 1, 1))
    assert facts.apply(tombstone(ACME, 1, 1)) is None
    assert facts.superseded == {}
    assert facts.apply(tombstone(ACME, 1, 2)) == Fact(ACME, version_of(1, 2), None)
    assert facts.current == {GLOBEX: version_of(1, 1)}


def test_superseded_and_void_versions_may_go_once_they_are_old() -> None:
    facts = folded(put(ACME, 1, 1, at_ms=10), put(ACME, 1, 2, at_ms=20), put(ACME, 1, 4, at_ms=30), put(ACME, 1, 3, at_ms=40))
    facts.apply(marker(2))
    facts.apply(put(ACME, 1, 5, at_ms=50))
    assert facts.outdated(ACME, 20) == [], "the first lost its meaning at 20, when the second came"
    assert facts.outdated(ACME, 21) == [version_of(1, 1)]
    assert facts.outdated(ACME, 100) == [version_of(1, n) for n in (1, 2, 3, 5)], "the void one too, never the current one"
    facts.apply(tombstone(ACME, 1, 5))
    assert facts.void == set()
    assert version_of(1, 5) not in facts.outdated(ACME, 100)


def test_of_an_unversioned_record_the_last_one_counts_and_leaves_no_trace() -> None:
    slot = Ref("worker", "", "w1")
    facts = Facts()
    for value in (b"one", b"two", None):
        assert facts.apply(Line(0, slot.record_key(None), value, None, 0)) == Fact(slot, None, value)
    assert facts.current == {}
