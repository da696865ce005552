# SPDX-License-Identifier: Apache-2.0
"""Journeys on the real stack: a message waits for the runs of the workflows that fit it, and its entity for how they end."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge import topics
from bridge.domain import ids
from bridge.executions import decode
from bridge.settings import Settings
from bridge.workflows.signals import Callback, Cancel
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.ingress import Caller, caller
from tests.integration.running import apply, look, set_up, signal, task, workflow
from tests.integration.workers import Sender, Worker, event, site, until, working
from tests.web_under_test import Server, Tenant, free_port, make_tenants, web_server

pytestmark = pytest.mark.timeout(120)
COMPANY = {"type": "Company", "properties": {"name": {"type": "Single", "value": "Acme"}}}
ASKS, BOTH, NONE = ("asks", "both", "none")


def renamed(name: str) -> dict[str, Any]:
    return {"entityType": "Company", "properties": {"name": {"type": "Single", "value": name}}}


def journey(name: str, *tasks: dict[str, Any], **trigger: Any) -> dict[str, Any]:
    on = {"enabled": True, "eventType": "externaldata"} | trigger
    return workflow(name, *(tasks or (task("go", "decision", params={"value": 1}),)), triggers={"event": on})


JOURNEYS = {
    ASKS: [
        journey(
            "review",
            task("wait", "eventwait", params={"topic": "verdict"}),
            task("note", "decision", "wait", params={"value": "$(params.data.properties.name.value)"}),
            eventSubtype="updateentity",
        ),
    ],
    BOTH: [
        journey("every", task("type", "decision", params={"value": "$(params.data.type)"})),
        journey("companies", conditions=[{"field": "$.data.type", "operation": "equals", "value": "Company"}]),
        journey("people", conditions=[{"field": "$.data.type", "operation": "equals", "value": "Person"}]),
        journey("updates", eventSubtype="updateentity"),
        journey("elsewhere", eventType="transactionmonitoring"),
        workflow("off", task("go", "decision", params={"value": 1}), triggers={"event": {"enabled": True}}),
    ],
    NONE: [],
}


class Site(NamedTuple):
    settings: Settings
    worker: Worker
    server: Server
    tenants: dict[str, Tenant]

    def entity(self, which: str, entity_id: str) -> Any:
        """Look an entity up; None where there is none."""
        answer = self.server.ask("GET", f"/api/v1/entities/{entity_id}", x_api_key=self.tenants[which].key)
        return answer.json() if answer.status == 200 else None

    def caller(self, which: str) -> Caller:
        return caller(self.server.ask, self.settings, self.tenants[which].name, name=uuid.uuid4().hex)


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = site(stack, port=free_port(), retry_tiers="1s,30s")
    tenants = dict(zip(JOURNEYS, make_tenants(settings, *JOURNEYS), strict=True))
    for name, documents in JOURNEYS.items():
        apply(settings, name, *documents)
    with (
        working(stack, settings, tmp_path_factory.mktemp("journeys"), processes="createentity,updateentity") as worker,
        web_server(stack, settings) as server,
    ):
        yield Site(settings, worker, server, tenants)


def standing(call: Caller, event_id: str) -> str:
    return str(call.event(event_id)["status"]["status"])


def ends_as(call: Caller, event_id: str, status: str) -> Any:
    until(lambda: standing(call, event_id) in ("Processed", "Failed"), "the message has ended")
    shown = call.event(event_id)
    assert shown["status"]["status"] == status, shown
    return shown


def journeys_of(call: Caller, event_id: str) -> list[str]:
    """Wait until a message's journeys have begun, and name their runs."""
    until(lambda: call.event(event_id)["entities"], "the journeys have begun")
    return [one["journeyId"] for one in call.event(event_id)["entities"]]


def created(site_: Site, which: str, call: Caller) -> str:
    event_id = call.send("externaldata", "createentity", payload=COMPANY)
    ends_as(call, event_id, "Processed")
    assert site_.entity(which, event_id)["verified"]["version"] == 0
    return event_id


def test_an_update_waits_for_its_journey_and_what_follows_of_its_entity_behind_it(house: Site) -> None:
    call = house.caller(ASKS)
    entity_id = created(house, ASKS, call)
    first, second, third = (
        call.send("externaldata", "updateentity", entityId=entity_id, payload=renamed(name)) for name in ("B", "C", "D")
    )
    (run_id,) = journeys_of(call, first)
    shown = house.entity(ASKS, entity_id)
    assert (shown["verified"]["properties"]["name"]["value"], shown["draft"]["properties"]["name"]["value"]) == ("Acme", "B")
    house.worker.kill()
    house.worker.start()
    assert (standing(call, first), house.entity(ASKS, entity_id)["draft"]["version"]) == ("Processing", 1)
    assert not call.event(second)["entities"], "it waits for the first one"
    signal(house.settings, ASKS, run_id, Callback(topic="verdict"))
    ends_as(call, first, "Processed")
    (run,) = look(house.settings, ASKS, run_id)
    assert (run.status, run.task("note").results) == ("succeeded", {"value": "B"})

    (run_id,) = journeys_of(call, second)
    assert house.entity(ASKS, entity_id)["draft"]["properties"]["name"]["value"] == "C"
    signal(house.settings, ASKS, run_id, Callback(topic="verdict", status="failed"))
    failed = ends_as(call, second, "Failed")
    assert failed["status"]["statusDetails"]["cause"].startswith("journey-failed: the journey review is failed")

    (run_id,) = journeys_of(call, third)
    signal(house.settings, ASKS, run_id, Cancel(reason="no time"))
    assert "review is cancelled: no time" in ends_as(call, third, "Failed")["status"]["statusDetails"]["cause"]
    shown = house.entity(ASKS, entity_id)
    assert (shown["verified"]["version"], shown["verified"]["properties"]["name"]["value"]) == (1, "B")
    assert (shown["draft"], shown["history"][-1]["action"]) == (None, "DraftDropped")


