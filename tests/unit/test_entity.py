# SPDX-License-Identifier: Apache-2.0
"""The shipped business processes: the document's own examples make and change an entity; what cannot be done names its cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.sdk import AwaitJourneys, Completed, Event, Journey, Outcome, Rejected, State
from bridge.sdk.testing import event, run
from plugins.entity.processes import CreateEntity, EntityProcess, UpdateEntity, bridge_processes

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


def journeys(*names: str, **ends: str) -> tuple[Journey, ...]:
    """Give journeys before they begin, or with their ends."""
    return tuple(Journey(f"id-{name}", name, ends.get(name, ""), "why") for name in names)


async def goes_through(process: EntityProcess, said: Event, kept: State, end: str = "succeeded") -> Outcome:
    """Run a process before its journey, and after it has ended."""
    first = await run(process, said, state=kept, journeys=journeys("j"))
    if not isinstance(first, AwaitJourneys):
        return first
    return await run(process, said, state=kept, journeys=journeys("j", j=end), attempt=2)


async def created(kept: State) -> str:
    outcome = await goes_through(CreateEntity(), message("createentity", CREATE), kept)
    assert isinstance(outcome, Completed), outcome
    return str(kept.get()["id"])


async def test_an_entity_is_a_draft_until_its_journey_has_ended() -> None:
    kept, said = State(), message("createentity", CREATE)
    outcome = await run(CreateEntity(), said, state=kept, journeys=journeys("j"))
    assert isinstance(outcome, AwaitJourneys)
    drafted = kept.get()
    assert (drafted["id"], drafted["verified"], drafted["draft"]["version"]) == (said.key, None, 0)
    assert [r.type for r in outcome.results] == ["journey:instancestarted", "entitydata:created"]
    assert {json.loads(r.data)["journeyId"] for r in outcome.results} == {"id-j"}
    (named,) = outcome.data["entities"]
    assert (named["action"], named["processingStatus"], named["journeyId"]) == ("Created", "Processing", "id-j")

    outcome = await run(CreateEntity(), said, state=kept, journeys=journeys("j", j="succeeded"), attempt=2)
    assert isinstance(outcome, Completed)
    entity = kept.get()
    assert entity["verified"]["properties"] == CREATE["properties"], "numbers of any size stay what they are"
    assert (entity["verified"], entity["draft"], "draftedBy" in entity) == (drafted["draft"], None, False)
    assert (entity["verified"]["version"], entity["verified"]["accessLayers"]) == (0, CREATE["accessLayers"])
    assert [r.type for r in outcome.results] == ["entitydata:verified"]
    assert outcome.data["entities"][0]["processingStatus"] == "Processed"
    by = {"at": "2026-01-01T00:00:00Z", "eventId": said.key, "journeyId": "id-j", "version": 0}
    assert entity["history"] == [{"action": "Created"} | by, {"action": "Verified"} | by]


async def test_a_change_goes_through_a_draft_and_keeps_what_it_does_not_name() -> None:
    kept = State()
    id_ = await created(kept)
    before = kept.get()["verified"]
    said = message("updateentity", UPDATE, partitionkey=id_, entityid=id_)
    outcome = await run(UpdateEntity(), said, state=kept, journeys=journeys("j"))
    assert isinstance(outcome, AwaitJourneys)
    assert [r.type for r in outcome.results] == ["journey:instancestarted", "entitydata:draftcreated"]
    assert kept.get()["verified"] == before, "a change leaves the verified version alone"
    assert isinstance(await run(UpdateEntity(), said, state=kept, journeys=journeys("j", j="succeeded")), Completed)
    after = kept.get()
    assert (after["verified"]["version"], after["draft"], after["verified"]["targetEntity"]) == (1, None, "Client")
    properties = after["verified"]["properties"]
    assert properties["legalEntityName"] == before["properties"]["legalEntityName"]
    assert (properties["companyType"]["value"], properties["countyInIreland"]["value"]) == ("Broker", "Galway")
    assert set(properties["owners"]["collections"]) == {"o1", "o2"}
    assert after["verified"]["accessLayers"] == before["accessLayers"]
    assert [h["action"] for h in after["history"]] == ["Created", "Verified", "DraftCreated", "Verified"]


@pytest.mark.parametrize("end", ["failed", "cancelled", "timedout", "invalid"])
async def test_a_journey_that_does_not_end_well_drops_the_draft(end: str) -> None:
    kept = State()
    refused = await goes_through(CreateEntity(), message("createentity", CREATE), kept, end)
    assert refused == Rejected("journey-failed", f"the journey j is {end}: why", keep=True)
    assert kept.get() is None, "an entity that was never verified is gone"
    id_ = await created(kept)
    before = kept.get()
    refused = await goes_through(UpdateEntity(), message("updateentity", UPDATE, partitionkey=id_), kept, end)
    assert isinstance(refused, Rejected)
    assert (kept.get()["verified"], kept.get()["draft"]) == (before["verified"], None)
    assert [h["action"] for h in kept.get()["history"]][-2:] == ["DraftCreated", "DraftDropped"]


async def test_of_several_journeys_each_has_to_end_well() -> None:
    kept, said = State(), message("createentity", CREATE)
    outcome = await run(CreateEntity(), said, state=kept, journeys=journeys("a", "b"))
    assert isinstance(outcome, AwaitJourneys)
    assert [r.subject for r in outcome.results] == ["id-a", "id-b", said.key]
    assert [one["journeyId"] for one in outcome.data["entities"]] == ["id-a", "id-b"]
    ended = journeys("a", "b", a="succeeded", b="failed")
    refused = await run(CreateEntity(), said, state=kept, journeys=ended)
    assert refused == Rejected("journey-failed", "the journey b is failed: why", keep=True)


async def test_a_message_without_a_journey_fails() -> None:
    refused = await run(UpdateEntity(), message("updateentity", UPDATE, partitionkey="e"), state=State(), journeys=())
    assert refused == Rejected("no-journey", "no workflow has an event trigger for externaldata / updateentity")


async def test_what_is_no_message_is_verified_at_once() -> None:
    """A task of a workflow: its run is what it belongs to already."""
    kept = State()
    outcome = await run(CreateEntity(), event("flow.task", CREATE), state=kept)
    assert isinstance(outcome, Completed)
    assert [r.type for r in outcome.results] == ["entitydata:created", "entitydata:verified"]
    assert kept.get()["draft"] is None


async def test_an_end_that_finds_no_draft_of_its_own_makes_it_first() -> None:
    """The worker may have died between the journeys' start and the draft, and the end comes before the message."""
    kept, said = State(), message("createentity", CREATE)
    outcome = await run(CreateEntity(), said, state=kept, journeys=journeys("j", j="succeeded"), attempt=2)
    assert isinstance(outcome, Completed)
    assert kept.get()["verified"]["version"] == 0


