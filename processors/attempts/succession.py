# SPDX-License-Identifier: Apache-2.0
"""
The attempts of one execution, one after another: which is a repetition, and which goes on when one has ended.

The next attempt may come before the last one's own record is confirmed: what gives it back was quicker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Self

from processors.stream.window import Window

LINGER_S = 1.0
"""How long later events of a key wait in memory for journeys that have begun."""


class Succession:
    """
    An attempt's part in it. `finished(attempt)` is called on the loop once its record is confirmed, if the window lives.

    `made` is how many attempts there have been when it ends; `successor` is the next one where that has come already.
    """

    __slots__ = ("_lingering", "finished", "made", "successor", "window")

    def __init__(self, window: Window, made: int, finished: Callable[[Any], None]) -> None:
        self.window, self.made, self.finished = window, made, finished
        self.successor: Self | None = None
        self._lingering: asyncio.TimerHandle | None = None

    def covers(self, number: int) -> bool:
        """Say whether this attempt, or one that follows it, is the one of that number, or a later one."""
        return self.made >= number or (self.successor is not None and self.successor.covers(number))

    def follow(self, successor: Self) -> None:
        """Let a later attempt begin once this one, and what follows it already, is recorded."""
        if self.successor is None:
            self.successor = successor
        else:
            self.successor.follow(successor)
        if self._lingering is not None:
            self._finish()

    @property
    def chain(self) -> Iterator[Self]:
        """Give this attempt and those that follow it."""
        found: Self | None = self
        while found is not None:
            yield found
            found = found.successor

    @property
    def following(self) -> Self | None:
        """The next attempt of this execution, where it has come already and its partition is still ours."""
        found = self.successor
        while found is not None and not found.window.alive:
            found = found.successor
        return found

    def linger(self) -> None:
        """
        Finish when the next attempt comes, or a little later: journeys are quick, and nothing of the key need be held meanwhile.

        The execution is recorded already; nothing but the order of what waits in memory hangs on it.
        """
        if self.successor is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._finish)
        else:
            self._finish()

    def linger_no_more(self) -> None:
        """Forget it: the partition was taken away."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _finish(self) -> None:
        self.linger_no_more()
        if self.window.alive:
            self.finished(self)
