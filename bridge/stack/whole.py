# SPDX-License-Identifier: Apache-2.0
"""
Waits for the live view, which every start of the stack rebuilds from Kafka: until it is whole, look-ups answer 503.

Production's `/readyz` does not wait for it, as events are taken meanwhile; whoever starts `evb dev` wants to see them too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.stack.programs import Program

WHOLE = "[+] redis ok"
"""How the web server's line about Redis begins when the view is whole."""
PATIENCE_S = 30.0
"""Enough for half a million records; a view that Redis has no room for never becomes whole."""
LOOK_EVERY_S = 0.02


def await_whole(web: Program, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
    """Return once the web server says that the view is whole; where that takes longer than `patience_s`, say so and return."""
    deadline = time.monotonic() + patience_s
    while WHOLE not in web.readiness()[1]:
        if time.monotonic() > deadline:
            say(f"The live view is not whole after {patience_s:.0f} s: look-ups answer 503 until it is (log: {web.log}).")
            return
        time.sleep(LOOK_EVERY_S)
