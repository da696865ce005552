# SPDX-License-Identifier: Apache-2.0
"""A loop that does not turn ends its process with its stacks, however it is blocked; a stopped process is not blocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import asyncio, faulthandler, os, re, sys, time
from processors.watch import turning

turning.BLOCKED_S = turning.BLOCKED_CPU_S = 1.0


def blocked(seconds):
    faulthandler.dump_traceback()
    os._exit(75)


async def run():
    turning.Turning(asyncio.get_running_loop(), blocked).start()
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    {then}

asyncio.run(run())
"""


def child(then: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD.format(then=then)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


@pytest.mark.parametrize(
    ("then", "code"),
    [("time.sleep(30)", 75), ("re.fullmatch('(a+)+b', 'a' * 64)", -signal.SIGPROF)],
    ids=["a sleep in a coroutine", "a call that keeps the interpreter"],
)
def test_a_blocked_loop_ends_the_process_with_its_stacks(then: str, code: int) -> None:
    blocked = child(then)
    _, said = blocked.communicate(timeout=30)
    assert blocked.returncode == code
    assert "in run" in said


def test_a_process_that_was_stopped_is_not_blocked() -> None:
    stopped = child("await asyncio.sleep(1); print('alive')")
    os.kill(stopped.pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(stopped.pid, signal.SIGCONT)
    said, _ = stopped.communicate(timeout=30)
    assert (stopped.returncode, said) == (0, "alive\n")
