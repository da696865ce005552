# SPDX-License-Identifier: Apache-2.0
"""
The facts that decisions leave in a compacted topic, and the fold by which every reader comes to the same state.

A fact's key is `<kind>/<tenant>/<id>/<version>` and its header `epoch` the life of the Redis view that it was decided in. A
rebuild writes the marker `epoch//<writer>/<number>` to every partition: what an older life adds behind it is void. Of one
object the highest valid version counts. Pure: called by the registry's view, by `bridge.decisions` and by the rebuild.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

MARKER = "epoch"
EPOCH_HEADER = "epoch"
EPOCH_SPAN = 1_000_000
"""Versions of epoch n lie in (n * span, (n + 1) * span): a late record of an older epoch never has a newer fact's key, so
compaction, which looks at keys only, never lets it replace one."""

Fate = Literal["counts", "superseded", "void"]

_KEY = re.compile(rb"([a-z]+)/([A-Za-z0-9._-]*)/([A-Za-z0-9._-]*)/([0-9]{0,15})")


class Ref(NamedTuple):
    """The name of an object that decisions are made about."""

    kind: str
    tenant: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.tenant}/{self.id}"

    def record_key(self, version: int | None) -> bytes:
        """The key of this object's fact of a version; None: of an unversioned record, where the last one counts."""
        return f"{self}/{'' if version is None else version}".encode()

    def partition(self, partitions: int) -> int:
        """The partition of all its facts, whatever their version: so they have one order."""
        return zlib.crc32(str(self).encode()) % partitions


def parse_key(key: bytes) -> tuple[Ref, int | None]:
    """Raises: ValueError for a key of another form."""
    match = _KEY.fullmatch(key)
    if not match:
        raise ValueError(f"{key!r:.200} is not <kind>/<tenant>/<id>/<version>")
    kind, tenant, id_, version = match.groups()
    return Ref(kind.decode(), tenant.decode(), id_.decode()), int(version) if version else None


def marker_key(epoch: int, writer: str) -> bytes:
    """
    The key of the marker that a rebuild writes to every partition.

    `writer` is another one for each rebuild: two that overlap may come to the same number, and compaction would keep only the
    later of two equal keys; what lay between them would be void for some readers and count for others.
    """
    return Ref(MARKER, "", writer).record_key(epoch)


class Line(NamedTuple):
    """One record of a topic of facts, without Kafka's types; `epoch` is the header of that name."""

    partition: int
    key: bytes
    value: bytes | None
    epoch: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Fact:
    """An object's new state; `value` None: it was erased. `version` is None for an unversioned record."""

    ref: Ref
    version: int | None
    value: bytes | None


class Facts:
    """
    Which version of each object counts, after any number of records.

    Give it the records of each partition in their order; the order among partitions does not matter. Whoever erases an object
    writes tombstones for all its versions, the lowest first.
    """

    def __init__(self) -> None:
        self.current: dict[Ref, int] = {}
        self.superseded: dict[Ref, dict[int, int]] = {}
        self.void: set[tuple[Ref, int]] = set()
        self._markers: dict[int, int] = {}

    @property
    def epoch(self) -> int:
        """The highest marker seen in any partition; 0 before the first."""
        return max(self._markers.values(), default=0)

    def apply(self, line: Line) -> Fact | None:
        """
        Take one record; give the object's new state if the record changes it.

        Raises: ValueError for a key or an epoch header that is none of ours; the record then counts for nothing.
        """
        ref, version = parse_key(line.key)
        if ref.kind == MARKER:
            self._markers[line.partition] = max(self._markers.get(line.partition, 0), version or 0)
            return None
        if version is None:
            return Fact(ref, None, line.value)
        if line.value is None:
            return self._tombstone(ref, version)
        if line.epoch is None or not line.epoch.isdigit():
            raise ValueError(f"{line.key!r} has the epoch header {line.epoch!r:.40}; a number is wanted")
        if int(line.epoch) < self._markers.get(line.partition, 0):
            self.void.add((ref, version))
            self._outdated(ref, version, line.timestamp_ms)
            return None
        return self._take(ref, version, line.value, line.timestamp_ms)

    def fate(self, ref: Ref, version: int) -> Fate | None:
        """Say what became of a version; None: it was not seen yet, or was removed."""
        if (ref, version) in self.void:
            return "void"
        current = self.current.get(ref, 0)
        return "counts" if current == version else "superseded" if current > version else None

    def forget(self, ref: Ref) -> None:
        """Let go of all that is known of an object, for a reader that needs the newest records only."""
        self.current.pop(ref, None)
        self.superseded.pop(ref, None)
        self.void -= {one for one in self.void if one[0] == ref}

    def outdated(self, ref: Ref, before_ms: int) -> list[int]:
        """The versions of an object, lowest first, that lost their meaning before a time and may get tombstones."""
        current, old = self.current.get(ref), dict(self.superseded.get(ref, {}))  # copied in one step: another thread writes
        return sorted(version for version, since_ms in old.items() if since_ms < before_ms and version != current)

    def _take(self, ref: Ref, version: int, value: bytes, timestamp_ms: int) -> Fact | None:
        current = self.current.get(ref, 0)
        if version < current:
            self._outdated(ref, version, timestamp_ms)
            return None
        if 0 < current < version:
            self._outdated(ref, current, timestamp_ms)
        self.current[ref] = version
        return Fact(ref, version, value)

    def _outdated(self, ref: Ref, version: int, since_ms: int) -> None:
        self.superseded.setdefault(ref, {})[version] = since_ms

    def _tombstone(self, ref: Ref, version: int) -> Fact | None:
        self.void.discard((ref, version))
        old = self.superseded.get(ref)
        if old is not None:
            old.pop(version, None)
            if not old:
                del self.superseded[ref]
        if self.current.get(ref) != version:
            return None
        del self.current[ref]
        return Fact(ref, version, None)
