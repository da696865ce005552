# SPDX-License-Identifier: Apache-2.0
"""
Promises 1 to 4 under fire: the whole product as `evb dev` runs it, killed with -9 in every part while events come in.

The short form runs in `make test`; `CHAOS=long` (`make chaos-long`) runs more of it. The matrix of single faults, with several
workers, is `python -m tests.chaos` (`make chaos`).
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
from tests.chaos.accounting import Facts, account
from tests.chaos.drain import drained
from tests.chaos.faults import inject, plan
from tests.chaos.ledger import Load, Target, produce
from tests.chaos.lookups import shown
from tests.chaos.product import PLUGIN, TIERS

PREFIX = "bridge"
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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """Run `evb dev` with the chaos plugin; yields its ready file."""
    ready, log = tmp_path / "ready.json", (tmp_path / "dev.log").open("w")
    command = [sys.executable, "-m", "bridge.cli", "dev", "--port", "0", "--data", str(tmp_path / "data")]
    dev = subprocess.Popen(
        [*command, "--ready-file", str(ready)],
        env=os.environ | {"PYTHONPATH": str(PLUGIN), "EVB_RETRY_TIERS": TIERS, "EVB_BREAKER_FAILURES": "0"},
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


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_every_event_is_accounted_for(running: Path) -> None:
    stack = orjson.loads(running.read_bytes())
    target, bootstrap = Target((stack["url"],), (stack["tenants"][0]["api_key"],)), stack["kafka"]
    sent, _ = await asyncio.gather(
        produce(target, Load(FORM.events, FORM.rate, SEED, "chaos")), _fire(running, FORM.events / FORM.rate)
    )
    await asyncio.to_thread(
        drained, bootstrap, PREFIX, {s.id: s.process for s in sent}
    )  # what is missing is the checker's to name
    stored = topics.stored(bootstrap, PREFIX)
    facts = Facts(
        sent,
        stored,
        topics.executed(bootstrap, PREFIX),
        topics.published(bootstrap, PREFIX),
        topics.dead(bootstrap, PREFIX),
        await shown(target, {s.key: 0 for s in stored}),
    )
    findings = account(facts)
    verdicts = {s.verdict for s in sent}
    assert not findings, str(findings)
    assert verdicts <= {"accepted", "unknown"}, verdicts
    assert sum(s.verdict == "accepted" for s in sent) > 0.9 * len(sent)
    print(f"{len(sent)} events, {len(stored)} records, {sum(FORM.kills.values())} kills; {findings}")
