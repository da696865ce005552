# SPDX-License-Identifier: Apache-2.0
"""`evb runs` with a worker: a run is shown as a tree, ended, and retried from what failed."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bridge.cli.runs import app
from bridge.domain.errors import Conflict, NotFound
from bridge.settings import Settings
from tests.conftest import StackOfTests, as_environ
from tests.integration.running import adds, set_up, start, task, workflow
from tests.integration.workers import site, until, working

pytestmark = pytest.mark.timeout(200)


def evb(settings: Settings, *arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env=as_environ(settings))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def shown(settings: Settings, tenant: str, run_id: str) -> Any:
    return answered(settings, "get", tenant, run_id)


def answered(settings: Settings, *arguments: str) -> Any:
    """The JSON that a command shows, behind what was logged."""
    lines = evb(settings, *arguments, "--json").splitlines()
    return json.loads("\n".join(lines[next(at for at, line in enumerate(lines) if line in ("{", "[", "[]")) :]))


def test_runs_are_shown_ended_and_retried(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack, retry_tiers="300ms")
    tenant = set_up(
        settings,
        workflow("waits", task("wait", "eventwait", params={"topic": "paid"}), adds("then", 1, "wait")),
        workflow("asks", task("may", "approval", params={}), adds("then", 1, "may")),
        workflow("fails", task("bad", "process", processRef="slow", params={}), adds("after", 1, "bad")),
    )
    with working(stack, settings, tmp_path, processes="quick,slow"):
        (waits,), (fails,) = start(settings, tenant, "waits"), start(settings, tenant, "fails")
        until(lambda: shown(settings, tenant, waits)["status"] == "waiting", "it waits")
        said = evb(settings, "get", tenant, waits)
        assert "waits version 1  waiting" in said
        assert "└─ ◔ wait  eventwait  waiting" in said
        assert "   └─ · then  process  notstarted" in said
        with pytest.raises(Conflict, match="cannot be retried: it is waiting"):
            evb(settings, "retry", tenant, waits)
        evb(settings, "cancel", tenant, waits, "--reason", "enough")
        until(lambda: shown(settings, tenant, waits)["status"] == "cancelled", "it is cancelled")
        assert shown(settings, tenant, waits)["statusMessage"] == "enough"
        with pytest.raises(Conflict, match="has ended: it is cancelled"):
            evb(settings, "cancel", tenant, waits)
        until(lambda: shown(settings, tenant, fails)["status"] == "failed", "it fails")
        with pytest.raises(Conflict, match="the task after is skipped"):
            evb(settings, "retry", tenant, fails, "--task", "after")
        evb(settings, "retry", tenant, fails, "--task", "bad")
        until(lambda: shown(settings, tenant, fails)["retries"] == 1, "it is retried")
        (yes,), (no,) = start(settings, tenant, "asks"), start(settings, tenant, "asks")
        for run_id, arguments, status in ((yes, (), "succeeded"), (no, ("--reject", "--comment", "too dear"), "failed")):
            until(lambda: shown(settings, tenant, run_id)["isAwaitingApproval"], "it asks")  # noqa: B023  used at once
            evb(settings, "approve", tenant, run_id, "may", *arguments)
            until(lambda: shown(settings, tenant, run_id)["status"] == status, f"it has {status}")  # noqa: B023
        with pytest.raises(Conflict, match="does not wait for may: it is succeeded"):
            evb(settings, "approve", tenant, yes, "may")
    for command in ("get", "cancel", "retry"):
        for owner, run_id in ((tenant, str(uuid.uuid4())), ("somebody", waits)):
            with pytest.raises(NotFound):
                evb(settings, command, owner, run_id)


def test_runs_are_started_by_hand_and_listed(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    off = {"manual": {"enabled": False}}
    waits = workflow("waits", task("wait", "eventwait", params={"topic": "paid"}), params=[{"name": "n", "type": "number"}])
    tenant = set_up(settings, waits, workflow("adds", adds("add", 1)), workflow("off", adds("add", 1), triggers=off))
    other = set_up(settings)
    with working(stack, settings, tmp_path, processes="quick"):
        said = answered(settings, "start", tenant, "waits", "--param", "n=7", "--param", "who=me=you")
        evb(settings, "start", tenant, "adds")
        params = {one["name"]: one["value"] for one in shown(settings, tenant, said["id"])["params"]}
        assert params == {"n": 7, "who": "me=you"}

        def listed(*arguments: str) -> list[tuple[str, str]]:
            rows = answered(settings, "list", tenant, *arguments)
            return [(row["workflow"], row["status"]) for row in rows]

        until(lambda: listed() == [("adds.1", "succeeded"), ("waits.1", "waiting")], "both are listed, the newest first")
        assert listed("--status", "waiting") == listed("--workflow", "waits") == [("waits.1", "waiting")]
        assert listed("--most", "1") == [("adds.1", "succeeded")]
        assert "No such runs" in evb(settings, "list", other)
    with pytest.raises(Conflict, match="not enabled"):
        evb(settings, "start", tenant, "off")
    for arguments in (("start", tenant, "nothing"), ("list", "nobody")):
        with pytest.raises(NotFound):
            evb(settings, *arguments)
    for arguments in (("start", tenant, "adds", "--param", "n"), ("list", tenant, "--status", "odd")):
        assert CliRunner().invoke(app, arguments, env=as_environ(settings)).exit_code == 2
