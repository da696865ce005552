# SPDX-License-Identifier: Apache-2.0
"""
What a process keeps of a key: read before a run, and written with what the run publishes.

The worker makes one for each run. Its value changes for good where the run completes, or awaits journeys.
"""

from __future__ import annotations

import json
from typing import Any


class State:
    """The durable state of one event's key (its partition key, or its event key without one) in the process's `state`."""

    __slots__ = ("_kept", "changed")

    def __init__(self, kept: bytes = b"") -> None:
        """`kept` is JSON, or nothing."""
        self._kept, self.changed = kept, False

    @property
    def kept(self) -> bytes:
        """The JSON that `get` reads; nothing where nothing is kept."""
        return self._kept

    def get(self) -> Any:
        """Give the value; None where nothing is kept. Whoever changes it has to `put` it."""
        return json.loads(self._kept) if self._kept else None

    def put(self, value: Any) -> None:
        """
        Keep another value, of what JSON has; None: keep nothing.

        Again:  the last one counts, where the run returns `Completed`, `AwaitJourneys`, or `Rejected` with `keep`.
        Raises: TypeError and ValueError for what JSON has not.
        """
        text = "" if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self.put_json(text.encode())

    def put_json(self, value: bytes) -> None:
        """Keep JSON that is written already; nothing: keep nothing."""
        self._kept = value
        self.changed = True


class NoState(State):
    """Of a process that has none."""

    __slots__ = ()

    def get(self) -> Any:
        """Raises: RuntimeError."""
        raise RuntimeError("This process keeps no state; give it one: state = 'orders', ordered = True")

    def put_json(self, value: bytes) -> None:  # noqa: ARG002  as the other one
        """Raises: RuntimeError."""
        self.get()


NO_STATE = NoState()
