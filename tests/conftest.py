# SPDX-License-Identifier: Apache-2.0
"""
What every test may use. `stack` is one real Kafka and one real Valkey for the whole run; isolation comes from a topic prefix of
its own that each call of `stack.settings()` gives.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka.admin import AdminClient
from cryptography.fernet import Fernet
from hypothesis import HealthCheck
from hypothesis import settings as configure
from rich.console import Console

from bridge.settings import Ingress, Kafka, Redis, Settings
from bridge.stack.prepare import prepare
from bridge.stack.stack import Stack
from tests.chaos.topics import close_readers

USES_STACK = "stack"
WHOLE = ("chaos", "docs", "e2e")

# What a script starts in its background ignores Ctrl-C, and so would every command that a test starts and means to end by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of what is tested: nothing here is judged by the time that an example takes.
configure.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
configure.load_profile("shared")


class StackOfTests(Stack):
    """The embedded stack, and settings that point at it; `running` is the one of this run, once it was asked for."""

    running: ClassVar[StackOfTests | None] = None

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._secret_key = Fernet.generate_key().decode()

    def settings(self, **overrides: Any) -> Settings:
        """Give settings with a fresh topic prefix `it-<6 hex>`, 4 partitions and short retry tiers."""
        values: dict[str, Any] = {
            "kafka": Kafka(bootstrap_servers=self.kafka.bootstrap),
            "redis": Redis(url=self.redis),
            "topic_prefix": f"it-{uuid.uuid4().hex[:6]}",
            "partitions": 4,
            "retry_tiers": "300ms,1s",
            "secret_keys": self._secret_key,
            "journal_dir": str(self.data / "journal"),
        }
        return Settings(**(values | overrides))

    def environ(self, settings: Settings) -> dict[str, str]:
        """Give the environment in which a process of ours reads these settings."""
        return as_environ(settings)


def as_environ(settings: Settings) -> dict[str, str]:
    """Give the `EVB_*` variables that say what `settings` say."""
    found = {}
    for name, value in settings:
        if isinstance(value, (Ingress, Kafka, Redis)):
            found |= {f"EVB_{name}__{inner}".upper(): _plain(v) for inner, v in value}
        else:
            found[f"EVB_{name}".upper()] = _plain(value)
    return found


def _plain(value: object) -> str:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


@pytest.fixture(scope="session")
def stack() -> Iterator[StackOfTests]:
    """Real Kafka and real Valkey, started once for the run. A test that kills a part starts it again."""
    data = Path(tempfile.mkdtemp(prefix="evb-tests-"))
    running = StackOfTests(data)
    try:
        running.start()
        StackOfTests.running = running
        yield running
    finally:
        StackOfTests.running = None
        running.close()
        shutil.rmtree(data)


@pytest.fixture(scope="module", autouse=True)
def _topics_go_with_their_module() -> Iterator[None]:
    """Delete what a module's tests have left in Kafka: thousands of partitions make everything after them slow."""
    yield
    close_readers()
    running = StackOfTests.running
    if running is not None and running.kafka.running:
        admin = AdminClient({"bootstrap.servers": running.kafka.bootstrap})
        left = [name for name in admin.list_topics(timeout=20).topics if name.startswith("it-")]
        for deleted in admin.delete_topics(left, operation_timeout=20).values() if left else ():
            deleted.result(30)


@pytest.fixture(autouse=True)
def _stack_is_whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start again, after a test that did not get to it, what the test killed or froze."""
    yield
    if USES_STACK in request.fixturenames:
        running = request.getfixturevalue(USES_STACK)
        for part in (running.kafka, running.valkey):
            if part.exit_code is not None:  # a test that kills it forgets it
                print(f"{part.name} had ended with {part.exit_code} on its own.", part.last_words())
            part.thaw()
            part.start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the stack; mix the files."""
    for item in items:
        if USES_STACK in getattr(item, "fixturenames", ()):
            item.add_marker(USES_STACK)
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    items[:] = [item for path in _mixed(list(files)) for item in files[path]]


def _mixed(files: list[Path]) -> list[Path]:
    """
    Spread the files that run whole installations over those that mostly wait, and let what is quick come last, the largest first.

    In the order of their names the former would all run at once, on processors that have nothing to do afterwards; and a file
    that takes long would begin when all others are about to end.
    """
    whole = [path for path in files if path.parent.name in WHOLE]
    quick = sorted((path for path in files if path.parent.name == "unit"), key=lambda path: -path.stat().st_size)
    mixed, every = [], max(1, 2 * (len(files) - len(whole) - len(quick)) // (3 * len(whole) or 1))
    for number, path in enumerate(path for path in files if path not in {*whole, *quick}):
        if whole and number % every == 0:
            mixed.append(whole.pop(0))
        mixed.append(path)
    return [*mixed, *whole, *quick]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download and prepare Kafka before the first test, whose time limit is not meant for that."""
    if any(item.get_closest_marker(USES_STACK) for item in session.items) and not session.config.option.collectonly:
        prepare(Console(stderr=True))
