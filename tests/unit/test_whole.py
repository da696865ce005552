# SPDX-License-Identifier: Apache-2.0
"""The wait for look-ups of a fresh stack: until the web server says that they show everything, and no longer than is sensible."""

from __future__ import annotations

import time
from pathlib import Path

from bridge.stack.programs import Program
from bridge.stack.whole import await_whole

ALONE = (200, "[+] kafka ok\n[+] registry is read; no worker (not required)\n[+] redis ok (not required)\nok\n")
REBUILDING = (200, "[+] kafka ok\n[+] registry ok (not required)\n[+] redis answers (not required)\nok\n")
WHOLE = (200, "[+] kafka ok\n[+] registry ok (not required)\n[+] redis ok (not required)\nok\n")


class Web(Program):
    """A web server that gives these answers, the last one again and again."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.log, self.left = Path("web.log"), list(answers)

    def readiness(self) -> tuple[int, str]:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def test_the_wait_ends_when_the_view_is_whole_and_nothing_is_said() -> None:
    web, said = Web((0, ""), REBUILDING, REBUILDING, ALONE, WHOLE), list[str]()
    await_whole(web, said.append)
    assert (web.left, said) == ([WHOLE], [])


def test_a_view_that_does_not_become_whole_is_said_and_not_waited_for() -> None:
    began, said = time.monotonic(), list[str]()
    await_whole(Web(REBUILDING), said.append, patience_s=0.1)
    assert 0.1 <= time.monotonic() - began < 5
    await_whole(Web(ALONE), said.append, patience_s=0.0)
    await_whole(Web((0, "")), said.append, patience_s=0.0)
    about = ("redis answers (not required)", "registry is read; no worker (not required)", "no answer")
    assert said == [f"Look-ups do not show everything after 0 s: {one} (log: web.log)." for one in about]
