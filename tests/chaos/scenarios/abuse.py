# SPDX-License-Identifier: Apache-2.0
"""P2: a process in children does everything that a plugin must not do, between good events of others."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.chaos.accounting import Sent
from tests.chaos.ledger import KINDS, Kind, Load
from tests.chaos.product import PLUGIN, Layout
from tests.chaos.scenarios.stage import Form, Scenario, Stage

ABUSIVE = PLUGIN.parent / "abusive"
FORKED = Path(tempfile.gettempdir()) / f"evb-chaos-forked-{os.getpid()}"
"""Where the fork bomb writes down which processes it has started."""
CODES = {
    "spins": "timeout",
    "holds-the-interpreter": "timeout",
    "forks": "timeout",
    "exits": "crashed",
    "faults": "crashed",
    "is-killed": "crashed",
    "allocates": "out-of-memory",
    "raises": "exception",
}
"""What an abuse does -> the code of its dead letter."""


def abuse(name: str, data: object = None) -> Kind:
    """Give the kind of event that makes the abuser do this; its policy is one attempt."""
    return Kind(name, 1, "failed", 0, "abuser", f"abuser.{name}", 1, json.dumps(data) if data else "")


GOOD = (*(kind for kind in KINDS if kind.results), Kind("reliable", 5, "completed", 1, "reliable", "reliable.any"))
ABUSES = tuple(abuse(name, str(FORKED) if name == "forks" else None) for name in CODES)
HARMLESS = Kind("prints", 1, "completed", 0, "abuser", "abuser.prints", 1)
LAYOUT = Layout(processes=[kind.handled_by for kind in GOOD], plugins=(PLUGIN, ABUSIVE))


async def among_good_ones(stage: Stage, kinds: Sequence[Kind], codes: Mapping[str, str]) -> None:
    """Post each kind as often as the form says, spread over a load of good events, and check the reasons."""
    workers = {worker.pid for worker in stage.product.workers}
    times, rate = stage.form.times, stage.form.times / stage.span_s
    loads = [Load(times, rate, stage.seed, f"abuse-{kind.name}", (kind,)) for kind in kinds]
    many: list[list[Sent]] = await asyncio.gather(stage.produce(kinds=GOOD), *map(stage.ledger.produce, loads))
    await stage.settle([s for sent in many for s in sent])
    assert stage.facts is not None
    for letter in stage.facts.dead:
        asked = codes.get(letter.type.removeprefix("abuser."), "no dead letter")
        stage.asked(letter.code == asked, f"{letter.type} is set aside as {letter.code}, asked {asked}")
    stage.asked({worker.pid for worker in stage.product.workers} == workers, "a worker was started again")
    stage.row.times = times * len(kinds)


async def play(stage: Stage) -> None:
    try:
        await among_good_ones(stage, (*ABUSES, HARMLESS), CODES)
        left = [pid for pid in map(int, FORKED.read_text().split()) if psutil.pid_exists(pid)]
        stage.asked(not left, f"{len(left)} processes of a fork bomb are left")
    finally:
        FORKED.unlink(missing_ok=True)


SCENARIO = Scenario(
    "P2",
    "abusive processes in children",
    "A process with isolation `process` spins, holds the interpreter, starts 20 processes, exits, faults, is killed, asks for "
    "2 GB, raises and prints 10 GB, between good events. Asked: each ends with its reason, the good ones all complete, and no "
    "worker ends.",
    Form(3_000, 80, 3),
    Form(20_000, 80, 20),
    play,
    LAYOUT,
    (*GOOD, *ABUSES, HARMLESS),
)
