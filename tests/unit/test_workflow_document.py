# SPDX-License-Identifier: Apache-2.0
"""Documents of workflows: both writings mean the same, every fault is named at once with its place, and bombs are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.domain.errors import InvalidWorkflow
from bridge.workflows import graph, schema, yamltext
from bridge.workflows.document import Workflow
from bridge.workflows.limits import DEPTH, DOCUMENT_BYTES
from bridge.workflows.reading import check, read
from bridge.workflows.tasks import KINDS

ORDER = """
name: order
displayName: Order
params:
  - {name: customer, default: Ada}
  - {name: lines, type: array, required: true}
triggers:
  event:
    enabled: true
    conditions: [{field: $.type, operation: equals, value: order.created}]
  schedule: {enabled: true, cron: 0 9 * * 1-5, timezone: Europe/Berlin}
tasks:
  - name: Check
    type: process
    processRef: greeter
    params: [{name: who, value: $(params.customer)}]
  - name: Wait for payment
    type: eventwait
    params: {topic: "paid-$(run.id)"}
    timeout: 60
    dependencies: [{taskRef: Check, executionCondition: success}]
  - {name: size, type: decision, params: {value: $(task.Wait for payment.results.data.size)},
     dependencies: [{taskRef: Wait for payment}]}
  - {name: ask, type: approval, dependencies: [{taskRef: size, decisionCondition: big}]}
  - {name: nap, type: sleep, params: {duration: 1.5}, dependencies: [{taskRef: size}]}
  - {name: child, type: workflow, workflowRef: ship, params: {to: $(params.data.address.city)}, dependencies: [{taskRef: nap}]}
  - {name: done, type: emit, params: {type: order.done, data: {by: $(task.child.results.data)}}, dependencies: [{taskRef: child}]}
