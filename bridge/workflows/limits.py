# SPDX-License-Identifier: Apache-2.0
"""Every bound of workflows and their runs, once; docs/reference/workflows.md lists them."""

from __future__ import annotations

DOCUMENT_BYTES = 65_536 - 1024  # a value of the registry, less what is kept beside the document
DEPTH = 32  # mappings and lists within one another
TASKS = 100
DEPENDENCIES = 50  # of one task
PARAMS = 100  # of a workflow
CONDITIONS = 20  # of one trigger
PATTERN_CHARS = 256  # of a `matches` condition
PATTERN_SIZE = 500  # of all patterns of one trigger, with counted repetitions written out: time grows with it
MATCHED_CHARS = 1024  # of the text that it is compared with: time grows with pattern times text
TEXT_CHARS = 1024  # displayName, description, a label
MINUTES = 30 * 24 * 60  # the longest run, task and sleep: an old version of a workflow is kept as long
REASON_CHARS = 1024  # of why a task or a run ended as it did
RUN_BYTES = 768 * 1024  # everything that a run keeps: what it needs to end fits into a state of 1 MiB beside it
STEP_CHARS = 16 * RUN_BYTES  # what references put into all tasks that begin together
EARLY = 100  # events that came before anybody waited for them
