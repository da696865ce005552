# SPDX-License-Identifier: Apache-2.0
"""`evb dev` in child processes: one running product for all tests of a file, and others that a test starts for itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.running import Dev, Starter


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The product, until the file's last test is over: it takes a tenth of the machine even where nobody asks anything of it."""
    running = Dev(tmp_path_factory.mktemp("product"))
    yield running
    running.end()


@pytest.fixture
def on(product: Dev) -> dict[str, str]:
    """How a command finds the running product."""
    return {"EVB_DATA": str(product.data)}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start stacks that the test's end does not leave behind."""
    started: list[Dev] = []

    def one(directory: Path = tmp_path, *options: str, port: int = 0) -> Dev:
        started.append(Dev(directory, *options, port=port))
        return started[-1]

    yield one
    for dev in started:
        with suppress(ProcessLookupError):
            dev.end(signal.SIGTERM)
        assert dev.nothing_is_left()
