# SPDX-License-Identifier: Apache-2.0
"""
The document's own messages from POST to notification, on the real stack: polled from a feed, and posted to a real receiver.

And every operation of `/eventnotifications` and `/webhooks`, with its faults.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.fernet import Fernet

from bridge.credentials import Vault
from bridge.domain.principal import TokenScope
from bridge.egress.addresses import LOOPBACK
from bridge.registry.session import changing
from bridge.registry.webhook import Webhook
from bridge.registry.webhooks import Wish, create_webhook
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.ingress import Caller, caller
from tests.integration.receiver import Receiver, receiving
from tests.integration.workers import site, working
from tests.web_under_test import Server, Tenant, free_port, make_tenants, until, web_server

pytestmark = pytest.mark.timeout(120)
EXAMPLES = Path("web/dialects/eventingress/examples")
FEED = "/eventnotifications/v2"
HOOKS = "/webhooks/v1/webhooks"
SECRET = "shared by both"
SPREAD_S = 2  # a change is in every process within this time: the promise; a worker cannot be asked


class House(NamedTuple):
    server: Server
    settings: Settings

    def tenant(self, **options: Any) -> tuple[Tenant, Caller]:
        """A tenant of a test's own, and a caller with a token."""
        (made,) = make_tenants(self.settings, f"t-{uuid.uuid4().hex[:8]}")
        return made, caller(self.server.ask, self.settings, made.name, **options)


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack, port=free_port(), egress_allowed_networks=LOOPBACK)
    with (
        working(stack, settings, tmp_path_factory.mktemp("outcomes"), processes="createentity,updateentity"),
        web_server(stack, settings) as server,
    ):
        yield House(server, settings)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def message(name: str) -> dict[str, Any]:
    """The body of one of the document's examples, unchanged."""
    return dict(json.loads((EXAMPLES / f"{name}.json").read_bytes())["request"]["body"])


def polled(call: Caller, feed: str = "all") -> list[dict[str, Any]]:
    """Take everything that a feed has now."""
    found: list[dict[str, Any]] = []
    while (answer := call.ask_for("GET", f"{FEED}/{feed}/next")).status == 200:
        batch = answer.json()
        found += batch["notifications"]
        assert call.ask_for("POST", f"{FEED}/{feed}/{batch['batchId']}/complete").status == 200
    assert (answer.status, answer.body) == (204, b"")
    return found


def outcome(call: Caller, event_id: str, feed: str = "eventingress") -> dict[str, Any]:
    """Poll until a message's outcome is told."""
    found: list[dict[str, Any]] = []

    def told() -> bool:
        found.extend(one for one in polled(call, feed) if one["causationId"] == event_id and "eventingress:" in one["eventType"])
        return bool(found)

    until(told, 30)
    (one,) = found
    return one


def test_the_documents_create_and_update_run_to_their_notification_by_polling(house: House) -> None:
    tenant, call = house.tenant()
    create, update = message("events-create"), message("events-update")
    create["correlationId"] = update["correlationId"] = "100 % of\tmine \u0007 ☂"
    first = call.send(create.pop("eventType"), create.pop("eventSubtype"), **create)
    said = outcome(call, first)
    assert (said["eventType"], said["tenantId"]) == ("eventingress:success", tenant.name)
    assert (said["correlationId"], said["relativeUrl"]) == (create["correlationId"], f"/eventingress/v1/events/{first}")
    (made,) = said["payload"]["result"]["entities"]
    assert (made["entityId"], made["action"]) == (first, "Created")
    update["entityId"] = made["entityId"]
    second = call.send(update.pop("eventType"), update.pop("eventSubtype"), **update)
    assert outcome(call, second)["eventType"] == "eventingress:success"
    entity = house.server.ask("GET", f"/api/v1/entities/{first}", x_api_key=tenant.key).json()
    assert (entity["verified"]["version"], entity["draft"]) == (1, None)
    assert entity["verified"]["properties"]["countyInIreland"] == {"type": "Single", "value": "Galway"}
    assert entity["verified"]["properties"]["countryOfIncorporation"]["value"] == "Ireland", "the update leaves it alone"
    shown = call.event(second)
    assert (shown["status"]["status"], shown["entities"][0]["action"]) == ("Processed", "Updated")
    again = call.send("externaldata", "updateentity", **update)
    failed = outcome(call, again)
    assert (failed["eventType"], failed["correlationId"]) == ("eventingress:failed", update["correlationId"])
    assert failed["payload"]["cause"].startswith("version-conflict")
    assert call.event(again)["status"]["statusDetails"]["cause"].startswith("version-conflict")
    steps = {one["eventType"] for one in polled(call, "entitydata")}
    assert steps == {"entitydata:created", "entitydata:draftcreated", "entitydata:verified"}
    assert len(polled(call, "journey")) == 2
    assert len({one["correlationId"] for one in polled(call, "all")}) == 1, "all of them share the message's"


