# SPDX-License-Identifier: Apache-2.0
"""
YAML as another way to write JSON: mappings, lists, texts, numbers, truth values and null, as YAML 1.2's core schema reads them.

No aliases (a few of them stand for gigabytes), no tags, no member twice, and bounded in depth. PyYAML parses; nothing of it
that makes objects is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from bridge.workflows.limits import DEPTH

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def read(text: str) -> Any:
    """Give the JSON value of one YAML document. Raises: ValueError, naming line and column."""
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        next(events)  # the stream's beginning
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        value = _value(next(events), events, DEPTH)
        next(events)  # the document's end
        if not isinstance(after := next(events), yaml.StreamEndEvent):
            raise ValueError(f"{_at(after.start_mark)}: a second document begins")
    except yaml.MarkedYAMLError as err:
        raise ValueError(f"{_at(err.problem_mark)}: {err.problem}") from err
    except yaml.YAMLError as err:
        raise ValueError(str(err).replace("\n", " ")) from err
    return value


def write(value: Any) -> str:
    """Write a JSON value as YAML that `read` reads as the same."""
    text: str = yaml.serialize(_node(value), Dumper=yaml.SafeDumper, allow_unicode=True, width=120)
    return text


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    if isinstance(event, yaml.AliasEvent) or event.anchor:
        raise ValueError(f"{_at(event.start_mark)}: anchors and aliases are not read")
    if event.tag is not None:
        raise ValueError(f"{_at(event.start_mark)}: tags are not read")
    if depth < 0:
        raise ValueError(f"{_at(event.start_mark)}: mappings and lists lie more than {DEPTH} deep")
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth - 1)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            items.append(_value(inner, events, depth - 1))
        return items
    return _scalar(event.value) if event.style is None else event.value


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        name = _value(key, events, depth)
        if not isinstance(name, str):
            raise ValueError(f"{_at(key.start_mark)}: the name {name!r} is no text")
        if name in found:
            raise ValueError(f"{_at(key.start_mark)}: {name!r} is given twice")
        found[name] = _value(next(events), events, depth)
    return found


def _scalar(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _node(value: Any) -> yaml.Node:
    if isinstance(value, dict):
        pairs = [(_node(name), _node(member)) for name, member in value.items()]
        return yaml.MappingNode(f"{_TAG}map", pairs, flow_style=False)
    if isinstance(value, list):
        return yaml.SequenceNode(f"{_TAG}seq", [_node(item) for item in value], flow_style=False)
    if isinstance(value, str):
        plain = _scalar(value) == value and value.isprintable()
        return yaml.ScalarNode(f"{_TAG}str", value, style=None if plain else '"')
    kind = "null" if value is None else type(value).__name__
    return yaml.ScalarNode(f"{_TAG}{kind}", _number(value) if kind == "float" else json.dumps(value))


def _number(value: float) -> str:
    """Write a number as YAML 1.1 knows it too: 1.0e+16, where JSON has 1e+16."""
    digits, e, exponent = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{e}{exponent}"


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "the text"
