# SPDX-License-Identifier: Apache-2.0
"""
The whole product as operators run it (Kafka, Valkey, several `evb web` and `evb worker`), and the hand that breaks it.

What ends is started again at once, as a supervisor would, unless it is kept away. Everything here runs on one event loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from cryptography.fernet import Fernet

from bridge import topics
from bridge.domain.limits import Window
from bridge.kafka.admin import ensure_topics
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant
from bridge.settings import Settings, load
from bridge.stack.part import Part
from bridge.stack.ports import LOOPBACK, free_port
from bridge.stack.programs import LaneWorker, Program
from bridge.stack.stack import Stack
from bridge.stack.valkey import ValkeyPart
from tests.chaos.ledger import Target
from tests.chaos.wire import Wire, WiredKafka
from tests.conftest import as_environ

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"
PARTITIONS = 8
TIERS = "1s,3s"
"""Two tiers: three attempts of everything that fails."""
WINDOWS = (Window(100_000, 1),)


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of each there are, which processes the plugins bring, and where the plugins lie."""

    webs: int = 1
    workers: int = 2
    tenants: int = 4
    processes: Sequence[str] = ()
    plugins: Sequence[Path] = (PLUGIN,)
    lanes: Sequence[str] = ()
    """The processes with an own lane, which has a worker each."""
    parts: Callable[[Stack], None] = lambda _: None
    """Puts other parts into the place of a stack's own before they start."""
    around: Callable[[Path], AbstractContextManager[object]] = nullcontext
    """What a stack's directory needs for as long as the stack lives."""
    program: type[Program] = Program
    """How web servers and workers are run."""

    def wired(self) -> Layout:
        """Give this layout with a network between the product and the broker."""
        return replace(self, parts=_wired)

    def appending(self) -> Layout:
        """Give this layout with a Valkey that keeps what it was told until a second ago."""
        return replace(self, parts=_appending)


@dataclass
class Product:
    """A running product. `ends` lists what ended without being asked to: (name, exit code)."""

    stack: Stack
    settings: Settings
    webs: list[Program]
    workers: list[Program]
    lanes: list[Program]
    target: Target
    away: set[Part] = field(default_factory=set)
    ends: list[tuple[str, int]] = field(default_factory=list)
    wire: Wire | None = None
    forgiven: set[int] = field(default_factory=set)

    @property
    def parts(self) -> list[Part]:
        return [self.stack.kafka, self.stack.valkey, *self.webs, *self.workers, *self.lanes]

    async def keep(self) -> None:
        """Start again whatever ends and is not kept away, for ever."""
        pids = {id(part): part.pid for part in self.parts}
        while True:
            for part in self.parts:
                if part.running:
                    pids[id(part)] = part.pid
                elif part not in self.away:
                    self._note(part, pids[id(part)])
                    part.spawn()
            await asyncio.sleep(0.05)

    async def kill(self, *parts: Part, away_s: float = 0.0, number: signal.Signals = signal.SIGKILL) -> float:
        """
        Signal all parts at once, keep them away for `away_s`, and wait until they answer again; gives the seconds of the last.

        Raises: TimeoutError where one does not come back within two minutes.
        """
        pids = [part.pid for part in parts]
        self.away |= set(parts)
        for pid in pids:
            self.forgiven.add(pid)
            with suppress(ProcessLookupError):  # it is leaving on its own at this moment, which serves as well
                os.kill(pid, number)
        async with asyncio.timeout(120):
            while any(part.running for part in parts):
                await asyncio.sleep(0.02)
            await asyncio.sleep(away_s)
            began = time.monotonic()
            self.away -= set(parts)
            await self.answering(parts, pids)
        return time.monotonic() - began

    async def child_killed(self, part: Part, child: int) -> float:
        """Kill a child of a part, and wait until the part, or the one in its place, answers; gives the seconds."""
        began, parent = time.monotonic(), part.pid
        self.forgiven.add(parent)
        os.kill(child, signal.SIGKILL)
        async with asyncio.timeout(120):
            while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.02)
            await self.answering([part])
        self.forgiven.discard(part.pid)
        return time.monotonic() - began

    async def asked_to_leave(self, part: Part, patience_s: float = 60.0) -> tuple[int | None, float]:
        """Send SIGTERM, wait for the end, and start it again; gives the exit code and the seconds until the end."""
        began, pid = time.monotonic(), part.pid
        self.away.add(part)
        self.forgiven.add(pid)
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(patience_s):
            while part.running:
                await asyncio.sleep(0.02)
        code, took = part.exit_code, time.monotonic() - began
        self.away.discard(part)
        await self.answering([part], [pid])
        return code, took

    async def rebuild(self) -> None:
        """Run `evb rebuild`. Raises: RuntimeError with what it said where it failed."""
        command = (sys.executable, "-m", "bridge.cli", "rebuild")
        pipe = asyncio.subprocess.PIPE
        environ = os.environ | as_environ(self.settings)
        run = await asyncio.create_subprocess_exec(*command, env=environ, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        output, _ = await run.communicate()
        if run.returncode:
            raise RuntimeError(output.decode()[-1000:])

    async def answering(self, parts: Iterable[Part], but: Sequence[int] = ()) -> None:
        """Wait until every part runs, under another process id than those of `but`, and answers."""
        for part in parts:
            while part.pid in (0, *but) or not await asyncio.to_thread(part.answers):
                await asyncio.sleep(0.05)

    async def freeze(self, part: Part) -> None:
        """Stop a part (SIGSTOP), and return once it stands."""
        os.kill(part.pid, signal.SIGSTOP)
        while psutil.Process(part.pid).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.005)

    def thaw(self, part: Part) -> None:
        """Let a frozen part go on."""
        os.kill(part.pid, signal.SIGCONT)

    def _note(self, part: Part, pid: int) -> None:
        code = part.exit_code
        if pid not in self.forgiven:
            self.ends.append((part.name, -1 if code is None else code))


