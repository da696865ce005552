# SPDX-License-Identifier: Apache-2.0
"""A signal ends `evb dev` wherever it meets it: its handler never waits for what it has interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.cli.ending import Ending

EVERYWHERE = """
import faulthandler, os, signal, sys
from bridge.cli.ending import Ending

def signalled_at(step):
    "Wait with a signal at the `step`-th line that the wait runs; tells whether there is one."
    ending, lines = Ending(), 0
    ending.listen()
    ending.starting = False

    def trace(frame, what, _):
        nonlocal lines
        if frame.f_code.co_name != "_on_signal":
            lines += what == "line"
            if lines == step:
                lines += 1
                os.kill(os.getpid(), signal.SIGINT)
        return trace

    sys.settrace(trace)
    for _ in range(3):
        ending.wait(0.01)
    sys.settrace(None)
    assert ending.asked == (lines > step)
    return ending.asked

faulthandler.dump_traceback_later(20, exit=True)
step = 1
while signalled_at(step):
    step += 1
print(step > 3)
"""


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_at_any_line_of_the_wait_ends_it() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYWHERE], capture_output=True, text=True, timeout=40)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_is_enough_while_it_starts_and_the_second_one_later(number: signal.Signals) -> None:
    ending = Ending()
    ending.listen()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    later = Ending()
    later.listen()
    later.starting = False
    assert not later.wait(0)
    os.kill(os.getpid(), number)
    assert later.wait(0)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_nohup_keeps_it_from_ending_with_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ending = Ending()
    ending.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not ending.asked
