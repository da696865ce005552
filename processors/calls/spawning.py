# SPDX-License-Identifier: Apache-2.0
"""
What pebble makes processes and pipes with: a child that ends with all that it started, and a pipe that runs no code of the child.

pebble takes any multiprocessing context; this one hardens both ends of what it spawns, and leaves the rest as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import sys
import threading
import types
from multiprocessing import connection, reduction
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from pebble.common.types import Result, ResultStatus
from pebble.pool.process import Acknowledgement, TaskResult

from bridge.domain.limits import ANSWER_BYTES, MIB

_SPELT = {(kind.__module__, kind.__qualname__): kind for kind in (Acknowledgement, TaskResult, Result, ResultStatus)}
_MAIN = threading.Lock()


class SpawnedProcess(SpawnProcess):
    """A child that does not import the worker's main module, and whose end is the end of its whole session."""

    def start(self) -> None:
        with _MAIN:  # multiprocessing would have the child import it, and with it everything that a worker has
            main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = main

    def terminate(self) -> None:
        """Kill it at once: pebble asks politely first, and a plugin may do what it likes with a polite signal."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no session yet, or nobody is left in it
                os.killpg(self.pid, signal.SIGKILL)
            self.kill()


class _Answers(connection.Connection):
    """The end of a pipe that reads nothing but pebble's own messages, and no endless ones: the child may write what it likes."""

    def recv(self) -> Any:
        message = self.recv_bytes(ANSWER_BYTES + MIB)
        try:
            return _Unpickler(io.BytesIO(message)).load()
        except Exception as err:
            raise OSError("the child wrote something that is no answer") from err


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _SPELT[module, name]


# The child's ends of the pipes are plain ones.
reduction.register(_Answers, connection.reduce_connection)  # type: ignore[attr-defined]  # its stubs lack it


class OneProcess(SpawnContext):
    """What pebble makes processes and pipes with: one process only, so that none takes the place of a dead one."""

    def __init__(self) -> None:
        super().__init__()
        self.made: SpawnedProcess | None = None

    def Process(self, *args: Any, **kwargs: Any) -> SpawnedProcess:  # type: ignore[override]
        if self.made is not None:
            raise OSError("a child that died is not replaced")
        self.made = SpawnedProcess(*args, **kwargs)
        return self.made

    def Pipe(self, duplex: bool = True) -> tuple[Any, Any]:
        reader, writer = super().Pipe(duplex)
        with reader:
            return _Answers(os.dup(reader.fileno()), writable=False), writer
