# SPDX-License-Identifier: Apache-2.0
"""
The process `webhook`, which comes with every worker: posts a notice to a webhook of its tenant, by itself or with others.

It reads the webhook as it is now, not as it was when the notice was made. One that has not worked for as long as its notices are
retried is disabled, with the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohttp

from bridge import logs
from bridge.credentials import Unopenable, Vault
from bridge.domain.errors import BridgeError, NotFound
from bridge.domain.event import Event
from bridge.egress.errors import EgressError
from bridge.egress.post import Reply
from bridge.notifications.deliveries import WEBHOOK, last_deliveries, webhook_of
from bridge.notifications.notice import Notice, notice_of
from bridge.notifications.posting import post_notices
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.registry.changes import Changes
from bridge.registry.view import View
from bridge.registry.webhook import Webhook
from bridge.registry.webhooks import disable_webhook, find_webhook
from bridge.sdk import Completed, Context, Outcome, Process, Rejected, RetryLater, Skipped
from processors.attempts.standins import AnyConfig
from processors.builtin.gathering import Gathering

HOPELESS: Final = frozenset({"address-not-allowed", "invalid-url"})
"""What another attempt will not cure."""

GiveUp = Callable[[Webhook, int, str], Awaitable[None]]
"""Disables a webhook that has not worked since a time (ms), with the reason."""

LOG = logs.get("processors.webhooks")


class Webhooks(Process[AnyConfig]):
    """One per worker. `attempts` is how many a notice gets; after the last one `give_up` is called."""

    name, version, events, Config = WEBHOOK, "1.0.0", (), AnyConfig

    def __init__(self, registry: View, vault: Vault, attempts: int, give_up: GiveUp) -> None:
        self._registry, self._vault, self._attempts, self._give_up = registry, vault, attempts, give_up
        self._gathering: Gathering[str, Notice, Reply] = Gathering()

    async def run(self, event: Event, context: Context[AnyConfig]) -> Outcome:
        """Post a notice once."""
        try:
            webhook, _ = find_webhook(self._registry, event.tenant, webhook_of(event))
        except NotFound:
            return Skipped("the webhook was deleted")
        if not webhook.live:
            return Skipped(f"the webhook is disabled: {webhook.disabled}" if webhook.disabled else "the webhook is disabled")
        notice = notice_of(event)
        try:
            reply = await self._post(webhook, notice, context.http)
        except EgressError as err:
            if err.code in HOPELESS:
                return Rejected(err.code, err.reason)
            return await self._failed(webhook, notice, context.attempt, RetryLater(str(err)))
        except Unopenable as err:
            return await self._failed(webhook, notice, context.attempt, RetryLater(f"the secret cannot be decrypted: {err}"))
        said = f"{reply.host} answered {reply.status}"
        if 200 <= reply.status < 300:
            return Completed({"httpStatusCode": reply.status, "ms": reply.ms})
        if reply.status == 410:
            await self._stop(webhook, 0, said)
            return Rejected("gone", said)
        after_s = reply.retry_after_s if reply.status in (429, 503) else None
        return await self._failed(webhook, notice, context.attempt, RetryLater(said, after_s))

    async def _post(self, webhook: Webhook, notice: Notice, http: aiohttp.ClientSession) -> Reply:
        async def flush(notices: Sequence[Notice]) -> Reply:
            return await post_notices(http, self._vault, webhook, notices)

        if not webhook.batch:
            return await flush([notice])
        return await self._gathering.join(webhook.id, notice, len(notice.payload), webhook.batch, flush)

    async def _failed(self, webhook: Webhook, notice: Notice, attempt: int, outcome: RetryLater) -> Outcome:
        if attempt >= self._attempts:
            await self._stop(webhook, notice.when_ms, outcome.reason)
        return outcome

    async def _stop(self, webhook: Webhook, since_ms: int, reason: str) -> None:
        try:
            await self._give_up(webhook, since_ms, reason)
        except BridgeError as err:  # the next notice that fails for good asks again
            LOG.warning("A webhook could not be disabled", tenant=webhook.tenant, webhook=webhook.id, reason=str(err))


def giving_up(changes: Changes, pipe: Pipe, keys: Keys) -> GiveUp:
    """Make what disables a webhook, unless the live view knows of a delivery that it has taken since."""

    async def give_up(webhook: Webhook, since_ms: int, reason: str) -> None:
        if since_ms:
            last = await last_deliveries(pipe, keys, webhook.tenant, webhook.id)
            if any(one.status == "Successful" and one.at_ms >= since_ms for one in last):
                return
        await disable_webhook(changes, webhook.tenant, webhook.id, reason)
        LOG.warning("A webhook was disabled", tenant=webhook.tenant, webhook=webhook.id, reason=reason)

    return give_up
