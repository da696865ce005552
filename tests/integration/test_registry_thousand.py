# SPDX-License-Identifier: Apache-2.0
"""
A thousand who want to change one tenant at once, in four processes, while Valkey is emptied and one of the deciding processes is
stopped in the middle of its decision and woken when that is long over: exactly one wins, and all readers agree.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
import psutil
import pytest
import redis

from bridge.decisions.holds import HOLD_MS
from bridge.registry.session import changing, reading
from bridge.settings import Redis, Settings
from tests.conftest import StackOfTests
from tests.integration.deciders import ACME, Point, change, quota_of
from tests.web_under_test import Server, free_port, make_tenants, until, web_server

DECIDERS, EACH = 4, 250


class Child:
    """One deciding process."""

    def __init__(self, stack: StackOfTests, settings: Settings, version: int, number: int, point: str) -> None:
        words = [version, 1000 + number * EACH, EACH, point, number]
        environ = {n: v for n, v in os.environ.items() if not n.startswith("EVB_")} | stack.environ(settings)
        command = [sys.executable, "-m", "tests.integration.decider_child", *map(str, words)]
        self.process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        """Wait for its next word; log lines are none."""
        while line := self.process.stdout.readline():
            if re.match(r"ready|tried|\[\{|\d+$", line):
                return line.strip()
        raise AssertionError(f"the decider ended with {self.process.wait()}")

    def go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait_stopped(self) -> None:
        until(lambda: psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED, 15)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def outcome(self) -> list[dict[str, Any]]:
        assert self.hear() == "tried"
        return orjson.loads(self.hear())

    def quota(self) -> int:
        """Ask what it has read in Kafka by now."""
        self.go()
        return int(self.hear())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def deciders(stack: StackOfTests, settings: Settings, version: int, point: Point) -> Iterator[list[Child]]:
    """Start all of them; the first one will stop itself at the point."""
    with ExitStack() as open_:
        children = []
        for number in range(DECIDERS):
            children.append(Child(stack, settings, version, number, "-" if number else point))
            open_.callback(children[-1].end)
        assert [child.hear() for child in children] == ["ready"] * DECIDERS
        yield children


def quota_in(web: Server, key: str) -> int:
    """Ask the web server, which says it with every event that it accepts."""
    event = {"ce_specversion": "1.0", "ce_id": str(time.monotonic_ns()), "ce_source": "/t", "ce_type": "t.e"}
    answer = web.ask("POST", "/events", b"{}", X_API_KEY=key, Content_Type="application/json", **event)
    assert answer.status == 202, answer.body
    return int(re.search(r"q=(\d+)", answer.headers["ratelimit-policy"])[1])


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("point", "flush"), [("begun", "while it is held"), ("recorded", "when it is over")])
def test_of_a_thousand_exactly_one_wins(stack: StackOfTests, point: Point, flush: str) -> None:
    settings = stack.settings(port=free_port(), redis=Redis(url=stack.redis, timeout_ms=2000))
    with web_server(stack, settings) as web:
        (acme,) = make_tenants(settings, "acme")
        with reading(settings) as along, deciders(stack, settings, along.held(ACME).version, point) as children:
            attempts = _contend(children, redis.Redis.from_url(stack.redis), flush)
            quota = _winner(settings, attempts)
            stopped = [one for one in attempts if one["quota"] < 1000 + EACH and one["won"]]
            assert not stopped, "a process that was stopped for longer than its hold must not be told that it won"
            for child in children:
                until(lambda child=child: child.quota() == quota)
            until(lambda: along.windows("acme")[0].quota == quota)
            until(lambda: quota_in(web, acme.key) == quota)
            assert [quota_of(settings), quota_of(settings)] == [quota, quota]
            asyncio.run(_change_once_more(settings))


def _contend(children: list[Child], valkey: redis.Redis, flush: str) -> list[dict[str, Any]]:
    """Let them all try, stop one in the middle, empty Valkey, and wake the one; gives what each attempt was told."""
    first, *others = children
    first.go()
    first.wait_stopped()
    stopped = time.monotonic()
    for child in others:
        child.go()
    assert [child.hear() for child in others] == ["tried"] * len(others)
    if flush == "while it is held":
        valkey.flushall()
    attempts = [one for child in others for one in orjson.loads(child.hear())]
    until(lambda: time.monotonic() > stopped + HOLD_MS / 1000 + 0.5, 15)
    if flush == "when it is over":
        valkey.flushall()
    first.wake()
    attempts += first.outcome()
    assert len(attempts) == DECIDERS * EACH
    return attempts


def _winner(settings: Settings, attempts: list[dict[str, Any]]) -> int:
    """
    Give the quota of the one attempt that came about.

    Usually it was told so. One whose fact reached Kafka and whose confirmation got lost was told that nobody knows; it counts
    for all readers, and then nobody else was told that he won.
    """
    won = [one["quota"] for one in attempts if one["won"]]
    in_doubt = [one["quota"] for one in attempts if one["doubt"] and not one["won"]]
    quota = quota_of(settings)
    assert won == [quota] or (not won and quota in in_doubt), (won, quota)
    return quota


async def _change_once_more(settings: Settings) -> None:
    async with changing(settings) as changes:
        await change(changes, 7, changes.registry.held(ACME).version)
