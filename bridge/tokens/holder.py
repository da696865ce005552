# SPDX-License-Identifier: Apache-2.0
"""Who calls with a token, and what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.errors import NotAllowed
from bridge.domain.principal import Principal, Scope, TokenScope

LIFETIME_S: Final = 900
"""Of a token that is made here."""

_MAY: Final = frozenset({Scope.EVENTS_WRITE.value, Scope.STATUS_READ.value})


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """A client of a tenant; `client` names it, `scopes` are the token's."""

    tenant: str
    client: str
    scopes: frozenset[str]

    def require(self, scope: TokenScope) -> Principal:
        """Give the caller of the part that the scope opens. Raises: NotAllowed."""
        if scope.value not in self.scopes:
            raise NotAllowed(scope)
        return Principal(self.tenant, _MAY, self.client)
