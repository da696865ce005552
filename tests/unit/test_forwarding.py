# SPDX-License-Identifier: Apache-2.0
"""The process `forward` against a real server on loopback: what it sends, and what each answer makes of the execution."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from bridge.sdk import Completed, Outcome, Rejected, RetryLater, Skipped
from bridge.sdk.testing import event, run
from plugins.forward import Forward, Forwarding, bridge_processes
from tests.canaries import Canary, listening

BINARY = bytes(range(256))


def url_of(canary: Canary) -> str:
    return f"http://127.0.0.1:{canary.port}/hooks/sesame?token=sesame"


async def test_an_event_is_posted_as_it_is() -> None:
    sent = event("order.paid", BINARY, datacontenttype="application/x-mine", subject="a ü", hops="2")
    async with listening() as canary:
        more = {"X-Team": "blue", "authorization": "Bearer sesame"}
        outcome = await run(Forward(), sent, {"url": url_of(canary), "headers": more})
    ((method, path, headers, body),) = canary.requests
    assert (method, path, body) == ("POST", "/hooks/sesame?token=sesame", BINARY)
    expected = {f"ce-{name}": sent.attributes[name] for name in ("specversion", "id", "source", "type", "correlationid")}
    expected |= {"ce-subject": "a%20%C3%BC", "content-type": "application/x-mine", "content-length": "256"}
    expected |= {"X-Team": "blue", "authorization": "Bearer sesame", "User-Agent": "event-bridge"}
    sends_itself = {"Host", "Accept", "Accept-Encoding"}
    assert {name.lower(): text for name, text in headers.items() if name not in sends_itself} == {
        name.lower(): text for name, text in expected.items()
    }
    assert isinstance(outcome, Completed)
    assert outcome.data | {"ms": 0} == {"host": f"127.0.0.1:{canary.port}", "status": 200, "ms": 0, "attempt": 1}


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a plain text ü"])
async def test_it_is_signed_and_keeps_its_id(secret: str) -> None:
    sent = event("order.paid", {"n": 1})
    async with listening() as canary:
        for attempt in (1, 2):
            await run(Forward(), sent, {"url": url_of(canary), "secret": secret}, attempt=attempt)
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    assert len(canary.requests) == 2
    for _, _, headers, body in canary.requests:
        assert headers["webhook-id"] == sent.key
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30
        signed = f"{sent.key}.{headers['webhook-timestamp']}.".encode() + body
        assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


async def test_an_event_without_data_has_no_content_type() -> None:
    async with listening() as canary:
        await run(Forward(), event("order.paid"), {"url": url_of(canary)})
    assert "Content-Type" not in canary.requests[0].headers
    assert canary.requests[0].body == b""


async def test_only_the_wanted_types_are_forwarded() -> None:
    async with listening() as canary:
        config = {"url": url_of(canary), "types": ["order.*", "user.created"]}
        outcomes = [await run(Forward(), event(type_), config) for type_ in ("order.paid", "user.created", "user.gone")]
    assert outcomes[2] == Skipped("only order.*, user.created is forwarded")
    assert len(canary.requests) == 2


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (200, {}, Completed()),
        (202, {}, Completed()),
        (204, {}, Completed()),
        (301, {"Location": "/elsewhere"}, RetryLater("127.0.0.1:0 answered 301")),
        (400, {}, RetryLater("127.0.0.1:0 answered 400")),
        (404, {"Retry-After": "5"}, RetryLater("127.0.0.1:0 answered 404")),
        (410, {}, Rejected("gone", "127.0.0.1:0 answered 410")),
        (429, {"Retry-After": "5"}, RetryLater("127.0.0.1:0 answered 429", 5.0)),
        (429, {}, RetryLater("127.0.0.1:0 answered 429")),
        (500, {"Retry-After": "5"}, RetryLater("127.0.0.1:0 answered 500")),
        (503, {"Retry-After": "0"}, RetryLater("127.0.0.1:0 answered 503", 0.0)),
        (503, {"Retry-After": "later"}, RetryLater("127.0.0.1:0 answered 503")),
    ],
)
async def test_the_answer_decides(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    async with listening() as canary:
        canary.answer = lambda: web.Response(status=status, headers=headers)
        found = await run(Forward(), event("order.paid", {}), {"url": url_of(canary)})
    if isinstance(outcome, Completed):
        assert isinstance(found, Completed)
        assert found.data["status"] == status
    else:
        assert str(found) == str(outcome).replace("127.0.0.1:0", f"127.0.0.1:{canary.port}")
    assert len(canary.requests) == 1


async def test_what_another_attempt_will_not_cure_is_rejected() -> None:
    found = await run(Forward(), event("order.paid", {}), {"url": "http://10.0.0.1:9000/hooks/sesame?token=sesame"})
    reason = "10.0.0.1 is not a public address, nor of EVB_EGRESS_ALLOWED_NETWORKS"
    assert found == Rejected("address-not-allowed", reason)


async def test_a_receiver_that_cannot_be_reached_is_tried_again() -> None:
    async with listening() as canary:
        url = f"http://127.0.0.1:{canary.port}/hooks/sesame"
    found = await run(Forward(), event("order.paid", {}), {"url": url})
    assert found == RetryLater(f"connection-failed: 127.0.0.1:{canary.port}: Connection refused")


HEADERS = {"Host": "x", "a b": "sesame"}
FAULTY: dict[str, tuple[dict[str, Any], list[str]]] = {
    "everything": (
        {
            "url": "ftp://me:sesame@x",
            "secret": "whsec_sesame!",
            "types": ["a..b", "c d"],
            "headers": {"Host": "x", "a b": "sesame\n"},
        },
        ["not an http or https one", "not base64", "'a..b'", "'c d'", "Host is not yours", "'a b' is no name"],
    ),
    "no url": ({}, ["Field required"]),
    "unknown option": ({"url": "http://x", "uri": "y"}, ["Extra inputs are not permitted"]),
    "short secret": ({"url": "http://x", "secret": "sesame"}, ["8 to 256 characters"]),
    "empty secret": ({"url": "http://x", "secret": ""}, ["no key in it"]),
    "no types": ({"url": "http://x", "types": []}, ["at least 1 item"]),
    "value": ({"url": "http://x", "headers": {"x-a": "sesame\r\nx-b: 1", "x-c": "", "x-d": "s" * 1025}}, ["x-a", "x-c", "x-d"]),
    "many": ({"url": "http://x", "headers": {f"x-{n}": "sesame" for n in range(21)}}, ["at most 20 items"]),
}


@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_of_the_options_is_named_and_no_secret(name: str) -> None:
    given, words = FAULTY[name]
    with pytest.raises(ValidationError) as caught:
        Forwarding.model_validate(given)
    said = "; ".join(error["msg"] for error in caught.value.errors(include_input=False))
    assert [word for word in words if word not in said] == []
    assert "sesame" not in said


@pytest.mark.parametrize(
    "name", ["ce-id", "Content-Type", "content-length", "WEBHOOK-ID", "Transfer-Encoding", "connection", "TE"]
)
def test_the_headers_of_the_request_itself_cannot_be_set(name: str) -> None:
    with pytest.raises(ValidationError, match="is not yours to set"):
        Forwarding.model_validate({"url": "http://x", "headers": {name: "x"}})


def test_it_is_off_for_tenants_that_did_not_ask_for_it() -> None:
    (process,) = bridge_processes()
    assert process.default_enabled is False
    assert process.lane == "shared"
