# SPDX-License-Identifier: Apache-2.0
"""What `evb dev` says goes where it can: that nobody can be told is no reason to end."""

from __future__ import annotations

import errno
import io
import os

import pytest
from rich.console import Console

from bridge.cli import dev


class Full(io.StringIO):
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), text)


def test_where_nothing_can_be_said_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=Full())
    with pytest.raises(OSError, match="No space left"):
        console.print("this is what it does")
    monkeypatch.setattr(dev, "out", console)
    dev._say("kafka ended with 1; starting it again")