def test_an_unknown_entity_is_accepted_and_fails_with_the_cause(house: House) -> None:
    _, call = house.tenant()
    update = message("events-update")
    event_id = call.send(update.pop("eventType"), update.pop("eventSubtype"), **update)
    assert outcome(call, event_id)["payload"]["cause"] == f"entity-unknown: there is no entity {update['entityId']}"


def test_the_documents_create_runs_to_its_notification_by_webhook(house: House, receiver: Receiver) -> None:
    _, call = house.tenant()
    wish = {"name": "mine", "url": receiver.url, "secret": SECRET, "enabled": True, "eventTypes": ["eventingress:success"]}
    added = call.ask_for("POST", HOOKS, wish)
    assert added.status == 200, added.body
    name = added.json()["webhookId"]
    tested = call.ask_for("GET", f"{HOOKS}/{name}/test").json()
    assert tested == {"delivery": {"status": "Successful", "httpStatusCode": 200, "reason": None}}
    assert json.loads(receiver.came[0][1])["EventType"] == "webhooks:test"
    time.sleep(SPREAD_S)
    create = message("events-create")
    event_id = call.send(create.pop("eventType"), create.pop("eventSubtype"), **create)
    until(lambda: len(receiver.came) == 2, 30)
    headers, body = receiver.came[1]
    said = json.loads(body)
    assert (said["EventType"], said["CausationId"], said["CorrelationId"]) == (
        "eventingress:success",
        event_id,
        create["correlationId"],
    )
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest().upper()
    assert headers["x-fenx-signature"] == f"sha256={mac}"
    until(lambda: call.ask_for("GET", f"{HOOKS}/{name}").json()["webhook"]["deliveries"], 10)
    shown = call.ask_for("GET", f"{HOOKS}/{name}").json()["webhook"]
    (delivery,) = shown.pop("deliveries")
    assert (delivery["status"], delivery["httpStatusCode"], delivery["notificationId"]) == ("Successful", 200, said["Id"])
    assert shown == {
        "id": name,
        "name": "mine",
        "url": receiver.url,
        "enabled": True,
        "eventTypes": ["eventingress:success"],
        "emailAddresses": [],
        "type": "Single",
        "batchSize": 0,
        "status": "Enabled",
        "statusReason": None,
    }
    assert SECRET.encode() not in call.ask_for("GET", HOOKS).body
    receiver.answers = [(500, {})]
    failing = call.ask_for("GET", f"{HOOKS}/{name}/test").json()["delivery"]
    assert (failing["status"], failing["httpStatusCode"]) == ("Failed", 500)


def test_webhooks_are_listed_changed_sent_back_and_deleted(house: House, receiver: Receiver) -> None:
    _, call = house.tenant()
    wish = {"name": "one", "url": receiver.url, "secret": SECRET, "eventTypes": ["*"], "type": "Batch", "batchSize": 20}
    name = call.ask_for("POST", HOOKS, wish).json()["webhookId"]
    (shown,) = call.ask_for("GET", HOOKS).json()["webHooks"]
    assert (shown["id"], shown["type"], shown["batchSize"], shown["enabled"]) == (name, "Batch", 20, True)
    back = shown | {"enabled": False, "secret": "", "emailAddresses": ["a@example.com"]}
    assert call.ask_for("PUT", f"{HOOKS}/{name}", back).json() == {"webhookId": name}
    changed = call.ask_for("GET", f"{HOOKS}/{name}").json()["webhook"]
    assert (changed["status"], changed["emailAddresses"]) == ("UserDisabled", ["a@example.com"])
    assert call.ask_for("POST", HOOKS, wish).status == 409, "the name is taken"
    _, other = house.tenant()
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/test")):
        foreign = other.ask_for(method, f"{HOOKS}/{name}{path}", wish if method == "PUT" else None)
        assert foreign.status == 404, "another tenant's webhook does not exist"
    assert call.ask_for("DELETE", f"{HOOKS}/{name}").status == 200
    assert call.ask_for("GET", f"{HOOKS}/{name}").status == 404
    assert call.ask_for("GET", HOOKS).json() == {"webHooks": []}
    for number in range(10):
        assert call.ask_for("POST", HOOKS, wish | {"name": f"n{number}"}).status == 200
    assert call.ask_for("POST", HOOKS, wish | {"name": "eleventh"}).status == 409


