# SPDX-License-Identifier: Apache-2.0
"""`GET /api/v1/entities/{id}`: an entity, as the shipped business processes keep it."""

from __future__ import annotations

import asyncio

from flask import Blueprint, Response

from bridge.domain.limits import ANSWER_S
from bridge.domain.principal import Scope
from bridge.redis.keys import Keys
from bridge.view.kept import kept
from web.api.calling import Calling
from web.services import Services

STATE = "entities"


def blueprint(services: Services, loop: asyncio.AbstractEventLoop) -> Blueprint:
    """Make the route."""
    routes = Blueprint("entities", __name__, url_prefix="/api/v1/entities")
    calling, keys = Calling(services, loop), Keys(services.settings.topic_prefix)

    @routes.get("/<id_>")
    def show(id_: str) -> Response:
        call = calling.begin(scope=Scope.STATUS_READ)
        asking = kept(services.pipe, keys, call.tenant, STATE, id_)
        found = asyncio.run_coroutine_threadsafe(asking, loop).result(ANSWER_S)
        return Response(found, content_type="application/json")

    return routes
