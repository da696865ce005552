# SPDX-License-Identifier: Apache-2.0
"""Which workflows are a message's journeys, and what a journey sees of it."""

from __future__ import annotations

import msgspec

from bridge.sdk.testing import event
from bridge.workflows.advance import fresh
from bridge.workflows.reading import check
from bridge.workflows.run import given_params
from bridge.workflows.triggers import TRIGGER_DISABLED, refusal
from tests.unit.journeys import PAYLOAD, TASKS, attempt, index, message, names, started, version


def test_a_message_has_the_journeys_of_the_workflows_that_fit_it() -> None:
    known = (
        version("every"),
        version("sub", eventSubtype="createentity"),
        version("other-sub", eventSubtype="updateentity"),
        version("other-type", eventType="mine"),
        version("off", enabled=False),
        version("one", conditions=[{"field": "$.data.n", "operation": "equals", "value": "1"}]),
        version("two", conditions=[{"field": "$.data.n", "operation": "equals", "value": "2"}]),
    )
    made = attempt(message(), *known)
    assert names(made) == ["every", "one", "sub"]
    assert len({one.id for one in made.journeys or ()}) == 3
    assert attempt(message(), *known).journeys == made.journeys, "the same ones whenever it is asked"
    assert names(attempt(message(payload=b"no JSON"), *known)) == ["every", "sub"]


def test_without_any_a_system_type_has_the_default_one_and_others_have_none() -> None:
    assert names(attempt(message(), version("w", eventType="mine"))) == ["default-createentity"]
    assert names(attempt(message("mine"))) == []
    assert attempt(event("t.createentity", PAYLOAD)).journeys is None, "it is no message"
    other = attempt(event("eventingress.externaldata.sub.mine", PAYLOAD))
    assert other.journeys == (), "the process of another plugin has no default"
    assert index().of_run(fresh("r", started(attempt(message())), 1)) is not None


def test_a_change_of_the_registry_changes_what_fits() -> None:
    known = index(version("a"))
    assert [one.name for one in known.journeys("test", "externaldata")] == ["a"]
    known.replace(version("b").ref, version("b"))
    known.replace(version("a").ref, msgspec.structs.replace(version("a"), deleted_ms=1))
    assert [one.name for one in known.journeys("test", "externaldata")] == ["b"]


def test_a_journey_sees_the_message_as_an_event() -> None:
    start = started(attempt(message(), version("w")))
    run = fresh("r", start, 5)
    params = given_params(run, check({"name": "w", "tasks": TASKS}))
    assert (params["type"], params["n"], params["data"], params["event"]["data"]) == ("Company", 1, PAYLOAD, PAYLOAD)
    assert params["event"]["type"] == "eventingress.externaldata.createentity.createentity"


def test_a_condition_sees_numbers_of_any_size() -> None:
    known = version("w", conditions=[{"field": "$.data.n", "operation": "equals", "value": str(10**30)}])
    assert names(attempt(message(payload={"n": 10**30}), known)) == ["w"]


def test_a_workflow_that_has_the_name_of_a_default_one_is_not_taken_for_it() -> None:
    own = version("default-createentity", enabled=False)
    start = started(attempt(message(), own))
    assert (start.workflow, start.version) == ("default-createentity", 0)


def test_what_is_known_of_journeys_goes_with_the_versions_it_comes_from() -> None:
    """A change may come, from another thread, while the journeys are gathered."""
    known = index(version("a"))
    known.journeys("test", "externaldata")
    before = known._journeys["test"]
    known.replace(version("b").ref, version("b"))
    known._journeys["test"] = before
    assert [one.name for one in known.journeys("test", "externaldata")] == ["a", "b"]


def test_flows_own_api_starts_no_journey() -> None:
    workflow = version("w").workflow
    assert refusal(workflow, "event", {}) == TRIGGER_DISABLED
    plain = version("w", eventType="").workflow
    assert refusal(plain, "event", {}) is None