async def test_a_replay_that_meets_the_draft_of_another_message_is_refused() -> None:
    kept = State()
    id_ = await created(kept)
    await run(UpdateEntity(), message("updateentity", UPDATE, partitionkey=id_), state=kept, journeys=journeys("j"))
    before = kept.kept
    again = message("updateentity", UPDATE, partitionkey=id_, replayedfrom="x1")
    refused = await run(UpdateEntity(), again, state=kept, journeys=journeys("j"))
    assert refused == Rejected("draft-exists", f"the entity {id_} is being changed by another message")
    refused = await run(UpdateEntity(), again, state=kept, journeys=journeys("j", j="succeeded"))
    assert isinstance(refused, Rejected)
    assert kept.kept == before


@pytest.mark.parametrize("own", [False, True])
async def test_the_draft_of_a_message_that_has_failed_stands_in_nobodys_way(own: bool) -> None:
    """Its process may have raised, or was disabled, when the journey ended. Nothing in order comes before that."""
    kept = State()
    id_ = await created(kept)
    failed = message("updateentity", UPDATE, partitionkey=id_)
    await run(UpdateEntity(), failed, state=kept, journeys=journeys("j"))
    left = kept.get()
    kept.put(left | {"draftedBy": left["draftedBy"] | {"executionId": "the execution that is replayed"}})
    again = Event(failed.attributes | {"replayedfrom": "x1"}, failed.data)
    said = again if own else message("updateentity", UPDATE, partitionkey=id_)
    assert isinstance(await goes_through(UpdateEntity(), said, kept), Completed)
    assert (kept.get()["verified"]["version"], kept.get()["draft"]) == (1, None)


async def test_an_entity_that_was_never_verified_can_be_made_again_but_not_changed() -> None:
    kept = State()
    said = message("createentity", CREATE, partitionkey="e")
    await run(CreateEntity(), said, state=kept, journeys=journeys("j"))
    refused = await run(UpdateEntity(), message("updateentity", UPDATE, partitionkey="e"), state=kept, journeys=journeys("j"))
    assert refused == Rejected("entity-unknown", "there is no entity e")
    again = message("createentity", CREATE, partitionkey="e")
    assert isinstance(await goes_through(CreateEntity(), again, kept), Completed)


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
    outcome = await goes_through(UpdateEntity(), message("updateentity", UPDATE | members, partitionkey=id_), kept)
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
        said = message("updateentity", UPDATE | {"version": None}, partitionkey=id_)
        outcome = await goes_through(UpdateEntity(), said, kept)
        assert isinstance(outcome, Completed)
    assert (len(kept.get()["history"]), kept.get()["verified"]["version"]) == (100, 60)


def test_both_are_contributed_and_share_their_state() -> None:
    assert [(one.name, one.state, one.ordered) for one in bridge_processes()] == [
        ("createentity", "entities", True),
        ("updateentity", "entities", True),
    ]
