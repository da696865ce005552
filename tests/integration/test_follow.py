# SPDX-License-Identifier: Apache-2.0
"""The follower on real brokers: every record once and in order, and it says when it is behind, whoever is to blame."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer

from bridge.kafka import follow
from bridge.kafka.admin import ensure_topics
from bridge.kafka.client import producing
from bridge.kafka.follow import Follower
from bridge.settings import Settings
from bridge.topics import REGISTRY
from tests.conftest import StackOfTests
from tests.web_under_test import until


class Reader:
    """What a handler was given, by partition; it raises for as long as `faulty` says so."""

    def __init__(self) -> None:
        self.seen: dict[int, list[bytes]] = {}
        self.batches = self.failures = 0
        self.faulty = False

    def __call__(self, messages: Sequence[Message]) -> None:
        if self.faulty:
            self.failures += 1
            raise RuntimeError("the handler is broken")
        self.batches += 1
        for message in messages:
            self.seen.setdefault(message.partition() or 0, []).append(message.value() or b"")

    @property
    def count(self) -> int:
        return sum(map(len, self.seen.values()))


def write(settings: Settings, first: int, many: int) -> None:
    """Write numbered records, in turn to each partition."""
    producer = Producer(producing(settings, linger_ms=5, timeout_s=20))
    for number in range(first, first + many):
        producer.produce(REGISTRY.name(settings), b"%d" % number, b"%d" % number, number % settings.partitions, _confirmed)
    assert producer.flush(20) == 0


def _confirmed(error: KafkaError | None, _: Message) -> None:
    assert error is None, error


@contextmanager
def following(settings: Settings, reader: Reader, *, from_end: bool = False) -> Iterator[Follower]:
    follower = Follower(settings, REGISTRY.name(settings), reader, from_end=from_end)
    assert not follower.current
    follower.start()
    try:
        yield follower
    finally:
        follower.close()


def in_order(settings: Settings, many: int) -> dict[int, list[bytes]]:
    return {p: [b"%d" % n for n in range(p, many, settings.partitions)] for p in range(settings.partitions)}


def test_every_record_comes_once_and_in_order(stack: StackOfTests) -> None:
    settings, reader = stack.settings(), Reader()
    ensure_topics(settings)
    write(settings, 0, 3000)
    with following(settings, reader) as follower:
        assert follower.wait_current(20)
        assert reader.seen == in_order(settings, 3000), "what was there at the start was handled"
        assert reader.batches < 300, "in batches"
        assert follower.current
        assert follower.fault == ""
        write(settings, 3000, 8)
        until(lambda: reader.count == 3008)
        assert reader.seen == in_order(settings, 3008)


def test_a_topic_without_records_is_followed_too(stack: StackOfTests) -> None:
    settings, reader = stack.settings(), Reader()
    with following(settings, reader) as follower:
        until(lambda: "Unknown topic" in follower.fault)
        assert not follower.wait_current(0)
        assert not follower.current
        ensure_topics(settings)
        assert follower.wait_current(20)
        assert follower.current


def test_from_the_end_it_handles_what_comes_once_it_is_current_and_nothing_older(stack: StackOfTests) -> None:
    settings, reader = stack.settings(), Reader()
    ensure_topics(settings)
    write(settings, 0, 400)
    with following(settings, reader, from_end=True) as follower:
        assert follower.wait_current(20)
        write(settings, 400, 8)
        until(lambda: reader.count == 8)
        assert sorted(one for some in reader.seen.values() for one in some) == [b"%d" % n for n in range(400, 408)]


def test_a_restart_of_the_brokers_is_said_and_outlived(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_EVERY_S", 0.3)
    settings, reader = stack.settings(), Reader()
    ensure_topics(settings)
    write(settings, 0, 100)
    with following(settings, reader) as follower:
        assert follower.wait_current(20)
        stack.kafka.kill()
        until(lambda: follower.fault)
        assert not follower.current
        stack.kafka.start()
        write(settings, 100, 100)
        until(lambda: reader.count == 200, 30)
        assert reader.seen == in_order(settings, 200), "it went on where it stood"
        until(lambda: follower.current)


def test_after_a_long_silence_another_consumer_goes_on_where_it_stood(
    stack: StackOfTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Consumer] = []

    def make(config: dict[str, object]) -> Consumer:
        made.append(Consumer(config))
        return made[-1]

    for name, value in {"LOOK_EVERY_S": 0.3, "ASK_S": 0.3, "STALE_S": 1.0, "Consumer": make}.items():
        monkeypatch.setattr(follow, name, value)
    settings, reader = stack.settings(), Reader()
    ensure_topics(settings)
    write(settings, 0, 100)
    with following(settings, reader) as follower:
        assert follower.wait_current(20)
        first = len(made)
        stack.kafka.kill()
        until(lambda: len(made) > first)
        stack.kafka.start()
        write(settings, 100, 100)
        until(lambda: reader.count == 200, 30)
        assert reader.seen == in_order(settings, 200)


def test_brokers_that_are_silent_make_it_old(stack: StackOfTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "STALE_S", 0.5)
    settings = stack.settings()
    ensure_topics(settings)
    with following(settings, Reader()) as follower:
        assert follower.wait_current(20)
        stack.kafka.freeze()
        try:
            until(lambda: follower.age_s > 0.5)
            assert not follower.current, "although it has no fault to name yet"
        finally:
            stack.kafka.thaw()
        write(settings, 0, 4)
        until(lambda: follower.current, 20)


def test_a_faulty_handler_gets_the_batch_again_and_is_never_taken_for_current(stack: StackOfTests) -> None:
    settings, reader = stack.settings(), Reader()
    ensure_topics(settings)
    write(settings, 0, 40)
    with following(settings, reader) as follower:
        assert follower.wait_current(20)
        reader.faulty = True
        write(settings, 40, 40)
        until(lambda: reader.failures)
        until(lambda: "the handler is broken" in follower.fault)
        done, claims = threading.Event(), list[str]()

        def watch() -> None:
            while not done.wait(0.0005):
                if follower.current or not follower.fault:
                    claims.append(f"current: {follower.current}, fault: {follower.fault!r}")

        watching = threading.Thread(target=watch)
        watching.start()
        until(lambda: reader.failures >= 3, 20)
        done.set()
        watching.join()
        assert not claims
        reader.faulty = False
        until(lambda: follower.current, 20)
        assert reader.seen == in_order(settings, 80)


def test_whoever_waits_for_it_is_let_go_when_it_is_closed(stack: StackOfTests) -> None:
    """An interrupted command ends when its threads do, and one of them waits here."""
    follower = Follower(stack.settings(), "not-there", Reader())
    follower.start()
    told: list[bool] = []
    waiting = threading.Thread(target=lambda: told.append(follower.wait_current(60)))
    waiting.start()
    until(lambda: follower.fault != "it has not come to the end yet")
    assert not told
    follower.close()
    waiting.join(5)
    assert told == [False]
