# SPDX-License-Identifier: Apache-2.0
"""
What the log makes of a claim that this process has just recorded: the end of `bridge.claims`, followed.

What could make it void or superseded comes after the moment at which it was made tentative, and so after this process began to
follow. Claims are many, so nothing is kept for longer than a decision takes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from bridge.claims.facts import KIND
from bridge.decisions.facts import Facts, Fate, Line, Ref, parse_key
from bridge.kafka.follow import Follower
from bridge.kafka.lines import line_of
from bridge.kafka.news import News
from bridge.settings import Settings
from bridge.topics import CLAIMS

KEPT_S: Final = 60.0


class ClaimLog:
    """One per web process; its follower's thread writes, the loop reads."""

    def __init__(self, settings: Settings, epoch: Callable[[], int]) -> None:
        """`epoch` is the newest one that the registry's log knows: a marker may lie before the place where we begin."""
        self._facts, self._epoch = Facts(), epoch
        self._seen: deque[tuple[float, Ref]] = deque()
        self._last: dict[Ref, float] = {}
        self._news = News()
        self._follower = Follower(settings, CLAIMS.name(settings), self._handle, from_end=True)

    def start(self) -> None:
        """Begin to follow. Once only."""
        self._follower.start()

    def wait_current(self, timeout_s: float) -> bool:
        """Wait until it follows: a claim that is recorded before is never read back. Says whether it does."""
        return self._follower.wait_current(timeout_s)

    def close(self) -> None:
        """Stop."""
        self._follower.close()

    async def fate(self, ref: Ref, version: int, timeout_s: float) -> Fate | None:
        """Wait until this process has read a version, and say what the log makes of it; None: not read in time."""
        return await self._news.wait(lambda: self._facts.fate(ref, version), timeout_s)

    def _handle(self, messages: Sequence[Message]) -> None:
        now = time.monotonic()
        for message in messages:
            try:
                ref = self._take(line_of(message))
            except ValueError:  # none of ours: the rebuild says so
                continue
            self._seen.append((now, ref))
            self._last[ref] = now
        self._news.tell()
        self._forget(now - KEPT_S)

    def _take(self, line: Line) -> Ref:
        ref, version = parse_key(line.key)
        self._facts.apply(line)
        if ref.kind == KIND and version is not None and int(line.epoch or b"0") < self._epoch():
            self._facts.void.add((ref, version))
        return ref

    def _forget(self, before: float) -> None:
        while self._seen and self._seen[0][0] < before:
            then, ref = self._seen.popleft()
            if self._last.get(ref) == then:
                del self._last[ref]
                self._facts.forget(ref)
