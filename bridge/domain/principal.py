# SPDX-License-Identifier: Apache-2.0
"""Who calls and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.domain.errors import NotAllowed


class Scope(StrEnum):
    """What a credential allows."""

    EVENTS_WRITE = "events:write"
    STATUS_READ = "status:read"
    CORRELATION_SET = "correlation:set"
    ADMIN = "admin"


class TokenScope(StrEnum):
    """What a token allows: one part of the Event Ingress product each."""

    EVENT_INGRESS = "fenx.eventingress"
    EVENT_NOTIFICATIONS = "fenx.eventnotifications"
    WEBHOOKS = "fenx.webhooks"


class FlowScope(StrEnum):
    """What a token of Flow's API allows: to send events, webhooks and callbacks, and to look runs up."""

    WEBHOOK_ACTION = "webhook:action"
    WORKFLOWRUN_READ = "workflowrun:read"


_ADMIN = Scope.ADMIN  # a member of an enum is looked up by a call, and every request asks


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: one tenant, its scopes, the credential's name, and the event type that credential stands for."""

    tenant: str
    scopes: frozenset[str]
    credential: str
    event_type: str = ""

    def require(self, scope: Scope) -> None:
        """Raises: NotAllowed where neither the scope nor `admin` is held."""
        if scope not in self.scopes and _ADMIN not in self.scopes:
            raise NotAllowed(scope)

    def may(self, scope: Scope) -> bool:
        """Say whether the scope (or `admin`) is held."""
        return scope in self.scopes or _ADMIN in self.scopes
