# SPDX-License-Identifier: Apache-2.0
"""The shipped business processes: the document's own examples make and change an entity; what cannot be done names its cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.sdk import Completed, Event, Rejected, State
from bridge.sdk.testing import event, run
from plugins.entity.processes import CreateEntity, UpdateEntity, bridge_processes

CREATE = {
    "type": "Company",
    "properties": {
        "legalEntityName": {"type": "Single", "value": "Acme Finance Group"},
        "companyType": {"type": "Single", "value": "Bank"},
        "owners": {
            "type": "Collection",
            "dataGroupId": "g1",
            "collections": {"o1": {"properties": {"share": {"type": "Single", "value": 2**70}}}},
        },
    },
    "accessLayers": {"businessRelated": ["Enterprise"], "geographic": ["Global"]},
}
UPDATE = {
    "entityType": "Company",
    "properties": {
        "companyType": {"type": "Single", "value": "Broker"},
        "countyInIreland": {"type": "Single", "value": "Galway"},
        "owners": {"type": "Collection", "collections": {"o2": {"properties": {"share": {"type": "Single", "value": 1}}}}},
    },
    "version": 0,
    "targetEntity": "Client",
}


def message(kind: str, payload: Any, **attributes: str) -> Event:
    return event(f"eventingress.externaldata.{kind}.{kind}", payload, time="2026-01-01T00:00:00Z", **attributes)


async def created(kept: State) -> str:
    outcome = await run(CreateEntity(), message("createentity", CREATE), state=kept)
    assert isinstance(outcome, Completed), outcome
    return str(kept.get()["id"])


async def test_an_entity_is_verified_from_its_beginning() -> None:
    kept, said = State(), message("createentity", CREATE)
    outcome = await run(CreateEntity(), said, state=kept)
    assert isinstance(outcome, Completed)
    entity = kept.get()
    assert (entity["id"], entity["draft"]) == (said.key, None)
    assert entity["verified"]["properties"] == CREATE["properties"], "numbers of any size stay what they are"
    assert (entity["verified"]["version"], entity["verified"]["accessLayers"]) == (0, CREATE["accessLayers"])
    (named,) = outcome.data["entities"]
    assert (named["entityId"], named["action"], named["processingStatus"]) == (said.key, "Created", "Processed")
    assert [r.type for r in outcome.results] == ["journey:instancestarted", "entitydata:created"]
    assert {json.loads(r.data)["journeyId"] for r in outcome.results} == {named["journeyId"]}
    assert entity["history"] == [
        {
            "action": "Created",
            "version": 0,
            "at": "2026-01-01T00:00:00Z",
            "eventId": said.key,
            "journeyId": named["journeyId"],
        }
    ]


async def test_a_change_goes_through_a_draft_and_keeps_what_it_does_not_name() -> None:
    kept = State()
    id_ = await created(kept)
    before = kept.get()["verified"]
    outcome = await run(UpdateEntity(), message("updateentity", UPDATE, partitionkey=id_, entityid=id_), state=kept)
    assert isinstance(outcome, Completed)
    after = kept.get()
    assert (after["verified"]["version"], after["draft"], after["verified"]["targetEntity"]) == (1, None, "Client")
    properties = after["verified"]["properties"]
    assert properties["legalEntityName"] == before["properties"]["legalEntityName"]
    assert (properties["companyType"]["value"], properties["countyInIreland"]["value"]) == ("Broker", "Galway")
    assert set(properties["owners"]["collections"]) == {"o1", "o2"}
    assert after["verified"]["accessLayers"] == before["accessLayers"]
    assert [r.type for r in outcome.results] == ["journey:instancestarted", "entitydata:draftcreated", "entitydata:verified"]
    assert [h["action"] for h in after["history"]] == ["Created", "DraftCreated", "Verified"]


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ({"version": 7}, "version-conflict", "at version 0"),
        ({"entityType": "Person"}, "other-type", "is a 'Company'"),
        ({"entityType": None, "type": "Person"}, "other-type", "'Person'"),
        ({"properties": {"a": {"type": "Odd"}}, "version": "x"}, "invalid-payload", "payload.version"),
    ],
)
async def test_what_cannot_be_changed(members: dict[str, Any], code: str, said: str) -> None:
    kept = State()
    id_ = await created(kept)
    before = kept.kept
    outcome = await run(UpdateEntity(), message("updateentity", UPDATE | members, partitionkey=id_), state=kept)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, said in outcome.reason) == (code, True), outcome.reason
    assert kept.kept == before


async def test_an_entity_that_is_not_there_and_one_that_is() -> None:
    unknown = await run(UpdateEntity(), message("updateentity", UPDATE, partitionkey="nobody"), state=State())
    assert unknown == Rejected("entity-unknown", "there is no entity nobody")
    kept = State()
    await created(kept)
    twice = await run(CreateEntity(), message("createentity", CREATE), state=kept)
    assert isinstance(twice, Rejected)
    assert twice.code == "entity-exists"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ([], ["payload"]),
        (b"{", ["not JSON"]),
        (b"", ["payload"]),
        ({"type": 5, "properties": []}, ["payload.type", "payload.properties"]),
        (
            {"type": "A", "properties": {"a": {"value": 1}}, "accessLayers": {"geographic": "x"}},
            ["properties.a", "geographic"],
        ),
    ],
)
async def test_every_fault_of_a_payload_is_named(payload: Any, said: list[str]) -> None:
    outcome = await run(CreateEntity(), message("createentity", payload), state=State())
    assert isinstance(outcome, Rejected)
    assert outcome.code == "invalid-payload"
    assert all(one in outcome.reason for one in said), outcome.reason


async def test_the_history_is_bounded() -> None:
    kept = State()
    id_ = await created(kept)
    for _ in range(60):
        outcome = await run(UpdateEntity(), message("updateentity", UPDATE | {"version": None}, partitionkey=id_), state=kept)
        assert isinstance(outcome, Completed)
    assert (len(kept.get()["history"]), kept.get()["verified"]["version"]) == (100, 60)


def test_both_are_contributed_and_share_their_state() -> None:
    assert [(one.name, one.state, one.ordered) for one in bridge_processes()] == [
        ("createentity", "entities", True),
        ("updateentity", "entities", True),
    ]
