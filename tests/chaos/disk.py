# SPDX-License-Identifier: Apache-2.0
"""A small disk of the broker's own, in memory, that can be filled to its last page and emptied again."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.stack.directory import KAFKA

SIZE_MB = 512
PIECE = bytes(1024 * 1024)
HOW = "run it as root, or under: unshare --user --map-root-user --mount"


@contextmanager
def small_disk(data: Path) -> Iterator[None]:
    """
    Put the disk where the broker of the stack in `data` keeps its records, for as long as the block lasts.

    Raises: RuntimeError where this process may not mount one.
    """
    place = _place(data)
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "evb-chaos", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"no disk could be mounted ({done.stderr.splitlines()[0]}): {HOW}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(data: Path) -> None:
    """Leave no room at all, in which others that write at the same time have their part."""
    try:
        with _ballast(data).open("wb", buffering=0) as file:
            while True:
                file.write(PIECE)
    except OSError as err:
        if err.errno != errno.ENOSPC:
            raise


def relieve(data: Path) -> None:
    """Give the room back."""
    _ballast(data).unlink()


def _place(data: Path) -> Path:
    return data / KAFKA / "data"


def _ballast(data: Path) -> Path:
    return _place(data) / "ballast"
