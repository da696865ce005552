# SPDX-License-Identifier: Apache-2.0
"""The Lua scripts that run inside Redis, read once from `scripts/*.lua`. The pipe loads and calls them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """One script; `sha` is the name under which a server that has loaded it knows it."""

    name: str
    source: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """Read `scripts/<name>.lua`."""
    source = (FOLDER / f"{name}.lua").read_bytes()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


@cache
def all_scripts() -> tuple[Script, ...]:
    """Read every script of the folder, in alphabetical order."""
    return tuple(script(path.stem) for path in sorted(FOLDER.glob("*.lua")))
