# SPDX-License-Identifier: Apache-2.0
"""The operations of `/eventnotifications`: feeds of notices, polled batch by batch."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from bridge.domain.errors import NotFound
from bridge.domain.principal import Principal
from bridge.notifications.feeds import ALL
from bridge.notifications.notice import FAILED, STEPS, SUCCESS, document
from web.dialects.eventingress.failures import JSON
from web.http.messages import Answer, Request
from web.services import Services

TYPES: Final = (SUCCESS, FAILED, *STEPS)
FEED: Final = re.compile(r"[a-z][a-z0-9]{0,39}")

_encode = msgspec.json.Encoder().encode


async def next_batch(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v2/{feedId}/next`; 204 where nothing waits, or another poller has it."""
    batch = await services.ingress.feeds.next(caller.tenant, _source(request))
    if batch is None:
        return Answer(204)
    notices = [document(notice) for notice in batch.notices]
    return answer_with({"batchId": batch.id, "notifications": notices, "moreAvailable": batch.more})


async def complete(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `POST /v2/{feedId}/{batchId}/complete`: the batch never comes again."""
    await services.ingress.feeds.complete(caller.tenant, _source(request), request.path_params["batch_id"])
    return Answer(200)


async def discard_all(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `PUT /v2/{feedId}/discardAll`: nothing that is there now comes again."""
    await services.ingress.feeds.discard(caller.tenant, _source(request))
    return Answer(200)


async def list_types(_request: Request, _services: Services, _caller: Principal) -> Answer:
    """Answer `GET …/event-notification-types`: the types of notices, each with the feed of its source."""
    return answer_with([{"eventType": one, "feedId": one.partition(":")[0]} for one in TYPES])


def answer_with(shown: Any, status: int = 200) -> Answer:
    """Give an answer in JSON, without the envelope that the other part of the product has."""
    return Answer(status, _encode(shown), (JSON,))


def _source(request: Request) -> str:
    """Give the source that a feed is of; empty: all. Raises: NotFound."""
    feed = request.path_params["feed_id"]
    if not FEED.fullmatch(feed):
        raise NotFound("There is no feed of this name.")
    return "" if feed == ALL else feed
