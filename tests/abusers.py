# SPDX-License-Identifier: Apache-2.0
"""Processes that do everything a plugin must not do. In a module of their own: a child process imports them by its name."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Rejected, Result, RetryLater, Skipped

KEPT: list[Any] = []

COMPLETED = Completed()
"""Made while there is memory."""


def fork(file: Path) -> None:
    """Start 20 processes, half by exec, half by fork, and write down which they and this one are."""
    pids = [os.getpid()] + [subprocess.Popen(["sleep", "60"]).pid for _ in range(10)]
    for _ in range(10):
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)  # where a test has failed: else it would go on forking
        pids.append(pid)
    whole = file.with_suffix(".part")
    whole.write_text(" ".join(map(str, pids)))
    whole.rename(file)


class Options(BaseModel):
    """What the abuser may be told per tenant."""

    greeting: str = "hello"


class Abuser(Process[Options]):
    """A plain function that ends as the event's type says."""

    name, version, events, retry, Config = "abuser", "1.0.0", ("abuser.*",), (), Options
    timeout_s, isolation, memory_mb = 2.0, "process", 64

    def run(self, event: Event, context: Context[Options]) -> Outcome:
        return getattr(self, event.type.removeprefix("abuser.").replace("-", "_"))(event, context)  # type: ignore[no-any-return]

    def says(self, event: Event, context: Context[Options]) -> Outcome:
        said = {"pid": os.getpid(), "data": event.json(), "type": event.type, "greeting": context.config.greeting}
        ids = [context.tenant, context.correlation_id, context.execution_id, context.attempt]
        loaded = [
            name for name in ("bridge.hosting.find", "faust", "aiokafka", "confluent_kafka", "aiohttp") if name in sys.modules
        ]
        context.log.info("Saying", loaded=loaded)
        return Completed(said | {"ids": ids, "loaded": loaded, "http": context.http is None}, [Result("said", {"n": 1}, "s")])

    def skips(self, event: Event, context: Context[Options]) -> Outcome:
        return Skipped("not mine")

    def waits(self, event: Event, context: Context[Options]) -> Outcome:
        return RetryLater("closed", 7)

    def rejects(self, event: Event, context: Context[Options]) -> Outcome:
        return Rejected("bad-order", "no such order")

    def spins(self, event: Event, context: Context[Options]) -> Outcome:
        while True:
            pass

    def sleeps(self, event: Event, context: Context[Options]) -> Outcome:
        Path(event.json()).touch()
        time.sleep(1e9)
        return Completed()

    def holds_the_interpreter(self, event: Event, context: Context[Options]) -> Outcome:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        ctypes.PyDLL(None).sleep(1000)
        return Completed()

    def holds_the_pipe(self, event: Event, context: Context[Options]) -> Outcome:
        _channel().mutex.writer_mutex.acquire()
        time.sleep(1000)
        return Completed()

    def burns(self, event: Event, context: Context[Options]) -> Outcome:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1, resource.RLIM_INFINITY))
        while True:
            pass

    def exits(self, event: Event, context: Context[Options]) -> Outcome:
        os._exit(1)

    def exits_well(self, event: Event, context: Context[Options]) -> Outcome:
        os._exit(0)

    def leaves(self, event: Event, context: Context[Options]) -> Outcome:
        sys.exit(3)

    def faults(self, event: Event, context: Context[Options]) -> Outcome:
        ctypes.string_at(0)
        return Completed()

    def is_killed(self, event: Event, context: Context[Options]) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000)
        return Completed()

    def allocates(self, event: Event, context: Context[Options]) -> Outcome:
        KEPT.append(bytearray(2 << 30))
        return Completed()

    def hoards(self, event: Event, context: Context[Options]) -> Outcome:
        KEPT.append(bytearray(56 << 20))
        while True:
            KEPT.append([len(KEPT)] * 100)

    def fills(self, event: Event, context: Context[Options]) -> Outcome:
        """Take the memory to the last byte, with pieces of every size, so that nothing can be made any more; then answer."""
        ints: list[int | None] = [None] * 200_000
        KEPT.extend([bytearray(50 << 20), ints, ()])
        for size in (8000, 500, *range(60, -1, -1)):
            padding = (None,) * size
            with contextlib.suppress(MemoryError):
                while True:
                    KEPT[-1] = (KEPT[-1], *padding)
        with contextlib.suppress(MemoryError):
            for place in range(len(ints)):
                ints[place] = place + 1000
        return COMPLETED

    def prints(self, event: Event, context: Context[Options]) -> Outcome:
        chunk = b"x" * 2**20
        for _ in range(10 * 1024):
            os.write(1, chunk)
        print("x" * 2**20, flush=True)
        os.write(2, b"x" * 2**20)
        return Completed("printed")

    def forks(self, event: Event, context: Context[Options]) -> Outcome:
        fork(Path(event.json()))
        time.sleep(1000)
        return Completed()

    def forks_and_returns(self, event: Event, context: Context[Options]) -> Outcome:
        fork(Path(event.json()))
        return Completed()

    def forks_and_exits(self, event: Event, context: Context[Options]) -> Outcome:
        fork(Path(event.json()))
        os._exit(1)

    def bloats(self, event: Event, context: Context[Options]) -> Outcome:
        return Completed(results=[Result("big", b"x" * 6_000_000)])

    def bloats_in_all(self, event: Event, context: Context[Options]) -> Outcome:
        return Completed(results=[Result("big", b"x" * 1_000_000) for _ in range(10)])

    def unserialisable(self, event: Event, context: Context[Options]) -> Outcome:
        return Completed(results=[Result("odd", {"f": object()})])

    def unreadable(self, event: Event, context: Context[Options]) -> Outcome:
        return Completed(results=[Result(5)])  # type: ignore[arg-type]

    def nonsense(self, event: Event, context: Context[Options]) -> Any:
        return "done"

    def raises(self, event: Event, context: Context[Options]) -> Outcome:
        raise ValueError("it is broken" * 1000)

    def pickles(self, event: Event, context: Context[Options]) -> Outcome:
        """Write to the pipe what would run code in a worker that unpickles anything."""
        _channel().writer.send(_Evil(event.json()))
        time.sleep(1000)
        return Completed()

    def floods(self, event: Event, context: Context[Options]) -> Outcome:
        """Announce an answer of 3 GB to the worker, and begin with it."""
        pipe = _channel().writer.fileno()
        os.write(pipe, b"\xff\xff\xff\xff" + (3 << 30).to_bytes(8, "big"))
        os.write(pipe, b"x" * 60_000)
        time.sleep(1000)
        return Completed()

    def stutters(self, event: Event, context: Context[Options]) -> Outcome:
        """Begin with an answer and never end it."""
        pipe = _channel().writer.fileno()
        os.write(pipe, (1 << 20).to_bytes(4, "big") + b"x" * 60_000)
        time.sleep(1000)
        return Completed()

    def has_threads(self, event: Event, context: Context[Options]) -> Outcome:
        """Take little memory in many threads, and then 100 MB."""
        gone = threading.Event()
        threads = [threading.Thread(target=lambda: (KEPT.append(bytearray(1000)), gone.wait(5))) for _ in range(8)]
        for thread in threads:
            thread.start()
        size = len(bytearray(100 << 20))
        gone.set()
        return Completed(size)

    def limits(self, event: Event, context: Context[Options]) -> Outcome:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = resource.getrlimit(resource.RLIMIT_CPU)[0] - used.ru_utime - used.ru_stime
        return Completed({"seconds": seconds, "core": resource.getrlimit(resource.RLIMIT_CORE)})

    def dies_later(self, event: Event, context: Context[Options]) -> Outcome:
        file = Path(event.json())

        def die() -> None:
            while not file.exists():
                time.sleep(0.01)
            os._exit(1)

        threading.Thread(target=die).start()
        return Completed(os.getpid())


