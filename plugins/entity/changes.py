# SPDX-License-Identifier: Apache-2.0
"""
What becomes of an entity: made, drafted, verified, or dropped. Pure; an entity is the JSON that is kept and that look-ups show.

The verified version is what counts; a change is made on a draft of it, and counts once its journeys have ended well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from plugins.entity.payloads import Create, Shape, Update

HISTORY = 100
"""Changes that an entity remembers, the newest ones."""

Entity = dict[str, Any]


class Refused(Exception):
    """A change that cannot be made; `code` says why for programs."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Cause(NamedTuple):
    """
    Where a change comes from: its event, the event's time, the execution that makes it, and the journeys that it begins.

    A `replay` knows nothing of the order in which an entity's messages are applied.
    """

    event_key: str
    at: str
    execution_id: str
    journey_ids: tuple[str, ...]
    replay: bool = False


def create(before: Entity | None, entity_id: str, given: Create, cause: Cause) -> Entity:
    """Draft a new entity, at version 0. Raises: Refused where it exists, or as `update` does for a draft."""
    if before is not None and before["verified"] is not None:
        raise Refused("entity-exists", f"the entity {entity_id} exists already")
    _require_free(before, entity_id, cause)
    made = {
        "version": 0,
        "type": given.type,
        "targetEntity": given.target_entity,
        "alternateId": given.alternate_id,
        "properties": _plain(given)["properties"],
        "accessLayers": _plain(given.access_layers),
    }
    return _drafted({"id": entity_id, "verified": None, "draft": None, "history": []}, made, "Created", cause)


def update(before: Entity | None, entity_id: str, given: Update, cause: Cause) -> Entity:
    """
    Copy the verified version and apply a change to the copy: properties that are given replace those of their name, items of
    collections those of their id; all others stay.

    Raises: Refused for an entity that does not exist, another type, or a version that is not the verified one; also for a replay
            that meets another message's draft. Whoever comes in order finds one only where that message has failed: it is void.
    """
    if before is None or before["verified"] is None:
        raise Refused("entity-unknown", f"there is no entity {entity_id}")
    _require_free(before, entity_id, cause)
    verified = before["verified"]
    if given.version is not None and given.version != verified["version"]:
        at = verified["version"]
        raise Refused("version-conflict", f"the entity {entity_id} is at version {at}; the change is one of {given.version}")
    if given.entity_type is not None and given.entity_type != verified["type"]:
        raise Refused("other-type", f"the entity {entity_id} is a {verified['type']!r}, not a {given.entity_type!r}")
    changed = verified | {
        "version": verified["version"] + 1,
        "properties": _merged(verified["properties"], _plain(given)["properties"]),
    }
    if given.access_layers is not None:
        changed["accessLayers"] = _plain(given.access_layers)
    if given.target_entity is not None:
        changed["targetEntity"] = given.target_entity
    return _drafted(before, changed, "DraftCreated", cause)


def drafted_by(entity: Entity | None, execution_id: str) -> bool:
    """Say whether an entity has a draft, and of this execution."""
    return entity is not None and entity["draft"] is not None and entity["draftedBy"]["executionId"] == execution_id


def verify(before: Entity, cause: Cause) -> Entity:
    """Let the draft count: its journeys have ended well."""
    made = before["draft"]
    return _without_draft(before) | {"verified": made, "history": _after(before, _noted("Verified", made["version"], cause))}


def drop(before: Entity, cause: Cause) -> Entity | None:
    """Let the draft go: a journey has not ended well. Nothing is left of an entity that was never verified."""
    if before["verified"] is None:
        return None
    note = _noted("DraftDropped", before["draft"]["version"], cause)
    return _without_draft(before) | {"history": _after(before, note)}


def _require_free(before: Entity | None, entity_id: str, cause: Cause) -> None:
    if before is None or before["draft"] is None or not cause.replay:
        return
    if before["draftedBy"]["eventId"] != cause.event_key:
        raise Refused("draft-exists", f"the entity {entity_id} is being changed by another message")


def _drafted(before: Entity, made: dict[str, Any], action: str, cause: Cause) -> Entity:
    note = _noted(action, made["version"], cause)
    by = {"executionId": cause.execution_id, "eventId": cause.event_key}
    return before | {"draft": made, "draftedBy": by, "history": _after(before, note)}


def _without_draft(entity: Entity) -> Entity:
    return {name: value for name, value in entity.items() if name != "draftedBy"} | {"draft": None}


def _merged(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    after = dict(before)
    for name, value in given.items():
        known = before.get(name)
        if known is not None and known["type"] == value["type"] == "Collection":
            value = {**known, **value, "collections": known["collections"] | value["collections"]}
        after[name] = value
    return after


def _after(before: Entity, note: dict[str, Any]) -> list[dict[str, Any]]:
    return [*before["history"], note][-HISTORY:]


def _noted(action: str, version: int, cause: Cause) -> dict[str, Any]:
    journey = cause.journey_ids[0] if cause.journey_ids else None
    return {"action": action, "version": version, "at": cause.at, "eventId": cause.event_key, "journeyId": journey}


def _plain(shape: Shape) -> dict[str, Any]:
    return shape.model_dump(by_alias=True)
