# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/deadletters`: a tenant's dead letters over HTTP, as `evb dlq` has them. docs/reference/deadletters.md describes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flask import Blueprint, Response

from bridge.deadletters import document, run
from bridge.deadletters.index import Wanted, index
from bridge.deadletters.plan import Plan, plan_purge, plan_replay
from bridge.deadletters.read import find, get
from web.api import wire
from web.api.calling import Calling, answer
from web.services import Services

MOST_S = 20.0
"""A bulk call begins nothing new after so long, whatever its limit and rate say; `left` tells the rest."""


def blueprint(services: Services, loop: asyncio.AbstractEventLoop) -> Blueprint:
    """Make the routes."""
    routes = Blueprint("deadletters", __name__, url_prefix="/api/v1/deadletters")
    calling, settings = Calling(services, loop), services.settings

    @routes.get("")
    def list_() -> Response:
        call = calling.begin()
        query = wire.read_query(call.request.query)
        with calling.alone(call.tenant), calling.reading():
            page = find(settings, query.wanted(call.tenant), query.limit, query.cursor)
        letters = [document.summary(letter) for letter in page.letters]
        return answer({"letters": letters, "cursor": page.cursor or None, "total": page.total})

    @routes.get("/<path:key>")
    def show(key: str) -> Response:
        call = calling.begin()
        with calling.alone(call.tenant), calling.reading():
            return answer(document.whole(get(settings, key, call.tenant)))

    @routes.post("/replay")
    def replay() -> Response:
        call = calling.begin(reads_body=True)
        asked = wire.read_body(call.request, wire.Replay)
        return _bulk(call.tenant, asked, lambda found, wanted: plan_replay(found, wanted, asked.again), run.replay)

    @routes.post("/purge")
    def purge() -> Response:
        call = calling.begin(reads_body=True)
        return _bulk(call.tenant, wire.read_body(call.request, wire.Bulk), plan_purge, run.purge)

    def _bulk(tenant: str, asked: wire.Bulk, make: Callable[..., Plan], act: Callable[..., int]) -> Response:
        wanted: Wanted = asked.wanted(tenant, asked.keys)
        with calling.alone(tenant):
            with calling.reading():
                plan = make(index(settings, wanted), wanted)
            done = 0 if asked.dry_run else act(settings, plan.first(asked.limit), asked.rate, _unseen, MOST_S)
        return answer(plan.document(asked.rate) | {"done": done, "left": len(plan.entries) - done})

    return routes


def _unseen(_done: int) -> None:
    """Nobody watches: the answer says how many are done."""
