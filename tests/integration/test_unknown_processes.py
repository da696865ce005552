# SPDX-License-Identifier: Apache-2.0
"""A process that nobody knows can be paused, enabled and disabled, since it may come later; that it is unknown is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bridge.cli import processes, tenants
from bridge.registry.objects import AnnouncedProcess
from bridge.settings import Settings
from tests.conftest import StackOfTests, as_environ
from tests.integration.test_workers_command import announced
from tests.web_under_test import make_tenants

WARNING = "no worker has announced a process {}; is it spelled right?"
LONG_AGO_S = 3 * 86_400.0


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme")
    announced(found, "0", 1, processes=(AnnouncedProcess("invoices", "1.0.0", ("*",)),))
    announced(found, "1", LONG_AGO_S, processes=(AnnouncedProcess("archive", "1.0.0", ("*",)),))
    return found


def warned(settings: Settings, app: typer.Typer, *arguments: str) -> str:
    """What a command that succeeds says on stderr."""
    done = CliRunner().invoke(app, arguments, env=as_environ(settings))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("✓ ")
    return done.stderr


def test_pausing_a_process_that_nobody_knows_warns(settings: Settings) -> None:
    assert warned(settings, processes.app, "pause", "nosuch").splitlines() == [f"! {WARNING.format('nosuch')}"]
    near = warned(settings, processes.app, "pause", "invoice", "--tenant", "acme")
    assert near.splitlines() == [f"! {WARNING.format('invoice')} Did you mean invoices?"]


@pytest.mark.parametrize("known", ["invoices", "archive", "record", "webhook", "runs"])
def test_pausing_a_process_that_somebody_knows_does_not(settings: Settings, known: str) -> None:
    assert warned(settings, processes.app, "pause", known) == ""


def test_pausing_all_of_a_tenants_processes_does_not(settings: Settings) -> None:
    assert warned(settings, processes.app, "pause", "--tenant", "acme") == ""


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_enabling_and_disabling_warns_too(settings: Settings, verb: str) -> None:
    assert WARNING.format("recrod") + " Did you mean record?" in warned(settings, tenants.app, verb, "acme", "recrod")
    assert warned(settings, tenants.app, verb, "acme", "record") == ""


def test_a_broken_plugin_keeps_nobody_from_pausing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[event_bridge.plugins]\nodd = nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert WARNING.format("other") in warned(settings, processes.app, "pause", "other")
