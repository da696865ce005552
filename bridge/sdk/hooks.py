# SPDX-License-Identifier: Apache-2.0
"""The discovery hook: pluggy finds objects once, nothing is ever broadcast."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bridge.sdk.process import AnyProcess

PROJECT = "event_bridge"
ENTRY_POINTS = "event_bridge.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """Every hook that a plugin may implement."""

    @hookspec
    def bridge_processes(self) -> Iterable[AnyProcess]:  # type: ignore[empty-body]  # a specification has no body
        """Return the processes that this plugin contributes. Called once, when a worker or the CLI starts."""
