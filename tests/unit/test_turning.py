# SPDX-License-Identifier: Apache-2.0
"""A loop that does not turn ends its process with its stacks, however it is blocked; a stopped process only after a long stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from processors.ending import DOUBT
from processors.watch import turning

CHILD = """
import asyncio, faulthandler, os, re, sys, time
from processors.watch import turning

turning.BLOCKED_S = turning.BLOCKED_CPU_S = 1.0
turning.STOOD_S, turning.LOOK_S = {stood_s}, {look_s}


def blocked(seconds):
    faulthandler.dump_traceback()
    os._exit(75)


async def run():
    turning.Turning(asyncio.get_running_loop(), blocked, 2).start()
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    {then}

asyncio.run(run())
"""


def child(then: str, stood_s: float = 20.0, look_s: float = turning.LOOK_S) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD.format(then=then, stood_s=stood_s, look_s=look_s)]
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


def test_a_process_that_stood_for_too_long_ends() -> None:
    stopped = child("time.sleep(0.9); await asyncio.sleep(30)", stood_s=2.0)  # while the loop is held: the thread sees it
    os.kill(stopped.pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(stopped.pid, signal.SIGCONT)
    said, _ = stopped.communicate(timeout=30)
    assert stopped.returncode == DOUBT
    assert "this process stood still" in said


def test_the_loop_sees_it_too_where_the_thread_has_not_run_again() -> None:
    silent = child("await asyncio.sleep(30)", stood_s=0.5, look_s=30.0)
    said, _ = silent.communicate(timeout=30)
    assert silent.returncode == DOUBT
    assert "this process stood still" in said
