# SPDX-License-Identifier: Apache-2.0
"""A thousand slow connections, half dripping headers, half dripping bodies, while healthy clients go on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from bench.product import Bench
from bench.tenant import create
from bridge.stack.ports import LOOPBACK

SLOW, HEALTHY = 1_000, 100
TARGET_MS, DEADLINE_S = 50.0, 5.0
PREFIX = "bench-slow"


@dataclass(frozen=True, slots=True)
class Slow:
    """What healthy requests took, and how the slow connections ended: status lines (empty: closed) and seconds."""

    healthy_ms: list[float]
    refused: int
    bodies_408: int
    headers_closed: int
    still_open: int
    longest_s: float


def measure(bench: Bench) -> Slow:
    """Open the slow connections, then post healthy events for as long as they live."""
    key = asyncio.run(create(bench.settings(PREFIX), "bench"))
    with bench.web(PREFIX) as web:
        return asyncio.run(_measure(web.port, key))


async def _measure(port: int, key: str) -> Slow:
    slow = [asyncio.create_task(_drip(port, body=n % 2 == 0)) for n in range(SLOW)]
    await asyncio.sleep(2)
    taken, refused = [], 0
    headers = {"X-API-KEY": key, "content-type": "application/json", "ce-specversion": "1.0", "ce-source": "/slow"}
    async with aiohttp.ClientSession(headers=headers | {"ce-type": "bench.posted"}) as session:
        for n in range(HEALTHY):
            start = time.perf_counter()
            async with session.post(f"http://{LOOPBACK}:{port}/events", data=b"{}", headers={"ce-id": str(n)}) as answer:
                await answer.read()
                refused += answer.status != 202
            taken.append((time.perf_counter() - start) * 1000)
    ends = await asyncio.gather(*slow)
    return Slow(
        taken,
        refused,
        sum(body and b" 408 " in line for body, line, _ in ends),
        sum(not body and line is not None for body, line, _ in ends),
        sum(line is None for _, line, _ in ends),
        max(seconds for _, _, seconds in ends),
    )


async def _drip(port: int, *, body: bool) -> tuple[bool, bytes | None, float]:
    """Send a byte a second; gives whether it was a body, the first line that came back (None: still open) and the seconds."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    start = time.monotonic()
    head = b"POST /events HTTP/1.1\r\nhost: slow\r\ncontent-type: application/json\r\n"
    writer.write(head + (b"content-length: 100000\r\n\r\n" if body else b"x-slow: "))
    answer = asyncio.create_task(reader.readline())
    while not answer.done() and time.monotonic() - start < 4 * DEADLINE_S:
        writer.write(b"x")
        await asyncio.wait([answer], timeout=1)
    taken = time.monotonic() - start
    writer.close()
    if not answer.done():
        answer.cancel()
        return body, None, taken
    return body, b"" if answer.exception() else answer.result(), taken


def report(found: Slow) -> bool:
    """Print what happened; tells whether healthy requests stayed quick and every slow one was cut."""
    worst = max(found.healthy_ms)
    print(
        f"\n{SLOW} slow connections: {HEALTHY} healthy POSTs, worst {worst:.1f} ms (asked: {TARGET_MS}), refused {found.refused}"
    )
    print(
        f"slow bodies answered 408: {found.bodies_408} of {SLOW // 2}; slow headers closed: {found.headers_closed} of "
        f"{SLOW // 2}; still open: {found.still_open}; longest {found.longest_s:.1f} s"
    )
    cut = found.bodies_408 == SLOW // 2 and found.headers_closed == SLOW // 2
    return cut and worst < TARGET_MS and not found.refused
