# SPDX-License-Identifier: Apache-2.0
"""
Count a tenant's requests, or what they weigh, in exact sliding windows that all web processes share.

Called by the Event Ingress dialect on its loop. Without Redis each process counts for itself, as the intake does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import hiredis

from bridge.domain.errors import Quota, TooManyRequests, ViewUnavailable
from bridge.domain.limits import Window
from bridge.intake.local_limits import LocalLimits
from bridge.redis.keys import Keys
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings


class Throttle:
    """
    One per process and thing that is counted; `what` names it in Redis.

    With `always`, what does not fit counts as well, so that who goes on asking stays shut out. Not so without Redis.
    """

    def __init__(self, pipe: Pipe, settings: Settings, what: str, *, always: bool) -> None:
        self._pipe, self._keys, self._what, self._always = pipe, Keys(settings.topic_prefix), what, always
        self._script = script("throttle")
        self._refuses = settings.redis.when_down == "refuse"
        self._local = LocalLimits(settings.local_shares)
        pipe.on_connect(self._local.clear)

    async def count(self, tenant: str, windows: Sequence[Window], amount: int = 1) -> tuple[Quota, ...]:
        """
        Count, and give what is left of each window.

        Raises: TooManyRequests, with the windows that are full; ViewUnavailable without Redis, where the settings say so.
        """
        try:
            wait_ms, *states = await self._pipe.script(self._script, *self._call(tenant, windows, amount))
        except (ViewUnavailable, hiredis.ReplyError):
            if self._refuses:
                raise ViewUnavailable("Redis cannot be asked, and this server is set to refuse requests then.") from None
            now_ms = int(asyncio.get_running_loop().time() * 1000)
            wait_s, quotas = self._local.ask(tenant, windows, amount, now_ms)
        else:
            wait_s = -(-wait_ms // 1000)
            quotas = tuple(
                Quota(f"{window.seconds}s", window.quota, window.seconds, max(0, left), -(-reset_ms // 1000))
                for window, left, reset_ms in zip(windows, states[::2], states[1::2], strict=True)
            )
        if wait_s:
            raise TooManyRequests(tenant, tuple(quota for quota in quotas if quota.remaining < amount), wait_s)
        return quotas

    def _call(self, tenant: str, windows: Sequence[Window], amount: int) -> tuple[list[Argument], list[Argument]]:
        """Give the script's keys and arguments."""
        keys: list[Argument] = [self._keys.throttle(tenant, self._what, window.seconds) for window in windows]
        sizes = [number for window in windows for number in (window.quota, window.seconds)]
        return keys, [len(windows), *sizes, amount, "1" if self._always else "0"]
