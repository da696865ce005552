# SPDX-License-Identifier: Apache-2.0
"""
Remember which executions are finished, in bounded memory: 12 bytes each, forgotten after an hour of the records' own time.

Used by the `executions` table. Nine generations of seven and a half minutes each: the newest one fills, the oldest is dropped
whole. One generation holds 482,000 executions in 6.3 MB (1,070 a second); where more come in its time, the next one begins
early, so memory stays bounded and what is remembered becomes shorter.
"""

from __future__ import annotations

from collections import deque

DIGEST = 12  # bytes: two different executions of one hour meet with a probability below 1e-15
SLOTS = 16  # digests in a bucket, found by one C-level search
SPAN_MS = 450_000
GENERATIONS = 9
FULL = 0.92
BUCKETS = 32_768

_ROW = DIGEST * SLOTS


def digest(execution_id: str) -> bytes:
    """Give the remembered part of an execution id: 12 of its 16 bytes, those without version and variant bits."""
    text = execution_id.replace("-", "")
    return bytes.fromhex(text[:12] + text[20:])


def of_attempt(key: bytes, attempt: int) -> bytes:
    """Give what is remembered of one attempt of an execution with this digest."""
    return key[:-2] + (int.from_bytes(key[-2:], "big") ^ attempt).to_bytes(2, "big")


def first_bucket(key: bytes, buckets: int) -> int:
    """Give the bucket where a digest's place begins."""
    return int.from_bytes(key[:4], "big") % buckets


class Generation:
    """A set of digests: fixed buckets in one block of memory; a full bucket continues in the next one."""

    __slots__ = ("_buckets", "_filled", "_most", "_rows", "count", "span")

    def __init__(self, span: int, buckets: int = BUCKETS) -> None:
        self.span, self.count, self._buckets = span, 0, buckets
        self._most = int(buckets * SLOTS * FULL)
        self._rows = bytearray(buckets * _ROW)
        self._filled = bytearray(buckets)

    @property
    def full(self) -> bool:
        return self.count >= self._most

    @property
    def size(self) -> int:
        """Its bytes; the system gives them page by page, as digests come in."""
        return len(self._rows) + len(self._filled)

    def clear(self, span: int) -> None:
        """Forget everything and stand for another span, in the same memory."""
        self.span, self.count = span, 0
        self._filled[:] = bytes(self._buckets)

    def holds(self, key: bytes, bucket: int) -> bool:
        """Say whether a digest whose place begins at this bucket is here."""
        filled, rows = self._filled, self._rows
        while True:
            used = filled[bucket]
            start = bucket * _ROW
            end = start + used * DIGEST
            at = rows.find(key, start, end)
            while at >= 0:
                if not (at - start) % DIGEST:
                    return True
                at = rows.find(key, at + 1, end)
            if used < SLOTS:
                return False
            bucket = (bucket + 1) % self._buckets

    def add(self, key: bytes) -> None:
        """Remember a digest. The caller keeps the set from becoming full."""
        bucket = first_bucket(key, self._buckets)
        if self.holds(key, bucket):
            return
        while self._filled[bucket] == SLOTS:
            bucket = (bucket + 1) % self._buckets
        at = bucket * _ROW + self._filled[bucket] * DIGEST
        self._rows[at : at + DIGEST] = key
        self._filled[bucket] += 1
        self.count += 1


class Digests:
    """The finished executions of the last hour."""

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._generations: deque[Generation] = deque()
        self._buckets = buckets
        self.early = 0  # generations that began before their time because the newest one was full

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    @property
    def size(self) -> int:
        """The bytes of all generations."""
        return sum(generation.size for generation in self._generations)

    def __contains__(self, key: bytes) -> bool:
        bucket = first_bucket(key, self._buckets)
        return any(generation.holds(key, bucket) for generation in self._generations)

    def add(self, key: bytes, time_ms: int) -> None:
        """
        Remember a digest under its record's time.

        Order: times may go back by up to an hour; older ones are as good as forgotten already and are not taken in.
        Again: within its generation a digest is kept once; looking into all of them would double a recovery's time.
        """
        span = time_ms // SPAN_MS
        generations = self._generations
        if not generations or span > generations[0].span:
            self._begin(span)
        elif span <= generations[0].span - GENERATIONS:
            return
        if generations[0].full:
            self.early += 1
            self._begin(generations[0].span)
        for generation in generations:
            if generation.span <= span and not generation.full:
                generation.add(key)
                return
        generations[0].add(key)

    def _begin(self, span: int) -> None:
        spare = None
        while self._generations and (self._generations[-1].span <= span - GENERATIONS or len(self._generations) >= GENERATIONS):
            spare = self._generations.pop()
        if spare is None:
            spare = Generation(span, self._buckets)
        spare.clear(span)
        self._generations.appendleft(spare)
