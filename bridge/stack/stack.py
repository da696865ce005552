# SPDX-License-Identifier: Apache-2.0
"""Kafka and Valkey together in one data directory: what the tests use, and the floor that `evb dev` builds on."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from rich.console import Console

from bridge.stack.directory import KAFKA, LOGS, VALKEY, empty
from bridge.stack.family import Family
from bridge.stack.kafka import KafkaPart
from bridge.stack.lock import own_directory
from bridge.stack.prepare import prepare
from bridge.stack.valkey import ValkeyPart


class Stack:
    """Owns its data directory from its making to `close`. The parts' methods start, stop, kill, freeze and thaw them."""

    def __init__(self, data: Path, *, console: Console | None = None, as_shipped: bool = False, reset: bool = False) -> None:
        self.data = data.absolute()
        self.log = self.data / LOGS
        java = prepare(console or Console(stderr=True), as_shipped=as_shipped)
        self._held: int | None = own_directory(self.data)
        try:
            if reset:
                empty(self.data)
            self.family = Family(held=(self._held,))
        except BaseException:
            self._give_back()
            raise
        self.kafka = KafkaPart(self.data / KAFKA, self.family, self.log / "kafka.log", java)
        self.valkey = ValkeyPart(self.data / VALKEY, self.family, self.log / "valkey.log")

    @property
    def redis(self) -> str:
        """The URL of Valkey."""
        return self.valkey.url

    def start(self) -> Stack:
        """Start both side by side, and return once both answer."""
        self.kafka.spawn()
        self.valkey.spawn()
        self.valkey.wait()
        self.kafka.wait()
        return self

    def stop(self) -> None:
        """End both cleanly and give the directory back; data stays."""
        self.valkey.stop()
        self.kafka.stop()
        self.close()

    def close(self) -> None:
        """End what still runs, at once, and give the directory back."""
        self.valkey.kill()
        self.kafka.kill()
        self.family.close()
        self._give_back()

    def _give_back(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> Stack:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
