# SPDX-License-Identifier: Apache-2.0
"""Post notices to a webhook, signed. Called by the worker's process `webhook`, and by `poster`."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Final

import aiohttp

from bridge.credentials import Vault
from bridge.domain.limits import LOOP_BYTES
from bridge.egress.post import Reply, post
from bridge.egress.signing import fenx, standard_webhooks
from bridge.notifications.notice import JSON, Notice, posted
from bridge.registry.webhook import Webhook

ANSWER_S: Final = 4.0


async def post_notices(http: aiohttp.ClientSession, vault: Vault, webhook: Webhook, notices: Sequence[Notice]) -> Reply:
    """
    Post notices as one body, signed as the vendor does and by Standard Webhooks.

    Raises: EgressError; ValueError where the secret cannot be decrypted.
    """
    secret = vault.open(webhook.ciphertext).decode()
    batch = bool(webhook.batch)
    if sum(len(notice.payload) for notice in notices) > LOOP_BYTES:
        body = await asyncio.to_thread(posted, notices, batch=batch)
    else:
        body = posted(notices, batch=batch)
    name = notices[0].id if len(notices) == 1 else str(uuid.uuid5(uuid.UUID(webhook.id), ",".join(n.id for n in notices)))
    signed = standard_webhooks(secret, name, int(time.time()), body) | fenx(secret, body)
    return await post(http, webhook.url, body, {"content-type": JSON, **signed}, ANSWER_S)
