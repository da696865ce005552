# SPDX-License-Identifier: Apache-2.0
"""
What becomes of an entity: made, drafted, verified. Pure; an entity is the JSON that the processes keep and that look-ups show.

The verified version is what counts; a change is made on a draft of it, and counts once its journey has ended well.
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
    """Where a change comes from: its event, the event's time, and the journey that it has begun."""

    event_key: str
    at: str
    journey_id: str


def create(before: Entity | None, entity_id: str, given: Create, cause: Cause) -> Entity:
    """Make an entity, verified from its beginning, at version 0. Raises: Refused where it exists."""
    if before is not None:
        raise Refused("entity-exists", f"the entity {entity_id} exists already")
    verified = {
        "version": 0,
        "type": given.type,
        "targetEntity": given.target_entity,
        "alternateId": given.alternate_id,
        "properties": _plain(given)["properties"],
        "accessLayers": _plain(given.access_layers),
    }
    return {"id": entity_id, "verified": verified, "draft": None, "history": [_noted("Created", 0, cause)]}


def draft(before: Entity | None, entity_id: str, given: Update, cause: Cause) -> Entity:
    """
    Copy the verified version and apply a change to the copy: properties that are given replace those of their name, items of
    collections those of their id; all others stay.

    Raises: Refused for an entity that does not exist, another type, or a version that is not the verified one.
    """
    if before is None:
        raise Refused("entity-unknown", f"there is no entity {entity_id}")
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
    return before | {"draft": changed, "history": _after(before, _noted("DraftCreated", changed["version"], cause))}


def verify(before: Entity, cause: Cause) -> Entity:
    """Let the draft count: its journey has ended well."""
    made = before["draft"]
    return before | {"verified": made, "draft": None, "history": _after(before, _noted("Verified", made["version"], cause))}


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
    return {"action": action, "version": version, "at": cause.at, "eventId": cause.event_key, "journeyId": cause.journey_id}


def _plain(shape: Shape) -> dict[str, Any]:
    return shape.model_dump(by_alias=True)