def test_a_secret_that_cannot_be_decrypted_is_said_by_the_test(house: House, receiver: Receiver) -> None:
    tenant, call = house.tenant()
    wish = Wish("mine", receiver.url, SECRET, ("*",), enabled=True, addresses=(), batch=0)
    other = Vault(Fernet.generate_key().decode())

    async def make() -> Webhook:
        async with changing(house.settings) as changes:
            return await create_webhook(changes, other, tenant.name, wish)

    path = f"{HOOKS}/{asyncio.run(make()).id}"
    until(lambda: call.ask_for("GET", path).status == 200, 5)
    said = call.ask_for("GET", f"{path}/test").json()["delivery"]
    assert (said["status"], said["httpStatusCode"]) == ("Failed", None)
    assert "cannot be decrypted" in said["reason"]
    assert not receiver.came


def test_every_fault_of_a_webhook_is_named(house: House) -> None:
    _, call = house.tenant()
    wish = {
        "name": "x" * 129,
        "url": "http://10.0.0.1/",
        "secret": "short",
        "enabled": "yes",
        "eventTypes": ["*", "a:b"],
        "emailAddresses": ["a"] * 6,
        "type": "Odd",
        "batchSize": 101,
        "odd": 1,
    }
    answer = call.ask_for("POST", HOOKS, wish)
    assert answer.status == 400
    assert {one["propertyName"] for one in answer.json()["data"]} == set(wish)
    assert call.ask_for("POST", HOOKS, {}).status == 400
    missing = {one["propertyName"] for one in call.ask_for("POST", HOOKS, {}).json()["data"]}
    assert missing == {"name", "url", "secret", "eventTypes"}
    small = {"name": "a", "url": "https://example.com", "secret": SECRET, "eventTypes": ["*"], "type": "Batch", "batchSize": 9}
    assert [one["propertyName"] for one in call.ask_for("POST", HOOKS, small).json()["data"]] == ["batchSize"]


def test_feeds_answer_only_what_they_know(house: House) -> None:
    _, call = house.tenant()
    assert call.ask_for("GET", f"{FEED}/No Feed/next".replace(" ", "%20")).status == 404
    assert call.ask_for("POST", f"{FEED}/all/nothing/complete").status == 404
    create = message("events-create")
    event_id = call.send(create.pop("eventType"), create.pop("eventSubtype"), **create)
    outcome(call, event_id)
    assert call.ask_for("PUT", f"{FEED}/all/discardAll").status == 200
    assert polled(call) == []
    types = call.ask_for("GET", f"{FEED}/event-notification-types").json()
    assert {"eventType": "eventingress:success", "feedId": "eventingress"} in types
    assert call.ask_for("GET", f"{HOOKS}/event-notification-types").json() == types
    _, other = house.tenant()
    assert polled(other) == [], "another tenant's notices are not there"


def test_each_part_needs_its_own_scope_and_only_messages_fill_the_windows(house: House) -> None:
    _, call = house.tenant(scopes=[TokenScope.EVENT_INGRESS])
    for path in (f"{FEED}/all/next", HOOKS):
        answer = call.ask_for("GET", path)
        assert (answer.status, answer.json()["messages"][0]["type"]) == (403, "Forbidden")
        assert "x-rate-limit-remaining" not in answer.headers
    assert "x-rate-limit-remaining" in call.call("GET", "/v1/event-types").headers
    assert call.ask("GET", HOOKS).status == 401
    missing = call.ask("GET", HOOKS, authorization=f"Bearer {call.token}")
    assert missing.json()["messages"][0]["errorCode"] == "MissingTenantHeader"
