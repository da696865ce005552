# SPDX-License-Identifier: Apache-2.0
"""The parts of a worker and their order: made, started and stopped here, and nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from bridge import logs, metrics, topics
from bridge.credentials import Vault
from bridge.decisions.decide import Decisions
from bridge.decisions.holds import ObjectHolds
from bridge.domain.retry import tiers
from bridge.egress.addresses import networks
from bridge.egress.client import session
from bridge.hosting.find import Plugins
from bridge.hosting.routing import Router as Routing
from bridge.hosting.rules import SHARED_LANE_S
from bridge.kafka.admin import TopicState, retry_topics
from bridge.kafka.client import producing
from bridge.kafka.producer import LoopProducer
from bridge.kafka.progress import Progress
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.projection import Projection
from bridge.registry.announcing import ASKED, Announcer, Vitals
from bridge.registry.changes import Changes
from bridge.registry.registry import Registry
from bridge.runs.carried import RUNS
from bridge.settings import Settings
from processors.attempts.breakers import Breakers
from processors.attempts.contexts import Contexts
from processors.attempts.lanes import Lanes
from processors.attempts.retrying import Retries
from processors.attempts.router import Router
from processors.attempts.shares import Shares
from processors.attempts.states import States
from processors.attempts.surroundings import Surroundings, Topics
from processors.background.forgetting import Forgetting
from processors.background.mover import Mover, Rule
from processors.background.moving import Due, Parked
from processors.background.renewing import Renewing
from processors.background.schedules import Schedules
from processors.background.timers import Timers
from processors.builtin.runs import Runs
from processors.builtin.webhooks import Webhooks, giving_up
from processors.calls.calling import Caller
from processors.calls.journal import open_journal
from processors.ending import before_leaving, doubt
from processors.stream.app import make_app, reaching
from processors.stream.batches import BatchConsumer, BatchTransport, batch_topic
from processors.stream.bookkeeping import Bookkeeping
from processors.stream.consumer_thread import Leaving
from processors.stream.outbox import Outbox
from processors.stream.room import ASIDE_IN_FLIGHT, SIGNALS_IN_FLIGHT, Room
from processors.tableset import make_tables
from processors.watch.health import Health
from processors.watch.lastwords import LastWords
from processors.watch.overdue import Overdue
from processors.watch.rates import Rates
from processors.watch.watchdog import Watchdog
from processors.watch.witness import Witness

LINGER_MS = 5.0
DELIVERY_S = 60.0
"""How long an outage of the brokers is ridden out before the worker starts afresh."""

REGISTRY_S = 30.0
FLUSH_S = 2.0

LOG = logs.get("processors.parts")


class Parts:
    """Everything that one worker runs; made on its running loop by `make`."""

    def __init__(
        self, settings: Settings, plugins: Plugins, worker: str, registry: Registry, waiting: Sequence[TopicState]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings, self._registry, self._worker = settings, registry, worker
        config = producing(settings, linger_ms=LINGER_MS, timeout_s=DELIVERY_S) | {"compression.type": "lz4"}
        self._producer = LoopProducer(config, loop, lambda error: doubt("the producer failed for good", error=error.str()))
        self._pipe = Pipe(settings.redis, loop)
        self._projection = Projection(self._pipe, settings)
        before = registry.last_announced(settings.worker_lane, settings.worker_slot)
        rates = Rates(time.monotonic)
        self._announcer = Announcer(
            settings,
            self._producer,
            plugins.processes,
            worker,
            before.stalls if before else {},
            lambda: Vitals(tuple(self._watchdog.gauges.announced()), rates.take(), tuple(self._watchdog.gauges.resting())),
        )
        self._http = session(networks(settings.egress_allowed_networks))
        self._background: list[asyncio.Task[Any]] = []
        self._projecting: asyncio.Task[None]
        self._caller = Caller(loop, settings)
        metrics.TOPIC_PARTITIONS.set(settings.partitions)
        outbox = Outbox(self._producer, loop)
        self.app = make_app(settings)
        journal = open_journal(settings)
        names, lane = Topics.of(settings), settings.worker_lane
        read = (topics.lane(lane),) if lane else topics.READ_BY_WORKERS
        source = read[0].name(settings)
        tables = make_tables(self.app, settings, source, (*plugins.states, RUNS), plugins.lanes)
        self._executions = tables.executions
        self._timers = None if lane else Timers(tables.states[RUNS], outbox, names.signals)
        self._forgetting = Forgetting(tables.states, outbox, settings.topic_prefix)
        self._renewing = Renewing(settings, self._executions.ordered, outbox, self._recovered)
        self._schedules = Schedules(registry, outbox, names.signals)
        aside = dict.fromkeys((names.redeliveries, names.surplus), ASIDE_IN_FLIGHT)
        room = Room(outbox, aside | {names.signals: SIGNALS_IN_FLIGHT})
        new, again = Shares(registry, room, names.events), Shares(registry, room, names.redeliveries)
        around = Surroundings(
            topics=names,
            worker=worker,
            lane=lane,
            outbox=outbox,
            caller=self._caller,
            contexts=Contexts(registry, self._http),
            lanes=Lanes(),
            executions=self._executions,
            projection=self._projection,
            retries=Retries(tiers(settings.retry_tiers)),
            breakers=Breakers(settings.breaker_failures),
            registry=registry,
            journal=journal,
            room=room,
            shares={names.events: new, names.signals: new, names.redeliveries: again},
            states=States(settings, tables.states, outbox, self._projection),
        )
        before_leaving(journal.clear)
        books = Bookkeeping(tables.usage, self._executions.ordered, outbox, source, names.usage)
        processes = (
            plugins.processes if lane else (*plugins.processes, self._webhooks(), Runs(registry, settings.run_retention_hours))
        )
        self.router = Router(around, processes, Routing(registry), books)
        cast(BatchTransport, self.app.transport).ledger = self.router
        for topic in read:
            self._agent(topic)
        due = Due()
        rules: dict[str, Rule] = {topic.name: due for topic in waiting}
        rules[topics.PARKED.name(settings)] = Parked(registry)
        self._mover = Mover(
            rules,
            names.redeliveries,
            outbox,
            group=topics.mover_group(settings),
            slot=settings.worker_slot,
            connection=reaching(settings.kafka),
        )
        words = LastWords(settings, self._announcer, journal)
        self._watchdog = Watchdog(
            self.app,
            self.router,
            self._executions,
            self._announcer,
            words,
            source,
            _patience_s(settings, plugins),
            None if lane else Overdue(self._mover, Progress(settings, topics.mover_group(settings)), words, settings.stall_s),
        )
        self._health = Health(self.ready)

    @classmethod
    async def make(cls, settings: Settings, plugins: Plugins, worker: str) -> Parts:
        """Make the parts once the registry is known: without it nobody can say which process is enabled."""
        registry = Registry(settings)
        registry.start()
        if not await asyncio.to_thread(registry.wait_current, REGISTRY_S):
            doubt("the registry could not be read", fault=registry.fault)
        return cls(settings, plugins, worker, registry, await asyncio.to_thread(retry_topics, settings))

    def _webhooks(self) -> Webhooks:
        """Make the process that posts to webhooks; it may disable one, which is a decision."""
        settings, registry = self._settings, self._registry
        holds = ObjectHolds(self._pipe, settings)
        decisions = Decisions(settings, topics.REGISTRY, self._pipe, self._producer, holds, registry.fate)
        stop = giving_up(Changes(registry, decisions), self._pipe, Keys(settings.topic_prefix))
        return Webhooks(registry, Vault(settings.secret_keys.get_secret_value()), len(tiers(settings.retry_tiers)) + 1, stop)

    def _agent(self, topic: topics.Topic) -> None:
        """Feed the router. Whatever gets out of here ends the process: Faust would start the agent again over a hole."""
        app, router = self.app, self.router

        async def route(stream: Any) -> None:
            try:
                async for event in stream.noack().events():
                    await router.take(app.consumer, event.message, event.value)
            except asyncio.CancelledError:
                raise
            except Leaving:
                pass  # only a worker that stops is told so
            except BaseException as err:  # noqa: BLE001  the edge: see above
                doubt("the agent failed", error=repr(err))
            if not app.should_stop:
                doubt("the agent's stream ended")

        name = topic.name(self._settings)
        app.agent(batch_topic(app, name, self._settings.partitions), name=name)(route)

    def _recovered(self) -> bool:
        return cast(BatchConsumer, self.app.consumer).recovered

    def ready(self) -> dict[str, Any]:
        """Say what a probe asks: whether the worker has its partitions, its tables and a registry that is current."""
        return {
            "tables": bool(self.app.tables.actives_ready),
            "assigned": not self.app.rebalancing,
            "registry": self._registry.current,
        }

    async def start(self) -> None:
        """Start everything; returns once the tables are recovered and events are processed."""
        began = time.monotonic()
        self._projecting = self._run(self._projection.run())
        self._run(self._watchdog.run(self._witness()))
        if self._settings.worker_health_port:
            await self._health.start(self._settings.host, self._settings.worker_health_port)
        self.app.in_worker = True
        await self.app.start()
        self._run(self._announcer.run())
        if not self._settings.worker_lane:
            self._run(self._mover.run())
        if self._timers is not None:
            self._run(self._timers.run())
            self._run(self._forgetting.run())
            self._run(self._schedules.run())
        self._run(self._renewing.run())
        LOG.info("Tables recovered", seconds=round(time.monotonic() - began, 2), executions=len(self._executions.finished))

    def _witness(self) -> Witness:
        progress = Progress(self._settings, self.app.conf.id)
        return Witness(progress, lambda: self._watchdog.asked, min(1.0, self._settings.stall_s / 5))

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_must_not_end)
        self._background.append(task)
        return task

    async def stop(self) -> None:
        """Drain, commit, leave the group, and write what the live view still lacks."""
        await self.app.stop()
        await self._caller.close()
        self._announcer.announce(ended=ASKED)
        for task in self._background:
            if task is not self._projecting:
                task.cancel()
        unconfirmed = await self._producer.close(FLUSH_S)
        if unconfirmed:
            doubt("records were not confirmed when the worker stopped", records=unconfirmed)
        if not await self._projection.flush(FLUSH_S):
            LOG.error(
                "the live view lacks facts that Redis did not take; once it is back, run `evb rebuild`",
                facts=self._projection.waiting,
            )
        self._projecting.cancel()
        self._health.close()
        await self._http.close()
        await asyncio.to_thread(self._registry.close)


def _patience_s(settings: Settings, plugins: Plugins) -> float:
    """As long as is set, and for as much longer as an own lane's process may take than any in the shared one."""
    longest = max((SHARED_LANE_S, *(one.timeout_s for one in plugins.processes if settings.worker_lane)))
    return settings.stall_s + longest - SHARED_LANE_S


def _must_not_end(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        doubt("a part of the worker ended", part=repr(task.get_coro()), error=repr(task.exception()))
