# SPDX-License-Identifier: Apache-2.0
"""Encrypt every secret of the registry anew: signing secrets, secret options, webhooks. Called by `evb secrets reencrypt`."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from bridge.credentials import Unopenable, Vault
from bridge.decisions.facts import Ref
from bridge.registry.changes import Changes
from bridge.registry.objects import ProcessSetting, SigningSecret
from bridge.registry.options import resealed
from bridge.registry.webhook import Webhook
from bridge.registry.webhooks import find_webhook


@dataclass(slots=True)
class Resealed:
    """How many secrets, processes' options and webhooks were encrypted anew; and the names of those whose key is lost."""

    done: int = 0
    lost: list[str] = field(default_factory=list)


async def reseal_secrets(changes: Changes, vault: Vault) -> Resealed:
    """
    Encrypt every secret under the first of the operator's keys; then the others are needed no more.

    Raises: Misconfigured without a key; what decisions raise.
    """
    report = Resealed()
    for tenant in changes.registry.tenants():
        for secret in changes.registry.secrets(tenant.name):
            await _reseal_secret(changes, vault, secret, report)
        for setting in changes.registry.process_settings(tenant.name):
            await _reseal_options(changes, vault, setting, report)
        for webhook in changes.registry.webhooks.of(tenant.name):
            await _reseal_webhook(changes, vault, webhook, report)
    return report


async def _reseal_secret(changes: Changes, vault: Vault, secret: SigningSecret, report: Resealed) -> None:
    current, version = changes.find(Ref("secret", secret.tenant, secret.id), SigningSecret)
    try:
        fresh = vault.reseal(current.ciphertext)
    except Unopenable:
        report.lost.append(f"{secret.tenant}/{secret.source}/{secret.id}")
        return
    await changes.put(msgspec.structs.replace(current, ciphertext=fresh), version)
    report.done += 1


async def _reseal_options(changes: Changes, vault: Vault, setting: ProcessSetting, report: Resealed) -> None:
    current, version = changes.find(Ref("process", setting.tenant, setting.process), ProcessSetting)
    try:
        fresh = resealed(current.config, vault)
    except Unopenable:
        report.lost.append(f"{setting.tenant}/{setting.process}")
        return
    if fresh is not None:
        await changes.put(msgspec.structs.replace(current, config=fresh), version)
        report.done += 1


async def _reseal_webhook(changes: Changes, vault: Vault, webhook: Webhook, report: Resealed) -> None:
    current, version = find_webhook(changes.registry, webhook.tenant, webhook.id)
    try:
        fresh = vault.reseal(current.ciphertext)
    except Unopenable:
        report.lost.append(f"{webhook.tenant}/webhooks/{webhook.id}")
        return
    await changes.put(msgspec.structs.replace(current, ciphertext=fresh), version)
    report.done += 1
