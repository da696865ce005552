# SPDX-License-Identifier: Apache-2.0
"""What the parts of a workflow's document have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from bridge.workflows.limits import TEXT_CHARS

WORKFLOW_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
TASK_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,62}$"
"""Without dots and brackets: it is a part of references."""
PARAM_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"
EVENT_KEY = r"^[a-z0-9][a-z0-9_-]{0,62}$"

WorkflowName = Annotated[str, StringConstraints(pattern=WORKFLOW_NAME)]
TaskName = Annotated[str, StringConstraints(pattern=TASK_NAME)]
ParamName = Annotated[str, StringConstraints(pattern=PARAM_NAME)]
EventKey = Annotated[str, StringConstraints(pattern=EVENT_KEY)]
ProcessName = Annotated[str, StringConstraints(pattern=WORKFLOW_NAME)]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS)]


class Shape(BaseModel):
    """A part of a document: named as in JSON, strict in its types, with no member that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True)
