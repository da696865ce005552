# SPDX-License-Identifier: Apache-2.0
"""
The per-user cache of what the stack downloads and prepares once: where it is, and how a file in it is known to be whole.

Every start reads what it uses and compares checksums: a file with damaged blocks has the size and time of a whole one.
"""

from __future__ import annotations

import hashlib
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
    """Give the file's SHA-256 in hex. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def holds(path: Path, sha256: str) -> bool:
    """Tell whether there is a file with this checksum; one that the disk cannot read is none."""
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def replace(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write a text file so that a reader finds the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    partial.replace(path)
