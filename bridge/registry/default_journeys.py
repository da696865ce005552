# SPDX-License-Identifier: Apache-2.0
"""
The journeys of the system event types for tenants that have none of their own: one for each shipped business process.

Data, like `system_types`: they end well with their first task. What is to ask somebody, or to wait, a tenant makes a journey of.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.registry.system_types import SHIPPED_PROCESSES
from bridge.workflows.document import Workflow
from bridge.workflows.tasks import Decided, DecisionTask


def default_of(process: str) -> str:
    """Name the default journey of a business process."""
    return f"default-{process}"


DEFAULT_JOURNEYS: Final[Mapping[str, Workflow]] = MappingProxyType(
    {
        default_of(process): Workflow(
            name=default_of(process),
            display_name=f"{title} (default)",
            tasks=(DecisionTask(name="verify", type="decision", params=Decided(value="verified")),),
        )
        for process, title in SHIPPED_PROCESSES.items()
    }
)
