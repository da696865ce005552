# SPDX-License-Identifier: Apache-2.0
"""
Promises 1 to 4 under fire: the whole product as `evb dev` runs it, killed with -9 in every part while events come in.

The short form runs in `make test`; `CHAOS=long` (`make chaos`) runs the form that the documentation quotes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.chaos import topics
from tests.chaos.accounting import FINAL, Facts, Sent, account
from tests.chaos.faults import inject, plan
from tests.chaos.ledger import Target, produce
from tests.chaos.lookups import shown

PREFIX = "bridge"
PLUGIN = Path(__file__).parent / "plugin"
LONG = os.environ.get("CHAOS") == "long"
SEED = int(os.environ.get("CHAOS_SEED", "20261123"))


@dataclass(frozen=True, slots=True)
class Form:
    """How much of it: events, their rate, and kills by role."""

    events: int
    rate: float
    kills: dict[str, int]


FORM = (
    Form(10_000, 150, {"worker": 10, "web": 5, "redis": 2, "kafka": 2})
    if LONG
    else Form(2_000, 100, {"worker": 3, "web": 2, "redis": 1, "kafka": 1})
)


TIERS = "1s,3s"
"""Two tiers: three attempts of everything that fails."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """Run `evb dev` with the chaos plugin; yields its ready file."""
    ready, log = tmp_path / "ready.json", (tmp_path / "dev.log").open("w")
    command = [sys.executable, "-m", "bridge.cli", "dev", "--port", "0", "--data", str(tmp_path / "data")]
    dev = subprocess.Popen(
        [*command, "--ready-file", str(ready)],
        env=os.environ | {"PYTHONPATH": str(PLUGIN), "EVB_RETRY_TIERS": TIERS},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert dev.poll() is None, (tmp_path / "dev.log").read_text()[-2000:]
            assert time.monotonic() < deadline, (tmp_path / "dev.log").read_text()[-2000:]
            time.sleep(0.1)
        yield ready
    finally:
        dev.send_signal(signal.SIGTERM)
        try:
            dev.wait(30)
        except subprocess.TimeoutExpired:
            dev.kill()
            raise
        finally:
            log.close()


async def _fire(ready: Path, span_s: float) -> None:
    faults = plan(SEED, **FORM.kills)
    start = time.monotonic()
    for n, fault in enumerate(faults, start=1):
        await asyncio.sleep(max(0.0, start + n * span_s / (len(faults) + 1) - time.monotonic()))
        await inject(fault, ready)


async def _drain(bootstrap: str, sent: list[Sent], timeout_s: float = 120) -> None:
    """Wait until every stored event has a final execution record; what is missing then is the checker's to name."""
    process = {s.id: s.process for s in sent}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        events = {(s.key, process.get(s.id)) for s in await asyncio.to_thread(topics.stored, bootstrap, PREFIX)}
        done = {
            (e.event_key, e.process) for e in await asyncio.to_thread(topics.executed, bootstrap, PREFIX) if e.status in FINAL
        }
        if events <= done:
            return
        await asyncio.sleep(0.5)


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_every_event_is_accounted_for(running: Path) -> None:
    stack = orjson.loads(running.read_bytes())
    target, bootstrap = Target(stack["url"], stack["tenants"][0]["api_key"]), stack["kafka"]
    sent, _ = await asyncio.gather(
        produce(target, FORM.events, FORM.rate, SEED, "chaos"), _fire(running, FORM.events / FORM.rate)
    )
    await _drain(bootstrap, sent)
    stored = topics.stored(bootstrap, PREFIX)
    facts = Facts(
        sent,
        stored,
        topics.executed(bootstrap, PREFIX),
        topics.published(bootstrap, PREFIX),
        topics.dead(bootstrap, PREFIX),
        await shown(target, {s.key for s in stored}),
    )
    findings = account(facts)
    verdicts = {s.verdict for s in sent}
    assert not findings, str(findings)
    assert verdicts <= {"accepted", "unknown"}, verdicts
    assert sum(s.verdict == "accepted" for s in sent) > 0.9 * len(sent)
    print(f"{len(sent)} events, {len(stored)} records, {sum(FORM.kills.values())} kills; {findings}")
