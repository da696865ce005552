# SPDX-License-Identifier: Apache-2.0
"""Read the JSON body of an operation; every part of the product does it in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bridge.cloudevents import syntax
from bridge.domain.errors import Fault, UnsupportedMedia
from bridge.domain.limits import LOOP_BYTES
from web.dialects.eventingress import wire
from web.http.messages import Request

T = TypeVar("T")


async def read(request: Request, into: Callable[[wire.Reader], T], *faults: Fault) -> T:
    """
    Read the body with `into`; a large one in a thread: checking it would hold the loop up. `faults` were found before.

    Raises: UnsupportedMedia; InvalidEvent with every fault.
    """
    given = request.headers.get("content-type", "application/json")
    if not syntax.is_json(given) or syntax.charset(given) not in ("", "utf-8"):
        raise UnsupportedMedia(f"Send application/json in UTF-8, not {given[:100]!r}.")
    if "content-encoding" in request.headers and request.headers["content-encoding"].strip().lower() != "identity":
        raise UnsupportedMedia("Send the body without a content encoding.")
    if len(request.body) > LOOP_BYTES:
        return await asyncio.to_thread(wire.read, request.body, into, *faults)
    return wire.read(request.body, into, *faults)
