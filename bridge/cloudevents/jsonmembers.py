# SPDX-License-Identifier: Apache-2.0
"""The members of a JSON object as they were sent: each value a slice of the text, repeated names included."""

from __future__ import annotations

from typing import Any

import msgspec


class TooMany(Exception):
    """The object has more members than were asked for; the rest was not looked at."""


class _Name:
    """A member's name with an identity of its own, so that a dictionary of them keeps a name that is repeated."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def members(text: bytes, most: int) -> list[tuple[str, bytes]]:
    """
    Split well-formed JSON into names and the exact bytes of their values.

    Order:  as sent.
    Raises: msgspec.ValidationError where it is no object, TooMany.
    """
    left = most

    def name_of(_: Any, name: str) -> _Name:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooMany
        return _Name(name)

    found = msgspec.json.decode(text, type=dict[_Name, msgspec.Raw], dec_hook=name_of)
    return [(name.text, bytes(value)) for name, value in found.items()]


def once(found: list[tuple[str, bytes]]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Give the members by their names, and what is wrong with those that are given twice."""
    values: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    for name, value in found:
        if name in values:
            faults[name] = "is given twice"
        values[name] = value
    return values, faults


def pointer(name: str) -> str:
    """Write a name as a step of a JSON Pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
