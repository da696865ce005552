# SPDX-License-Identifier: Apache-2.0
"""One running product for all tests of commands: `evb dev` in a child process, with the data of nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.test_dev import Dev


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The product, until the last test that uses it is over."""
    running = Dev(tmp_path_factory.mktemp("product"))
    yield running
    running.end()
