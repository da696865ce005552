# SPDX-License-Identifier: Apache-2.0
"""P3: results that cannot be published, between good events; plugins that cannot be used, at the start."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.product import ROOT
from tests.chaos.scenarios.abuse import GOOD, LAYOUT, abuse, among_good_ones
from tests.chaos.scenarios.stage import Form, Scenario, Stage
from tests.conftest import as_environ

CODES = {
    "bloats": "result-too-large",
    "bloats-in-all": "result-too-large",
    "unserialisable": "not-serialisable",
    "nonsense": "invalid-outcome",
}
FAULTS = tuple(abuse(name) for name in CODES)
SAME = """
from bridge.sdk import Completed, Process, hookimpl

class Same(Process):
    name, version, events = "same", "1.0.0", ("same.*",)

    async def run(self, event, context):
        return Completed()

@hookimpl
def bridge_processes():
    return [Same()]
"""
BROKEN = "import a_module_that_nobody_has\n"
MISCONFIGURED = 2


async def play(stage: Stage) -> None:
    folder = stage.product.stack.data / "faulty-plugins"
    _plugin(folder / "same", "evb-one", SAME)
    _plugin(folder / "same", "evb-two", SAME)
    _plugin(folder / "broken", "evb-broken", BROKEN)
    await _refused(stage, folder / "same", ("evb-one", "evb-two"))
    await _refused(stage, folder / "broken", ("evb-broken", "a_module_that_nobody_has"))
    await among_good_ones(stage, FAULTS, CODES)


def _plugin(folder: Path, name: str, code: str) -> None:
    module = name.replace("-", "_")
    about = folder / f"{module}-1.0.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
    (about / "entry_points.txt").write_text(f"[event_bridge.plugins]\n{module} = {module}\n")
    (folder / f"{module}.py").write_text(code)


async def _refused(stage: Stage, folder: Path, said: Sequence[str]) -> None:
    """Start a worker with these plugins: it must end at once and say which they are."""
    environ = os.environ | as_environ(stage.product.settings) | {"PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT)))}
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge.cli", "worker"),
        env=environ | {"EVB_WORKER_SLOT": "faulty"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(worker.communicate(), 60)
    except TimeoutError:
        worker.kill()
        await worker.wait()
        stage.asked(False, f"a worker with {', '.join(said)} runs")
        return
    missing = [word for word in said if word not in output.decode()]
    stage.asked(not missing, f"what it says does not name {', '.join(missing)}: {output.decode()[-300:]}")
    stage.asked(worker.returncode == MISCONFIGURED, f"exit code {worker.returncode} with {', '.join(said)}")


SCENARIO = Scenario(
    "P3",
    "faulty results and plugins",
    "Results above the largest size (one, and many together), results that are no JSON, no outcome at all, between good events; "
    "a worker is started with a plugin that cannot be imported, and with two of one name. Asked: a dead letter with the reason "
    "for each, the good ones complete; the worker refuses to start and names the plugins.",
    Form(2_000, 80, 3),
    Form(20_000, 80, 20),
    play,
    LAYOUT,
    (*GOOD, *FAULTS),
)
