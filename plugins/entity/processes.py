# SPDX-License-Identifier: Apache-2.0
"""
The business processes `createentity` and `updateentity`: from a message to an entity, with a result for each step.

Both keep the same state, so that an entity's messages are applied one after another. A message makes a draft and awaits its
journeys; their end verifies the draft, or drops it. An event that is no message, such as a workflow's task, verifies at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from bridge.sdk import AwaitJourneys, Completed, Context, Event, Journey, NoConfig, Outcome, Process, Rejected, Result, hookimpl
from plugins.entity import changes, payloads
from plugins.entity.changes import Cause, Entity, Refused
from plugins.entity.payloads import InvalidPayload

CREATED, DRAFTED, VERIFIED, STARTED = (
    "entitydata:created",
    "entitydata:draftcreated",
    "entitydata:verified",
    "journey:instancestarted",
)


class EntityProcess(Process[NoConfig]):
    """What both have in common."""

    version, state, ordered, business_process = "2.0.0", "entities", True, True
    action: str
    drafted: str

    async def run(self, event: Event, context: Context[NoConfig]) -> Outcome:
        """Draft the change, and after its journeys verify or drop it; or reject the message with the cause."""
        if context.journeys == ():
            kind = event.type.rpartition(".")[0].removeprefix("eventingress.")
            return Rejected("no-journey", f"no workflow has an event trigger for {kind.replace('.', ' / ')}")
        try:
            return self._go_on(event, context)
        except InvalidPayload as err:
            return Rejected("invalid-payload", str(err))
        except Refused as err:
            return Rejected(err.code, str(err))
        except (ValueError, RecursionError) as err:  # no JSON, or a number or a text that cannot be kept, such as 1e999
            return Rejected("invalid-payload", f"the payload is not JSON that can be kept: {err}")

    def _go_on(self, event: Event, context: Context[NoConfig]) -> Outcome:
        """Raises: InvalidPayload, Refused, ValueError."""
        journeys = context.journeys or ()
        at, replay = event.attributes.get("time", ""), "replayedfrom" in event.attributes
        cause = Cause(event.key, at, context.execution_id, tuple(one.id for one in journeys), replay)
        entity: Entity = context.state.get()
        if not changes.drafted_by(entity, context.execution_id):
            entity = self.apply(entity, event.attributes.get("partitionkey") or event.key, event.json(), cause)
        step = _Step(entity, cause)
        begun = [*step.started(journeys), step.result(self.drafted)]
        if journeys and not journeys[0].status:
            context.state.put(entity)
            return AwaitJourneys(step.said(self.action, "Processing"), begun)
        after = changes.drop(entity, cause) if (failed := _failure(journeys)) else changes.verify(entity, cause)
        context.state.put(after)
        if failed or after is None:
            return Rejected("journey-failed", failed, keep=True)
        verified = _Step(after, cause)
        results = [verified.result(VERIFIED)]
        return Completed(verified.said(self.action, "Processed"), results if journeys else begun + results)

    def apply(self, before: Entity | None, entity_id: str, payload: Any, cause: Cause) -> Entity:
        """Draft what the message asks for. Raises: InvalidPayload, Refused."""
        raise NotImplementedError


class CreateEntity(EntityProcess):
    """Makes an entity; its id is the one that the message names, or the message's event id."""

    name, title, events = "createentity", "Create Entity", ("eventingress.*.*.createentity",)
    action, drafted = "Created", CREATED

    def apply(self, before: Entity | None, entity_id: str, payload: Any, cause: Cause) -> Entity:
        """Make it."""
        return changes.create(before, entity_id, payloads.read(payloads.Create, payload), cause)


class UpdateEntity(EntityProcess):
    """Changes a draft of an entity."""

    name, title, events = "updateentity", "Update Entity", ("eventingress.*.*.updateentity",)
    action, drafted = "Updated", DRAFTED

    def apply(self, before: Entity | None, entity_id: str, payload: Any, cause: Cause) -> Entity:
        """Change it."""
        return changes.update(before, entity_id, payloads.read(payloads.Update, payload), cause)


def _failure(journeys: tuple[Journey, ...]) -> str:
    """Say which journeys have not ended well, and why; empty where all have."""
    return "; ".join(
        f"the journey {one.workflow} is {one.status}{one.reason and ': '}{one.reason}"
        for one in journeys
        if one.status != "succeeded"
    )


class _Step(NamedTuple):
    """An entity as it is after a step, and what the step came from."""

    entity: Entity
    cause: Cause

    def started(self, journeys: tuple[Journey, ...]) -> Iterator[Result]:
        """Say that journeys have begun, each for itself."""
        for one in journeys:
            yield _result(STARTED, one.id, self._named(one.id) | {"workflow": one.workflow})

    def result(self, kind: str) -> Result:
        """Say that something has happened to the entity, and how it is now."""
        now = self.entity["draft"] or self.entity["verified"]
        named = self._named(self.cause.journey_ids[0] if self.cause.journey_ids else None)
        return _result(kind, self.entity["id"], named | {"version": now["version"], "entity": now})

    def said(self, action: str, status: str) -> dict[str, Any]:
        """Give what is kept with the execution: the entity, once for each of its journeys."""
        named = {"entityId": self.entity["id"], "action": action, "processingStatus": status}
        return {"entities": [named | {"journeyId": one} for one in self.cause.journey_ids or (None,)]}

    def _named(self, journey_id: str | None) -> dict[str, Any]:
        return {"entityId": self.entity["id"], "journeyId": journey_id, "eventId": self.cause.event_key}


def _result(kind: str, subject: str, said: dict[str, Any]) -> Result:
    """Make a result; as bytes, because numbers of any size are to stay what they are."""
    return Result(kind, json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(), subject=subject)


@hookimpl
def bridge_processes() -> list[EntityProcess]:
    """Contribute the processes `createentity` and `updateentity`."""
    return [CreateEntity(), UpdateEntity()]
