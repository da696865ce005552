# SPDX-License-Identifier: Apache-2.0
"""
The Event Ingress dialect's examples, each sent through both doors on the real stack, each to a tenant of its own.

Those that the document has are its own JSON, unchanged. `told` are the notices that are there, `before` the operations that come
first. `<tenant>`, `<token>`, `<client id>`, `<client secret>` and `<basic>` are the tenant's own, `<event>`, `<batch>` and
`<webhook>` what was sent, polled and added last, `<receiver>` a server that takes what is posted to it; in an answer, `<uuid>`,
`<time>`, `<moment>`, `<number>` and `<text>` are any. `limits` and `scope` say what the tenant's limits and token are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from confluent_kafka import Producer

import web.dialects.eventingress
from bridge.egress.addresses import LOOPBACK
from bridge.kafka.client import producing
from bridge.notifications.notice import Notice, partition_of, written
from bridge.registry.clients import create_client
from bridge.registry.session import changing
from bridge.registry.tenants import change_tenant, create_tenant
from bridge.settings import Settings
from bridge.topics import NOTIFICATIONS
from tests.conftest import StackOfTests
from tests.contract.test_fx_examples import by_test_client
from tests.integration.ingress import WIDE, Ask, Client, token_of
from tests.integration.receiver import receiving
from tests.web_under_test import WHOLE, Reply, free_port, until, web_server
from web.dialects.eventingress.routes import ROUTES
from web.http.table import Table
from web.standalone import standalone

EXAMPLES = Path(web.dialects.eventingress.__file__).parent / "examples"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))}
ANY = {
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00"),
    "<moment>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "<number>": re.compile(r"\d+"),
    "<text>": re.compile(r".+", re.DOTALL),
}


class Served(NamedTuple):
    """One server, as one of the doors, with a client for every example."""

    ask: Ask
    clients: dict[str, Client]
    settings: Settings
    receiver: str


@pytest.fixture(scope="module", params=["rsgi", "flask"])
def served(request: pytest.FixtureRequest, stack: StackOfTests) -> Iterator[Served]:
    settings = stack.settings(port=free_port(), egress_allowed_networks=LOOPBACK)
    clients = asyncio.run(make_clients(settings))
    with receiving() as receiver:
        if request.param == "rsgi":
            with web_server(stack, settings) as server:
                yield Served(server.ask, clients, settings, receiver.url)
        else:
            with standalone(settings) as app:
                ask = by_test_client(app.test_client())
                until(lambda: WHOLE in ask("GET", "/readyz?verbose").body)
                yield Served(ask, clients, settings, receiver.url)


async def make_clients(settings: Settings) -> dict[str, Client]:
    async with changing(settings) as changes:
        made = {}
        for name, case in CASES.items():
            await create_tenant(changes, name)
            if case.get("limits") != "default":
                await change_tenant(changes, name, ingress_windows=WIDE)
            issued = await create_client(changes, name, "program")
            made[name] = Client(issued.client.id, issued.secret)
        return made


def tell(settings: Settings, tenant: str, notices: list[dict[str, Any]]) -> None:
    """Store notices, as the worker would have."""
    producer = Producer(producing(settings, linger_ms=0))
    for given in notices:
        payload, when_ms = json.dumps(given["payload"]).encode(), time.time_ns() // 1_000_000
        about = (given["eventType"], given["relativeUrl"], payload, when_ms, given["correlationId"], given["causationId"])
        key, headers, value = written(Notice(str(uuid.uuid4()), tenant, *about))
        topic, partition = NOTIFICATIONS.name(settings), partition_of(tenant, settings.partitions)
        producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(10) == 0


def filled(given: Any, words: dict[str, str]) -> Any:
    text = json.dumps(given)
    for word, value in words.items():
        text = text.replace(word, value)
    return json.loads(text)


def assert_fits(given: Any, wanted: Any, at: str = "") -> None:
    if isinstance(wanted, dict):
        assert set(given) == set(wanted), at
        for name in wanted:
            assert_fits(given[name], wanted[name], f"{at}/{name}")
    elif isinstance(wanted, list):
        assert len(given) == len(wanted), at
        for number, (one, other) in enumerate(zip(given, wanted, strict=True)):
            assert_fits(one, other, f"{at}/{number}")
    elif wanted in ANY:
        assert isinstance(given, str), at
        assert ANY[wanted].fullmatch(given), (at, given)
    else:
        assert given == wanted, at
        assert type(given) is type(wanted), at


def body_of(request: dict[str, Any]) -> bytes | None:
    if "form" in request:
        return urlencode(request["form"]).encode()
    if isinstance(said := request.get("body"), str):
        return said.removeprefix("<text: ").removesuffix(">").encode()
    return None if said is None else json.dumps(said).encode()


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, served: Served) -> None:
    ask, case, client = served.ask, CASES[name], served.clients[name]
    basic = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
    words = {"<tenant>": name, "<client id>": client.id, "<client secret>": client.secret, "<basic>": basic}
    fields = {"scope": case["scope"]} if "scope" in case else {}
    words["<token>"] = token_of(ask, client, **fields).json()["access_token"]
    own = {"authorization": f"Bearer {words['<token>']}", "x_tenant_id": name, "content_type": "application/json"}
    words["<receiver>"] = served.receiver
    tell(served.settings, name, case.get("told", []))
    for step in case.get("before", ()):
        step = filled(step, words)
        reply = ask(step["method"], step["path"], body_of(step), **own)
        assert reply.status < 300, reply.body
        words |= named(reply)
    request = filled(case["request"], words)
    reply = ask(request["method"], request["path"], body_of(request), **request["headers"])
    wanted = filled(case["answer"], words)
    assert reply.status == wanted["status"], reply.body
    if "body" in wanted:
        assert_fits(reply.json(), wanted["body"])
    else:
        assert reply.body == b""
    for header, value in wanted.get("headers", {}).items():
        assert_fits(reply.headers[header.lower()], value, header)


def named(reply: Reply) -> dict[str, str]:
    """The names of what an answer speaks of, for the operations that come after it."""
    answer = reply.json() if reply.body else {}
    data = answer.get("data")
    found = {"<batch>": answer.get("batchId"), "<webhook>": answer.get("webhookId")}
    found["<event>"] = data.get("eventId") if isinstance(data, dict) else None
    return {word: value for word, value in found.items() if value}


def test_every_operation_has_an_example() -> None:
    table = Table(ROUTES)
    found = [table.find(case["request"]["method"], case["request"]["path"]) for case in CASES.values()]
    assert {route for route, _ in filter(None, found)} == set(ROUTES)
