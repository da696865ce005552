# SPDX-License-Identifier: Apache-2.0
"""The Event Ingress dialect on the real stack: messages go to their business process, and are seen on their way and after it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import redis

from bridge.cloudevents.kafka import event_of
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.doors import stored
from tests.integration.ingress import Caller, caller
from tests.integration.workers import site, working
from tests.web_under_test import Server, free_port, make_tenants, until, web_server

pytestmark = pytest.mark.timeout(120)
TYPE = {
    "key": "accounts",
    "displayName": "Accounts",
    "eventSubtypes": [{"key": "open", "displayName": "Open", "businessProcessType": "open-account"}],
}
ENTITY = "afa349d8-3dcd-4468-87db-020bdd4450b4"


class House(NamedTuple):
    """A server and a worker with a business process, and callers of two tenants."""

    server: Server
    settings: Settings
    acme: Caller
    other: Caller

    def ended(self, event_id: str) -> Any:
        """Wait until a message has been handled, and look it up."""
        until(lambda: self.acme.event(event_id)["status"]["status"] in ("Processed", "Failed"), 30)
        return self.acme.event(event_id)


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack, port=free_port())
    make_tenants(settings, "acme", "other")
    with (
        working(stack, settings, tmp_path_factory.mktemp("ingress"), processes="open-account,quick"),
        web_server(stack, settings) as server,
    ):
        acme, other = (caller(server.ask, settings, tenant) for tenant in ("acme", "other"))
        offered = ("GET", "/v1/business-process-types")
        until(lambda: "open-account" in [one["key"] for one in acme.call(*offered).json()["data"]], 30)
        assert acme.call("POST", "/v1/event-types", TYPE).status == 200
        yield House(server, settings, acme, other)


def test_a_workers_business_processes_are_offered_beside_the_shipped_ones(house: House) -> None:
    assert house.acme.call("GET", "/v1/business-process-types").json() == {
        "data": [
            {"key": "createentity", "displayName": "Create Entity"},
            {"key": "open-account", "displayName": "Open an Account"},
            {"key": "updateentity", "displayName": "Update Entity"},
        ],
        "messages": None,
    }


def test_a_message_is_handled_and_shows_what_became_of_it(house: House) -> None:
    began = time.time_ns() // 1_000_000
    entities = [{"id": "e1", "entityId": ENTITY, "action": "Created", "journeyId": "j1", "odd": 1}, 7, "x"]
    payload = {"entities": entities, "big": 2**70}
    event_id = house.acme.send("Accounts", "OPEN", payload=payload, correlationId="c-1", source="tests", priority=2)
    found = house.ended(event_id)
    assert {name: value for name, value in found.items() if not name.endswith("Time")} == {
        "eventId": event_id,
        "source": "tests",
        "status": {"status": "Processed", "statusDetails": {"cause": None, "details": [], "warnings": []}},
        "eventType": "accounts",
        "eventSubtype": "open",
        "correlationId": "c-1",
        "priority": 2,
        "entityId": None,
        "eventData": payload,
        "entities": [
            {
                "id": "e1",
                "createdAt": None,
                "eventId": event_id,
                "entityId": ENTITY,
                "taskId": None,
                "processingStatus": "Processed",
                "journeyId": "j1",
                "externalIdentifier": None,
                "action": "Created",
            }
        ],
    }
    for name in ("receivedTime", "processedTime"):
        assert len(found[name]) == len("2023-02-09T17:11:29.5888302+00:00")
        assert began - 1 <= _ms(found[name]) <= time.time_ns() // 1_000_000
    assert found["receivedTime"] <= found["processedTime"]


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_its_record_holds_what_was_sent_byte_for_byte(house: House) -> None:
    texts = {"source": "Zoë\n\u0000 100% ﷐", "correlationId": "\u0085🎉 %41"}
    members = {"eventType": "accounts", "eventSubtype": "open", "entityId": ENTITY.upper(), "priority": -1}
    body = json.dumps(members | texts)[:-1] + ',"payload": { "a" :  1.10, "b":[ ] } }'
    answer = house.acme.call("POST", "/v1/events", body.encode(), x_correlation_id="header")
    assert answer.status == 202, answer.body
    event_id = answer.json()["data"]["eventId"]
    (message,) = [one for one in stored(house.settings) if dict(one.headers() or [])["ce_id"] == event_id.encode()]
    event = event_of(message.headers(), message.value())
    assert event.data == b'{ "a" :  1.10, "b":[ ] }'
    given = event.attributes
    assert (event.type, event.source) == ("eventingress.accounts.open.open-account", "/eventingress")
    assert (given["partitionkey"], given["entityid"], given["ingresspriority"]) == (ENTITY, ENTITY, "-1")
    assert given["correlationid"] == given["eventkey"] == event_id, "the correlation id of the bridge stays its own"
    assert message.key() == f"acme/{ENTITY}".encode()
    shown = house.ended(event_id)
    assert {name: shown[name] for name in texts} == texts
    assert (shown["entityId"], shown["priority"]) == (ENTITY, -1)


def test_what_is_left_out_is_left_out(house: House) -> None:
    event_id = house.acme.send("accounts", "open", payload=None, source=None, correlationId="", priority=None, entityId=None)
    (message,) = [one for one in stored(house.settings) if dict(one.headers() or [])["ce_id"] == event_id.encode()]
    given = event_of(message.headers(), message.value()).attributes
    assert not {"partitionkey", "entityid", "ingresspriority", "ingresssource", "ingresscorrelation", "datacontenttype"} & set(
        given
    )
    assert message.value() == b""
    shown = house.ended(event_id)
    assert [shown[n] for n in ("source", "correlationId", "priority", "entityId", "eventData")] == [None] * 5


def test_the_header_stands_in_for_the_bodys_correlation_id_and_comes_back(house: House) -> None:
    body = {"eventType": "accounts", "eventSubtype": "open"}
    answer = house.acme.call("POST", "/v1/events", body, x_correlation_id="from-header")
    assert answer.headers["x-correlation-id"] == "from-header"
    assert house.acme.event(answer.json()["data"]["eventId"])["correlationId"] == "from-header"
    answer = house.acme.call("POST", "/v1/events", body | {"correlationId": "from-body"}, x_correlation_id="from-header")
    assert house.acme.event(answer.json()["data"]["eventId"])["correlationId"] == "from-body"


def test_a_large_payload_comes_back_and_one_that_is_too_large_is_refused(house: House) -> None:
    payload = {"text": "é" * 100_000, "skips": 1}
    event_id = house.acme.send("accounts", "open", payload=payload)
    assert house.acme.event(event_id)["eventData"] == payload
    faulty = house.acme.call("POST", "/v1/events", {"eventType": "accounts", "payload": payload, "x": "y" * 1000})
    assert faulty.status == 400
    assert [one["propertyName"] for one in faulty.json()["data"]] == ["eventSubtype", "x"]
    assert faulty.json()["data"][1]["attemptedValue"].endswith("…")
    answer = house.acme.call("POST", "/v1/events", content_length=str(2 * 1024 * 1024))
    assert (answer.status, answer.json()["messages"][0]["errorCode"]) == (413, "TOO_LARGE")


def test_a_failure_says_why(house: House) -> None:
    found = house.ended(house.acme.send("accounts", "open", payload={"rejects": 1}, correlationId="c-2"))
    details = found["status"]["statusDetails"]
    assert (found["status"]["status"], details["cause"]) == ("Failed", "unknown-entity: there is no such entity")
    ((one),) = details["details"]
    assert (one["correlationKey"], one["message"]) == ("c-2", details["cause"])
    assert uuid.UUID(one["id"])
    assert found["processedTime"]


def test_what_is_tried_again_is_being_processed(house: House) -> None:
    event_id = house.acme.send("accounts", "open", payload={"fails": 1})
    seen = []

    def ended() -> bool:
        status = house.acme.event(event_id)["status"]
        if status not in seen:
            seen.append(status)
        return bool(status["status"] == "Processed")

    until(ended, 30)
    trying = [one for one in seen if one["statusDetails"]["warnings"]]
    assert trying[0]["status"] == "Processing"
    assert "the bank is closed" in trying[0]["statusDetails"]["warnings"][0]["message"]


def test_nothing_to_do_is_a_warning(house: House) -> None:
    status = house.ended(house.acme.send("accounts", "open", payload={"skips": 1}))["status"]
    assert status["status"] == "Processed"
    assert status["statusDetails"]["warnings"] == [{"origin": "open-account", "message": "nothing to do"}]


def test_a_process_that_no_worker_runs_fails_its_messages(house: House) -> None:
    found = house.ended(house.acme.send("transactionmonitoring", "kycreview", entityId=ENTITY, payload={}))
    assert found["status"] == {
        "status": "Failed",
        "statusDetails": {
            "cause": "No worker runs the business process updateentity for this tenant.",
            "details": [],
            "warnings": [],
        },
    }


def test_messages_are_listed_page_by_page_in_their_order(house: House) -> None:
    since = _now()
    sent = [house.acme.send("accounts", "open", priority=n) for n in range(7)]
    until_ = _now(1)
    foreign = house.other.send("externaldata", "createentity")
    seen, after = [], None
    while True:
        pager = {"first": 3} if after is None else {"first": 3, "after": after}
        page = _page(house.acme, since, until_, pager)
        assert len(page["items"]) <= 3
        seen += page["items"]
        after = page["nextToken"]
        assert page["hasNextPage"] is (after is not None)
        if after is None:
            break
    assert [one["eventId"] for one in seen] == sent
    assert [one["priority"] for one in seen] == list(range(7))
    begin = seen[2]["receivedTime"]
    inside = _page(house.acme, begin, seen[5]["receivedTime"], {"first": 100})["items"]
    assert sent[2] in [one["eventId"] for one in inside]
    assert sent[5] not in [one["eventId"] for one in inside], "the end is exclusive"
    assert [one["eventId"] for one in _page(house.other, since, until_, {"first": 100})["items"]] == [foreign]
    assert house.other.call("GET", f"/v1/events/{sent[0]}").status == 404


def _page(who: Caller, since: str, until_: str, pager: dict[str, Any]) -> Any:
    answer = who.call("POST", "/v1/events-by-filter-paginated", {"startDate": since, "endDate": until_, "pager": pager})
    assert answer.status == 200, answer.body
    return answer.json()["data"]


def _now(later_s: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=later_s)).isoformat()


def test_events_of_other_doors_are_no_messages(house: House) -> None:
    forged = {"specversion": "1.0", "id": "1", "source": "/eventingress", "type": "eventingress.accounts.open.quick", "data": 1}
    key = make_key(house)
    until(lambda: house.server.ask("GET", "/events/x", x_api_key=key).status != 401)
    answer = house.server.ask(
        "POST", "/events", json.dumps(forged).encode(), x_api_key=key, content_type="application/cloudevents+json"
    )
    assert answer.status == 202, answer.body
    made = answer.json()["key"]
    until(lambda: house.server.ask("GET", f"/events/{made}", x_api_key=key).json()["settled"], 30)
    assert house.acme.call("GET", f"/v1/events/{made}").status == 404, "nor when the worker has come to it"
    for wrong in ("x", str(uuid.uuid4()), "..%2f", "a%00b"):
        assert house.acme.call("GET", f"/v1/events/{wrong}").status in (400, 404)


def make_key(house: House) -> str:
    async def make() -> str:
        async with changing(house.settings) as changes:
            return (await create_key(changes, "acme", "native")).text

    return asyncio.run(make())


def test_types_can_be_changed_and_hold_everywhere(house: House) -> None:
    other = {**TYPE, "key": "changing"}
    assert house.acme.call("POST", "/v1/event-types", other).status == 200
    assert house.acme.call("POST", "/v1/event-types", other).status == 409
    other["eventSubtypes"] = [{"key": "close", "displayName": "Close", "businessProcessType": "updateentity"}]
    assert house.acme.call("PUT", "/v1/event-types", other).status == 200
    listed = house.acme.call("GET", "/v1/event-types").json()["data"]
    assert [one["key"] for one in listed] == ["externaldata", "transactionmonitoring", "accounts", "changing"]
    assert listed[-1] == {**other, "isSystemDefined": False}
    assert house.acme.call("PUT", "/v1/event-types", listed[-1]).status == 200, "what a list answers can be sent back"
    assert house.acme.call("POST", "/v1/events", {"eventType": "changing", "eventSubtype": "open"}).status == 400
    assert house.other.call("DELETE", "/v1/event-types/changing").status == 404
    assert house.acme.call("DELETE", "/v1/event-types/changing").status == 200
    assert house.acme.call("DELETE", "/v1/event-types/changing").status == 404
    assert house.acme.call("PUT", "/v1/event-types", other).status == 404


def test_the_view_comes_back_as_it_was(house: House) -> None:
    event_id = house.acme.send("accounts", "open", payload={"entities": [{"id": "kept"}]}, source="before")
    since = house.acme.event(event_id)["receivedTime"]
    house.ended(event_id)
    before = _page(house.acme, since, _now(60), {"first": 100})
    with redis.Redis.from_url(house.settings.redis.url.get_secret_value()) as outside:
        outside.delete(*outside.scan_iter(f"{house.settings.topic_prefix}:*"))
    until(lambda: house.acme.call("GET", f"/v1/events/{event_id}").status == 200, 60)
    assert _page(house.acme, since, _now(60), {"first": 100}) == before
