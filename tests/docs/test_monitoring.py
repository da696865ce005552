# SPDX-License-Identifier: Apache-2.0
"""The alert rules and the dashboard in `deploy/` name only metrics and labels of the catalogue, and are well-formed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bridge.metrics import described
from tests.docs.pages import ROOT
from tests.docs.promql import faults, known, named

GROUPS = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SPAN = re.compile(r"\d+(s|m|h|d)")
SHOWN = re.compile(r"\$labels\.(\w+)")


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_names_what_the_catalogue_has(where: str, expression: str) -> None:
    assert faults(expression) == [], where


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_happened_and_what_to_do_first(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert SPAN.fullmatch(rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "first"}
    assert all(text.strip() and text.count("{{") == text.count("}}") for text in rule["annotations"].values())
    kept = {label for inside in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in inside.replace(" ", "").split(",")}
    assert set(SHOWN.findall(str(rule["annotations"]))) <= kept, "it shows only labels that the expression keeps"


def test_alerts_have_names_of_their_own_and_cover_what_goes_wrong() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    watched = frozenset().union(*(named(rule["expr"]).metrics for rule in RULES))
    assert {
        "evb_partition_committed_age_seconds",
        "evb_partition_lag_records",
        "evb_worker_stalls_total",
        "evb_overdue_seconds",
        "evb_topic_partitions",
        "evb_loop_lag_seconds",
        "evb_dead_letters_total",
        "evb_events_expired_total",
        "evb_ingress_requests_total",
        "evb_limiter_degraded",
        "evb_process_breakers_open",
    } <= watched


def test_an_alert_for_every_alarm_is_in_the_operators_page() -> None:
    page = (ROOT / "docs/how-to/operate.md").read_text()
    assert [rule["alert"] for rule in RULES if f"`{rule['alert']}`" not in page] == []


def test_the_dashboard_can_be_imported() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["title"]
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= named(target["expr"]).labels


def test_the_dashboard_shows_what_the_alerts_watch() -> None:
    shown = frozenset().union(*(named(target["expr"]).metrics for panel in PANELS for target in panel["targets"]))
    watched = frozenset().union(*(named(rule["expr"]).metrics for rule in RULES))
    assert watched <= shown


def test_a_name_that_the_catalogue_lacks_is_noticed() -> None:
    assert faults("sum(rate(evb_nosuch_total[5m]))") == ["evb_nosuch_total is no metric"]
    assert faults("sum by (tenant) (evb_partition_lag_records)") == ["tenant is no label of evb_partition_lag_records"]
    assert faults('evb_dead_letters_total{resaon="x"}') == ["resaon is no label of evb_dead_letters_total"]
    assert faults("summ(evb_partition_lag_records") == ["summ() is not known here", "() do not match"]
    assert faults("up == 0") == ["it names no metric of ours"]
    assert {metric.name for metric in described()} <= known().keys()
