# SPDX-License-Identifier: Apache-2.0
"""Attribute values as HTTP header values (CloudEvents 1.0.2, HTTP protocol binding section 3.1.3.2)."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from bridge.cloudevents.attributes import FORBIDDEN

_KEPT = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_UNSTORABLE = re.compile(f"%|{FORBIDDEN.pattern}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_ESCAPED = re.compile(r"\\(.)")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def encode(text: str) -> str:
    """Percent-encode space, double quote, percent and all that is not printable ASCII, as UTF-8 in upper-case hexadecimal."""
    return quote(text, safe=_KEPT)


def storable(text: str) -> str:
    """
    Write any text so that an attribute of an event can hold it: percent, and what CloudEvents forbids in texts, percent-encoded.

    Shape: `urllib.parse.unquote` gives it back; most texts stay as they are.
    """
    return _UNSTORABLE.sub(lambda found: quote(found[0], safe=""), text)


def decode(value: str) -> tuple[str, str]:
    """
    Give the text that a header value stands for, and what is wrong with it.

    Order: quoted strings are unquoted first, then percent-encoding is undone exactly once: `%2541` is `%41`.
    """
    if value.isascii() and value.isprintable():
        if "%" not in value and '"' not in value:
            return value, ""
    else:
        return "", "must be printable ASCII; percent-encode every other character"
    plain = _QUOTED.sub(lambda found: _ESCAPED.sub(r"\1", found[1]), value)
    if value.count('"') and '"' in _QUOTED.sub("", value):
        return "", "has a double quote that is not closed"
    if found := _BAD_PERCENT.search(plain):
        return "", f"has a % without two hexadecimal digits at position {found.start()}"
    try:
        return unquote_to_bytes(plain).decode(), ""
    except UnicodeDecodeError as err:
        return "", f"is not UTF-8 once percent-decoded, at byte {err.start}"
