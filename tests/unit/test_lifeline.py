# SPDX-License-Identifier: Apache-2.0
"""A child whose parent was killed ends, also where the first signal is lost on it."""

from __future__ import annotations

import subprocess
import sys

PARENT = """
import os, signal, sys, time
from web import lifeline

parent = os.getpid()
if os.fork():
    os._exit(0)
lost = []

def on_signal(*_):
    if lost:
        print("ended", flush=True)
        os._exit(0)
    lost.append(True)

signal.signal(signal.SIGTERM, on_signal)
lifeline.follow(parent)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    time.sleep(0.1)
print("left behind", flush=True)
"""


def test_a_lost_signal_is_sent_again() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=40, check=True)
    assert done.stdout == "ended\n"