def test_every_workflow_that_fits_is_a_journey_and_each_has_to_end_well(house: Site) -> None:
    call = house.caller(BOTH)
    event_id = call.send("externaldata", "createentity", payload=COMPANY)
    shown = ends_as(call, event_id, "Processed")
    runs = {run.workflow: run for run in look(house.settings, BOTH, *(one["journeyId"] for one in shown["entities"]))}
    assert set(runs) == {"every", "companies"}
    assert runs["every"].task("type").results == {"value": "Company"}
    assert [run.status for run in runs.values()] == ["succeeded"] * 2
    person = call.send("externaldata", "createentity", payload=COMPANY | {"type": "Person"})
    runs_of = look(house.settings, BOTH, *(one["journeyId"] for one in ends_as(call, person, "Processed")["entities"]))
    assert {run.workflow for run in runs_of} == {"every", "people"}


def test_a_message_of_a_type_without_a_journey_fails_with_that_cause(house: Site) -> None:
    call = house.caller(NONE)
    mine = {
        "key": "mine",
        "displayName": "Mine",
        "eventSubtypes": [{"key": "sub", "displayName": "Sub", "businessProcessType": "createentity"}],
    }
    assert call.call("POST", "/v1/event-types", mine).status == 200
    event_id = call.send("mine", "sub", payload=COMPANY)
    shown = ends_as(call, event_id, "Failed")
    assert shown["status"]["statusDetails"]["cause"] == "no-journey: no workflow has an event trigger for mine / sub"
    assert house.entity(NONE, event_id) is None


def test_a_new_entity_whose_journey_fails_is_not_there(house: Site) -> None:
    apply(house.settings, NONE, journey("no", task("t", "process", processRef="missing"), eventType="second"))
    call = house.caller(NONE)
    subtype = {"key": "sub", "displayName": "Sub", "businessProcessType": "createentity"}
    call.call("POST", "/v1/event-types", {"key": "second", "displayName": "Second", "eventSubtypes": [subtype]})
    event_id = call.send("second", "sub", payload=COMPANY)
    until(lambda: standing(call, event_id) == "Failed", "it has failed")
    assert house.entity(NONE, event_id) is None


def test_what_no_run_could_keep_fails_before_anything_begins(house: Site) -> None:
    call = house.caller(NONE)
    large = COMPANY | {"more": "x" * (900 * 1024)}
    event_id = call.send("externaldata", "createentity", payload=large)
    assert ends_as(call, event_id, "Failed")["status"]["statusDetails"]["cause"].startswith("payload-too-large: ")
    assert house.entity(NONE, event_id) is None


def test_what_waits_longer_than_records_are_kept_keeps_its_place(
    stack: StackOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, moved = site(stack, retention_hours=1), tmp_path / "clock"
    moved.write_text("0")
    monkeypatch.setitem(os.environ, "TEST_CLOCK", str(moved))
    tenant = set_up(settings, *JOURNEYS[ASKS])
    create, update = (
        event(f"eventingress.externaldata.{kind}.{kind}", json.dumps(payload).encode(), tenant, partitionkey="e")
        for kind, payload in (("createentity", COMPANY), ("updateentity", renamed("B")))
    )
    execution = ids.execution_id(update.key, "updateentity")

    def history() -> list[tuple[str, bytes]]:
        found = records(settings.kafka.bootstrap_servers, topics.EXECUTIONS.name(settings))
        values = [record.value() or b"" for record in found if record.key() == execution.encode()]
        return [(decode(value).status, value) for value in values]

    with working(stack, settings, tmp_path, processes="createentity,updateentity") as worker:
        sender = Sender(settings)
        sender.send(create, update)
        sender.flush()
        until(lambda: [status for status, _ in history()] == ["pending"], "the update awaits its journey")
        worker.kill()
        moved.write_text(str(41 * 60 * 1000))
        worker.start()
        until(lambda: len(history()) == 2, "its record is written again")
        assert len(set(history())) == 1
        signal(settings, tenant, ids.run_id(execution, "review"), Callback(topic="verdict"))
        until(lambda: [status for status, _ in history()] == ["pending", "pending", "completed"], "it has ended")
