# SPDX-License-Identifier: Apache-2.0
"""
The fold of facts against its rules as plainly as they can be said, for any log that can come about: however facts, late facts,
markers and tombstones follow one another, whatever compaction has removed, and in whatever order the partitions are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.decisions.facts import EPOCH_SPAN, MARKER, Facts, Line, Ref, marker_key, parse_key

PARTITIONS, EPOCHS, NUMBERS = 2, 4, 4
OBJECTS = [Ref("tenant", name, "") for name in ("acme", "globex", "initech")]
SLOT = Ref("worker", "", "w1")


@dataclass
class State:
    """What a reader has in memory."""

    facts: Facts = field(default_factory=Facts)
    values: dict[Ref, bytes | None] = field(default_factory=dict)

    def read(self, lines: Sequence[Line]) -> State:
        for line in lines:
            if fact := self.facts.apply(line):
                self.values[fact.ref] = fact.value
                if fact.value is None:
                    del self.values[fact.ref]
        return self

    def seen(self) -> tuple[object, ...]:
        return self.values, self.facts.current, self.facts.void


def valid(log: Sequence[Line], at: int) -> bool:
    """Say whether a fact counts as far as epochs go: no marker of a younger one stands before it in its partition."""
    line = log[at]
    markers = [old for old in log[:at] if old.partition == line.partition and old.key.startswith(MARKER.encode())]
    return all((parse_key(old.key)[1] or 0) <= int(line.epoch or 0) for old in markers)


def judged(log: Sequence[Line]) -> tuple[dict[Ref, int], dict[Ref, bytes], set[tuple[Ref, int]]]:
    """Apply the rules to a whole log: the version that counts of each object, every value, and what is void."""
    current: dict[Ref, int] = {}
    values: dict[Ref, bytes] = {}
    void: set[tuple[Ref, int]] = set()
    for at, line in enumerate(log):
        ref, version = parse_key(line.key)
        removed = any(later.key == line.key and later.value is None for later in log[at:])
        if version is None and line.value is not None:
            values[ref] = line.value
        if ref.kind == MARKER or version is None or line.value is None or removed:
            continue
        if not valid(log, at):
            void.add((ref, version))
        elif version > current.get(ref, 0):
            current[ref], values[ref] = version, line.value
    return current, values, void


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Any log that deciders, late deciders, rebuilders, late rebuilders and those who tidy up can leave behind."""
    log: list[Line] = []
    for step in range(draw(st.integers(1, 16))):
        kind = draw(st.sampled_from("ppppppmmfea"))
        ref = draw(st.sampled_from(OBJECTS))
        epoch, number = draw(st.integers(0, EPOCHS)), draw(st.integers(1, NUMBERS))
        if kind == "p" and not any(line.key == ref.record_key(epoch * EPOCH_SPAN + number) for line in log):
            key = ref.record_key(epoch * EPOCH_SPAN + number)
            log.append(Line(ref.partition(PARTITIONS), key, b"value of " + key, str(epoch).encode(), step))
        elif kind == "m":
            log.append(Line(draw(st.integers(0, PARTITIONS - 1)), marker_key(epoch, f"writer{step}"), b"", None, step))
        elif kind == "f":
            gone = State().read(log).facts.outdated(ref, step + 1)
            log += [Line(ref.partition(PARTITIONS), ref.record_key(v), None, None, step) for v in gone]
        elif kind == "e":
            versions = {v for r, v in map(parse_key, [line.key for line in log]) if r == ref and v is not None}
            log += [Line(ref.partition(PARTITIONS), ref.record_key(v), None, None, step) for v in sorted(versions)]
        elif kind == "a":
            log.append(Line(0, SLOT.record_key(None), b"at %d" % step, None, step))
    return log


@st.composite
def compacted(draw: st.DrawFn, log: list[Line]) -> list[Line]:
    """What Kafka may have left of a log: of a key any of its older records can be missing, and a tombstone once they all are."""
    cut = draw(st.integers(0, len(log)))
    kept: list[Line] = []
    for at, line in enumerate(log[:cut]):
        follows = any(later.key == line.key for later in log[at + 1 : cut])
        alone = line.value is None and not any(earlier.key == line.key for earlier in kept)
        if not ((follows or alone) and draw(st.booleans())):
            kept.append(line)
    return kept + log[cut:]


@settings(max_examples=200)
@given(logs())
def test_every_log_has_one_winner_and_it_is_that_of_the_rules(log: list[Line]) -> None:
    found = State().read(log)
    current, values, void = judged(log)
    assert found.facts.current == current
    assert found.values == values
    assert found.facts.void == void
    for ref, version in current.items():
        assert found.facts.fate(ref, version) == "counts"
    for ref, version in void:
        assert found.facts.fate(ref, version) == "void"


@settings(max_examples=200)
@given(st.data())
def test_a_reader_that_starts_after_any_compaction_agrees(data: st.DataObject) -> None:
    log = data.draw(logs())
    assert State().read(data.draw(compacted(log))).seen() == State().read(log).seen()


@settings(max_examples=100)
@given(st.data())
def test_the_order_among_partitions_does_not_matter(data: st.DataObject) -> None:
    log = data.draw(logs())
    rests = [[line for line in log if line.partition == p] for p in range(PARTITIONS)]
    other: list[Line] = []
    while any(rests):
        other.append(data.draw(st.sampled_from([rest for rest in rests if rest])).pop(0))
    assert State().read(other).seen() == State().read(log).seen()


@settings(max_examples=100)
@given(st.data())
def test_what_counted_once_is_followed_by_higher_versions_only(data: st.DataObject) -> None:
    """A decider that reads its fact back may trust what it reads: no late record turns the object back, and void stays void."""
    log = [line for line in data.draw(logs()) if line.value is not None]
    reader = State()
    before: dict[Ref, int] = {}
    void: set[tuple[Ref, int]] = set()
    for line in log:
        reader.read([line])
        assert all(reader.facts.current[ref] >= version for ref, version in before.items())
        assert void <= reader.facts.void
        assert not any(reader.facts.current.get(ref) == version for ref, version in void)
        before, void = dict(reader.facts.current), set(reader.facts.void)
