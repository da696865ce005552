# SPDX-License-Identifier: Apache-2.0
"""
Our door with one route that only produces: what the server, the door and the producer cost before any check.

Measured beside the full product to show where the time goes; nobody runs it.
"""

from __future__ import annotations

import asyncio
import os

from confluent_kafka import KafkaError, Message

from web import door
from web.http.messages import Answer, Request, Route
from web.http.table import Table
from web.services import Services

TOPIC = os.environ["TOPIC"]


async def produce(request: Request, services: Services) -> Answer:
    """Answer 202 once the broker has the body."""
    stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def report(error: KafkaError | None, _: Message) -> None:
        if not stored.done():
            stored.set_result(error is None)

    services.producer.send(TOPIC, request.body, key=None, headers=[], report=report)
    return Answer(202 if await stored else 503)


def app() -> door.Door:
    """Make the door with the one route."""
    made = door.from_environment()
    made._table = Table((Route("POST", "/events", produce, "bare", reads_body=True),))
    return made
