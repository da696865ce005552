# SPDX-License-Identifier: Apache-2.0
"""
The business processes `createentity` and `updateentity`: from a message to an entity, with a result for each step.

Both keep the same state, so that an entity's messages are applied one after another. The journey that every message begins is the
default one: it verifies at once.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from bridge.sdk import Completed, Context, Event, NoConfig, Outcome, Process, Rejected, Result, hookimpl
from plugins.entity import changes, payloads
from plugins.entity.changes import Cause, Entity, Refused
from plugins.entity.payloads import InvalidPayload

JOURNEYS: Final = uuid.UUID("f3b5b0e8-0a57-5d0a-9d0c-6f4f5a0d1c11")
CREATED, DRAFTED, VERIFIED, STARTED = (
    "entitydata:created",
    "entitydata:draftcreated",
    "entitydata:verified",
    "journey:instancestarted",
)


class EntityProcess(Process[NoConfig]):
    """What both have in common."""

    version, state, ordered, business_process = "1.0.0", "entities", True, True

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        """Change the entity, or reject the message with the cause."""
        try:
            payload = event.json()
        except (ValueError, RecursionError) as err:
            return Rejected("invalid-payload", f"the payload is not JSON: {err}")
        journey = str(uuid.uuid5(JOURNEYS, context.execution_id))
        cause = Cause(event.key, event.attributes.get("time", ""), journey)
        try:
            return self.apply(payload, event, context, cause)
        except InvalidPayload as err:
            return Rejected("invalid-payload", str(err))
        except Refused as err:
            return Rejected(err.code, str(err))
        except (ValueError, RecursionError) as err:  # a number or a text that cannot be kept, such as 1e999
            return Rejected("invalid-payload", f"the payload cannot be kept: {err}")

    def apply(self, payload: Any, event: Event, context: Context[NoConfig], cause: Cause) -> Outcome:
        """Do what the message asks for. Raises: InvalidPayload, Refused."""
        raise NotImplementedError


class CreateEntity(EntityProcess):
    """Makes an entity; its id is the one that the message names, or the message's event id."""

    name, title, events = "createentity", "Create Entity", ("eventingress.*.*.createentity",)

    def apply(self, payload: Any, event: Event, context: Context[NoConfig], cause: Cause) -> Outcome:
        """Make it."""
        entity = changes.create(context.state.get(), _entity_id(event), payloads.read(payloads.Create, payload), cause)
        context.state.put(entity)
        return _completed("Created", entity, cause, [_step(STARTED, entity, cause), _step(CREATED, entity, cause)])


class UpdateEntity(EntityProcess):
    """Changes a draft of an entity, and verifies it when its journey has ended."""

    name, title, events = "updateentity", "Update Entity", ("eventingress.*.*.updateentity",)

    def apply(self, payload: Any, event: Event, context: Context[NoConfig], cause: Cause) -> Outcome:
        """Change it."""
        drafted = changes.draft(context.state.get(), _entity_id(event), payloads.read(payloads.Update, payload), cause)
        verified = changes.verify(drafted, cause)
        context.state.put(verified)
        steps = [_step(STARTED, drafted, cause), _step(DRAFTED, drafted, cause), _step(VERIFIED, verified, cause)]
        return _completed("Updated", verified, cause, steps)


def _entity_id(event: Event) -> str:
    """Give the entity's id: the key of what is kept."""
    return event.attributes.get("partitionkey") or event.key


def _completed(action: str, entity: Entity, cause: Cause, results: list[Result]) -> Completed:
    named = {"entityId": entity["id"], "action": action, "journeyId": cause.journey_id, "processingStatus": "Processed"}
    return Completed(data={"entities": [named]}, results=results)


def _step(kind: str, entity: Entity, cause: Cause) -> Result:
    """Say that something has happened; as bytes, because numbers of any size are to stay what they are."""
    said: dict[str, Any] = {"entityId": entity["id"], "journeyId": cause.journey_id, "eventId": cause.event_key}
    if kind != STARTED:
        said |= {"version": (entity["draft"] or entity["verified"])["version"], "entity": entity["draft"] or entity["verified"]}
    data = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return Result(kind, data, subject=entity["id"])


@hookimpl
def bridge_processes() -> list[EntityProcess]:
    """Contribute the processes `createentity` and `updateentity`."""
    return [CreateEntity(), UpdateEntity()]
