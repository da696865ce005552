# SPDX-License-Identifier: Apache-2.0
"""
The right to rebuild the view: one process at a time, and an epoch is opened only by the one that still holds it.

Used by `bridge.rebuild`. A holder that pauses for longer than the lease loses it, and then opens nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from bridge.domain.errors import ViewUnavailable
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script

LEASE_MS: Final = 15_000
RENEW_S: Final = 3.0

SHARED: Final = frozenset({b"id", b"event", b"cid", b"x", b"list", b"claimed", b"claiming", b"leases"})
"""The third part of the names of what a rebuild makes anew; rate windows are none of it."""


class Lease:
    """One attempt at a rebuild, on one connection to one life of the server."""

    def __init__(self, pipe: Pipe, keys: Keys) -> None:
        self._pipe, self._keys = pipe, keys
        self._token = secrets.token_hex(16)
        self._run_id = pipe.run_id
        self._holes = "0"

    @property
    def token(self) -> str:
        """What the lock holds while the right is ours."""
        return self._token

    async def take(self) -> bool:
        """Take the right, if nobody has it; what writers miss from now on spoils this rebuild."""
        taken = await self._pipe.call("SET", self._keys.rebuild, self._token, "NX", "PX", LEASE_MS)
        if taken is None:
            return False
        self._holes = (await self._pipe.call("GET", self._keys.holes) or b"0").decode()
        return True

    async def hold(self) -> None:
        """Renew the lease until cancelled. Raises: ViewUnavailable where it was lost."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self.check()

    async def check(self) -> None:
        """Raises: ViewUnavailable where the right is another's, or the server is another life's."""
        kept = await self._pipe.script(script("keep_lock"), (self._keys.rebuild,), (self._token, LEASE_MS))
        if kept != 1 or self._pipe.run_id != self._run_id:
            raise ViewUnavailable("Redis was emptied or restarted during the rebuild, or another process rebuilds too.")

    async def open(self, number: int) -> str:
        """
        Declare the view whole under a new epoch, and give the right back; gives the epoch.

        Raises: ViewUnavailable where the right was lost, or a writer has missed something meanwhile.
        """
        epoch = f"{self._run_id}:{number}"
        keys = (self._keys.epoch, self._keys.holes, self._keys.rebuild)
        opened = await self._pipe.script(script("open_epoch"), keys, (self._token, self._holes, epoch))
        if opened != 1 or self._pipe.run_id != self._run_id:
            raise ViewUnavailable("The rebuild was overtaken: Redis was emptied, or a part of the view was missed meanwhile.")
        return epoch

    async def release(self) -> None:
        """Give the right back without opening anything, if it is still ours."""
        await self._pipe.script(script("keep_lock"), (self._keys.rebuild,), (self._token, 0))

    async def clear_foreign(self) -> int:
        """
        Remove what another life of a server left (a restored snapshot); gives how many keys.

        An empty view, or one that this life's writers declared lost, is left as it is: its facts are true.
        """
        epoch = await self._pipe.call("GET", self._keys.epoch)
        if epoch is None or whole(epoch, self._run_id):
            return 0
        await self._pipe.call("DEL", self._keys.epoch)
        removed, cursor = 0, b"0"
        while True:
            cursor, found = await self._pipe.call("SCAN", cursor, "MATCH", f"{self._keys.prefix}:*", "COUNT", 1000)
            old = [name for name in found if name == self._keys.passed.encode() or _kind(name) in SHARED]
            if old:
                removed += await self._pipe.call("UNLINK", *old)
            if cursor == b"0":
                return removed


def _kind(name: bytes) -> bytes:
    parts = name.split(b":", 3)
    return parts[2] if len(parts) == 4 else b""
