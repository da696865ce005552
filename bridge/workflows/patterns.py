# SPDX-License-Identifier: Apache-2.0
"""
Regular expressions that come from users: matched in a time that grows with pattern and text only, never exponentially.

The engine is the one in pydantic-core (Rust's regex crate): no look-around and no back-references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from bridge.workflows.limits import MATCHED_CHARS, PATTERN_CHARS

COUNTED: Final = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")
ATOM: Final = re.compile(r"\\[pPxuU]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^]\\])*\]|.", re.DOTALL)
"""A character, an escape, or a class of characters; brackets by themselves."""


def full_match(pattern: str) -> Callable[[str], bool]:
    """Give the test whether the whole of a text fits; a text of more than 1,024 characters never does. Raises: ValueError."""
    if len(pattern) > PATTERN_CHARS:
        raise ValueError(f"a pattern has at most {PATTERN_CHARS} characters")
    _compile(pattern)  # by itself: `a)|(b` would fit the brackets around it
    compiled = _compile(rf"\A(?:{pattern})\z")

    def fits(text: str) -> bool:
        if len(text) > MATCHED_CHARS:
            return False
        try:
            compiled.validate_python(text)
        except ValidationError:
            return False
        return True

    return fits


def size(pattern: str) -> int:
    """Say how many characters a well-formed pattern would have if its counted repetitions, `{2,30}`, were written out."""
    sizes, last, at = [0], 0, 0
    while at < len(pattern):
        if counted := COUNTED.match(pattern, at):
            times = int(counted[2] or counted[1])
            sizes[-1] += last * (times - 1)
            last, at = last * times, counted.end()
            continue
        atom = ATOM.match(pattern, at)
        assert atom is not None, "anything is an atom"
        if atom[0] == "(":
            sizes.append(0)
        else:
            last = sizes.pop() if atom[0] == ")" and len(sizes) > 1 else 1
            sizes[-1] += last
        at = atom.end()
    return sum(sizes)


def _compile(pattern: str) -> TypeAdapter[str]:
    try:
        wanted = Annotated[str, StringConstraints(pattern=pattern)]
        return TypeAdapter(wanted, config=ConfigDict(regex_engine="rust-regex"))
    except SchemaError as err:
        raise ValueError(f"is no regular expression of the linear kind: {str(err).splitlines()[-1]}") from err
