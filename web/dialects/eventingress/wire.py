# SPDX-License-Identifier: Apache-2.0
"""How members of the dialect's bodies are read: strictly, and with every fault at once, each with what was sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from bridge.cloudevents import jsontext
from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.moments import moment_ms

SHOWN_BYTES: Final = 512
HIDDEN: Final = "secret"
"""The member whose value no answer repeats."""
INT32: Final = 2**31
UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
REQUIRED, KIND, FORM, UNKNOWN = "REQUIRED", "WRONG_TYPE", "INVALID", "UNKNOWN_MEMBER"

T = TypeVar("T")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_texts = msgspec.json.Decoder(list[str]).decode
_number = msgspec.json.Decoder(int).decode


@dataclass(frozen=True, slots=True)
class Wrong(Fault):
    """A fault with what was sent in this place, as it was sent, and a code for programs."""

    attempted: Any = None
    code: str = FORM


class Reader:
    """
    Reads members of a JSON object one by one; null is the same as nothing.

    `faults` gathers what is wrong, also of the objects within; `finish` adds the members that nobody asked for.
    """

    def __init__(self, members: dict[str, msgspec.Raw], faults: list[Fault], prefix: str = "") -> None:
        self._given = {name: bytes(raw).strip() for name, raw in members.items()}
        self._prefix, self._asked = prefix, set[str]()
        self.faults = faults

    def raw(self, name: str) -> bytes:
        """Give a member as it was sent; empty where there is nothing."""
        self._asked.add(name)
        found = self._given.get(name, b"")
        return b"" if found == b"null" else found

    def text(self, name: str, most: int, *, required: bool = False) -> str:
        """Give a text; empty where there is none."""
        raw = self.raw(name)
        if not raw or raw == b'""':
            return self.complain(name, "is required", "", REQUIRED) if required else ""
        if not raw.startswith(b'"'):
            return self.complain(name, "must be a text", "", KIND)
        found: str = _text(raw)
        return self.complain(name, f"is longer than {most} characters", "") if len(found) > most else found

    def texts(self, name: str, most: int, chars: int, *, required: bool = False) -> list[str]:
        """Give an array of texts that are not empty; none where there is none."""
        raw = self.raw(name)
        if not raw:
            return self.complain(name, "is required", [], REQUIRED) if required else []
        if not raw.startswith(b"["):
            return self.complain(name, "must be an array", [], KIND)
        try:
            found: list[str] = _texts(raw)
        except msgspec.ValidationError:
            return self.complain(name, "must have texts only", [], KIND)
        if len(found) > most or (required and not found):
            return self.complain(name, f"must have {int(required)} to {most} members", [])
        if any(not 0 < len(one) <= chars for one in found):
            return self.complain(name, f"must have texts of 1 to {chars} characters", [])
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        """Give true or false."""
        raw = self.raw(name)
        if raw not in (b"", b"true", b"false"):
            return self.complain(name, "must be true or false", default, KIND)
        return raw == b"true" if raw else default

    def uuid(self, name: str) -> str:
        """Give a UUID in lower case; empty where there is none."""
        found = self.text(name, 36)
        if found and not UUID.fullmatch(found):
            return self.complain(name, "must be a UUID", "")
        return found.lower()

    def integer(self, name: str, least: int = -INT32, most: int = INT32 - 1, *, required: bool = False) -> int | None:
        """Give a whole number; None where there is none."""
        raw = self.raw(name)
        if not raw:
            return self.complain(name, "is required", None, REQUIRED) if required else None
        try:
            found: int = _number(raw)
        except msgspec.DecodeError:
            return self.complain(name, "must be a whole number", None, KIND)
        return found if least <= found <= most else self.complain(name, f"must be {least} to {most}", None)

    def moment(self, name: str) -> int:
        """Give a time in milliseconds; one without a zone is in UTC."""
        found = self.text(name, 40, required=True)
        try:
            return moment_ms(found) if found else 0
        except ValueError:
            return self.complain(name, "must be a time such as 2026-01-31T12:00:00Z", 0)

    def object(self, name: str) -> Reader | None:
        """Give what reads an object within; None where there is none."""
        raw = self.raw(name)
        if not raw.startswith(b"{"):
            wrong, code = ("must be an object", KIND) if raw else ("is required", REQUIRED)
            return self.complain(name, wrong, None, code)
        return Reader(_members(raw), self.faults, f"{self._prefix}{name}.")

    def objects(self, name: str, most: int) -> list[Reader]:
        """Give what reads each object of an array, of which there must be one at least."""
        raw = self.raw(name)
        if not raw.startswith(b"["):
            wrong, code = ("must be an array", KIND) if raw else ("is required", REQUIRED)
            return self.complain(name, wrong, [], code)
        items = _items(raw)
        if not 1 <= len(items) <= most:
            return self.complain(name, f"must have 1 to {most} members", [])
        found = []
        for index, item in enumerate(items):
            if bytes(item).lstrip().startswith(b"{"):
                found.append(Reader(_members(item), self.faults, f"{self._prefix}{name}[{index}]."))
            else:
                self.faults.append(Wrong(f"{self._prefix}{name}[{index}]", "must be an object", _shown(bytes(item)), KIND))
        return found

    def complain(self, name: str, detail: str, value: T, code: str = FORM) -> T:
        """Note a fault of a member, and give the value to go on with."""
        attempted = None if name == HIDDEN else _shown(self._given.get(name, b""))
        self.faults.append(Wrong(f"{self._prefix}{name}", detail, attempted, code))
        return value

    def finish(self) -> None:
        """Note every member that has no meaning here."""
        for name in self._given:
            if name not in self._asked:
                self.complain(name, "is not known here", None, UNKNOWN)


def read(body: bytes, into: Callable[[Reader], T], *more: Fault) -> T:
    """Read a body with `into`; `more` are faults of the request that were found before. Raises: InvalidEvent with every fault."""
    wrong = jsontext.fault(body) if body else "must be a JSON object"
    if not wrong and not body.lstrip(b" \t\r\n").startswith(b"{"):
        wrong = "must be a JSON object"
    if wrong:
        raise InvalidEvent(*more, Wrong("", wrong))
    reader = Reader(_members(body), list(more))
    found = into(reader)
    reader.finish()
    if reader.faults:
        raise InvalidEvent(*reader.faults)
    return found


def _shown(raw: bytes) -> Any:
    """Give what was sent in a form that an answer can hold: as it is, or the beginning of it."""
    if not raw:
        return None
    return msgspec.Raw(raw) if len(raw) <= SHOWN_BYTES else raw[:SHOWN_BYTES].decode(errors="ignore") + "…"
