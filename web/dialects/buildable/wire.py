# SPDX-License-Identifier: Apache-2.0
"""
The shapes of the Buildable document: requests read with every fault at once, answers and errors written.

Members that a request does not have in the document are passed over: the vendor's own client sends some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
import orjson

from bridge.claims.state import State
from bridge.cloudevents import attributes, jsontext
from bridge.domain.errors import Fault, InvalidEvent

NAME_CHARS: Final = 255
FULL_NAME_CHARS: Final = 3 * NAME_CHARS + 2
TX_KEY_CHARS: Final = 200
PAGE_SIZE: Final = 100
TERMINAL: Final = (State.PROCESSING, State.FINISHED, State.FAILED)
ENTERED: Final = (State.CREATED, *TERMINAL)

T = TypeVar("T")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NOTHING: Final = (b"", b"null", b'""')


class Reader:
    """Reads members of a JSON object one by one; `done` raises what was wrong with them, all together."""

    def __init__(self, body: bytes) -> None:
        fault = jsontext.fault(body) if body else "must be a JSON object"
        if not fault and not body.lstrip(b" \t\r\n").startswith(b"{"):
            fault = "must be a JSON object"
        if fault:
            raise InvalidEvent(Fault("", fault))
        self._given = _members(body)
        self._faults: list[Fault] = []

    def done(self) -> None:
        """Raises: InvalidEvent with every fault."""
        if self._faults:
            raise InvalidEvent(*self._faults)

    def text(self, name: str, most: int, *, required: bool = True, plain: bool = False) -> str:
        """Give a text; empty where it is left out, null or empty. `plain` ones have no dots."""
        raw = self._raw(name)
        if raw in _NOTHING:
            return self._complain(name, "is required", "") if required else ""
        if not raw.startswith(b'"'):
            return self._complain(name, "must be a text", "")
        text: str = msgspec.json.decode(raw, type=str)
        fault = attributes.text_fault(text) or (f"is longer than {most} characters" if len(text) > most else "")
        if plain and "." in text:
            fault = fault or "must not have dots: they separate it from the other parts of a full name"
        return self._complain(name, fault, text) if fault else text

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Give a whole number; the default where it is left out or null."""
        raw = self._raw(name)
        if raw in _NOTHING:
            return default
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return self._complain(name, "must be a whole number", default)
        if not least <= value <= most:
            return self._complain(name, f"must be {least} to {most}", default)
        return value

    def state(self, name: str, allowed: tuple[State, ...], default: State | None = None) -> State:
        """Give a state; the default, where there is one, for what is left out, null or empty."""
        raw = self._raw(name)
        if raw in _NOTHING and default is not None:
            return default
        found = next((state for state in allowed if raw == b'"%s"' % state.value.encode()), None)
        if found is None:
            why = "is required" if raw in _NOTHING else f"must be one of {', '.join(allowed)}"
            return self._complain(name, why, allowed[0])
        return found

    def object(self, name: str) -> bytes:
        """Give an object as it was sent."""
        raw = self._raw(name)
        if not raw:
            return self._complain(name, "is required", b"")
        return raw if raw.startswith(b"{") else self._complain(name, "must be an object", b"")

    def output(self, name: str) -> str | None:
        """Give a text of any content; None where it is left out or null."""
        raw = self._raw(name)
        if raw in (b"", b"null"):
            return None
        if not raw.startswith(b'"'):
            return self._complain(name, "must be a text: give JSON as text", None)
        return str(orjson.loads(raw))

    def _raw(self, name: str) -> bytes:
        return bytes(self._given.get(name, b"")).strip()

    def _complain(self, name: str, detail: str, value: T) -> T:
        self._faults.append(Fault(f"/{name}", detail))
        return value


def read(body: bytes, into: Callable[[Reader], Any]) -> Any:
    """Read a request with `into`. Raises: InvalidEvent with every fault."""
    reader = Reader(body)
    found = into(reader)
    reader.done()
    return found


def write(value: Mapping[str, Any]) -> bytes:
    """Write an answer."""
    return orjson.dumps(value)
