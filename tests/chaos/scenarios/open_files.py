# SPDX-License-Identifier: Apache-2.0
"""C7f: web server and workers may open 256 files each, and somebody opens more connections than that and holds them."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import psutil

from bridge.stack.ports import LOOPBACK
from bridge.stack.programs import Program
from tests.chaos.product import Product
from tests.chaos.scenarios.asking import Answers, asking
from tests.chaos.scenarios.stage import CHAOS, Form, Scenario, Stage

MOST_FILES = 256
HELD = 400
LASTS_S = (8.0, 15.0)
SPARE = 6
"""So many below the limit count as having reached it: some are opened for a moment only."""
BACK_S = 10.0
IDLE_S, BUSY = 3.0, 0.5
"""How long a process is looked at when nothing happens, and which share of a core would then be a loop without an end."""
HEAD = b"POST /events HTTP/1.1\r\nHost: held\r\n"


class Confined(Program):
    """A program that may not have more files open than that."""

    def command(self) -> list[str]:
        return ["sh", "-c", f'ulimit -n {MOST_FILES} && exec "$@"', "sh", *super().command()]


async def play(stage: Stage) -> None:
    asked: Answers = []
    back: list[float] = []
    peaks: Counter[str] = Counter()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the crowd's own ends are all in this process

    async def fire() -> None:
        for number in range(stage.form.times):
            await stage.moments(stage.form.times, stage.span_s / 2)
            async with _crowd(stage.product, peaks), asking(stage, str(number)) as answers:
                await asyncio.sleep(stage.random.uniform(*LASTS_S))
            asked.extend(answers)
            began = time.monotonic()
            await stage.product.answering(stage.product.parts)
            back.append(time.monotonic() - began)

    await stage.settle(await stage.under_fire(fire) + [probe for probe, _ in asked])
    _judge(stage, asked, back, peaks)
    await _rests(stage)


@asynccontextmanager
async def _crowd(product: Product, peaks: Counter[str]) -> AsyncIterator[None]:
    """Hold the connections to each program, and note how many files it had open at most."""
    async with asyncio.TaskGroup() as holding:
        programs = [*product.webs, *product.workers]
        tasks = [holding.create_task(_hold(program.port)) for program in programs for _ in range(HELD)]
        tasks.append(holding.create_task(_count(programs, peaks)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _hold(port: int) -> None:
    """Hold one connection with a request that does not go on, and open another one when the server has enough of it."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(HEAD)
                await reader.read()
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.1)


async def _count(programs: Sequence[Program], peaks: Counter[str]) -> None:
    while True:
        for program in programs:
            with suppress(psutil.NoSuchProcess):  # one that ends is found by its exit
                for process in _processes(program):
                    peaks[program.log.stem] = max(peaks[program.log.stem], process.num_fds())
        await asyncio.sleep(0.2)


def _processes(program: Program) -> list[psutil.Process]:
    parent = psutil.Process(program.pid)
    return [parent, *parent.children(recursive=True)]


def _judge(stage: Stage, asked: Answers, back: list[float], peaks: Counter[str]) -> None:
    statuses = Counter(attempt.status for _, attempt in asked)
    stage.asked(statuses.keys() <= {0, 202, 503}, f"answered {sorted(statuses)} meanwhile, asked 202, 503 or nothing")
    for name, most in peaks.items():
        stage.asked(most >= MOST_FILES - SPARE, f"{name} had at most {most} files open: the limit was not reached")
    stage.asked(max(back) <= BACK_S, f"ready {max(back):.1f} s after the connections were gone, asked {BACK_S:.0f}")
    slowest = max(attempt.took_s for _, attempt in asked)
    said = ", ".join(f"{count} times {status or 'nothing'}" for status, count in sorted(statuses.items()))
    stage.row.measured["asked meanwhile"] = f"{said}, within {slowest:.1f} s"
    stage.row.measured["files open at most"] = ", ".join(f"{name} {most}" for name, most in sorted(peaks.items()))
    stage.row.measured["ready again"] = f"{min(back):.1f}-{max(back):.1f} s after the connections were gone"


async def _rests(stage: Stage) -> None:
    """Ask that nobody keeps a core busy when there is nothing to do."""
    shares = []
    for program in (*stage.product.webs, *stage.product.workers):
        before = _spent(program)
        await asyncio.sleep(IDLE_S)
        shares.append((_spent(program) - before) / IDLE_S)
        stage.asked(shares[-1] < BUSY, f"{program.name} uses {shares[-1]:.0%} of a core for nothing")
    stage.row.measured["CPU when all was done"] = f"at most {max(shares):.0%} of a core each"


def _spent(program: Program) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in _processes(program))


SCENARIO = Scenario(
    "C7f",
    "at most 256 open files",
    "Web server and workers may open 256 files each, and 400 connections to each of them are opened and held, for 8 to 15 s. "
    "Asked: no 202 without its record, nobody ends, and each answers again within 10 s after the connections are gone and rests "
    "when there is nothing to do.",
    Form(3_000, 50, 1),
    Form(20_000, 50, 5),
    play,
    layout=replace(CHAOS, program=Confined),
)
