# SPDX-License-Identifier: Apache-2.0
"""The operations of `/webhooks`: a tenant's webhooks, what became of their last deliveries, and a test."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

from bridge.credentials import Unopenable
from bridge.domain.errors import Unavailable
from bridge.domain.moments import iso
from bridge.domain.principal import Principal
from bridge.egress.addresses import Networks, networks
from bridge.egress.errors import EgressError
from bridge.egress.signing import key_of
from bridge.egress.urls import URL_CHARS, url_fault
from bridge.notifications.deliveries import Delivery, last_deliveries
from bridge.notifications.notice import Notice
from bridge.redis.keys import Keys
from bridge.registry.webhook import ALL, Webhook
from bridge.registry.webhooks import Wish, create_webhook, delete_webhook, find_webhook, replace_webhook
from web.dialects.eventingress.polling import TYPES, answer_with
from web.dialects.eventingress.reading import read
from web.dialects.eventingress.wire import Reader
from web.http.messages import Answer, Request
from web.services import Services

CHARS: Final = 128
SECRET_CHARS: Final = 8
ADDRESSES: Final = 5
BATCH: Final = (10, 100)
TEST: Final = "webhooks:test"
SHUT: Final = "the webhook's secret cannot be decrypted; give it a new one"
KINDS: Final = ("Single", "Batch")


async def list_webhooks(_request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v1/webhooks`."""
    found = [await _shown(services, one) for one in services.registry.webhooks.of(caller.tenant)]
    return answer_with({"webHooks": found})


async def add_webhook(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `POST /v1/webhooks`."""
    wish = await _read(request, services, new=True)
    made = await create_webhook(services.changes, services.ingress.vault, caller.tenant, wish)
    return answer_with({"webhookId": made.id})


async def show_webhook(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v1/webhooks/{id}`."""
    found, _ = find_webhook(services.registry, caller.tenant, request.path_params["webhook_id"])
    return answer_with({"webhook": await _shown(services, found)})


async def update_webhook(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `PUT /v1/webhooks/{id}`: an empty secret keeps the one that it has; what was disabled is tried again."""
    name = request.path_params["webhook_id"]
    find_webhook(services.registry, caller.tenant, name)
    wish = await _read(request, services, new=False)
    await replace_webhook(services.changes, services.ingress.vault, caller.tenant, name, wish)
    return answer_with({"webhookId": name})


async def remove_webhook(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `DELETE /v1/webhooks/{id}`."""
    await delete_webhook(services.changes, caller.tenant, request.path_params["webhook_id"])
    return Answer(200)


async def test_webhook(request: Request, services: Services, caller: Principal) -> Answer:
    """Answer `GET /v1/webhooks/{id}/test`: post a notice of no meaning, now, and say what came back."""
    found, _ = find_webhook(services.registry, caller.tenant, request.path_params["webhook_id"])
    now_ms = time.time_ns() // 1_000_000
    notice = Notice(str(uuid.uuid4()), caller.tenant, TEST, f"/webhooks/v1/webhooks/{found.id}", b"", now_ms, "", found.id)
    try:
        reply = await services.ingress.poster.post(found, notice)
    except EgressError as err:
        status = "TimedOut" if err.code == "timeout" else "Failed"
        return answer_with({"delivery": {"status": status, "httpStatusCode": None, "reason": str(err)}})
    except Unopenable:
        return answer_with({"delivery": {"status": "Failed", "httpStatusCode": None, "reason": SHUT}})
    status = "Successful" if 200 <= reply.status < 300 else "Failed"
    return answer_with({"delivery": {"status": status, "httpStatusCode": reply.status, "reason": None}})


async def _read(request: Request, services: Services, *, new: bool) -> Wish:
    """Read the body. Raises: InvalidEvent; Unavailable for a secret where the operator has set no key to encrypt it with."""
    allowed = networks(services.settings.egress_allowed_networks)
    wish = await read(request, lambda given: wished(given, allowed, new=new))
    if wish.secret and not services.ingress.vault.has_key:
        raise Unavailable("No secret can be kept here: EVB_SECRET_KEYS is empty.")
    return wish


def wished(given: Reader, allowed: Networks, *, new: bool) -> Wish:
    """Read a webhook's configuration. What `GET` answers beside that is passed over, so that it can be sent back."""
    for answered in ("id", "status", "statusReason", "deliveries"):
        given.raw(answered)
    name = given.text("name", CHARS, required=True)
    url, secret = given.text("url", URL_CHARS, required=True), given.text("secret", CHARS, required=new)
    if url and (fault := url_fault(url, allowed)):
        given.complain("url", f"cannot be used: {fault}", None)
    if secret and (fault := _secret_fault(secret)):
        given.complain("secret", fault, None)
    types = given.texts("eventTypes", len(TYPES) + 50, CHARS, required=True)
    if ALL in types and len(types) > 1:
        given.complain("eventTypes", f"has {ALL}, which means all of them, beside others", None)
    return Wish(
        name=name,
        url=url,
        secret=secret,
        types=tuple(dict.fromkeys(types)),
        enabled=given.flag("enabled", default=True),
        addresses=tuple(given.texts("emailAddresses", ADDRESSES, 254)),
        batch=_batch(given),
    )


def _secret_fault(secret: str) -> str:
    if len(secret) < SECRET_CHARS:
        return f"must have {SECRET_CHARS} characters at least"
    try:
        key_of(secret)
    except ValueError as err:
        return f"cannot be used: {err}"
    return ""


def _batch(given: Reader) -> int:
    kind, size = given.text("type", CHARS) or KINDS[0], given.integer("batchSize", 0, BATCH[1])
    if kind not in KINDS:
        return given.complain("type", f"must be {' or '.join(KINDS)}", 0)
    if kind == KINDS[0]:
        return 0
    if size is None:
        return BATCH[1]
    return size if size >= BATCH[0] else given.complain("batchSize", f"must be {BATCH[0]} to {BATCH[1]}", 0)


async def _shown(services: Services, webhook: Webhook) -> dict[str, Any]:
    keys = Keys(services.settings.topic_prefix)
    last = await last_deliveries(services.pipe, keys, webhook.tenant, webhook.id)
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "enabled": webhook.enabled,
        "eventTypes": webhook.types,
        "emailAddresses": webhook.addresses,
        "type": KINDS[bool(webhook.batch)],
        "batchSize": webhook.batch,
        "status": _status(webhook, last),
        "statusReason": webhook.disabled or None,
        "deliveries": [_delivery(one) for one in last],
    }


def _status(webhook: Webhook, last: list[Delivery]) -> str:
    if not webhook.enabled:
        return "UserDisabled"
    if webhook.disabled:
        return "SystemDisabled"
    return "Retrying" if any(one.pending for one in last) else "Enabled"


def _delivery(one: Delivery) -> dict[str, Any]:
    return {
        "status": one.status,
        "httpStatusCode": one.code,
        "notificationId": one.notice,
        "eventType": one.type,
        "when": iso(one.at_ms),
        "attempts": one.attempts,
        "reason": one.reason or None,
    }
