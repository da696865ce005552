# SPDX-License-Identifier: Apache-2.0
"""What the FX dialect promises beyond its examples: who may do what, what is the same event, and what can be looked up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

import web.dialects.fx
from bridge.cloudevents.kafka import event_of
from bridge.credentials import Vault
from bridge.domain.event import Event
from bridge.domain.limits import Window
from bridge.domain.principal import Scope
from bridge.registry.changes import Changes
from bridge.registry.keys import create_key, revoke_key
from bridge.registry.session import changing
from bridge.registry.signing import create_secret, rotate_secret
from bridge.registry.tenants import change_tenant, create_tenant
from tests.conftest import StackOfTests
from tests.integration.doors import stored
from tests.web_under_test import Reply, Server, Tenant, free_port, make_tenants, until, web_server

PUSH = (Path(web.dialects.fx.__file__).parent / "examples" / "github-push.json").read_bytes()
EVENT = b'{"event_source":"s","event_type":"t","payload":1}'
JSON = {"Content-Type": "application/json"}
GITHUB_SECRET = "It's a Secret to Everybody"
GITHUB_VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


@pytest.fixture(scope="module")
def server(stack: StackOfTests) -> Iterator[Server]:
    with web_server(stack, stack.settings(port=free_port(), max_body_bytes=65_536)) as running:
        yield running


@pytest.fixture(scope="module")
def tenants(server: Server) -> tuple[Tenant, Tenant]:
    acme, globex = make_tenants(server.settings, "acme", "globex")
    until(lambda: server.ask("GET", "/fx/cid/x", X_API_KEY=globex.key).status == 404)
    return acme, globex


@pytest.fixture
def acme(tenants: tuple[Tenant, Tenant]) -> Tenant:
    return tenants[0]


@pytest.fixture
def globex(tenants: tuple[Tenant, Tenant]) -> Tenant:
    return tenants[1]


def change(server: Server, what: object) -> object:
    """Run one use case that changes the registry; `what` takes the changes."""

    async def run() -> object:
        async with changing(server.settings) as changes:
            return await what(changes)  # type: ignore[operator]  # a use case with its arguments bound

    return asyncio.run(run())


def submit(server: Server, body: bytes, path: str = "/fx/events", **headers: str) -> Reply:
    return server.ask("POST", path, body, **JSON, **headers)


def events(server: Server, cid: str) -> list[Event]:
    found = [event_of(m.headers() or [], m.value() or b"") for m in stored(server.settings)]
    return [event for event in found if event.correlation_id == cid]


def delivery(tenant: Tenant, body: bytes, event: str = "push", name: str | None = None) -> dict[str, str]:
    return {
        "X_Hub_Signature_256": tenant.sign(body),
        "X_GitHub_Event": event,
        "X_GitHub_Delivery": name or str(uuid.uuid4()),
    }


def test_every_failed_authentication_has_one_body(server: Server, acme: Tenant, globex: Tenant) -> None:
    wrong = "sha256=" + "0" * 64
    attempts = [
        {},
        {"X_API_KEY": ""},
        {"X_API_KEY": acme.key + "x"},
        {"X_API_KEY": f"{acme.key}, {acme.key}"},
        {"Authorization": f"Bearer {acme.key}"},
        {"X_Hub_Signature_256": wrong},
        {"X_Hub_Signature_256": acme.sign(EVENT).removeprefix("sha256=")},
        {"X_Hub_Signature_256": acme.sign(EVENT).upper()},
        {"X_Hub_Signature_256": acme.sign(EVENT + b" ")},
        {"X_Hub_Signature_256": acme.secret},
        {"X_API_KEY": acme.key, "X_Hub_Signature_256": wrong},
        {"X_API_KEY": "wrong", "X_Hub_Signature_256": acme.sign(EVENT)},
        {"X_API_KEY": globex.key, "X_Hub_Signature_256": acme.sign(EVENT)},
    ]
    replies = [submit(server, EVENT, X_Request_Id="same", **attempt) for attempt in attempts]
    assert {reply.status for reply in replies} == {401}
    assert len({reply.body for reply in replies}) == 1


def test_both_credentials_together_open_the_door(server: Server, acme: Tenant) -> None:
    assert submit(server, EVENT, X_API_KEY=acme.key, X_Hub_Signature_256=acme.sign(EVENT)).status == 202
    assert submit(server, EVENT, X_Hub_Signature_256=acme.sign(EVENT)).status == 202


def test_a_signature_never_opens_a_look_up(server: Server, acme: Tenant) -> None:
    cid = submit(server, EVENT, X_API_KEY=acme.key).json()["cid"]
    empty = acme.sign(b"")
    assert server.ask("GET", f"/fx/cid/{cid}", X_Hub_Signature_256=empty).status == 401
    assert server.ask("GET", f"/fx/cid/{cid}", X_API_KEY=acme.key, X_Hub_Signature_256="sha256=" + "0" * 64).status == 401
    assert server.ask("GET", f"/fx/cid/{cid}", X_API_KEY=acme.key).status == 200


def test_a_revoked_and_an_expired_key_look_like_a_wrong_one(server: Server, acme: Tenant) -> None:
    async def brief(changes: Changes) -> str:
        return (await create_key(changes, "acme", "brief", lifetime_s=5)).text

    key = str(change(server, brief))
    until(lambda: submit(server, EVENT, X_API_KEY=key).status == 202)
    until(lambda: submit(server, EVENT, X_API_KEY=key).status == 401, 15)
    wrong = submit(server, EVENT, X_API_KEY="wrong", X_Request_Id="same").body
    assert submit(server, EVENT, X_API_KEY=key, X_Request_Id="same").body == wrong

    async def short_lived(changes: Changes) -> str:
        return (await create_key(changes, "acme", "doomed")).text

    key = str(change(server, short_lived))
    until(lambda: submit(server, EVENT, X_API_KEY=key).status == 202)
    change(server, lambda changes: revoke_key(changes, "acme", "doomed"))
    until(lambda: submit(server, EVENT, X_API_KEY=key).status == 401, 2.0)
    assert submit(server, EVENT, X_API_KEY=key, X_Request_Id="same").body == wrong


def test_scopes_are_demanded(server: Server, acme: Tenant) -> None:
    reader = str(change(server, lambda c: _key(c, Scope.STATUS_READ)))
    writer = str(change(server, lambda c: _key(c, Scope.EVENTS_WRITE)))
    until(lambda: submit(server, EVENT, X_API_KEY=writer).status == 202)
    refused = submit(server, EVENT, X_API_KEY=reader)
    assert (refused.status, refused.json()["code"]) == (403, "not-allowed")
    assert server.ask("GET", "/fx/cid/x", X_API_KEY=writer).status == 403
    fxcid = b'{"event_source":"s","event_type":"t","payload":{"_fxcid":"chosen"}}'
    assert submit(server, fxcid, X_API_KEY=writer).json()["cid"] != "chosen"


async def _key(changes: Changes, scope: Scope) -> str:
    return (await create_key(changes, "acme", f"only {scope}", [scope])).text


def test_githubs_published_vector(server: Server) -> None:
    assert "sha256=" + hmac.digest(GITHUB_SECRET.encode(), b"Hello, World!", "sha256").hex() == GITHUB_VECTOR

    async def github(changes: Changes) -> None:
        vault = Vault(server.settings.secret_keys.get_secret_value())
        await create_tenant(changes, "github")
        await create_secret(changes, vault, "github", "vector", given=GITHUB_SECRET)

    change(server, github)
    path = "/fx/events/webhook/vector"
    until(lambda: submit(server, b"Hello, World!", path, X_Hub_Signature_256=GITHUB_VECTOR).status == 400)  # signed, not JSON
    assert submit(server, b"Hello, World?", path, X_Hub_Signature_256=GITHUB_VECTOR).status == 401


def test_both_secrets_count_while_one_replaces_the_other(server: Server, globex: Tenant) -> None:
    async def rotate(changes: Changes) -> str:
        vault = Vault(server.settings.secret_keys.get_secret_value())
        return (await rotate_secret(changes, vault, "globex", globex.source)).text

    new = Tenant("globex", globex.key, str(change(server, rotate)))
    path, name = f"/fx/events/webhook/{globex.source}", str(uuid.uuid4())
    until(lambda: submit(server, PUSH, path, **delivery(new, PUSH)).status == 202)
    first, again = (submit(server, PUSH, path, **delivery(signer, PUSH, name=name)) for signer in (globex, new))
    assert first.status == again.status == 202
    assert first.body == again.body


def test_githubs_redelivery_gets_the_first_receipt(server: Server, acme: Tenant) -> None:
    headers = delivery(acme, PUSH)
    first = submit(server, PUSH, "/fx/events/webhook", **headers)
    again = submit(server, PUSH, f"/fx/events/webhook/{acme.source}", **headers)
    assert first.status == again.status == 202
    assert first.body == again.body
    (event,) = events(server, first.json()["cid"])
    assert event.data == PUSH


def test_the_same_delivery_with_other_content_is_a_conflict(server: Server, acme: Tenant) -> None:
    name, other = str(uuid.uuid4()), PUSH + b" "
    assert submit(server, PUSH, "/fx/events/webhook", **delivery(acme, PUSH, name=name)).status == 202
    refused = submit(server, other, "/fx/events/webhook", **delivery(acme, other, name=name))
    assert (refused.status, refused.json()["code"]) == (409, "conflict")


def test_githubs_form_is_read_like_its_json(server: Server, acme: Tenant) -> None:
    body = urlencode({"payload": json.dumps({"zen": "Ünïcode & =", "big": 12345678901234567890})}).encode()
    headers = {**delivery(acme, body, "ping"), "Content-Type": "application/x-www-form-urlencoded"}
    accepted = server.ask("POST", "/fx/events/webhook", body, **headers)
    assert accepted.json()["eventType"] == "github.ping"
    (event,) = events(server, accepted.json()["cid"])
    assert event.data == b'{"zen": "\\u00dcn\\u00efcode & =", "big": 12345678901234567890}'
    assert event.content_type == "application/json"
    for odd in (b"a=1", b"payload=1&payload=2", b"payload=%ff", b"payload={", b""):
        headers = {"X_API_KEY": acme.key, "Content-Type": "application/x-www-form-urlencoded"}
        assert server.ask("POST", "/fx/events/webhook", odd, **headers).status == 400


def test_a_source_and_a_key_lend_their_event_type(server: Server, acme: Tenant) -> None:
    async def typed(changes: Changes) -> tuple[str, str]:
        vault = Vault(server.settings.secret_keys.get_secret_value())
        await create_secret(changes, vault, "acme", "payments", event_type="payment.done")
        return (await create_key(changes, "acme", "sensors", event_type="sensor.read")).text, "payments"

    key, source = change(server, typed)  # type: ignore[misc]  # what `typed` gives
    until(lambda: submit(server, b"[1]", "/fx/events/generic", X_API_KEY=key).status == 202)
    assert submit(server, b"[1]", "/fx/events/generic", X_API_KEY=key).json()["eventType"] == "sensor.read"
    assert submit(server, b"{}", f"/fx/events/webhook/{source}", X_API_KEY=acme.key).json()["eventType"] == "payment.done"
    assert submit(server, b"{}", "/fx/events/webhook/nobody", X_API_KEY=acme.key).status == 404
    assert submit(server, b"{}", "/fx/events/webhook/hooks-globex", X_API_KEY=acme.key).status == 404


def test_another_tenants_events_are_unknown(server: Server, acme: Tenant, globex: Tenant) -> None:
    cid = submit(server, EVENT, X_API_KEY=acme.key).json()["cid"]
    seen = server.ask("GET", f"/fx/cid/{cid}", X_API_KEY=acme.key)
    assert (seen.status, seen.json()) == (200, {"cid": cid, "executions": []})
    assert server.ask("GET", f"/fx/cid/{cid}", X_API_KEY=globex.key).status == 404


def test_a_correlation_id_of_another_door_may_have_slashes(server: Server, acme: Tenant) -> None:
    named = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t", "ce_correlationid": "orders/7/a b"}
    assert server.ask("POST", "/events", b"{}", X_API_KEY=acme.key, Content_Type="application/json", **named).status == 202
    for path in ("/fx/cid/orders/7/a%20b", "/fx/cid/orders%2F7%2Fa%20b"):
        assert server.ask("GET", path, X_API_KEY=acme.key).json() == {"cid": "orders/7/a b", "executions": []}


def test_what_was_answered_can_be_read_at_once(server: Server, acme: Tenant) -> None:
    def post_and_read(_: int) -> int:
        cid = submit(server, EVENT, X_API_KEY=acme.key).json()["cid"]
        return server.ask("GET", f"/fx/cid/{cid}", X_API_KEY=acme.key).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(post_and_read, range(400))) == {200}


def test_the_limit_of_a_body_is_a_setting(server: Server, acme: Tenant) -> None:
    wrap = len(b'{"event_source":"s","event_type":"t","payload":""}')
    fits = EVENT.replace(b"1}", b'"' + b"x" * (65_536 - wrap) + b'"}')
    assert len(fits) == 65_536
    assert submit(server, fits, X_API_KEY=acme.key).status == 202
    refused = submit(server, fits + b" ", X_API_KEY=acme.key)
    assert (refused.status, refused.json()["code"]) == (413, "too-large")


def test_a_full_window_is_answered_with_429_and_its_headers(server: Server) -> None:
    (small,) = make_tenants(server.settings, "small")
    change(server, lambda changes: change_tenant(changes, "small", windows=[Window(3, 60)]))
    until(lambda: submit(server, EVENT, X_API_KEY=small.key).status != 401)
    until(lambda: submit(server, EVENT, X_API_KEY=small.key).status == 429)
    refused = submit(server, EVENT, X_API_KEY=small.key)
    assert refused.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert refused.headers["ratelimit-policy"].endswith("q=3;w=60")
    assert ";r=0;" in refused.headers["ratelimit"]
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert server.ask("GET", "/fx/cid/x", X_API_KEY=small.key).status == 404  # look-ups are not limited


def test_kafka_away_is_a_503_within_five_seconds(stack: StackOfTests, server: Server, acme: Tenant) -> None:
    stack.kafka.freeze()
    began = time.monotonic()
    refused = submit(server, EVENT, X_API_KEY=acme.key)
    took = time.monotonic() - began
    stack.kafka.thaw()
    assert (refused.status, refused.json()["code"]) == (503, "broker-unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert took < 5.5
    until(lambda: submit(server, EVENT, X_API_KEY=acme.key).status == 202, 20)
