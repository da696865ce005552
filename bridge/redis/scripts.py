# SPDX-License-Identifier: Apache-2.0
"""
The Lua scripts that run inside Redis, read once from `scripts/*.lua`. The pipe loads and calls them.

One whose first line is `-- after: NAME` has `scripts/common/NAME.lua` put in front of it: a script cannot call another one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "scripts"
AFTER = re.compile(rb"-- after: ([a-z_]+)\n")


@dataclass(frozen=True, slots=True)
class Script:
    """One script; `sha` is the name under which a server that has loaded it knows it."""

    name: str
    source: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """Read `scripts/<name>.lua`, with what it comes after."""
    source = (FOLDER / f"{name}.lua").read_bytes()
    if (found := AFTER.match(source)) is not None:
        source = (FOLDER / "common" / f"{found[1].decode()}.lua").read_bytes() + source
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


@cache
def all_scripts() -> tuple[Script, ...]:
    """Read every script of the folder, in alphabetical order."""
    return tuple(script(path.stem) for path in sorted(FOLDER.glob("*.lua")))
