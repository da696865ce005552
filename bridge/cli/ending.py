# SPDX-License-Identifier: Apache-2.0
"""How a person, or whoever supervises, ends `evb dev`: by a signal."""

from __future__ import annotations

import signal
import time


class Ending:
    """
    Whether the end was asked for.

    A plain value, and no `threading.Event`: a signal may come while that waits, and its handler would wait for the lock that the
    interrupted wait holds, for ever.
    """

    def __init__(self) -> None:
        self.asked = False
        self.starting = True
        """While it is true, the first signal already raises KeyboardInterrupt where the program is; later only the second."""

    def listen(self) -> None:
        """Take Ctrl-C, SIGTERM and a closed terminal as the wish to end; the last not where `nohup` has it ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def wait(self, seconds: float) -> bool:
        """Let so much time pass, which no signal shortens; tells whether the end was asked for."""
        time.sleep(seconds)
        return self.asked

    def _on_signal(self, *_: object) -> None:
        again, self.asked = self.asked, True
        if self.starting or again:
            raise KeyboardInterrupt
