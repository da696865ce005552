# SPDX-License-Identifier: Apache-2.0
"""
Is this text JSON (RFC 8259)? Answers without building a value and without touching a byte of it.

The doors ask before they store what a producer calls JSON. It never raises and never rewrites: numbers keep every digit.
"""

from __future__ import annotations

import re
from itertools import accumulate

import msgspec

from bridge.domain.limits import JSON_DEPTH

_skim = msgspec.json.Decoder(msgspec.Raw).decode
_MESSAGE = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_TO_STEPS = bytes.maketrans(b"[]", b"\x01\xff")  # one level in, one level out, as signed bytes
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def fault(text: bytes) -> str:
    """
    Say why bytes are not JSON, with the offset of the first offence; an empty text where they are.

    Shape: UTF-8 without a byte order mark, no lone surrogates, no NaN or Infinity, at most `JSON_DEPTH` levels. A name that an
    object repeats is the reader's business (RFC 8259 section 4 only advises against it).
    """
    try:
        text.isascii() or text.decode()
        _skim(text)
    except UnicodeDecodeError as err:
        return f"is not UTF-8 at byte {err.start}"
    except msgspec.DecodeError as err:
        found = _MESSAGE.match(str(err))
        return f"is not JSON: {found[1]} at byte {found[2]}" if found else f"is not JSON: it ends too early, at byte {len(text)}"
    except RecursionError:
        return _TOO_DEEP
    return _TOO_DEEP if _deeper_than(text, JSON_DEPTH) else ""


_TOO_DEEP = f"is nested more than {JSON_DEPTH} deep"


def _deeper_than(text: bytes, limit: int) -> bool:
    """Tell whether well-formed JSON nests deeper than the limit; almost every text is cleared by counting its brackets."""
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(_TO_BRACKETS, _NOT_BRACKETS)
    peeled = 0
    while brackets and len(shorter := brackets.replace(b"[]", b"")) * 2 <= len(brackets):
        brackets, peeled = shorter, peeled + 1  # each pass takes the innermost level off
    steps = memoryview(brackets.translate(_TO_STEPS)).cast("b")
    return peeled + max(accumulate(steps), default=0) > limit
