# SPDX-License-Identifier: Apache-2.0
"""Make, change, stop and delete webhooks. Called by the routes of `/webhooks`, and by the worker for one that does not answer."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec

from bridge.credentials import Vault
from bridge.decisions.facts import Ref
from bridge.domain.errors import Conflict, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.view import View
from bridge.registry.webhook import Webhook

MOST = 10
"""Webhooks of one tenant."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants a webhook to be; an empty secret keeps the one that it has. `batch` 0: each notice by itself."""

    name: str
    url: str
    secret: str
    types: tuple[str, ...]
    enabled: bool
    addresses: tuple[str, ...]
    batch: int


def find_webhook(registry: View, tenant: str, id_: str) -> tuple[Webhook, int]:
    """Give a webhook and its version. Raises: NotFound."""
    held = registry.held(Ref("webhook", tenant, id_))
    if not isinstance(held.object, Webhook) or held.object.state != "active":
        raise NotFound("There is no webhook of this id.")
    return held.object, held.version


async def create_webhook(changes: Changes, vault: Vault, tenant: str, wish: Wish) -> Webhook:
    """
    Make a webhook.

    Raises: Conflict where the tenant has ten, or one of the name; Misconfigured without keys to encrypt with; as decisions.
    """
    there = changes.registry.webhooks.of(tenant)
    if len(there) >= MOST:
        raise Conflict(f"There are {MOST} webhooks already; delete one first.")
    _require_new_name(there, wish.name, "")
    made = _as_wished(
        Webhook(id=str(uuid.uuid4()), tenant=tenant, name=wish.name, url=wish.url, ciphertext="", types=(), created_ms=now_ms()),
        vault,
        wish,
    )
    await changes.put(made, expected=0)
    return made


async def replace_webhook(changes: Changes, vault: Vault, tenant: str, id_: str, wish: Wish) -> Webhook:
    """Change a webhook; one that the bridge had disabled is tried again. Raises: NotFound, and as `create_webhook`."""
    current, version = find_webhook(changes.registry, tenant, id_)
    _require_new_name(changes.registry.webhooks.of(tenant), wish.name, id_)
    changed = _as_wished(current, vault, wish)
    await changes.put(changed, version)
    return changed


async def delete_webhook(changes: Changes, tenant: str, id_: str) -> None:
    """Delete a webhook; what waits to be posted to it is not. Raises: NotFound, what decisions raise."""
    current, version = find_webhook(changes.registry, tenant, id_)
    await changes.put(msgspec.structs.replace(current, state="deleted", ciphertext="", url="-"), version)
    changes.erase(Ref("webhook", tenant, id_))


async def disable_webhook(changes: Changes, tenant: str, id_: str, reason: str) -> None:
    """Stop posting to a webhook until somebody changes it. Raises: NotFound, what decisions raise."""
    current, version = find_webhook(changes.registry, tenant, id_)
    if current.live:
        await changes.put(msgspec.structs.replace(current, disabled=reason), version)


def _as_wished(webhook: Webhook, vault: Vault, wish: Wish) -> Webhook:
    return msgspec.structs.replace(
        webhook,
        name=wish.name,
        url=wish.url,
        ciphertext=vault.seal(wish.secret) if wish.secret else webhook.ciphertext,
        types=wish.types,
        enabled=wish.enabled,
        addresses=wish.addresses,
        batch=wish.batch,
        disabled="",
    )


def _require_new_name(there: tuple[Webhook, ...], name: str, own: str) -> None:
    if any(one.name == name and one.id != own for one in there):
        raise Conflict(f"There is a webhook {name!r} already.")
