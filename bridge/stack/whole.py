# SPDX-License-Identifier: Apache-2.0
"""
Waits until look-ups of a fresh stack show everything: the live view, which every start rebuilds from Kafka, is whole, and the web
server knows the worker's processes, so that they are pending at once.

Production's `/readyz` waits for neither, as events are taken meanwhile; whoever starts `evb dev` wants to see them too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.stack.programs import Program

WHOLE = {"registry": "[+] registry ok", "redis": "[+] redis ok"}
"""How the web server's lines about them begin."""
PATIENCE_S = 30.0
"""Enough for half a million records; a view that Redis has no room for never becomes whole."""
LOOK_EVERY_S = 0.02


def await_whole(web: Program, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
    """Return once look-ups show everything; where that takes longer than `patience_s`, say what is missing and return."""
    deadline = time.monotonic() + patience_s
    while missing := [name for name, line in WHOLE.items() if line not in (text := web.readiness()[1])]:
        if time.monotonic() > deadline:
            said = [line[4:] for line in text.splitlines() if any(line[4:].startswith(name) for name in missing)]
            say(f"Look-ups do not show everything after {patience_s:.0f} s: {'; '.join(said) or 'no answer'} (log: {web.log}).")
            return
        time.sleep(LOOK_EVERY_S)
