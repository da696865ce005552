# SPDX-License-Identifier: Apache-2.0
"""One running product for all tests of a file: `evb dev` in a child process, with the data of nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.test_dev import Dev


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The product, until the file's last test is over: it takes a tenth of the machine even where nobody asks anything of it."""
    running = Dev(tmp_path_factory.mktemp("product"))
    yield running
    running.end()
