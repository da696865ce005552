# SPDX-License-Identifier: Apache-2.0
"""
The native door's examples, each sent through both doors on the real stack: answer, headers and the records in Kafka.

`<api key>` in a request and `<tenant>` in a record stand for the tenant's own, `<key>` for the key of the example's own event or
of the one that it comes `after`; `<uuid>`, `<text>` and `<number>` in an answer for any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import web.dialects.cloudevents
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.contract.test_fx_examples import UUID, Ask, by_test_client
from tests.integration.doors import stored
from tests.web_under_test import WHOLE, Reply, Tenant, free_port, make_tenants, until, web_server
from web.dialects.cloudevents.routes import ROUTES
from web.http.messages import Route
from web.http.table import Table
from web.standalone import standalone

EXAMPLES = Path(web.dialects.cloudevents.__file__).parent / "examples"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))}
Served = tuple[Ask, Tenant, Settings]


@pytest.fixture(scope="module", params=["rsgi", "flask"])
def served(request: pytest.FixtureRequest, stack: StackOfTests) -> Iterator[Served]:
    """One server with one tenant, as each door."""
    settings = stack.settings(port=free_port(), allowed_origins="shop.example")
    (tenant,) = make_tenants(settings, "demo")
    if request.param == "rsgi":
        with web_server(stack, settings) as server:
            yield server.ask, tenant, settings
    else:
        with standalone(settings) as app:
            ask = by_test_client(app.test_client())
            until(lambda: WHOLE in ask("GET", "/readyz?verbose").body)
            yield ask, tenant, settings


def send(ask: Ask, tenant: Tenant, case: dict[str, Any], key: str = "") -> Reply:
    wanted = case["request"]
    headers = {name: value.replace("<api key>", tenant.key) for name, value in wanted["headers"].items()}
    body = wanted["body"].encode() if "body" in wanted else None
    return ask(wanted["method"], wanted["path"].replace("<key>", key), body, **headers)


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, served: Served) -> None:
    ask, tenant, settings = served
    case = CASES[name]
    key = send(ask, tenant, CASES[case["after"]]).json()["key"] if "after" in case else ""
    reply = send(ask, tenant, case, key)
    wanted = case["answer"]
    assert reply.status == wanted["status"], reply.body
    if "body" in wanted:
        assert_fits(reply.json(), wanted["body"])
    for header, value in wanted.get("headers", {}).items():
        assert reply.headers[header] == value.replace("<key>", reply.json()["key"] if "<key>" in value else "")
    assert not set(wanted.get("absent", ())) & set(reply.headers)
    if "records" in case:
        receipts = reply.json() if isinstance(reply.json(), list) else [reply.json()]
        assert records_of(settings, tenant, [receipt["key"] for receipt in receipts]) == case["records"]


def records_of(settings: Settings, tenant: Tenant, keys: list[str]) -> list[dict[str, Any]]:
    """Give the records of events as the examples write them; each event must have exactly one."""
    found: dict[str, dict[str, Any]] = {}
    for message in stored(settings):
        headers = {name: value.decode() for name, value in message.headers() or []}
        key = headers["ce_eventkey"]
        if key in keys:
            assert key not in found
            shown = {name: value.replace(key, "<key>") for name, value in headers.items()} | {"ce_tenantid": "<tenant>"}
            assert headers["ce_tenantid"] == tenant.name
            record_key = message.key().decode().replace(f"{tenant.name}/", "<tenant>/").replace(key, "<key>")
            found[key] = {"key": record_key, "headers": shown, "value": message.value().decode()}
    return [found[key] for key in keys]


def assert_fits(given: Any, wanted: Any, at: str = "") -> None:
    if isinstance(wanted, dict):
        assert set(given) == set(wanted), at
        for name in wanted:
            assert_fits(given[name], wanted[name], f"{at}/{name}")
    elif isinstance(wanted, list):
        assert len(given) == len(wanted), (at, given)
        for index, one in enumerate(wanted):
            assert_fits(given[index], one, f"{at}/{index}")
    elif wanted in ("<uuid>", "<text>"):
        assert isinstance(given, str), at
        assert given if wanted == "<text>" else UUID.fullmatch(given), at
    elif wanted == "<number>":
        assert isinstance(given, int), at
    else:
        assert given == wanted, at


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_operation_has_an_example(route: Route) -> None:
    table = Table([route])
    assert any(table.find(case["request"]["method"], case["request"]["path"].partition("?")[0]) for case in CASES.values())
