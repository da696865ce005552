# SPDX-License-Identifier: Apache-2.0
"""
From the start of the POST to the result record in a consumer's hands, at 1, 200 and 1,000 events per second.

Kafka has worked for a while before: in the first half minute of its life the JVM's compiler takes a core for itself.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from dataclasses import dataclass

import aiohttp
from confluent_kafka import Consumer, TopicPartition

from bench.product import Bench
from bench.tenant import create
from bridge.stack.ports import LOOPBACK
from bridge.topics import results

SPANS = {1: 40, 200: 15, 1000: 15}
"""Events per second -> seconds."""
WARM_S = 4
BEFORE = 500, 25
"""Events per second and seconds, before anything is measured."""
TARGETS_MS = {1: 150.0, 200: 60.0}
"""p99 at most."""
PREFIX = "bench-latency"
SENT = b'{"sent":'
NOTE = "x" * 460


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds over `count` events; `lost` results never came."""

    p50: float
    p99: float
    worst: float
    count: int
    lost: int


def measure(bench: Bench) -> dict[int, Latency]:
    """Run web and worker with the plugin `record`, and post at each rate."""
    settings = bench.settings(PREFIX, results("record"))
    key = asyncio.run(create(settings, "bench"))
    found = {}
    with bench.web(PREFIX) as web, bench.worker(PREFIX):
        url = f"http://{LOOPBACK}:{web.port}/events"
        topic = results("record").name(settings)
        post_to_result(bench.kafka, topic, url, key, *BEFORE)
        for rate, seconds in SPANS.items():
            found[rate] = post_to_result(bench.kafka, topic, url, key, rate, seconds)
    return found


def post_to_result(bootstrap: str, topic: str, url: str, key: str, rate: int, seconds: int) -> Latency:
    """Post at `rate` for `seconds` and a few to get warm, and time each event's result; others' results are passed over."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10, "log_level": 2})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions}
    consumer.assign([TopicPartition(topic, p, end) for p, end in ends.items()])
    count = int(rate * (seconds + WARM_S))
    poster = multiprocessing.get_context("spawn").Process(target=post, args=(url, key, rate, count))
    poster.start()
    taken, start, deadline = [], 0.0, time.time() + seconds + WARM_S + 20
    while len(taken) < count and time.time() < deadline:
        for message in consumer.consume(500, 0.005):
            value = message.value() or b""
            if not value.startswith(SENT) or "ce_replayedfrom" in dict(message.headers() or ()):
                continue
            now, sent = time.time(), float(value.split(b'"', 4)[3])
            start = start or sent
            taken.append((sent - start, (now - sent) * 1000))
    poster.join()
    consumer.close()
    measured = sorted(ms for at, ms in taken if at >= min(WARM_S, seconds / 2))
    return Latency(part(measured, 0.5), part(measured, 0.99), measured[-1], len(measured), count - len(taken))


def part(ordered: list[float], at: float) -> float:
    """Give a percentile of measurements in their order, such as 0.99."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * at))]


def post(url: str, key: str, rate: int, count: int, event_type: str = "bench.posted", body: str = "") -> None:
    """Post `count` events at `rate` per second, each with `body`, or with the time of its POST."""
    asyncio.run(_post(url, key, rate, count, event_type, body))


async def _post(url: str, key: str, rate: int, count: int, event_type: str, body: str) -> None:
    loop, tasks = asyncio.get_running_loop(), set()
    headers = {"X-API-KEY": key, "content-type": "application/json", "ce-specversion": "1.0"}
    headers |= {"ce-source": "/bench", "ce-type": event_type}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def send(n: int) -> None:
            data = (body or f'{{"sent":"{time.time():.6f}","note":"{NOTE}"}}').encode()
            async with session.post(url, data=data, headers={"ce-id": f"{rate}-{start}-{n}"}) as answer:
                await answer.read()

        start = loop.time()
        for n in range(count):
            await asyncio.sleep(max(0.0, start + n / rate - loop.time()))
            task = loop.create_task(send(n))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


def report(found: dict[int, Latency]) -> bool:
    """Print the table; tells whether the targets are met and nothing was lost."""
    good = True
    print(f"\n{'events/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'asked p99':>9}  events / lost")
    for rate, got in found.items():
        asked = TARGETS_MS.get(rate)
        good &= got.lost == 0 and (asked is None or got.p99 <= asked)
        print(f"{rate:8} {got.p50:8.1f} {got.p99:8.1f} {got.worst:8.1f} {asked or '':>9}  {got.count} / {got.lost}")
    return good
