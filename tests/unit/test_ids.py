# SPDX-License-Identifier: Apache-2.0
"""Ids are UUIDv5 over a canonical JSON array, for ever: another id would make every known event unknown."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest

from bridge.domain import ids

ODD = 'ä "q" \\ / \x00 \x1f \x7f 😀,'


def named(*parts: str | int) -> str:
    """The id as the design says it, by the standard library."""
    return str(uuid.uuid5(uuid.UUID(bytes=ids.NAMESPACE), json.dumps(parts, ensure_ascii=False, separators=(",", ":"))))


@pytest.mark.parametrize("text", ["acme", "", ODD])
def test_ids_are_named_by_the_array_of_their_parts(text: str) -> None:
    content = hashlib.sha256(f"{text}\n{text}\n".encode() + b"\x00data").hexdigest()
    assert ids.event_key(text, text, text, text, text, b"\x00data") == named(text, text, text, content)
    assert ids.event_key(text, text, text, text, text, b"\x00data", "k" + text) == named(text, text, text, content, "k" + text)
    assert ids.execution_id(text, text) == named(text, text, "")
    assert ids.emitted_key(text, 3) == named(text, "emit", 3)
    assert ids.result_id(text, 0) == named(text, 0)


def test_an_id_never_changes() -> None:
    assert ids.event_key("acme", "/shop", "7", "order.paid", "application/json", b"{}") == "b2b28ba0-d76a-5804-af88-7fbef397ca26"
