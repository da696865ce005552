# SPDX-License-Identifier: Apache-2.0
"""
The FX dialect's examples, each sent through both doors on the real stack: answer, headers and the record in Kafka.

`<api key>`, `<signature>`, `<source>` and `<file>` in a request stand for the tenant's own; `<uuid>` and `<text>` in an answer
for any.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from confluent_kafka import Message

import web.dialects.fx
from bridge.cloudevents.kafka import event_of
from tests.conftest import StackOfTests
from tests.integration.doors import stored
from tests.web_under_test import WHOLE, Reply, Tenant, free_port, make_tenants, until, web_server
from web.dialects.fx.routes import ROUTES
from web.http.messages import Route
from web.http.table import Table
from web.standalone import standalone

EXAMPLES = Path(web.dialects.fx.__file__).parent / "examples"
CASES = {path.stem: case for path in sorted(EXAMPLES.glob("*.json")) if "request" in (case := json.loads(path.read_text()))}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
Ask = Callable[..., Reply]


@pytest.fixture(scope="module", params=["rsgi", "flask"])
def served(request: pytest.FixtureRequest, stack: StackOfTests) -> Iterator[tuple[Ask, Tenant, Any]]:
    """One server with one tenant, as each door."""
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    if request.param == "rsgi":
        with web_server(stack, settings) as server:
            yield server.ask, tenant, settings
    else:
        with standalone(settings) as app:
            ask = by_test_client(app.test_client())
            until(lambda: WHOLE in ask("GET", "/readyz?verbose").body)
            yield ask, tenant, settings


def by_test_client(client: Any) -> Ask:
    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        bare, _, query = path.partition("?")
        raw = {"PATH_INFO": unquote_to_bytes(bare).decode("latin-1"), "QUERY_STRING": query}  # the client would tidy the path
        answer = client.open("/", method=method, data=body, headers=given, environ_overrides=raw)
        return Reply(answer.status_code, {n.lower(): v for n, v in answer.headers}, answer.data)

    return ask


def filled(case: dict[str, Any], tenant: Tenant) -> tuple[str, str, bytes | None, dict[str, str]]:
    wanted = case["request"]
    body = None if "body" not in wanted else contents(wanted["body"])
    words = {"<api key>": tenant.key, "<signature>": tenant.sign(body or b"")}
    headers = {name: words.get(value, value) for name, value in wanted["headers"].items()}
    return wanted["method"], wanted["path"].replace("<source>", tenant.source), body, headers


def contents(said: Any) -> bytes:
    """A file's own bytes, or JSON in a spacing that nobody would write again."""
    if isinstance(said, str) and said.endswith(".json>"):
        return (EXAMPLES / said.strip("<>")).read_bytes()
    return json.dumps(said, ensure_ascii=False, separators=(" ,", ":  ")).encode()


def assert_fits(given: Any, wanted: Any, at: str = "") -> None:
    if isinstance(wanted, dict):
        assert set(given) == set(wanted), at
        for name in wanted:
            assert_fits(given[name], wanted[name], f"{at}/{name}")
    elif wanted == "<uuid>":
        assert UUID.fullmatch(given), at
    elif wanted == "<text>":
        assert isinstance(given, str), at
        assert given, at
    else:
        assert given == wanted, at


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, served: tuple[Ask, Tenant, Any]) -> None:
    ask, tenant, settings = served
    case = CASES[name]
    method, path, body, headers = filled(case, tenant)
    reply = ask(method, path, body, **headers)
    assert reply.status == case["answer"]["status"], reply.body
    assert_fits(reply.json(), case["answer"]["body"])
    for header, value in case["answer"].get("headers", {}).items():
        assert reply.headers[header] == value.replace("<cid>", reply.json().get("cid", ""))
    if "event" in case:
        record = next(m for m in stored(settings) if dict(m.headers() or [])["ce_correlationid"].decode() == reply.json()["cid"])
        assert_stored(record, case["event"], tenant, contents(case["request"]["body"]))


def assert_stored(record: Message, wanted: dict[str, str], tenant: Tenant, body: bytes) -> None:
    event = event_of(record.headers() or [], record.value() or b"")
    assert event.tenant == tenant.name
    assert body.find(event.data) >= 0  # a slice of what was sent, in its own spacing
    assert json.loads(event.data) == json.loads(contents(wanted["data"]))
    words = {"<tenant>": tenant.name, "<source>": tenant.source, "<key>": f"program%20of%20{tenant.name}"}
    for name, value in wanted.items():
        if name != "data":
            assert_fits(event.attributes[name], words.get(value, value), name)


def test_both_doors_give_equal_bytes(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    (tenant,) = make_tenants(settings, "demo")
    with web_server(stack, settings) as server, standalone(settings) as app:
        client = by_test_client(app.test_client())
        until(lambda: WHOLE in client("GET", "/readyz?verbose").body)
        for case in (*CASES.values(), *ODD):
            method, path, body, headers = filled(case, tenant)
            request_id = uuid.uuid4().hex
            first, second = (door(method, path, body, X_Request_Id=request_id, **headers) for door in (server.ask, client))
            assert first.status == second.status, case
            assert comparable(first) == comparable(second), case


ODD: tuple[dict[str, Any], ...] = tuple(
    {"request": {"method": method, "path": path, "headers": headers, **({"body": 1} if method == "POST" else {})}}
    for method, path, headers in (
        ("GET", "/nothing", {}),
        ("GET", "//fx/events", {}),
        ("PUT", "/fx/events", {}),
        ("POST", "/fx/cid/a", {"X-API-KEY": "<api key>"}),
        ("GET", "/fx/cid/", {"X-API-KEY": "<api key>"}),
        ("GET", "/fx/cid/%ff", {"X-API-KEY": "<api key>"}),
        ("GET", "/fx/cid/a%20b", {"X-API-KEY": "<api key>"}),
        ("GET", "/fx/cid/a%2Fb/", {"X-API-KEY": "<api key>"}),
        ("GET", "/fx/cid/%2Fa", {"X-API-KEY": "<api key>"}),
        ("POST", "/fx/events", {"X-API-KEY": "<api key>", "Content-Encoding": "gzip"}),
        ("POST", "/fx/events", {"X-API-KEY": "\xe4"}),
        ("GET", "/livez", {}),
        ("GET", "/problems/too-large", {}),
    )
)


def comparable(reply: Reply) -> tuple[Any, ...]:
    """Everything but what each post has of its own (the new event's id, what is left of the window) and the server's name."""
    own = UUID.sub("<uuid>", reply.body.decode())
    skipped = ("date", "server", "connection", "ratelimit", "location")
    return reply.status, own, {n: v for n, v in reply.headers.items() if n not in skipped}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_operation_has_an_example(route: Route) -> None:
    table = Table([route])
    assert any(table.find(case["request"]["method"], case["request"]["path"]) for case in CASES.values())
