# SPDX-License-Identifier: Apache-2.0
"""
Post a notice now and then, for the web server's test of a webhook.

The HTTP client takes 9 MB and a tenth of a second to load, so it is loaded when somebody first asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.credentials import Vault
from bridge.egress.addresses import Networks
from bridge.notifications.notice import Notice
from bridge.registry.webhook import Webhook

if TYPE_CHECKING:
    import aiohttp

    from bridge.egress.post import Reply


class Poster:
    """On one loop."""

    def __init__(self, allowed: Networks, vault: Vault) -> None:
        self._allowed, self._vault = allowed, vault
        self._http: aiohttp.ClientSession | None = None

    async def post(self, webhook: Webhook, notice: Notice) -> Reply:
        """Post one notice, in the form that the webhook gets. Raises: EgressError; Unopenable."""
        from bridge.egress.client import session
        from bridge.notifications.posting import post_notices

        if self._http is None:
            self._http = session(self._allowed)
        return await post_notices(self._http, self._vault, webhook, [notice])

    async def close(self) -> None:
        """Close the session."""
        if self._http is not None:
            await self._http.close()
