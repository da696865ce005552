# SPDX-License-Identifier: Apache-2.0
"""How a run is shown: every member of Flow's WorkflowRun, a tree for people, and a picture whose boxes never overlap."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings

from bridge.domain import ids
from bridge.workflows.advance import advance, fresh
from bridge.workflows.drawing import HEIGHT, LETTERS, WIDTH, places, svg
from bridge.workflows.reading import check
from bridge.workflows.run import Run
from bridge.workflows.shown import document
from bridge.workflows.signals import Approval, Callback, Signal, Start, TaskEnded
from bridge.workflows.tree import tree
from tests.unit.test_workflow_model import documents

START = 1_764_373_000_000
WORKFLOW = check(
    {
        "name": "order",
        "displayName": "Order",
        "labels": {"team": "shop"},
        "annotations": {"note": "x"},
        "params": [{"name": "who", "default": "Ada"}],
        "timeout": 60,
        "tasks": [
            {"name": "Check", "type": "process", "processRef": "p", "params": {"for": "$(params.who)"}, "timeout": 2},
            {"name": "pay", "type": "eventwait", "params": {"topic": "paid-$(run.id)"}},
            {
                "name": "ask",
                "type": "approval",
                "dependencies": [{"taskRef": "Check", "executionCondition": "success"}, {"taskRef": "pay"}],
            },
            {"name": "tell all", "type": "emit", "params": {"type": "e", "data": "$(task.ask.results.data)"},
             "dependencies": [{"taskRef": "ask"}]},
        ],
        "results": [
            {"name": "paid", "description": "what was paid", "value": "$(task.pay.results.data.amount)"},
            {"name": "none", "value": "$(params.data)"},
        ],
    }
)  # fmt: skip
BEGIN = Start(
    tenant="t",
    workflow="order",
    version=3,
    trigger="event",
    initiated_by="bfw_1",
    labels={"run": "1"},
    params={"event": {"data": {"n": 1}}},
)


def after(*signals: Signal) -> Run:
    run = None
    for at, signal in enumerate((BEGIN, *signals)):
        run = advance("r", run, WORKFLOW, signal, START + at * 1000).run
    assert run is not None
    return run


DONE = (
    TaskEnded(task="Check", attempt=1, status="succeeded", results={"data": {"ok": True}}),
    Callback(topic="paid-r", results={"data": {"amount": 5}}),
    Approval(task="ask", approved=True, by="me"),
)


def test_a_fresh_run() -> None:
    shown = document(fresh("r", BEGIN, START), WORKFLOW)
    assert (shown["status"], shown["phase"], shown["duration"]) == ("notstarted", "pending", 0)
    assert "startTime" not in shown
    assert {task["status"] for task in shown["tasks"]} == {"notstarted"}
    assert shown["tasks"][0]["params"] == [{"name": "for", "value": "$(params.who)"}]


def test_a_run_that_waits_for_somebody() -> None:
    shown = document(after(*DONE[:2]), WORKFLOW)
    assert (shown["status"], shown["phase"], shown["isAwaitingApproval"]) == ("waiting", "running", True)
    assert "results" in shown
    assert shown["results"] == []
    assert shown["tasks"][1]["params"] == [{"name": "topic", "value": "paid-r"}]
    assert shown["tasks"][1]["results"] == [{"name": "data", "value": {"amount": 5}}]


def test_every_member_of_a_run_that_ended() -> None:
    event = {"data": {"n": 1}}
    shown = document(after(*DONE), WORKFLOW)
    assert json.loads(json.dumps(shown)) == shown
    task = shown.pop("tasks")[0]
    assert shown == {
        "id": "r",
        "creationDate": "2025-11-28T23:36:40.000Z",
        "status": "succeeded",
        "phase": "completed",
        "startTime": "2025-11-28T23:36:40.000Z",
        "duration": 3000,
        "isAwaitingApproval": False,
        "timeout": 60.0,
        "retries": 0,
        "debug": False,
        "workflowRef": "order",
        "workflowName": "order",
        "workflowDisplayName": "Order",
        "workflowVersion": 3,
        "workflowRevisionRef": "order.3",
        "trigger": "event",
        "initiatedByRef": "bfw_1",
        "labels": {"team": "shop", "run": "1"},
        "annotations": {"note": "x"},
        "params": [
            {"name": "who", "value": "Ada"},
            {"name": "n", "value": 1},
            {"name": "data", "value": {"n": 1}},
            {"name": "event", "value": event},
        ],
        "results": [
            {"name": "paid", "description": "what was paid", "value": 5},
            {"name": "none", "value": {"n": 1}},
        ],
        "workspaces": [],
    }
    assert task == {
        "id": ids.task_id("r", "Check", 1),
        "name": "Check",
        "type": "process",
        "creationDate": "2025-11-28T23:36:40.000Z",
        "status": "succeeded",
        "phase": "completed",
        "startTime": "2025-11-28T23:36:40.000Z",
        "duration": 1000,
        "timeout": 2.0,
        "retries": 0,
        "workflowRef": "order",
        "workflowRunRef": "r",
        "params": [{"name": "for", "value": "Ada"}],
        "results": [{"name": "data", "value": {"ok": True}}],
        "dependencies": [],
    }


def test_why_it_failed() -> None:
    shown = document(
        after(TaskEnded(task="Check", attempt=1, status="failed", reason="no stock"), Callback(topic="paid-r")), WORKFLOW
    )
    assert (shown["status"], shown["statusMessage"]) == ("failed", "The task Check is failed: no stock")
    assert shown["tasks"][0]["statusMessage"] == "no stock"
    assert shown["tasks"][2]["status"] == "skipped"


def test_the_tree() -> None:
    failed = TaskEnded(task="Check", attempt=1, status="failed", reason="no\n\x1b[31mstock")
    assert tree(after(failed), WORKFLOW) == (
        "◔ order version 3  waiting\n"
        "├─ ✗ Check  process  failed 1.0 s: no  [31mstock\n"
        "└─ ◔ pay  eventwait  waiting\n"
        "   └─ · ask  approval  notstarted (also after Check)\n"
        "      └─ · tell all  emit  notstarted\n"
    )


def test_the_picture_is_xml_and_says_what_happened() -> None:
    picture = svg(after(TaskEnded(task="Check", attempt=1, status="failed", reason="<script>\x00")), WORKFLOW)
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert "order version 3: waiting" in texts
    assert "Check (process): failed, <script> " in texts
    assert "process · failed" in texts
    assert texts.count("success") == 1
    assert "style=" not in picture


@given(documents())
@settings(max_examples=50)
def test_boxes_never_overlap_and_lie_below_what_they_wait_for(drawn: dict[str, Any]) -> None:
    workflow = check(drawn)
    at = places(workflow)
    boxes = list(at.values())
    assert len({(one.x, one.y) for one in boxes}) == len(workflow.tasks)
    for one in boxes:
        assert not [two for two in boxes if two != one and abs(one.x - two.x) < WIDTH and abs(one.y - two.y) < HEIGHT]
    for task in workflow.tasks:
        assert all(at[one.task_ref].y + HEIGHT < at[task.name].y for one in task.dependencies)
    run = advance("r", None, workflow, Start(tenant="t", workflow="w", version=1), START).run
    assert run is not None
    ElementTree.fromstring(svg(run, workflow))
    lines = tree(run, workflow).splitlines()
    assert len(lines) == len(workflow.tasks) + 1


def test_long_names_stay_in_their_box() -> None:
    workflow = check({"name": "w", "tasks": [{"name": "n" * 63, "type": "approval"}]})
    root = ElementTree.fromstring(svg(fresh("r", BEGIN, START), workflow))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert max(map(len, texts)) <= LETTERS
