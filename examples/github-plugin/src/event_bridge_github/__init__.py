# SPDX-License-Identifier: Apache-2.0
"""Event Bridge plugin: GitHub's webhooks as results that do not look like GitHub any more."""

from bridge.sdk import hookimpl
from event_bridge_github.process import GitHub

__all__ = ["GitHub", "bridge_processes"]


@hookimpl
def bridge_processes() -> list[GitHub]:
    """Contribute the process `github`."""
    return [GitHub()]
