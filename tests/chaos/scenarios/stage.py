# SPDX-License-Identifier: Apache-2.0
"""What every scenario has in common: a product, a load, faults at seeded times, and the account of it all as one row."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.chaos import topics
from tests.chaos.accounting import DISORDER, LOST, PHANTOM, Facts, Findings, Sent, account
from tests.chaos.drain import PATIENCE_S, drained
from tests.chaos.ledger import KINDS, Kind, Ledger, Load
from tests.chaos.lookups import shown
from tests.chaos.product import Layout, Product, running

BEHIND = "look-up disagrees with the topic"
CATCH_UP_S = 10.0
LOOK_S = 120.0
DOUBTS = (70, 1)
"""In doubt, and started while the broker was away."""
GAP_S = 2.0
"""Faults come at random times, and the next one at least so long after the proof that the last one is over."""


@dataclass(frozen=True, slots=True)
class Form:
    """How much of a scenario: events, events per second, times of the fault."""

    events: int
    rate: float
    times: int


@dataclass(slots=True)
class Row:
    """What one scenario found. `missed` names what was asked for and not reached; where it is empty the scenario has passed."""

    id: str
    fault: str
    times: int
    events: int
    lost: int = 0
    duplicated: int = 0
    phantom: int = 0
    disorder: int = 0
    drain_s: float | None = 0.0
    measured: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    load: float = 0.0
    took_s: float = 0.0
    seed: int = 0
    at: str = ""


@dataclass(slots=True)
class Stage:
    """One scenario as it runs. `span_s` is how long its load lasts."""

    product: Product
    form: Form
    random: Random
    seed: int
    row: Row
    ledger: Ledger
    kinds: Sequence[Kind] = KINDS
    facts: Facts | None = None
    doubts: Container[int] = ()
    """Exit codes with which a worker may end here on its own, to be started again: the broker was away (decision 0011)."""
    patience_s: float = PATIENCE_S
    """How long after the end of load and faults the last event may end."""

    @property
    def span_s(self) -> float:
        return self.form.events / self.form.rate

    def asked(self, held: bool, what: str) -> None:
        """Note what was asked for and is not so."""
        if not held:
            self.row.missed.append(what)

    async def produce(self, name: str = "chaos", events: int = 0, kinds: Sequence[Kind] = ()) -> list[Sent]:
        """Post the load of the form, or another one at its rate."""
        load = Load(events or self.form.events, self.form.rate, self.seed, name, tuple(kinds or self.kinds))
        return await self.ledger.produce(load)

    async def under_fire(self, fire: Callable[[], Awaitable[None]]) -> list[Sent]:
        """Post the load while faults happen; returns when both have ended."""
        sent, _ = await asyncio.gather(self.produce(), fire())
        return sent

    async def moments(self, times: int, over_s: float = 0.0) -> None:
        """Wait for a random moment; called once before each of `times` faults, it spreads them over the load."""
        mean = max((over_s or self.span_s) / times - GAP_S, 0.0)
        await asyncio.sleep(GAP_S + self.random.uniform(0.2, 1.0) * mean / 2)

    async def settle(self, sent: list[Sent]) -> Findings:
        """Wait until everything has ended, then account for it."""
        ended, product = time.time(), self.product
        bootstrap, prefix = product.settings.kafka.bootstrap_servers, product.settings.topic_prefix
        await product.answering(product.parts)
        last = await asyncio.to_thread(drained, bootstrap, prefix, {s.id: s.process for s in sent}, self.patience_s)
        self.row.drain_s = None if last is None else max(0.0, last - ended)
        self.asked(last is not None and last - ended <= self.patience_s, f"not everything ended within {self.patience_s:.0f} s")
        facts = await self._gather(sent, bootstrap, prefix)
        findings = await asyncio.to_thread(account, facts)
        if findings.wrong.keys() == {BEHIND}:
            facts, findings = await self._rebuilt(facts, len(findings.wrong[BEHIND]))
        self.facts = facts
        self._enter(sent, findings)
        return findings

    async def _gather(self, sent: list[Sent], bootstrap: str, prefix: str) -> Facts:
        processes = sorted({kind.handled_by for kind in self.kinds})
        with_results = sorted({kind.handled_by for kind in self.kinds if kind.results})
        stored = await asyncio.to_thread(topics.stored, bootstrap, prefix)
        executed = await asyncio.to_thread(topics.executed, bootstrap, prefix, processes)
        published = await asyncio.to_thread(topics.published, bootstrap, prefix, with_results)
        dead = await asyncio.to_thread(topics.dead, bootstrap, prefix)
        return await self._looked_up(Facts(sent, stored, executed, published, dead))

    async def _looked_up(self, facts: Facts) -> Facts:
        owner = {s.id: s.owner for s in facts.sent}
        keys = {s.key: owner.get(s.id, 0) for s in facts.stored}
        return replace(facts, shown=await shown(self.product.target, keys, LOOK_S + len(keys) / 20))

    async def _rebuilt(self, facts: Facts, behind: int) -> tuple[Facts, Findings]:
        """
        Ask again, and where look-ups stay behind have the view rebuilt: what a dying process took along comes back only so.

        Source: docs/explanation/guarantees.md, what Redis may do.
        """
        deadline = time.monotonic() + CATCH_UP_S
        while behind and time.monotonic() < deadline:
            await asyncio.sleep(1)
            facts = await self._looked_up(facts)
            behind = len(account(facts).wrong[BEHIND])
        if behind:
            self.row.measured["look-ups that stayed behind until `evb rebuild`"] = str(behind)
            await self.product.rebuild()
            facts = await self._looked_up(facts)
        return facts, account(facts)

    def _enter(self, sent: list[Sent], findings: Findings) -> None:
        row = self.row
        row.events = len(sent)
        row.lost, row.phantom, row.disorder = (findings.count(kinds) for kinds in (LOST, PHANTOM, DISORDER))
        row.duplicated = findings.repeats["results"] + findings.repeats["executions"]
        for kind, items in findings.wrong.items():
            row.missed.append(f"{kind}: {len(items)}, e.g. {', '.join(items[:3])}")
        refused = [s for s in sent if s.verdict not in ("accepted", "unknown")]
        self.asked(not refused, f"{len(refused)} refused, e.g. {refused[0].verdict if refused else ''}")
        unknown = sum(s.verdict == "unknown" for s in sent if s.lane)
        self.asked(unknown <= len(sent) // 10, f"{unknown} events were given up by their client")
        if unknown:
            row.measured["given up by the client"] = str(unknown)
        for (name, code), count in Counter(self.product.ends).items():
            said = f"{name} ended on its own with {code} ({count} times)"
            if code in self.doubts:
                row.measured[f"{name}: exit {code}, as it must (decision 0011)"] = f"{count} times"
            else:
                row.missed.append(said)


Play = Callable[[Stage], Awaitable[None]]
CHAOS = Layout(processes=[kind.handled_by for kind in KINDS])
"""One web server and two workers with the chaos plugin."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the matrix. `what` says in one or two sentences what it does and asks for."""

    id: str
    fault: str
    what: str
    small: Form
    large: Form
    play: Play
    layout: Layout = CHAOS
    kinds: Sequence[Kind] = KINDS
    waits: bool = False
    """It mostly waits, and times nothing finer than seconds: another such one is played beside it."""


