# SPDX-License-Identifier: Apache-2.0
"""
The part of the registry in memory that says whom to tell of a notice: a tenant's live webhooks.

Kept by `view`, whose rules of threads hold here too.
"""

from __future__ import annotations

from bridge.decisions.facts import Ref
from bridge.registry.objects import Object
from bridge.registry.webhook import Webhook


class WebhookIndex:
    """Follows every change of a webhook."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Webhook, ...]] = {}

    def of(self, tenant: str) -> tuple[Webhook, ...]:
        """Give a tenant's webhooks, the oldest first."""
        return self._of.get(tenant, ())

    def wanting(self, tenant: str, type_: str) -> list[Webhook]:
        """Give those that are told of notices of a type."""
        return [one for one in self._of.get(tenant, ()) if one.live and one.wants(type_)]

    def replace(self, ref: Ref, new: Object | None) -> None:
        """Take an object's new state; None: it is gone, or cannot be read."""
        if ref.kind != "webhook":
            return
        found = [one for one in self._of.get(ref.tenant, ()) if one.id != ref.id]
        if isinstance(new, Webhook) and new.state == "active":
            found.append(new)
        self._of[ref.tenant] = tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))
