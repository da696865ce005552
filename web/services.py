# SPDX-License-Identifier: Apache-2.0
"""What a route may use: made once per server process by `web.door`, handed to every handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.intake import Intake
    from bridge.registry import Registry
    from bridge.settings import Settings
    from bridge.status import StatusView


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases behind the doors."""

    settings: Settings
    registry: Registry
    intake: Intake
    status: StatusView
