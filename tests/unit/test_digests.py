# SPDX-License-Identifier: Apache-2.0
"""Finished executions are remembered for an hour in bounded memory, and nothing is remembered that never was."""

from __future__ import annotations

import uuid

from processors.tables.digests import DIGEST, GENERATIONS, SPAN_MS, Digests, digest


def _keys(count: int) -> list[bytes]:
    return [digest(str(uuid.uuid4())) for _ in range(count)]


def test_a_digest_is_the_random_part_of_the_id() -> None:
    one, other = "01976c1e-aaaa-5111-8222-333344445555", "01976c1e-aaaa-5999-9222-333344445555"
    assert len(digest(one)) == DIGEST
    assert digest(one) != digest("01976c1e-aaaa-5111-8222-333344445556")
    assert digest(one) != digest("01976c1f-aaaa-5111-8222-333344445555")
    assert digest(one)[:6] == digest(other)[:6]


def test_what_was_added_is_known_for_an_hour_and_then_forgotten() -> None:
    assert (GENERATIONS - 1) * SPAN_MS >= 3_600_000, "the newest generation may have just begun"
    digests = Digests(buckets=64)
    keys, others = _keys(300), _keys(300)
    for key in keys:
        digests.add(key, 0)
    assert all(key in digests for key in keys)
    assert not any(key in digests for key in others)
    for span in range(1, GENERATIONS):
        digests.add(_keys(1)[0], span * SPAN_MS)
        assert all(key in digests for key in keys), "an hour has not passed"
    digests.add(_keys(1)[0], GENERATIONS * SPAN_MS)
    assert not any(key in digests for key in keys)


def test_more_than_fits_makes_the_memory_shorter_and_not_larger() -> None:
    digests = Digests(buckets=8)
    keys = _keys(2000)
    for key in keys:
        digests.add(key, 0)
    assert digests.early > 0
    assert len(digests) <= GENERATIONS * 8 * 16
    assert digests.size == GENERATIONS * 8 * (16 * DIGEST + 1)
    assert keys[-1] in digests
    assert keys[0] not in digests


def test_an_old_record_does_not_come_in_and_a_known_one_counts_once() -> None:
    digests = Digests(buckets=8)
    new, old = _keys(2)
    digests.add(new, (GENERATIONS + 5) * SPAN_MS)
    digests.add(new, (GENERATIONS + 5) * SPAN_MS)
    digests.add(old, 5 * SPAN_MS)
    assert len(digests) == 1
    assert old not in digests
