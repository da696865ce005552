# SPDX-License-Identifier: Apache-2.0
"""
Turn the text of a workflow's document into a value, or name every fault of it at once, each by its place (a JSON Pointer).

Called by `evb workflows apply`, the API and the registry's reader.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from pydantic import ValidationError

from bridge.domain.errors import Fault, InvalidWorkflow
from bridge.workflows.checks import Draft, faults_between, pointer
from bridge.workflows.document import Workflow
from bridge.workflows.limits import DEPTH, DOCUMENT_BYTES


def read(text: bytes) -> Workflow:
    """Read a document, JSON if it begins with a brace, else YAML. Raises: InvalidWorkflow."""
    return check(parse(text))


def parse(text: bytes) -> Any:
    """Give a document's JSON value. Raises: InvalidWorkflow."""
    if len(text) > DOCUMENT_BYTES:
        raise InvalidWorkflow(Fault("", f"has {len(text)} bytes; the limit is {DOCUMENT_BYTES}"))
    try:
        if text.lstrip()[:1] == b"{":
            orjson.loads(text)  # strict: no NaN, nothing after the end
            value = json.loads(text, object_pairs_hook=_members)
        else:
            from bridge.workflows import yamltext  # loaded when it is needed: servers read what is in the registry, as JSON

            value = yamltext.read(text.decode())
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as err:
        raise InvalidWorkflow(Fault("", f"cannot be read: {err}")) from err
    if _deeper(value, DEPTH):
        raise InvalidWorkflow(Fault("", f"lies more than {DEPTH} deep"))
    return value


def check(value: Any) -> Workflow:
    """Make a workflow of a document's JSON value. Raises: InvalidWorkflow."""
    if not isinstance(value, dict):
        raise InvalidWorkflow(Fault("", "a workflow is a mapping with name and tasks"))
    found, faults = None, list[Fault]()
    try:
        found = Workflow.model_validate_json(json.dumps(value))
    except ValidationError as err:
        faults = [Fault(pointer(value, error["loc"]), _said(error["msg"])) for error in err.errors(include_url=False)]
    faults += [fault for fault in faults_between(Draft(value)) if fault not in faults]
    if found is None or faults:
        raise InvalidWorkflow(*faults)
    if len(json.dumps(found.plain(), ensure_ascii=False).encode()) > DOCUMENT_BYTES:
        raise InvalidWorkflow(Fault("", f"would take more than {DOCUMENT_BYTES} bytes"))
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_deeper(one, depth - 1) for one in inner)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
