# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a workflow's document, for editors and pipelines; published as docs/reference/workflow.schema.json."""

from __future__ import annotations

import json
from typing import Any

from bridge.workflows.document import Workflow
from bridge.workflows.tasks import KINDS

NAMED = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "value": {}},
        "required": ["name", "value"],
        "additionalProperties": False,
    },
}
"""Params as a list."""


def schema() -> dict[str, Any]:
    """Give the schema: what it lets pass may still be refused for what one part says of another."""
    found = Workflow.model_json_schema(by_alias=True)
    for kind in KINDS.values():
        members = found["$defs"][kind.__name__]["properties"]
        default = members["params"].pop("default", None)
        members["params"] = {"anyOf": [members["params"], NAMED]} | ({} if default is None else {"default": default})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def text() -> str:
    """Give the schema as it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