results: [{name: size, value: $(task.size.results.value)}]
"""


def faults(document: Any) -> dict[str, str]:
    """The faults of a document by their places."""
    with pytest.raises(InvalidWorkflow) as caught:
        read(document if isinstance(document, bytes) else json.dumps(document).encode())
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def with_tasks(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "w", "tasks": list(tasks), **more}


def nap(name: str, *before: str) -> dict[str, Any]:
    dependencies = [{"taskRef": one} for one in before]
    return {"name": name, "type": "sleep", "params": {"duration": 1}, "dependencies": dependencies}


def test_json_and_yaml_mean_the_same_and_what_is_kept_is_read_again() -> None:
    workflow = read(ORDER.encode())
    assert read(json.dumps(yamltext.read(ORDER)).encode()) == workflow
    assert read(json.dumps(workflow.plain()).encode()).plain() == workflow.plain()
    assert workflow.plain()["tasks"][0] == {
        "name": "Check",
        "type": "process",
        "processRef": "greeter",
        "params": {"who": "$(params.customer)"},
    }


def test_what_need_not_be_said_makes_no_difference() -> None:
    said = with_tasks(nap("a"), description="", triggers={"manual": {"enabled": True}, "event": {"enabled": False}})
    assert check(said).plain() == check(with_tasks(nap("a"))).plain()


def test_every_fault_is_named_at_once_with_its_place() -> None:
    document = {
        "name": "Order",
        "color": "red",
        "params": [{"name": "n", "type": "number", "default": "x"}, {"name": "n"}],
        "tasks": [
            {"name": "A", "type": "sleep", "params": [{"name": "duration", "value": -1}], "dependencies": [{"taskRef": "B"}]},
            {
                "name": "B",
                "type": "emit",
                "params": {"type": "$(params.nope)", "data": [1, "$(task.A.results.data)"]},
                "dependencies": [{"taskRef": "A"}, {"taskRef": "Z"}],
            },
            {"name": "C", "type": "what"},
            {"name": "B", "type": "eventwait", "timeout": 0, "dependencies": [{"taskRef": "A", "decisionCondition": "x"}]},
            {"name": "P", "type": "process", "processRef": "x", "params": [{"name": "a/b", "value": "$(hm)"}]},
        ],
        "triggers": {
            "webhook": {"conditions": [{"field": "type", "operation": "equals"}]},
            "github": {"conditions": [{"field": "$.a", "operation": "matches", "value": "(?=x)"}]},
            "schedule": {"enabled": True, "cron": "99 * * * *"},
        },
        "results": [{"name": "r", "value": "$(task.Q.results.data)"}],
    }
    assert sorted(faults(document)) == [
        "/color",
        "/name",
        "/params/0",
        "/params/1/name",
        "/results/0/value",
        "/tasks/0/dependencies",
        "/tasks/0/params/0/value",
        "/tasks/1/dependencies/1/taskRef",
        "/tasks/1/params/data/1",
        "/tasks/1/params/type",
        "/tasks/2",
        "/tasks/3/dependencies/0/decisionCondition",
        "/tasks/3/name",
        "/tasks/3/params",
        "/tasks/3/timeout",
        "/tasks/4/params/0/value",
        "/triggers/github/conditions/0",
        "/triggers/schedule",
        "/triggers/webhook/conditions/0",
    ]


def test_a_cycle_is_named_as_it_goes_round() -> None:
    found = faults(with_tasks(nap("a", "c"), nap("b", "a"), nap("c", "b"), nap("behind", "c")))
    assert found == {"/tasks/0/dependencies": "is a cycle: a waits for c waits for b waits for a"}
    assert faults(with_tasks(nap("a", "a"))) == {"/tasks/0/dependencies": "is a cycle: a waits for a"}


def test_a_result_is_only_there_for_what_comes_after_its_task() -> None:
    one = {"name": "one", "type": "eventwait", "params": {"topic": "t"}}
    two = {"name": "two", "type": "approval", "params": {"message": "$(task.one.results.data)"}}
    assert faults(with_tasks(one, two)) == {
        "/tasks/1/params/message": "$(task.one.results.data): 'one' does not come before this task"
    }
    between = nap("between", "one")
    check(with_tasks(one, between, {**two, "dependencies": [{"taskRef": "between"}]}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("a: !!python/object:os.system x", "tags are not read"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("1: 2", "is no text"),
        ("a: [", "line 1"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("[" * 3000, "deep"),
        ("a: 1e999", "cannot be read"),
        ("a: \x00", "cannot be read"),
        ('{"name": "a", "name": "b"}', "'name' is given twice"),
        ('{"name": NaN}', "cannot be read"),
        ("{" * 3000, "cannot be read"),
        ('{"a":' * (DEPTH + 2) + "1" + "}" * (DEPTH + 2), "deep"),
        ("", "a mapping"),
        ("# " + "x" * DOCUMENT_BYTES, "the limit is"),
        ('"\\ud800"', "cannot be read"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, said: str) -> None:
    (found,) = faults(text.encode()).values()
    assert said in found


def test_yaml_reads_words_and_dates_as_texts() -> None:
    assert yamltext.read("[yes, no, on, 2026-01-01, 1:30, 0x1F, .5, -3, 1e3, ~, null, 'true', true, '', \"1\", 1_000]") == [
        "yes", "no", "on", "2026-01-01", "1:30", "0x1F", 0.5, -3, 1000.0, None, None, "true", True, "", "1", "1_000",
    ]  # fmt: skip


TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("\n\tä€"))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20))
def test_yaml_reads_json(value: Any) -> None:
    assert yamltext.read(json.dumps(value, ensure_ascii=False)) == value


@given(st.recursive(SCALARS | FLOATS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20))
@example(["1e3", "09", "yes", "~", "1.5", "2026-01-01", "a\nb", 1e16, 1e-7])
def test_what_is_written_as_yaml_is_read_as_the_same(value: Any) -> None:
    assert yamltext.read(yamltext.write(value)) == value


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefghz"), max_size=4)))
def test_an_order_or_a_cycle_is_found_in_every_graph(before: dict[str, list[str]]) -> None:
    ordered, cycle = graph.in_order(before), graph.cycle(before)
    for name in ordered:
        assert all(one in ordered[: ordered.index(name)] for one in before[name] if one in before)
    assert (len(ordered) == len(before)) == (not cycle)
    for at, name in enumerate(cycle):
        assert cycle[(at + 1) % len(cycle)] in before[name]


def test_tasks_are_in_order() -> None:
    assert [task.name for task in check(with_tasks(nap("c", "b"), nap("b", "a"), nap("a"))).in_order] == ["a", "b", "c"]


def found_faults(document: Any) -> list[str]:
    """The places of a document's faults; none where it is read."""
    try:
        read(json.dumps(document).encode())
    except InvalidWorkflow as err:
        return [fault.pointer for fault in err.faults]
    return []


def every_place(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(inner for step, member in members for inner in every_place(member, (*place, step)))]


@given(
    st.sampled_from(every_place(yamltext.read(ORDER))[1:]),
    st.recursive(
        SCALARS | FLOATS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
    ),
)
@example(("tasks", 0, "type"), [])
@example(("tasks", 0, "name"), {})
@settings(max_examples=500)
def test_whatever_stands_at_a_place_is_read_or_refused_with_a_place_that_is_there(place: tuple[Any, ...], put: Any) -> None:
    document = yamltext.read(ORDER)
    *way, last = place
    inner = document
    for step in way:
        inner = inner[step]
    inner[last] = put
    for pointer in found_faults(document):
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        there: Any = document
        for step in steps[:-1]:
            there = there[int(step)] if isinstance(there, list) else there[step]
        assert isinstance(there, (dict, list)), pointer


def test_the_documents_of_the_reference_are_read() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/workflows.md").read_text()
    documents = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [read(text.encode()).name for text in documents] == ["order", "nightly"]
    assert all(f"`{kind}`" in page for kind in KINDS)
    assert all(f"`{field.alias or name}`" in page for name, field in Workflow.model_fields.items())


def test_the_published_schema_is_that_of_the_model() -> None:
    published = Path(__file__).parents[2] / "docs/reference/workflow.schema.json"
    assert published.read_text() == schema.text(), "run: python docs/generate.py"
    assert set(json.loads(schema.text())["properties"]) == {field.alias for field in Workflow.model_fields.values()}
