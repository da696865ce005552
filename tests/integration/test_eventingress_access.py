# SPDX-License-Identifier: Apache-2.0
"""Who may call the Event Ingress dialect and how often: one count for all web processes, tokens that end, issuers outside."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from typer.testing import CliRunner

from bridge.cli.tenants import app as tenants
from bridge.domain.errors import InvalidValue
from bridge.domain.limits import Window
from bridge.registry.clients import revoke_client
from bridge.registry.session import changing
from bridge.registry.tenants import change_tenant
from bridge.settings import Ingress, Settings
from tests.conftest import StackOfTests, as_environ
from tests.integration.ingress import Caller, caller, make_client, token_of
from tests.integration.valkey import OwnValkey
from tests.web_under_test import Server, free_port, make_tenants, until, web_server

pytestmark = pytest.mark.timeout(120)
LIST = ("GET", "/v1/event-types")


def change(settings: Settings, *options: str) -> str:
    """Run `evb tenants change`."""
    done = CliRunner().invoke(tenants, ["change", *options], env=as_environ(settings))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_web_processes_share_one_count(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    make_tenants(settings, "acme")
    other = settings.model_copy(update={"port": free_port()})
    with web_server(stack, settings) as first, web_server(stack, other) as second:
        here = caller(first.ask, settings, "acme", windows=(Window(200, 60),))
        there = Caller(second.ask, here.token, "acme")
        until(lambda: there.call(*LIST).status == 200, 5)
        begun = left(there)
        assert [left(who) for who in (here, there, here, there)] == [begun - n for n in (1, 2, 3, 4)]
        while left(here if begun % 2 else there) > 0:
            begun -= 1
        refused = there.call(*LIST)
        assert refused.status == 429
        reset = datetime.fromisoformat(refused.headers["x-rate-limit-reset"])
        wait_s = (reset - datetime.now(UTC)).total_seconds()
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert abs(wait_s - int(refused.headers["retry-after"])) < 5


def left(who: Caller) -> int:
    answer = who.call(*LIST)
    assert answer.status == 200, answer.body
    return int(answer.headers["x-rate-limit-remaining"])


def test_every_request_with_a_token_counts_whatever_becomes_of_it(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    make_tenants(settings, "acme")
    with web_server(stack, settings) as server:
        acme = caller(server.ask, settings, "acme", windows=(Window(100, 60),))
        remaining = left(acme)
        for status, answer in (
            (400, acme.call("POST", "/v1/events", b"{")),
            (404, acme.call("GET", "/v1/events/nothing")),
            (410, acme.call("GET", "/v1/events/types")),
            (415, acme.call("POST", "/v1/events", {}, content_type="text/plain")),
            (403, acme.call(*LIST, x_tenant_id="other")),
            (400, acme.call(*LIST, x_tenant_id="")),
            (409, acme.call("POST", "/v1/event-types", TYPE)),
        ):
            assert answer.status == status, answer.body
            remaining -= 1
            assert int(answer.headers["x-rate-limit-remaining"]) == remaining
            assert datetime.fromisoformat(answer.headers["x-rate-limit-reset"]) > datetime.now(UTC)
        for answer in (
            server.ask("GET", "/eventingress/v1/event-types"),
            acme.call(*LIST, authorization="Bearer x"),
            acme.call(*LIST, authorization=f"Basic {acme.token}"),
        ):
            assert (answer.status, answer.json()) == (401, {"message": "Unauthorized"})
            assert "x-rate-limit-remaining" not in answer.headers
        assert left(acme) == remaining - 1


TYPE = {
    "key": "externaldata",
    "displayName": "Taken",
    "eventSubtypes": [{"key": "a", "displayName": "A", "businessProcessType": "createentity"}],
}


def test_an_operator_changes_limits_and_points_while_it_runs(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    make_tenants(settings, "acme")
    with web_server(stack, settings) as server:
        acme = caller(server.ask, settings, "acme")
        said = change(settings, "acme", "--ingress-windows", "50/1m", "--ingress-points", "50/1m,100/1h")
        assert "ingress_windows 50/60s" in said
        said = change(settings, "acme", "--ingress-weights", "createentity=20")
        assert "ingress_points 50/60s,100/3600s  ingress_weights createentity=20" in said
        until(lambda: left(acme) < 50)
        message = {"eventType": "externaldata", "eventSubtype": "createentity"}
        answers = [acme.call("POST", "/v1/events", message) for _ in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 429]
        assert answers[2].headers["x-rate-limit-remaining"] == "0"
        assert 58 <= int(answers[2].headers["retry-after"]) <= 60
        weightless = {"eventType": "externaldata", "eventSubtype": "updateentity", "entityId": str(ENTITY)}
        assert acme.call("POST", "/v1/events", weightless).status == 202
        change(settings, "acme", "--ingress-points", "")
        until(lambda: acme.call("POST", "/v1/events", message).status == 202)
        change(settings, "acme", "--ingress-windows", "")
        until(lambda: acme.call(*LIST).status == 429)
        with pytest.raises(InvalidValue, match="Nothing to change"):
            change(settings, "acme")
        with pytest.raises(InvalidValue, match="never fits"):
            change(settings, "acme", "--ingress-points", "10/1m")
        for wrong in ("createentity", "=3", "a=x", "a=-1"):
            with pytest.raises(InvalidValue, match="is not what a process weighs"):
                change(settings, "acme", "--ingress-weights", wrong)


ENTITY = "afa349d8-3dcd-4468-87db-020bdd4450b4"


def test_a_revoked_client_and_a_closed_tenant_are_shut_out_within_two_seconds(stack: StackOfTests) -> None:
    settings = stack.settings(port=free_port())
    make_tenants(settings, "acme", "other")
    with web_server(stack, settings) as server:
        acme, other = (caller(server.ask, settings, tenant) for tenant in ("acme", "other"))
        assert [who.call(*LIST).status for who in (acme, other)] == [200, 200]

        async def end() -> None:
            async with changing(settings) as changes:
                await revoke_client(changes, "acme", "program")
                await change_tenant(changes, "other", closed=True)

        asyncio.run(end())
        until(lambda: {who.call(*LIST).status for who in (acme, other)} == {401}, 2)


def test_without_redis_it_counts_for_itself_and_says_what_it_cannot_do(stack: StackOfTests, tmp_path: Path) -> None:
    own = OwnValkey(tmp_path).start()
    settings = stack.settings(port=free_port(), redis=own.settings(timeout_ms=500), web_processes=2)
    make_tenants(settings, "acme")
    try:
        with web_server(stack, settings) as server:
            acme = caller(server.ask, settings, "acme", windows=(Window(20, 5),))
            event_id = acme.send("externaldata", "createentity")
            own.kill()
            statuses = [acme.call("GET", f"/v1/events/{event_id}").status for _ in range(9)]
            assert set(statuses) == {503}
            answer = acme.call("POST", "/v1/events", {"eventType": "externaldata", "eventSubtype": "createentity"})
            assert answer.status == 202, "intake goes on"
            assert answer.headers["x-rate-limit-remaining"] == "0", "half of the limit is this process' share"
            assert acme.call(*LIST).status == 429
            own.start()
            until(lambda: patient(acme, "GET", f"/v1/events/{event_id}") == 200, 60)
            made = answer.json()["data"]["eventId"]
            assert acme.event(made)["eventSubtype"] == "createentity", "the rebuilt view has what was sent meanwhile"
    finally:
        own.kill()


def patient(who: Caller, method: str, path: str) -> int:
    """Send a request, and wait as long as the answer says where there were too many: whoever does so comes in."""
    answer = who.call(method, path)
    if "retry-after" in answer.headers:
        time.sleep(int(answer.headers["retry-after"]))
    return answer.status


class Issuer(HTTPServer):
    """An identity provider's key set on loopback; `answers` is what it says, `asked` counts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keys)
        self.key = RSAKey.generate_key(2048, {"kid": "k1"})
        self.answers: tuple[int, bytes] = 200, json.dumps({"keys": [self.key.as_dict(private=False)]}).encode()
        self.asked = 0

    def settings(self) -> Ingress:
        url = f"http://127.0.0.1:{self.server_port}/keys"
        return Ingress(issuer="https://id.test", jwks_url=url, audience="bridge", tenant_claim="org")

    def token(self, **changes: Any) -> str:
        said = {"iss": "https://id.test", "aud": "bridge", "org": "acme", "scope": "fenx.eventingress", "sub": "p"}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, said | {"exp": int(time.time()) + 60} | changes, self.key)


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Issuer)
        self.server.asked += 1
        status, body = self.server.answers
        self.send_response(status)
        self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def issuing() -> Iterator[Issuer]:
    with Issuer() as issuer:
        thread = threading.Thread(target=issuer.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            issuer.shutdown()
            thread.join()


@contextmanager
def trusting(stack: StackOfTests, issuer: Issuer) -> Iterator[tuple[Server, Settings]]:
    settings = stack.settings(port=free_port(), ingress=issuer.settings())
    make_tenants(settings, "acme")
    with web_server(stack, settings) as server:
        yield server, settings


def test_tokens_of_an_issuer_outside_count_and_none_of_our_own(stack: StackOfTests) -> None:
    with issuing() as issuer, trusting(stack, issuer) as (server, settings):
        client = make_client(settings, "acme")
        assert token_of(server.ask, client).status == 404
        good = Caller(server.ask, issuer.token(), "acme")
        assert [good.call(*LIST).status for _ in range(3)] == [200] * 3
        assert issuer.asked == 1
        for wrong, status in (
            (issuer.token(scope="openid"), 403),
            (issuer.token(org="nobody"), 401),
            (issuer.token(aud="other"), 401),
            (issuer.token(exp=int(time.time()) - 60), 401),
            (jwt.encode({"alg": "RS256", "kid": "k2"}, {"iss": "https://id.test"}, issuer.key), 401),
        ):
            assert Caller(server.ask, wrong, "acme").call(*LIST).status == status
        assert issuer.asked == 1, "an unknown key is asked for once a minute"


def test_an_issuer_that_does_not_answer_is_a_503(stack: StackOfTests) -> None:
    with issuing() as issuer, trusting(stack, issuer) as (server, _):
        good, answers = Caller(server.ask, issuer.token(), "acme"), issuer.answers
        issuer.answers = 302, b""
        answer = good.call(*LIST)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["messages"][0]["errorCode"] == "UNAVAILABLE"
        issuer.answers = 200, b'{"keys":[' + b" " * 300_000 + b"]}"
        until(lambda: issuer.asked == 2 or good.call(*LIST).status != 503, 20)
        issuer.answers = answers
        until(lambda: good.call(*LIST).status == 200, 20)


def test_without_a_key_to_encrypt_with_no_webhook_is_kept(stack: StackOfTests) -> None:
    with issuing() as issuer:
        settings = stack.settings(port=free_port(), ingress=issuer.settings())
        make_tenants(settings, "acme")
        with web_server(stack, settings.model_copy(update={"secret_keys": SecretStr("")})) as server:
            good = Caller(server.ask, issuer.token(scope="fenx.webhooks"), "acme")
            wish = {"name": "mine", "url": "https://example.com", "secret": "long enough", "eventTypes": ["*"]}
            answer = good.ask_for("POST", "/webhooks/v1/webhooks", wish)
            assert (answer.status, answer.json()["messages"][0]["errorCode"]) == (503, "UNAVAILABLE")
            assert good.ask_for("GET", "/webhooks/v1/webhooks").json() == {"webHooks": []}
