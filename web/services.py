# SPDX-License-Identifier: Apache-2.0
"""What a route may use: made once per server process, on its event loop, and handed to every handler."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.claims.claims import Claims
    from bridge.claims.lists import Lists
    from bridge.claims.log import ClaimLog
    from bridge.credentials import Vault
    from bridge.ingress.messages import Messages
    from bridge.ingress.throttle import Throttle
    from bridge.intake.accept import Intake
    from bridge.kafka.producer import LoopProducer
    from bridge.notifications.feeds import Feeds
    from bridge.notifications.poster import Poster
    from bridge.redis.pipe import Pipe
    from bridge.registry import Registry
    from bridge.registry.business import BusinessProcesses
    from bridge.registry.changes import Changes
    from bridge.runs.runs import Runs
    from bridge.settings import Settings
    from bridge.tokens.tokens import Tokens
    from bridge.view.status import StatusView


@dataclass(frozen=True, slots=True)
class Ingress:
    """
    What only the Event Ingress dialect uses.

    `requests`, `points` and `others` are what is counted of a tenant: requests about messages, what messages weigh, and all other
    requests. `poster` tests webhooks.
    """

    tokens: Tokens
    requests: Throttle
    points: Throttle
    others: Throttle
    messages: Messages
    processes: BusinessProcesses
    feeds: Feeds
    vault: Vault
    poster: Poster


@dataclass(frozen=True, slots=True)
class Flow:
    """What only the Flow dialect uses; `starts` counts the runs that a tenant starts."""

    runs: Runs
    starts: Throttle


@dataclass(frozen=True, slots=True)
class Services:
    """
    The use cases behind the doors, and what they stand on.

    The last four are for health and for the end of the process, the others for handlers.
    """

    settings: Settings
    registry: Registry
    intake: Intake
    status: StatusView
    lists: Lists
    claims: Claims
    ingress: Ingress
    flow: Flow
    changes: Changes
    claim_log: ClaimLog
    pipe: Pipe
    producer: LoopProducer
    background: tuple[asyncio.Task[None], ...] = ()