@asynccontextmanager
async def running(data: Path, layout: Layout) -> AsyncIterator[Product]:
    """Start a product in an empty directory, keep it alive, and end it with everything it started."""
    with layout.around(data):
        async with _running(data, layout) as product:
            yield product


@asynccontextmanager
async def _running(data: Path, layout: Layout) -> AsyncIterator[Product]:
    stack = Stack(data)
    layout.parts(stack)
    wire = Wire(stack.kafka) if isinstance(stack.kafka, WiredKafka) else None
    product: Product | None = None
    try:
        await asyncio.to_thread(stack.start)
        async with wire.serving() if wire else nullcontext():
            product = await _assemble(stack, layout, wire)
            for program in (*product.webs, *product.workers, *product.lanes):
                program.spawn()
            await asyncio.wait_for(product.answering(product.parts), 120)
            keeping = asyncio.create_task(product.keep())
            try:
                yield product
            finally:
                keeping.cancel()
                with suppress(asyncio.CancelledError):
                    await keeping
    finally:
        for program in (*product.webs, *product.workers, *product.lanes) if product else ():
            program.kill()
        stack.close()


def _wired(stack: Stack) -> None:
    own = stack.kafka
    stack.kafka = wired = WiredKafka(own._directory, stack.family, own.log, own._java)
    wired.wire_port = free_port()


def _appending(stack: Stack) -> None:
    stack.valkey = AppendingValkey(stack.valkey._directory, stack.family, stack.valkey.log)


class AppendingValkey(ValkeyPart):
    """A Valkey that writes what it is told to its disk every second."""

    def command(self) -> list[str]:
        return [*super().command(), "--appendonly", "yes", "--appendfsync", "everysec"]


async def _assemble(stack: Stack, layout: Layout, wire: Wire | None) -> Product:
    plugins = os.pathsep.join(map(str, (*layout.plugins, ROOT)))
    environ = {
        "EVB_KAFKA__BOOTSTRAP_SERVERS": stack.kafka.bootstrap,
        "EVB_REDIS__URL": stack.redis,
        "EVB_SECRET_KEYS": Fernet.generate_key().decode(),
        "EVB_JOURNAL_DIR": str(stack.data / "journal"),
        "EVB_HOST": LOOPBACK,
        "EVB_PARTITIONS": str(PARTITIONS),
        "EVB_RETRY_TIERS": TIERS,
        "EVB_BREAKER_FAILURES": "0",
        "EVB_LOG_FORMAT": "json",
        "EVB_WEB_PROCESSES": str(layout.webs),
    }
    settings = load(environ)
    made = [topics.results(name) for name in layout.processes]
    await asyncio.to_thread(ensure_topics, settings, made)
    await asyncio.to_thread(stamp_at_the_broker, settings, [topic.name(settings) for topic in made])
    if wire:
        environ["EVB_KAFKA__BOOTSTRAP_SERVERS"] = f"{LOOPBACK}:{wire.port}"
    webs, workers, lanes = [], [], []
    for n in range(layout.webs):
        own = {"EVB_PORT": str(port := free_port()), "PYTHONPATH": plugins}
        webs.append(_program(stack, layout, "web", n, environ | own, port))
    for n in range(layout.workers):
        own = {"EVB_WORKER_SLOT": str(n), "EVB_WORKER_HEALTH_PORT": str(port := free_port()), "PYTHONPATH": plugins}
        workers.append(_program(stack, layout, "worker", n, environ | own, port))
    for process in layout.lanes:
        own = {"EVB_WORKER_HEALTH_PORT": str(port := free_port()), "PYTHONPATH": plugins}
        lanes.append(LaneWorker(process, port, stack.family, stack.log / f"lane-{process}.log", environ | own))
    keys = await _tenants(settings, layout.tenants)
    target = Target(tuple(f"http://{LOOPBACK}:{web.port}" for web in webs), keys)
    return Product(stack, settings, webs, workers, lanes, target, wire=wire)


def _program(stack: Stack, layout: Layout, role: str, number: int, environ: dict[str, str], port: int) -> Program:
    return layout.program(role, port, stack.family, stack.log / f"{role}-{number}.log", environ)


async def _tenants(settings: Settings, count: int) -> tuple[str, ...]:
    """Make the tenants; gives an API key of each."""
    keys = []
    async with changing(settings) as changes:
        for n in range(count):
            await create_tenant(changes, f"tenant-{n}", WINDOWS)
            keys.append((await create_key(changes, f"tenant-{n}")).text)
    return tuple(keys)


def stamp_at_the_broker(settings: Settings, names: Iterable[str]) -> None:
    """Have Kafka stamp the records when it takes them, so that their times do not depend on what the worker says."""
    entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    asked = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in names]
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    for done in admin.incremental_alter_configs(asked).values() if asked else ():
        done.result(30)
