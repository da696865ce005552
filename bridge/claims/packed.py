# SPDX-License-Identifier: Apache-2.0
"""
A claim in as few bytes as it takes, for the live view: 21 and 13 for each change. All claims of an event lie one after another.

The version comes first, so that a script compares two of them as texts.
"""

from __future__ import annotations

from typing import Final

from bridge.claims.state import LEASE, Change, Claim, State

VERSION_BYTES: Final = 6
OUTPUT_BYTES: Final = 8
_TIME, _BY = 6, 6
_CHANGE = 1 + _TIME + _BY
_HEAD = VERSION_BYTES + 1 + _TIME + OUTPUT_BYTES
_STATES: Final = tuple(State)  # never reorder: the index is what is kept
_NOBODY, _NOTHING = bytes(_BY), bytes(OUTPUT_BYTES)


def pack(claim: Claim, version: int) -> bytes:
    """Write a claim and its version. Raises: ValueError where a credential's id is not of 12 hexadecimal digits."""
    parts = [
        version.to_bytes(VERSION_BYTES, "big"),
        bytes((_STATES.index(claim.state),)),
        claim.until_ms.to_bytes(_TIME, "big"),
        claim.output or _NOTHING,
    ]
    for change in claim.changes:
        by = bytes.fromhex(change.by) if change.by else _NOBODY
        if len(by) != _BY:
            raise ValueError(f"{change.by!r} is no credential's id")
        parts += (bytes((_STATES.index(change.state),)), change.at_ms.to_bytes(_TIME, "big"), by)
    return b"".join(parts)


def unpack(raw: bytes) -> tuple[Claim, int]:
    """Read a claim and its version. Raises: ValueError where the bytes are none of ours."""
    if len(raw) < _HEAD + _CHANGE or (len(raw) - _HEAD) % _CHANGE:
        raise ValueError(f"{len(raw)} bytes are no claim")
    at = VERSION_BYTES + 1
    until_ms, output = int.from_bytes(raw[at : at + _TIME], "big"), raw[at + _TIME : _HEAD]
    changes = tuple(_change(raw[start : start + _CHANGE]) for start in range(_HEAD, len(raw), _CHANGE))
    return Claim(changes, until_ms, b"" if output == _NOTHING else output), int.from_bytes(raw[:VERSION_BYTES], "big")


def claims_in(raw: bytes) -> dict[str, tuple[Claim, int]]:
    """Read all claims of an event, by transaction key: each behind the lengths (two bytes) of its key and of itself."""
    found, at = {}, 0
    while at < len(raw):
        name, size = int.from_bytes(raw[at : at + 2], "big"), int.from_bytes(raw[at + 2 : at + 4], "big")
        start = at + 4 + name
        found[raw[at + 4 : start].decode("utf-8", "surrogatepass")] = unpack(raw[start : start + size])
        at = start + size
    return found


def _change(raw: bytes) -> Change:
    if raw[0] >= len(_STATES):
        raise ValueError(f"{raw[0]} is no state")
    by = raw[1 + _TIME :]
    return Change(_STATES[raw[0]], int.from_bytes(raw[1 : 1 + _TIME], "big"), LEASE if by == _NOBODY else by.hex())
