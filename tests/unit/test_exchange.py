# SPDX-License-Identifier: Apache-2.0
"""Whatever a handler does, its request is answered, nothing is shown that should not be, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from typing import cast

import pytest

from bridge.domain.errors import NotFound
from web.http.exchange import exchange, headers_of
from web.http.messages import Answer, Request, Route
from web.services import Services

REQUEST = Request("GET", "/x", {}, request_id="req_1")
NO_SERVICES = cast(Services, None)


async def crashing(_request: Request, _services: Services) -> Answer:
    raise RuntimeError("the password is 42")


async def test_a_crash_is_answered_with_an_id_and_logged_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    answer = await exchange(Route("GET", "/x", crashing, "fx"), REQUEST, NO_SERVICES)
    assert answer.status == 500
    assert json.loads(answer.body) == {
        "type": "/problems/internal",
        "title": "Internal error",
        "status": 500,
        "code": "internal",
        "request_id": "req_1",
    }
    said = capsys.readouterr().out
    assert "req_1" in said
    assert "the password is 42" in said


async def test_a_refusal_leaves_nothing_to_the_collector() -> None:
    refused: list[weakref.ref[NotFound]] = []

    async def refusing(_request: Request, _services: Services) -> Answer:
        waited: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        error = NotFound("gone")
        refused.append(weakref.ref(error))
        waited.set_exception(error)
        del error
        return await waited

    gc.disable()
    try:
        assert (await exchange(Route("GET", "/x", refusing, "fx"), REQUEST, NO_SERVICES)).status == 404
        assert refused[0]() is None
    finally:
        gc.enable()


def test_every_answer_has_the_same_last_headers() -> None:
    headers = dict(headers_of(Answer(200, b"", (("content-type", "a/b"),)), "req_1"))
    assert headers == {
        "content-type": "a/b",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": "req_1",
    }
