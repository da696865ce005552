# SPDX-License-Identifier: Apache-2.0
"""The abusers of the tests as a plugin, found by entry point when this folder is on PYTHONPATH beside the repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.sdk import Process, hookimpl
from tests.abusers import Abuser, Reliable


@hookimpl
def bridge_processes() -> Sequence[Process[Any]]:
    """Contribute one process that does everything wrong and one that does its work, both in children."""
    return [Abuser(), Reliable()]
