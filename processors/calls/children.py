# SPDX-License-Identifier: Apache-2.0
"""
One child process that runs one process of a plugin and can be killed at any moment, with everything that it has started.

Each child has a pebble pool to itself. The workers of one pool share a pipe and its locks, so a child that dies while it writes
would take its neighbours with it; and a pool whose child died is never used again, for the same reason.
"""

from __future__ import annotations

import errno
import pickle
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait

import pebble

from bridge import logs
from bridge.sdk.process import AnyProcess
from processors.calls import isolated
from processors.calls.guard import Guard
from processors.calls.spawning import OneProcess
from processors.outcomes import answers
from processors.outcomes.verdicts import Failure, said

START_S = 30.0
"""How long a child may take to start and import its plugin."""

LOOK_S = 1.0

LOG = logs.get("processors.children")


class Died(Exception):
    """The child gave no answer; `failure` says why, as far as anybody can know."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Child:
    """`ask` is called by one thread, once at a time; `kill` by any thread, at any time."""

    def __init__(self, process: AnyProcess, guard: Guard, wanted: isolated.Wanted) -> None:
        self.process, self._guard = process, guard
        self._killed = self._watched = self._loaded = False
        self._context = OneProcess()
        self._pool = pebble.ProcessPool(1, initializer=isolated.begin, initargs=(wanted,), context=self._context)

    def run(self, request: bytes) -> tuple[object, bool]:
        """
        Run the process once; gives its outcome or failure, and whether the child is fit for another run.

        Again:  the first run starts the child and lets it import its plugin, which does not count for the deadline.
        Raises: TimeoutError where the deadline has passed, Died.
        """
        if not self._loaded:
            self._load()
        answer = self._ask(isolated.run, request, self.process.timeout_s)
        outcome = answers.decode(answer[1:])
        spent = isinstance(outcome, Failure) and outcome.code == "out-of-memory"
        return outcome, answer[:1] == isolated.TIDY and not spent

    def _load(self) -> None:
        began = time.monotonic()
        try:
            pickled = pickle.dumps(self.process)
        except Exception as err:  # what `bridge.hosting.rules` asks of a process, and an object may have changed since
            raise Died(Failure("not-started", f"it cannot be handed to a child process: {said(err)}")) from err
        try:
            refusal = self._ask(isolated.load, pickled, START_S)
        except TimeoutError as err:
            raise Died(Failure("not-started", f"its child process was not ready within {START_S:g} s")) from err
        except Died as died:  # before it was given the event, so that says nothing of the event
            raise Died(Failure("not-started", died.failure.reason)) from died
        if refusal:
            failure = answers.decode(refusal)
            raise Died(failure if isinstance(failure, Failure) else Failure("not-started", "its child process cannot load it"))
        self._loaded = True
        LOG.info("A child process is ready", process=self.process.name, seconds=round(time.monotonic() - began, 2))

    @property
    def alive(self) -> bool:
        """
        Say whether it can be asked: a child may die between two runs, of what the last one left behind.

        Its end of a pipe tells too: while pebble's thread collects a dead child, multiprocessing takes it for a living one.
        """
        child = self._context.made
        return self._pool.active and child is not None and child.is_alive() and not wait([child.sentinel], 0)

    def kill(self) -> None:
        """Kill the child; whoever waits for its answer learns that it died."""
        self._killed = True
        if self._context.made is not None:
            self._context.made.terminate()

    def end(self) -> None:
        """Kill the child and let go of everything that belongs to it; takes a moment."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self.kill()
        self._pool.join()
        if self._context.made is not None and self._context.made.pid is not None:
            self._guard.forget(self._context.made.pid)

    def _ask(self, function: Callable[[bytes], bytes], argument: bytes, within_s: float) -> bytes:
        future = self._scheduled(function, argument)
        try:
            answer = self._answer(future, within_s)
        except (TimeoutError, Died):
            raise
        except Exception as err:  # pebble has many words for a child that is gone
            raise Died(self._death()) from err
        if not isinstance(answer, bytes):
            raise Died(Failure("crashed", "its child process wrote something that is no answer"))
        return answer

    def _answer(self, future: Future[bytes], within_s: float) -> object:
        """
        Wait for an answer.

        Not with pebble's own time-out, which does not kill while the child holds the pipe's lock; and not in one piece, because
        pebble forgets a call that it had not taken over yet when its child died.
        """
        while within_s > LOOK_S:
            try:
                return future.result(LOOK_S)
            except TimeoutError:
                if not self._pool.active and not future.done():
                    raise Died(self._death()) from None
            within_s -= LOOK_S
        return future.result(within_s)

    def _scheduled(self, function: Callable[[bytes], bytes], argument: bytes) -> Future[bytes]:
        """Hand a call to the child. A new one is named to the guard; one that should be dead before it existed is killed."""
        try:
            future = self._pool.schedule(function, (argument,))
        except Exception as err:  # pebble's words again; also where the system starts no more processes
            raise Died(self._death()) from err
        child = self._context.made
        if child is not None and child.pid is not None and not self._watched:
            self._watched = True
            self._guard.watch(child.pid)
        if self._killed:
            self.kill()
        return future

    def _death(self) -> Failure:
        child = self._context.made
        if child is None or child.pid is None:
            return Failure("crashed", "no child process can be started for it")
        code = child.exitcode
        if code is None or code == errno.EPIPE:  # pebble's own exit where nobody reads the pipe any more
            return Failure("crashed", "its child process broke the pipe to the worker")
        if code == -signal.SIGXCPU:
            return Failure("timeout", f"it used more than its {self.process.timeout_s:g} s of processor time")
        if code < 0:
            return Failure("crashed", f"its child process was killed by {_signal_name(-code)}")
        return Failure("crashed", f"its child process ended with exit code {code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals have numbers only
        return f"signal {number}"