def _channel() -> Any:
    """Find pebble's end of the pipe, as a plugin could that means harm."""
    return next(one for one in gc.get_objects() if type(one).__name__ == "WorkerChannel")


class _Evil:
    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.file),)


class Killer(Process[NoConfig]):
    """Runs in the worker itself and ends it, as the event's type says."""

    name, version, events, retry = "killer", "1.0.0", ("killer.*",), ()

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        match event.type:
            case "killer.exits":
                os._exit(1)
            case "killer.faults":
                ctypes.string_at(0)
            case "killer.is-killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return Completed(results=[Result("killed.nobody", {"data": event.json()})])


class Holder(Process[NoConfig]):
    """Runs in the worker itself and, for one type, keeps the interpreter for ever, as a pattern does that runs away."""

    name, version, events, timeout_s = "holder", "1.0.0", ("holder.*",), 1.0

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if event.type == "holder.holds":
            re.fullmatch("(a+)+b", "a" * 64)
        return Completed(context.attempt)


class AsyncAbuser(Process[NoConfig]):
    """A coroutine that ends as the event's type says."""

    name, version, events, retry, timeout_s, isolation = "async-abuser", "1.0.0", ("async-abuser.*",), (), 0.5, "process"

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        if event.type == "async-abuser.says":
            return Completed(type(context.http).__name__)
        if event.type == "async-abuser.calls":
            async with context.http.get(event.json()) as answer:
                return Completed(answer.status)
        if event.type == "async-abuser.cancels":
            raise asyncio.CancelledError
        while True:  # ignores its cancellation
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue


class Reliable(Process[NoConfig]):
    """Answers with what it is given."""

    name, version, events, isolation = "reliable", "1.0.0", ("reliable.*",), "process"

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed(event.json(), [Result("reliable.done", event.json())])


class Napper(Process[NoConfig]):
    """Takes half a second for each event, those of a key in their order, and says when it began and ended."""

    name, version, events, retry, isolation, ordered = "napper", "1.0.0", ("napper.*",), (), "process", True

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        began = time.time()
        time.sleep(0.5)
        return Completed([began, time.time()])


class Forker(Process[NoConfig]):
    """Starts processes and waits long enough for somebody to end its worker meanwhile."""

    name, version, events, retry, isolation = "forker", "1.0.0", ("forker.*",), (), "process"

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        fork(Path(event.json()))
        time.sleep(1000)
        return Completed()


class Unimportable(Process[NoConfig]):
    """Can be found by a worker and not by a child."""

    name, version, events, isolation = "unimportable", "1.0.0", ("unimportable.*",), "process"

    def __reduce__(self) -> Any:
        return __import__, ("nothing_of_this_name",)

    def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        return Completed()


def abuser_that_starts_slowly() -> Abuser:
    """Make the process in a child, after longer than a run of it may take."""
    time.sleep(0.3)
    return Abuser()
