# SPDX-License-Identifier: Apache-2.0
"""Events and runs as the document has them. Pure; what a WorkflowRun is says `bridge.workflows.shown`."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.workflows.document import Workflow
from bridge.workflows.run import Run
from bridge.workflows.shown import document

_encode = msgspec.json.Encoder().encode


def write(shown: dict[str, Any]) -> bytes:
    """Write an answer's JSON."""
    return _encode(shown)


def workflow_of_subject(subject: str) -> str:
    """Give the workflow of a subject `/<workflow>[/<topic>]`; empty where it names none."""
    return subject.strip("/").partition("/")[0]


def workflow_run(run: Run, workflow: Workflow | None) -> dict[str, Any]:
    """Give a run as JSON; without its workflow, which may be erased, as one without tasks."""
    return document(run, workflow or Workflow.model_construct(name=run.workflow, tasks=()))
