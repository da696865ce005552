# SPDX-License-Identifier: Apache-2.0
"""What senders of messages are told: a notice for each step and one for the outcome, each with one id, whatever is killed."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge import topics
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.notifications import notice
from bridge.notifications.notice import Notice
from bridge.settings import Settings
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.workers import Sender, event, site, until, working

pytestmark = pytest.mark.timeout(600)
MESSAGES = int(os.environ.get("TEST_MESSAGES", "1000"))
"""5,000 in the long form."""
PROCESSES = "createentity,updateentity"


def message(kind: str, payload: object, entity: str, **attributes: str) -> Event:
    type_ = f"eventingress.externaldata.{kind}.{kind}"
    given = {"partitionkey": entity, "entityid": entity, "ingresscorrelation": f"mine-{entity} ☂"} | attributes
    return event(type_, orjson.dumps(payload), **given)


def create(entity: str, name: str = "Acme") -> Event:
    payload = {"type": "Company", "properties": {"legalEntityName": {"type": "Single", "value": name}}}
    return message("createentity", payload, entity)


def update(entity: str, number: int, version: int | None = None) -> Event:
    properties = {"n": {"type": "Single", "value": number}, f"n{number % 3}": {"type": "Single", "value": number}}
    return message("updateentity", {"entityType": "Company", "properties": properties, "version": version}, entity)


def told(settings: Settings) -> list[Notice]:
    found = records(settings.kafka.bootstrap_servers, topics.NOTIFICATIONS.name(settings))
    return [notice.read(record.headers(), record.value()) for record in found]


def outcome_id(one: Event) -> str:
    return ids.notice_id(ids.execution_id(one.key, one.type.rpartition(".")[2]))


def entities(settings: Settings) -> dict[str, Any]:
    newest: dict[str, tuple[int, Any]] = {}
    for record in records(settings.kafka.bootstrap_servers, topics.state("entities").name(settings)):
        _, key, version = (record.key() or b"").decode().split("/")
        if record.value() is not None and int(version) > newest.get(key, (0, None))[0]:
            newest[key] = int(version), orjson.loads(record.value() or b"")
    return {key: value for key, (_, value) in newest.items()}


def test_each_step_and_the_outcome_are_told(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    first, second, stale, unknown = create("e1"), update("e1", 1, 0), update("e1", 2, 0), update("nobody", 3)
    other = event("t.a", b"{}")
    with working(stack, settings, tmp_path, processes=f"{PROCESSES},quick") as worker:
        sender = Sender(settings)
        sender.send(first, second, stale, unknown, other)
        sender.flush()
        worker.settle(settings)
        by_event: dict[str, list[Notice]] = defaultdict(list)
        for one in told(settings):
            assert one.tenant == "acme"
            by_event[one.url.rpartition("/")[2]].append(one)
    kinds = {key: [one.type for one in found] for key, found in by_event.items()}
    assert kinds == {
        first.key: ["journey:instancestarted", "entitydata:created", "entitydata:verified", "eventingress:success"],
        second.key: ["journey:instancestarted", "entitydata:draftcreated", "entitydata:verified", "eventingress:success"],
        stale.key: ["eventingress:failed"],
        unknown.key: ["eventingress:failed"],
    }
    success = by_event[first.key][-1]
    assert (success.id, success.causation, success.correlation) == (outcome_id(first), first.key, "mine-e1 ☂")
    said = orjson.loads(success.payload)
    assert (said["eventId"], said["eventType"], said["eventSubtype"]) == (first.key, "externaldata", "createentity")
    assert (said["status"], said["cause"], said["result"]["entities"][0]["entityId"]) == ("Processed", None, "e1")
    made = by_event[first.key][1]
    assert (made.causation, made.correlation, orjson.loads(made.payload)["entityId"]) == ("e1", "mine-e1 ☂", "e1")
    assert orjson.loads(by_event[stale.key][0].payload)["cause"].startswith("version-conflict: the entity e1 is at version 1")
    assert orjson.loads(by_event[unknown.key][0].payload)["cause"] == "entity-unknown: there is no entity nobody"
    assert set(notice.document(success)) == {
        "id", "tenantId", "eventType", "relativeUrl", "payload", "when", "correlationId", "causationId",
    }  # fmt: skip


def test_messages_end_once_and_entities_are_those_of_a_model_whatever_is_killed(stack: StackOfTests, tmp_path: Path) -> None:
    settings, chance = site(stack), random.Random(11)
    names = [f"e{number}" for number in range(MESSAGES // 25)]
    messages = [create(name) for name in names] + [update(chance.choice(names), n) for n in range(MESSAGES - len(names))]
    model: dict[str, list[int]] = {name: [] for name in names}
    for one in messages[len(names) :]:
        model[one.attributes["entityid"]].append(one.json()["properties"]["n"]["value"])
    with working(stack, settings, tmp_path, processes=PROCESSES) as worker:
        for start in range(0, len(messages), len(messages) // 5):
            sender = Sender(settings)
            sender.send(*messages[start : start + len(messages) // 5])
            sender.flush()
            time.sleep(chance.uniform(0.1, 0.6))
            worker.kill()
            worker.start()
        until(lambda: {outcome_id(one) for one in messages} <= {one.id for one in told(settings)}, "all are told", 300)
        worker.settle(settings)
    found = entities(settings)
    assert set(found) == set(names)
    for name, numbers in model.items():
        verified = found[name]["verified"]
        assert (verified["version"], found[name]["draft"]) == (len(numbers), None), name
        for suffix in ("", "0", "1", "2"):
            of = [number for number in numbers if not suffix or number % 3 == int(suffix)]
            assert verified["properties"].get(f"n{suffix}", {}).get("value") == (of[-1] if of else None), name
    outcomes = [one for one in told(settings) if one.type.startswith("eventingress:")]
    assert {one.type for one in outcomes} == {notice.SUCCESS}
    ids_of = defaultdict(set)
    for one in outcomes:
        ids_of[one.causation].add(one.id)
    assert ids_of == {one.key: {outcome_id(one)} for one in messages}
    assert max(Counter(one.id for one in outcomes).values()) <= 6, "a repetition only where a worker died"
