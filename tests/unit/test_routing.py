# SPDX-License-Identifier: Apache-2.0
"""Routing: patterns and per-tenant enabling decide, and a change of the registry is seen at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bridge.hosting import routing
from bridge.hosting.routing import Router


@dataclass
class Process:
    patterns: tuple[str, ...]
    default_enabled: bool = True


@dataclass
class Setting:
    enabled: bool | None


PROCESSES = {"all": Process(("*",)), "users": Process(("user.*",)), "renames": Process(("user.*.renamed", "team.renamed"))}


@dataclass
class View:
    generation: int = 1
    disabled: set[tuple[str, str]] = field(default_factory=set)
    enabled: set[tuple[str, str]] = field(default_factory=set)
    asked: int = 0

    def process_of(self, tenant: str, process: str) -> Setting:
        self.asked += 1
        named = tenant, process
        return Setting(False if named in self.disabled else True if named in self.enabled else None)


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("user.created", ("all", "users")),
        ("user.name.renamed", ("all", "users", "renames")),
        ("team.renamed", ("all", "renames")),
        ("order", ("all",)),
        ("user", ("all",)),
    ],
)
def test_patterns_decide(event_type: str, expected: tuple[str, ...]) -> None:
    assert Router(View()).processes_for("acme", event_type, PROCESSES) == expected


def test_a_tenant_can_disable_a_process_for_itself_only() -> None:
    router = Router(View(disabled={("acme", "users")}))
    assert router.processes_for("acme", "user.created", PROCESSES) == ("all",)
    assert router.processes_for("beta", "user.created", PROCESSES) == ("all", "users")


def test_a_process_that_is_off_by_default_is_on_where_somebody_turned_it_on() -> None:
    processes = {"all": Process(("*",)), "forward": Process(("*",), default_enabled=False)}
    router = Router(View(enabled={("beta", "forward")}, disabled={("beta", "all")}))
    assert router.processes_for("acme", "user.created", processes) == ("all",)
    assert router.processes_for("beta", "user.created", processes) == ("forward",)
    assert not router.enabled("acme", "forward", processes["forward"])
    assert router.enabled("beta", "forward", processes["forward"])


def test_an_answer_is_remembered_until_the_registry_changes() -> None:
    view = View()
    router = Router(view)
    router.processes_for("acme", "user.created", PROCESSES)
    asked = view.asked
    router.processes_for("acme", "user.created", PROCESSES)
    assert view.asked == asked
    view.disabled.add(("acme", "users"))
    view.generation += 1
    assert router.processes_for("acme", "user.created", PROCESSES) == ("all",)


def test_other_processes_are_other_answers() -> None:
    router = Router(View())
    router.processes_for("acme", "user.created", PROCESSES)
    assert router.processes_for("acme", "user.created", {"users": Process(("user.*",))}) == ("users",)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "REMEMBERED", 100)
    router = Router(View())
    for n in range(1000):
        router.processes_for("acme", f"type.{n}", PROCESSES)
    assert len(router._known) <= 100
