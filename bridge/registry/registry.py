# SPDX-License-Identifier: Apache-2.0
"""
The registry of one process: the view, kept current by a thread that follows the registry's topic.

Made once per process by `evb web`, `evb worker` and the commands that operate on tenants.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from bridge import logs, topics
from bridge.credentials import Vault
from bridge.decisions.facts import Fate, Ref
from bridge.kafka.follow import Follower
from bridge.kafka.lines import line_of
from bridge.kafka.news import News
from bridge.registry.view import View
from bridge.settings import Settings

LOG = logs.get("bridge.registry")


class Registry(View):
    """
    What `View` says, and how current it is.

    Callbacks of `subscribe` run in the follower's thread, after a change can be seen.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(Vault(settings.secret_keys.get_secret_value()).open)
        self._follower = Follower(settings, topics.REGISTRY.name(settings), self._handle)
        self._news = News()

    def start(self) -> None:
        """Begin to read. Once only."""
        self._follower.start()

    def wait_current(self, timeout_s: float) -> bool:
        """Wait until everything that the topic held at the start is in the view; says whether it is."""
        return self._follower.wait_current(timeout_s)

    def close(self) -> None:
        """Stop reading; what is in memory can still be asked."""
        self._follower.close()

    @property
    def current(self) -> bool:
        """Whether the view is that of Kafka, up to seconds ago."""
        return self._follower.current

    @property
    def age_s(self) -> float:
        """Seconds since the brokers last answered."""
        return self._follower.age_s

    @property
    def fault(self) -> str:
        """What keeps the view from being current, or an empty text."""
        return self._follower.fault

    async def fate(self, ref: Ref, version: int, timeout_s: float) -> Fate | None:
        """Wait until this process has read a version of an object, and say what the log makes of it; None: not read in time."""
        return await self._news.wait(lambda: self._shown(ref, version), timeout_s)

    def _shown(self, ref: Ref, version: int) -> Fate | None:
        found = self.facts.fate(ref, version)
        return None if found == "counts" and self.held(ref).version < version else found

    def _handle(self, messages: Sequence[Message]) -> None:
        self.apply([line_of(message) for message in messages])
        self._news.tell()
