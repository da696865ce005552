# SPDX-License-Identifier: Apache-2.0
"""Equal deadlines on one loop."""

from __future__ import annotations

import asyncio

from web.deadlines import PRECISION_S, Deadlines


async def test_what_is_still_held_expires_in_order_and_what_was_removed_does_not() -> None:
    loop = asyncio.get_running_loop()
    deadlines, expired, last = Deadlines(loop, 0.05), [], asyncio.Event()
    began = loop.time()
    deadlines.add("a", lambda: expired.append("a"))
    deadlines.add("kept", lambda: expired.append("kept"))
    deadlines.add("b", lambda: (expired.append("b"), last.set()))
    deadlines.remove("kept")
    deadlines.remove("unknown")
    await asyncio.wait_for(last.wait(), 5)
    assert expired == ["a", "b"]
    assert loop.time() - began >= 0.05
    last.clear()
    deadlines.add("c", lambda: (expired.append("c"), last.set()))  # it wakes again after it had nothing to do
    await asyncio.wait_for(last.wait(), 5)
    assert PRECISION_S < 1
