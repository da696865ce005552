# SPDX-License-Identifier: Apache-2.0
"""What the native door promises beyond its examples: who may send, repetitions, the producer's bytes, the SDK as a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.bindings import kafka as sdk_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from bridge.domain.limits import BATCH_EVENTS, LOOP_BYTES
from bridge.domain.principal import Scope
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.integration.doors import stored
from tests.web_under_test import Reply, Server, Tenant, free_port, make_tenants, until, web_server

TEXT = {"content-type": "text/plain"}


@dataclass(frozen=True)
class Served:
    """One server, two tenants, and a key of the first that may only send, or only look."""

    server: Server
    settings: Settings
    tenant: Tenant
    other: Tenant
    writer: str
    reader: str

    def post(self, event_id: str, body: bytes = b"x", key: str | None = None, **headers: str) -> Reply:
        attributes = {"ce-specversion": "1.0", "ce-id": event_id, "ce-source": "/rules", "ce-type": "rule.kept", **TEXT}
        credential = {"X-API-KEY": self.tenant.key if key is None else key} if key != "" else {}
        return self.server.ask("POST", "/events", body, **attributes | credential | headers)

    def values(self, event_id: str) -> list[bytes]:
        """Give the values of all records of events with this id."""
        wanted = ("ce_id", event_id.encode())
        return [message.value() for message in stored(self.settings) if wanted in (message.headers() or [])]


@pytest.fixture(scope="module")
def served(stack: StackOfTests) -> Iterator[Served]:
    settings = stack.settings(port=free_port(), allowed_origins="shop.example")
    tenant, other = make_tenants(settings, "first", "second")

    async def keys() -> tuple[str, str]:
        async with changing(settings) as changes:
            writer = await create_key(changes, "first", "writer", (Scope.EVENTS_WRITE,))
            reader = await create_key(changes, "first", "reader", (Scope.STATUS_READ,))
        return writer.text, reader.text

    writer, reader = asyncio.run(keys())
    with web_server(stack, settings) as server:
        yield Served(server, settings, tenant, other, writer, reader)


def test_who_may_send(served: Served) -> None:
    own, other = served.tenant, served.other
    bearer = {"Authorization": f"Bearer {own.key}"}
    answers = {
        "key": served.post("who").status,
        "bearer": served.post("who", key="", **bearer).status,
        "both": served.post("who", **bearer).status,
        "nothing": served.post("who", key="").status,
        "wrong": served.post("who", key="evb_x").status,
        "basic": served.post("who", key="", Authorization=f"Basic {own.key}").status,
        "one wrong": served.post("who", Authorization="Bearer evb_x").status,
        "two tenants": served.post("who", Authorization=f"Bearer {other.key}").status,
        "signature": served.post("who", key="", X_Hub_Signature_256=own.sign(b"x")).status,
        "reader": served.post("who", key=served.reader).status,
    }
    sent = {"key": 202, "bearer": 202, "both": 202}
    refused = dict.fromkeys(("nothing", "wrong", "basic", "one wrong", "two tenants", "signature"), 401)
    assert answers == {**sent, **refused, "reader": 403}


def test_a_correlation_id_needs_its_scope(served: Served) -> None:
    assert served.post("cor", key=served.writer, ce_correlationid="mine").status == 403
    assert served.post("cor", ce_correlationid="mine").json()["correlationid"] == "mine"
    assert len(served.values("cor")) == 1


def test_only_the_tenant_with_the_scope_sees_an_event(served: Served) -> None:
    path = f"/events/{served.post('seen').json()['key']}"
    by_id = "/events?source=/rules&id=seen"
    assert served.server.ask("GET", path, X_API_KEY=served.reader).status == 200
    assert served.server.ask("GET", by_id, Authorization=f"Bearer {served.reader}").status == 200
    assert served.server.ask("GET", path, X_API_KEY=served.writer).status == 403
    foreign = [served.server.ask("GET", where, X_API_KEY=served.other.key) for where in (path, by_id)]
    unknown = served.server.ask("GET", "/events/unknown", X_API_KEY=served.other.key)
    assert [reply.status for reply in (*foreign, unknown)] == [404, 404, 404]
    assert foreign[0].json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


def test_a_repetition_gets_the_first_receipt(served: Served) -> None:
    first, second = served.post("again"), served.post("again")
    assert (first.status, first.body, first.headers["location"]) == (second.status, second.body, second.headers["location"])
    assert served.values("again") == [b"x"]


def test_fifty_at_once_are_one_record_and_fifty_equal_receipts(served: Served) -> None:
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: served.post("fifty"), range(50)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1
    assert served.values("fifty") == [b"x"]


def test_the_same_id_with_other_content_is_a_conflict(served: Served) -> None:
    assert served.post("other").status == 202
    assert served.post("other", b"y").status == 409
    assert served.post("other", ce_type="rule.broken").status == 409
    assert served.values("other") == [b"x"]


def test_a_batch_is_stored_whole_or_not_at_all(served: Served) -> None:
    def batch(ids: list[str]) -> Reply:
        members = [{"specversion": "1.0", "id": one, "source": "/rules", "type": "rule.kept", "data": one} for one in ids]
        headers = {"X-API-KEY": served.tenant.key, "Content-Type": "application/cloudevents-batch+json"}
        return served.server.ask("POST", "/events", json.dumps(members).encode(), **headers)

    ids = [f"b{number}" for number in range(BATCH_EVENTS)]
    assert batch([*ids, "one more"]).status == 400
    assert batch(["b0", "b0"]).status == 400
    assert served.values("b0") == []
    assert served.post("taken").status == 202
    assert batch(["b0", "taken"]).status == 409
    assert served.values("b0") == []
    receipts = batch(ids).json()
    assert [receipt["id"] for receipt in receipts] == ids
    assert len({receipt["key"] for receipt in receipts}) == BATCH_EVENTS
    assert served.values("b99") == [b'"b99"']


def test_a_large_body_keeps_its_bytes(served: Served) -> None:
    data = b'{"n" : [' + b"1.10 ,\t" * (LOOP_BYTES // 4) + b"1e400]}"
    assert served.post("large", data, **{"content-type": "application/json"}).status == 202
    assert served.values("large") == [data]


def test_answers_say_what_is_left(served: Served) -> None:
    headers = served.post("quota").headers
    assert headers["ratelimit-policy"].endswith(";q=10000;w=10")
    assert ";r=" in headers["ratelimit"]


def test_the_official_sdk_is_a_client_and_reads_the_record(served: Served) -> None:
    written = CloudEvent({"id": "sdk", "source": "/rules", "type": "rule.kept", "subject": "Bücher 📚"}, {"a": [1, 2.5, None]})
    for message in (sdk.to_binary_event(written), sdk.to_structured_event(written)):
        headers = {"content-type": "application/json", **message.headers, "X-API-KEY": served.tenant.key}
        reply = served.server.ask("POST", "/events", message.body, **headers)
        assert reply.status == 202, reply.body
    (record,) = [m for m in stored(served.settings) if ("ce_id", b"sdk") in (m.headers() or [])]
    message = sdk_kafka.KafkaMessage(headers=dict(record.headers()), key=None, value=record.value())
    read = sdk_kafka.from_kafka(message, JSONFormat())
    assert (read.get_data(), read.get_subject()) == ({"a": [1, 2.5, None]}, "Bücher 📚")


def test_the_handshake_speaks_of_the_callers_own_rate(served: Served) -> None:
    origin = {"WebHook-Request-Origin": "shop.example", "WebHook-Request-Rate": "5"}
    ask = served.server.ask
    assert ask("OPTIONS", "/events", X_API_KEY=served.tenant.key, **origin).headers["webhook-allowed-rate"] == "60000"
    assert ask("OPTIONS", "/events", **origin).headers["webhook-allowed-origin"] == "shop.example"
    wrong = ask("OPTIONS", "/events", X_API_KEY="evb_x", **origin)
    assert wrong.status == 401
    assert "webhook-allowed-origin" not in wrong.headers


def test_a_hundred_waiting_look_ups_hold_nobody_up(served: Served) -> None:
    """No worker runs here, so each waits for its whole second, and others are answered meanwhile."""
    path = f"/events/{served.post('waiting').json()['key']}?wait=1"
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(served.server.ask, "GET", path, X_API_KEY=served.tenant.key) for _ in range(100)]
        assert served.post("meanwhile").status == 202
        assert not all(one.done() for one in waiting)
        assert {one.result().json()["settled"] for one in waiting} == {False}
    until(lambda: served.server.ask("GET", "/livez").status == 200)
