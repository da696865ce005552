# SPDX-License-Identifier: Apache-2.0
"""What decisions go on from after Redis was lost: each object's highest valid version, whatever else lies in the log."""

from __future__ import annotations

import asyncio

import pytest
import redis
from confluent_kafka import Producer

from bridge.decisions.facts import EPOCH_HEADER, EPOCH_SPAN, Ref, marker_key
from bridge.decisions.restore import CHUNK, restore_decisions
from bridge.domain.errors import ViewUnavailable
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.redis.keys import Keys
from bridge.redis.lease import Lease
from bridge.redis.pipe import Pipe
from bridge.settings import Settings
from bridge.topics import REGISTRY
from tests.conftest import StackOfTests

ACME, GLOBEX = Ref("tenant", "acme", ""), Ref("tenant", "globex", "")
Record = tuple[Ref, int, bytes | None]


def at(epoch: int, number: int) -> int:
    return epoch * EPOCH_SPAN + number


class Site:
    """A log of facts, Redis, and the right to rebuild."""

    def __init__(self, settings: Settings, pipe: Pipe, outside: redis.Redis) -> None:
        self.settings, self.pipe, self.outside = settings, pipe, outside
        self.keys = Keys(settings.topic_prefix)
        self.producer = Producer(producing(settings, linger_ms=5, timeout_s=10))

    def write(self, *records: Record, header: bytes | None = None) -> None:
        """Write facts, each under the epoch that its version was given in."""
        for ref, version, value in records:
            epoch = header if header is not None else b"%d" % (version // EPOCH_SPAN)
            self._produce(ref.record_key(version), value, epoch, ref.partition(self.settings.partitions))
        assert self.producer.flush(10) == 0

    def mark(self, epoch: int) -> None:
        for partition in range(self.settings.partitions):
            self._produce(marker_key(epoch, "w"), b"", b"%d" % epoch, partition)
        assert self.producer.flush(10) == 0

    def _produce(self, key: bytes, value: bytes | None, epoch: bytes, partition: int) -> None:
        self.producer.produce(REGISTRY.name(self.settings), value, key, partition, headers=[(EPOCH_HEADER, epoch)])

    async def restore(self) -> int:
        lease = Lease(self.pipe, self.keys)
        assert await lease.take()
        return await restore_decisions(self.settings, REGISTRY, self.pipe, lease)

    def known(self, ref: Ref) -> dict[str, str]:
        return self.outside.hgetall(self.keys.decision(*ref))


@pytest.fixture
async def site(stack: StackOfTests):
    settings = stack.settings()
    await asyncio.to_thread(ensure_topics, settings)
    pipe = Pipe(settings.redis, asyncio.get_running_loop())
    assert await pipe.wait_connected(5)
    with redis.Redis.from_url(stack.redis, decode_responses=True) as outside:
        yield Site(settings, pipe, outside)
    await pipe.close()


async def test_the_highest_valid_version_is_restored_and_what_was_under_way_is_forgotten(site: Site) -> None:
    site.write((ACME, at(1, 1), b"{}"), (ACME, at(1, 3), b"{}"), (ACME, at(1, 2), b"{}"), (GLOBEX, at(1, 1), b"{}"))
    site.mark(2)
    site.write((ACME, at(1, 4), b"{}"), (GLOBEX, at(1, 1), None))
    site.outside.hset(site.keys.decision(*ACME), mapping={"counter": 9, "confirmed": 9, "nonce": "x", "until": 2**50})
    assert await site.restore() == 1
    assert site.known(ACME) == {"counter": str(at(1, 3)), "confirmed": str(at(1, 3))}, "what came behind the marker is void"
    assert site.known(GLOBEX) == {}, "it was erased"


async def test_more_objects_than_one_call_takes_are_all_restored(site: Site) -> None:
    refs = [Ref("key", "acme", f"k{n}") for n in range(2 * CHUNK + 7)]
    site.write(*((ref, at(1, 1 + n), b"{}") for n, ref in enumerate(refs)))
    assert await site.restore() == len(refs)
    assert [site.known(ref)["confirmed"] for ref in refs] == [str(at(1, 1 + n)) for n in range(len(refs))]


async def test_a_record_that_nobody_can_read_is_passed_over(site: Site) -> None:
    site.write((ACME, at(1, 1), b"{}"))
    site.write((ACME, at(1, 2), b"{}"), header=b"not a number")
    assert await site.restore() == 1
    assert site.known(ACME)["confirmed"] == str(at(1, 1))


async def test_whoever_lost_the_right_writes_nothing(site: Site) -> None:
    site.write((ACME, at(1, 1), b"{}"))
    lease = Lease(site.pipe, site.keys)
    assert await lease.take()
    site.outside.set(site.keys.rebuild, "another's")
    decided = {"counter": str(at(2, 5)), "confirmed": str(at(2, 5))}
    site.outside.hset(site.keys.decision(*ACME), mapping=decided)
    with pytest.raises(ViewUnavailable, match="overtaken"):
        await restore_decisions(site.settings, REGISTRY, site.pipe, lease)
    assert site.known(ACME) == decided, "what was decided since stays"