async def run(scenario: Scenario, form: Form, seed: int) -> tuple[Row, Facts | None]:
    """Play a scenario on a fresh product, and give its row and the facts that it rests on."""
    row = Row(scenario.id, scenario.fault, form.times, form.events, seed=seed, load=os.getloadavg()[0])
    row.at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    began, data = time.monotonic(), Path(tempfile.mkdtemp(prefix=f"evb-{scenario.id.lower()}-"))
    stage: Stage | None = None
    try:
        async with running(data, scenario.layout) as product:
            random = Random(f"{seed} {scenario.id}")
            stage = Stage(product, form, random, seed, row, Ledger(product.target), scenario.kinds)
            await scenario.play(stage)
    finally:
        row.took_s = time.monotonic() - began
        if row.missed and (kept := os.environ.get("CHAOS_LOGS")):
            shutil.copytree(data / "log", Path(kept) / scenario.id, dirs_exist_ok=True)
        shutil.rmtree(data)
    return row, stage.facts


def p99(values: Sequence[float]) -> float:
    """Give the 99th percentile."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def from_post_to_result_ms(facts: Facts, chosen: Callable[[Sent], bool] = lambda _: True) -> list[float]:
    """Give for each event with results how long it took from the start of its post until Kafka had the first of them."""
    first: dict[str, int] = {}
    for p in facts.published:
        first.setdefault(p.execution_id, p.stored_ms)
    keys: Mapping[str, str] = {s.id: s.key for s in facts.stored}
    executions = {e.event_key: e.execution_id for e in facts.executed}
    began = {executions[keys[s.id]]: s.began_ms for s in facts.sent if s.results and s.id in keys and chosen(s)}
    return [first[execution] - at for execution, at in began.items() if execution in first]
