# SPDX-License-Identifier: Apache-2.0
"""
JSONPath for conditions: the singular queries of RFC 9535, which name one place (`$.type`, `$['a b'].c[0]`).

Wildcards, slices, filters and descents are refused: what they find is a list, and conditions compare one value.
"""

from __future__ import annotations

import re
from typing import Any, Final

Path = tuple[str | int, ...]

MISSING: Final = object()

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
      | \[\s*(?P<index>0|-?[1-9][0-9]{0,8})\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\['\\])*)'\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\["\\])*)"\s*\]""",
    re.VERBOSE,
)


def parse(text: str) -> Path:
    """Read a path. Raises: ValueError, saying what is wanted."""
    place, steps = 1, list[str | int]()
    if text[:1] != "$":
        raise ValueError(f"{text!r} is not a JSONPath such as $.type or $['a b'][0]")
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            raise ValueError(f"{text[place:]!r} is not a step to one member or item: .name, ['name'] or [0]")
        steps.append(_step(match))
        place = match.end()
    return tuple(steps)


def look_up(path: Path, value: Any) -> Any:
    """Give what lies at a path in a JSON value; MISSING where nothing does."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else MISSING
    return value


def _step(match: re.Match[str]) -> str | int:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    quoted = match["single"] if match["single"] is not None else match["double"]
    return re.sub(r"\\(.)", r"\1", quoted)
