# SPDX-License-Identifier: Apache-2.0
"""The child processes of a worker: which one runs a process next, and when another one has to go for it."""

from __future__ import annotations

import threading

from bridge.sdk.process import AnyProcess
from processors.calls.children import Child
from processors.calls.guard import Guard
from processors.calls.isolated import Wanted


class Pool:
    """Called by threads, at most `most` of them between `take` and `give_back`."""

    def __init__(self, most: int, wanted: Wanted) -> None:
        self._most, self._wanted = most, wanted
        self._guard = Guard()
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self.children: set[Child] = set()

    def take(self, process: AnyProcess) -> Child:
        """Give an idle child of this process, or a new one; where there are too many, the one goes that was idle longest."""
        ended: list[Child] = []
        with self._lock:
            child = self._fit(process, ended)
            if child is None:
                if len(self.children) >= self._most:
                    ended.append(self._gone(self._idle[0]))
                child = Child(process, self._guard, self._wanted)
                self.children.add(child)
        for one in ended:
            self._end(one)
        return child

    def give_back(self, child: Child, *, fit: bool) -> None:
        """Keep a child for the next run, or end it."""
        if fit:
            with self._lock:
                self._idle.append(child)
        else:
            self._end(child)

    def close(self) -> None:
        """End the idle children; called when no thread has one."""
        for child in self._idle:
            self._end(child)
        self._guard.close()

    def _fit(self, process: AnyProcess, ended: list[Child]) -> Child | None:
        for child in [child for child in self._idle if child.process is process]:
            if child.alive:
                self._idle.remove(child)
                return child
            ended.append(self._gone(child))
        return None

    def _gone(self, child: Child) -> Child:
        """Count an idle child no more: it is ended without the lock, and others must not wait for that."""
        self._idle.remove(child)
        self.children.remove(child)
        return child

    def _end(self, child: Child) -> None:
        child.end()
        with self._lock:
            self.children.discard(child)
