# SPDX-License-Identifier: Apache-2.0
"""
References in a workflow's texts: `$(params.x.y)`, `$(task.<name>.results.<result>.key)`, `$(run.id)`.

They are looked up, never evaluated. A text that is one reference becomes what it refers to, of whatever type; elsewhere the
value is written into the text. `$$(` stands for `$(`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bridge.workflows.limits import RUN_BYTES

_PART = re.compile(r"\$\$\(|\$\(([^()]*)\)|\$\(")
_TASK = re.compile(r"task\.([^.]+)\.results\.([^.]+)((?:\.[^.]+)*)")
_PARAM = re.compile(r"params\.([^.]+)((?:\.[^.]+)*)")


class Reference(NamedTuple):
    """`task` is empty for a param, and both names for the run's id."""

    text: str
    task: str
    name: str
    path: tuple[str, ...]


class Given(NamedTuple):
    """What references are looked up in: the run's params, and the results of its tasks by their names."""

    run_id: str
    params: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]


class Unresolved(Exception):
    """A reference to what is not there."""


def parse(text: str) -> list[Reference]:
    """Give the references of a text. Raises: ValueError for one of another form."""
    return [_reference(match) for match in _PART.finditer(text) if match[0] != "$$("]


def walk(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give the texts of a JSON value with their places; the names of members have no references."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from walk(member, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, (*place, index))


def as_text(value: Any) -> str:
    """Write a JSON value into a text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Filling:
    """
    Replaces references, in one value or in several that together may not become larger than a run may be.

    It counts what it puts in: a few references to a large value, repeated, would fill any memory.
    """

    def __init__(self, given: Given) -> None:
        self._given, self._left = given, RUN_BYTES

    @property
    def put_in(self) -> int:
        """How many characters references have put in so far."""
        return RUN_BYTES - self._left

    def fill(self, value: Any) -> Any:
        """Give a value with its references replaced. Raises: Unresolved."""
        if isinstance(value, str):
            return self._text(value) if "$(" in value else value
        if isinstance(value, dict):
            return {name: self.fill(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def _text(self, text: str) -> Any:
        whole = _PART.fullmatch(text)
        if whole is not None and whole[0] != "$$(":
            return self._found(whole)[0]
        return _PART.sub(lambda match: "$(" if match[0] == "$$(" else self._found(match)[1], text)

    def _found(self, match: re.Match[str]) -> tuple[Any, str]:
        value = _look_up(_reference(match), self._given)
        text = as_text(value)
        self._left -= len(text)
        if self._left < 0:
            raise Unresolved(f"{match[0]} would make this larger than {RUN_BYTES} characters")
        return value, text


def _look_up(reference: Reference, given: Given) -> Any:
    if not reference.name:
        return given.run_id
    value: Any = given.results.get(reference.task, {}) if reference.task else given.params
    for step in (reference.name, *reference.path):
        if isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            raise Unresolved(f"{reference.text} has no value")
    return value


def _reference(match: re.Match[str]) -> Reference:
    inner = match[1] or ""
    if inner == "run.id":
        return Reference(match[0], "", "", ())
    if found := _PARAM.fullmatch(inner):
        return Reference(match[0], "", found[1], _path(found[2]))
    if found := _TASK.fullmatch(inner):
        return Reference(match[0], found[1], found[2], _path(found[3]))
    wanted = "$(params.NAME), $(task.NAME.results.data.KEY) or $(run.id), and $$( for the characters $("
    raise ValueError(f"{match[0]} is no reference: use {wanted}")


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split(".")[1:])
