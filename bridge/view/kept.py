# SPDX-License-Identifier: Apache-2.0
"""Look up what processes keep of a key, in the live view. Called by the management API."""

from __future__ import annotations

from bridge.domain.errors import NotFound
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.reading import read


async def kept(pipe: Pipe, keys: Keys, tenant: str, state: str, key: str) -> bytes:
    """Give the JSON. Raises: NotFound where nothing is kept; ViewUnavailable."""
    (found,) = await read(pipe, keys, [("GET", keys.state(tenant, state, key))])
    value: bytes = (found or b"").partition(b"|")[2]
    if not value:
        raise NotFound("Nothing is kept under this name.")
    return value
