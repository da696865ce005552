# SPDX-License-Identifier: Apache-2.0
"""
The per-user cache of what the stack downloads and prepares once: where it is, and how a file in it is known to be whole.

A file's checksum is read once; a stamp then remembers its size and time, so that a cut or changed file is noticed at every
start without reading 100 MB.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Give the cache directory: `EVB_CACHE`, else `event-bridge` in the platform's place for caches."""
    if chosen := os.environ.get("EVB_CACHE"):
        return Path(chosen).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "event-bridge"
    place = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
    return Path.home().joinpath(*place, "event-bridge")


def sha256_of(path: Path) -> str:
    """Give the file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write a text file so that a reader finds the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    partial.replace(path)


class Stamps:
    """What is known of the files of one directory: `name -> [size, time, digest]`, kept in its `stamps.json`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "stamps.json"
        self._known: dict[str, list[object]] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):  # none yet, or cut: everything is checked again
            self._known = dict(json.loads(self._path.read_text()))

    def whole(self, path: Path, digest: str) -> bool:
        """Tell whether the file was found to have this digest and is unchanged since."""
        try:
            return self._known.get(path.name) == [*_look(path), digest]
        except FileNotFoundError:
            return False

    def remember(self, path: Path, digest: str) -> None:
        """Note that the file, as it is now, has this digest."""
        self._known[path.name] = [*_look(path), digest]

    def save(self) -> None:
        """Write the stamps."""
        replace(self._path, json.dumps(self._known, indent=0))


def _look(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
