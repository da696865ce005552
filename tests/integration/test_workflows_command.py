# SPDX-License-Identifier: Apache-2.0
"""`evb workflows` on the real registry: applied, compared, listed, shown and deleted; runs find the version they began with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from bridge.cli.workflows import app
from bridge.domain.errors import Conflict, InvalidValue, NotFound
from bridge.registry import workflows as use_cases
from bridge.registry.session import changing, reading
from bridge.registry.workflows import KEPT_MS, Applied, apply_workflow, find_workflow
from bridge.settings import Settings
from bridge.workflows.reading import check
from tests.conftest import StackOfTests, as_environ
from tests.web_under_test import make_tenants


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    found = stack.settings(partitions=1)
    make_tenants(found, "acme", "other")
    return found


def evb(settings: Settings, *arguments: str) -> Result:
    done = CliRunner().invoke(app, arguments, env=as_environ(settings))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def shown(settings: Settings, *arguments: str) -> Any:
    """The JSON that a command writes; in this process the libraries' logs go to stdout as well."""
    lines = evb(settings, *arguments, "--json").stdout.splitlines()
    return json.loads("\n".join(line for line in lines if "[info" not in line))


def document(name: str, seconds: float = 1) -> dict[str, Any]:
    return {"name": name, "tasks": [{"name": "nap", "type": "sleep", "params": {"duration": seconds}}]}


def test_a_workflow_lives(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(json.dumps(document("order")))
    assert "+name: order" in evb(settings, "diff", "acme", str(file)).stdout
    assert evb(settings, "diff", "acme", str(file)).exit_code == 1
    assert "version 1" in evb(settings, "apply", "acme", str(file)).stdout
    assert "unchanged, version 1" in evb(settings, "apply", "acme", str(file)).stdout
    done = evb(settings, "diff", "acme", str(file))
    assert done.exit_code == 0
    assert "@@" not in done.stdout

    file.write_text("name: order\ntasks:\n- {name: nap, type: sleep, params: {duration: 2}}\n")
    lines = evb(settings, "diff", "acme", str(file)).stdout.splitlines()
    assert [line.strip() for line in lines if line[:1] in "+-"][2:] == ["-    duration: 1", "+    duration: 2"]
    assert shown(settings, "apply", "acme", str(file)) == [{"name": "order", "version": 2, "changed": True}]
    (row,) = shown(settings, "list", "acme")
    assert (row["workflow"], row["version"], row["tasks"], row["triggers"]) == ("order", 2, 1, "manual")
    assert shown(settings, "get", "acme", "order", "--version", "1") == document("order")
    assert "duration: 2" in evb(settings, "get", "acme", "order").stdout
    with pytest.raises(NotFound):
        evb(settings, "get", "other", "order")

    assert "is deleted" in evb(settings, "delete", "acme", "order").stdout
    assert shown(settings, "list", "acme") == []
    with pytest.raises(NotFound):
        evb(settings, "get", "acme", "order")
    with reading(settings) as registry:
        kept = registry.workflows.version("acme", "order", 2)
        assert kept is not None, "runs that began with it still find it"
    assert "version 3" in evb(settings, "apply", "acme", str(file)).stdout


def test_every_fault_of_a_file_is_shown_and_nothing_is_applied(settings: Settings, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.yaml"
    good.write_text(json.dumps(document("good")))
    bad.write_text("name: Bad\ntasks: [{name: a, type: sleep, params: {duration: 0}}]")
    with pytest.raises(InvalidValue) as caught:
        evb(settings, "apply", "acme", str(good), str(bad))
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == ["/name", "/tasks/0/params/duration"]
    with pytest.raises(InvalidValue, match="No such file"):
        evb(settings, "apply", "acme", str(tmp_path / "none"))
    with reading(settings) as registry:
        assert registry.workflows.current("acme", "good") is None


def test_of_two_who_apply_at_once_one_wins(settings: Settings) -> None:
    async def run() -> list[Any]:
        async with changing(settings) as one, changing(settings) as two:
            return await asyncio.gather(
                apply_workflow(one, "acme", check(document("race", 1))),
                apply_workflow(two, "acme", check(document("race", 2))),
                return_exceptions=True,
            )

    found = asyncio.run(run())
    assert sorted(isinstance(one, Applied) + 2 * isinstance(one, Conflict) for one in found) == [1, 2], found
    with reading(settings) as registry:
        assert [one.number for one in registry.workflows.versions("acme", "race")] == [1]


def test_old_versions_lose_their_documents_once_no_run_can_need_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with changing(settings) as changes:
            for seconds in (1, 2):
                await apply_workflow(changes, "acme", check(document("old", seconds)))
            now = use_cases.now_ms()
            monkeypatch.setattr(use_cases, "now_ms", lambda: now + KEPT_MS + 60_000)
            await apply_workflow(changes, "acme", check(document("old", 3)))
            kept = [(one.number, bool(one.document)) for one in changes.registry.workflows.versions("acme", "old")]
            assert kept == [(1, False), (2, True), (3, True)]
            assert changes.registry.workflows.version("acme", "old", 1) is None
            with pytest.raises(NotFound):
                find_workflow(changes.registry, "acme", "old", 1)

    asyncio.run(run())


def test_what_every_process_holds_is_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def apply(name: str) -> None:
        async with changing(settings) as changes:
            await apply_workflow(changes, "other", check(document(name)))

    asyncio.run(apply("one"))
    monkeypatch.setattr(use_cases, "MOST", 1)
    with pytest.raises(InvalidValue, match="at most 1 workflows"):
        asyncio.run(apply("two"))
    monkeypatch.setattr(use_cases, "MOST", 200)
    monkeypatch.setattr(use_cases, "BYTES", 2 * len(msgspec.json.encode(document("one"))) - 1)
    with pytest.raises(InvalidValue, match="would take"):
        asyncio.run(apply("two"))


def test_an_unknown_tenant(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_text(json.dumps(document("w")))
    for command in (["apply", "nobody", str(file)], ["diff", "nobody", str(file)], ["list", "nobody"], ["delete", "nobody", "w"]):
        with pytest.raises(NotFound):
            evb(settings, *command)
