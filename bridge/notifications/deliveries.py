# SPDX-License-Identifier: Apache-2.0
"""
Deliveries: a notice on its way to a webhook, as an event for the process `webhook`, and what became of the last ones.

So a delivery is an execution like any other: retried by the tiers, a dead letter in the end, replayed like that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bridge import executions
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.notifications.notice import Notice, event_of_notice
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.reading import read

WEBHOOK: Final = "webhook"
"""The process that posts; it comes with the worker."""
SOURCE: Final = "/webhooks/"
TIMED_OUT: Final = "timeout: "
STATUS: Final = re.compile(r"answered (\d{3})$")

Said = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The last attempt to post a notice to a webhook; `code` is the HTTP status of the answer, None where there was none."""

    notice: str
    type: str
    at_ms: int
    status: str
    code: int | None
    attempts: int
    reason: str


def delivery_of(notice: Notice, webhook: str, correlation_id: str) -> Event:
    """Give the event that asks for a notice to be posted to a webhook."""
    event = event_of_notice(notice)
    own = {
        "source": SOURCE + webhook,
        "eventkey": ids.delivery_key(notice.id, webhook),
        "correlationid": correlation_id,
    }
    return Event({**event.attributes, **own}, event.data)


def webhook_of(event: Event) -> str:
    """Give the id of the webhook that a delivery is for."""
    return event.source.removeprefix(SOURCE)


async def last_deliveries(pipe: Pipe, keys: Keys, tenant: str, webhook: str) -> list[Delivery]:
    """Give what became of a webhook's last deliveries, the newest first. Raises: ViewUnavailable."""
    (names,) = await read(pipe, keys, [("ZREVRANGE", keys.webhook(tenant, webhook), 0, -1)])
    if not names:
        return []
    (values,) = await read(pipe, keys, [("MGET", *(keys.execution(tenant, name.decode()) for name in names))])
    known: Callable[[bytes], Execution] = lambda value: executions.decode(value[value.index(b"|") + 1 :])  # noqa: E731
    return [_delivery(known(value)) for value in values if value is not None and not value.startswith(b"-1|")]


def _delivery(execution: Execution) -> Delivery:
    well, found = execution.status is Status.COMPLETED, STATUS.search(execution.reason)
    code = json.loads(execution.data)["httpStatusCode"] if well else int(found.group(1)) if found else None
    status = "Successful" if well else "TimedOut" if TIMED_OUT in execution.reason else "Failed"
    at_ms = execution.finished_ms or execution.started_ms or execution.received_ms
    return Delivery(execution.event_id, execution.event_type, at_ms, status, code, execution.attempt, execution.reason)
