# SPDX-License-Identifier: Apache-2.0
"""The catalogues of the web are whole: problems, metrics, logs and routes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from bridge import logs, metrics
from bridge.domain.errors import BridgeError, Misconfigured
from bridge.settings import Settings
from web.access_log import _json, _readable
from web.http.problem_types import MEANING, every_error

ROOT = Path(__file__).parents[2]
LINE = (1_769_860_800.5, "GET", "/a\n\x1b[31m", 200, 0.0123, 7, "fx", "req_1")


def test_every_error_that_an_answer_may_name_has_a_meaning() -> None:
    named = {e for e in every_error() if "code" in vars(e) and e.__module__.startswith(("bridge.domain", "web."))}
    assert named - {Misconfigured} == set(MEANING)
    assert len({error.code for error in MEANING}) == len(MEANING)
    assert all(400 <= error.status < 600 for error in MEANING)
    assert BridgeError in MEANING


def test_every_metric_is_in_the_catalogue_and_named_by_the_rules() -> None:
    made = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    assert len(made) == len(metrics.CATALOGUE) == len({m.name for m in metrics.described()})
    for metric in metrics.described():
        assert metric.name.startswith("evb_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.said.endswith(".")
        assert not {"tenant", "id", "event"} & set(metric.labels)


def test_the_catalogue_is_on_its_page() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert [m.name for m in metrics.described() if f"`{m.name}` | {m.kind} |" not in page] == []


def test_the_exposition_shows_the_catalogue() -> None:
    text = metrics.exposition().decode()
    assert [m.name for m in metrics.described() if f"# TYPE {m.name} {m.kind}" not in text] == []
    assert "_created" not in text


def test_an_access_line_is_one_line_and_holds_no_control_characters() -> None:
    line = _json(LINE)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == LINE[2]
    assert json.loads(line)["timestamp"] == "2026-01-31T12:00:00.500Z"
    readable = _readable(LINE)
    assert readable.rstrip("\n").isprintable()
    assert "12:00:00.500 200 GET" in readable


SAY = """
import logging
from bridge import logs
from bridge.settings import Settings
logs.configure(Settings(log_format="{format}", log_level="{level}"))
logs.get("web").info("started", port=8080)
logging.getLogger("some.library").warning("odd: %s", "thing")
try:
    1 / 0
except ZeroDivisionError:
    logs.get("web").exception("failed")
"""


def said(form: str, level: str) -> list[str]:
    """What a process of its own writes."""
    program = SAY.format(format=form, level=level)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("level", ["info", "warning"])
def test_ours_and_libraries_lines_are_json_on_stdout(level: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(format="json", level=level)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == [*(["started"] if level == "info" else []), "odd: thing", "failed"]
    assert lines[-1]["level"] == "error"
    assert "ZeroDivisionError" in lines[-1]["exception"]
    assert all({"timestamp", "logger", "level"} <= set(line) for line in lines)


def test_lines_for_people_are_no_json() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(format="console", level="info")], capture_output=True, text=True, cwd=ROOT
    )
    assert "started" in done.stdout
    assert "{" not in done.stdout.splitlines()[0]


def test_lines_are_json_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs.as_json(Settings(log_format="auto"))  # pytest's stdout is no terminal
    assert not logs.as_json(Settings(log_format="console"))
    assert logging.getLogger("web") is not None
    assert capsys.readouterr().out == ""
