# SPDX-License-Identifier: Apache-2.0
"""
The plugin contract: the one package that a plugin imports.

A plugin is an installed package with an entry point in the group `event_bridge.plugins` that names a module or object with a
`bridge_processes` hook. The hook is called once, at start; afterwards the worker calls the returned processes themselves.
"""

from bridge.domain.event import Event
from bridge.domain.redelivery import Journey
from bridge.sdk.context import Context
from bridge.sdk.hooks import hookimpl
from bridge.sdk.outcomes import AwaitJourneys, Completed, Emit, Outcome, Rejected, Result, RetryLater, Skipped
from bridge.sdk.process import NoConfig, Process
from bridge.sdk.state import State

__all__ = [
    "AwaitJourneys",
    "Completed",
    "Context",
    "Emit",
    "Event",
    "Journey",
    "NoConfig",
    "Outcome",
    "Process",
    "Rejected",
    "Result",
    "RetryLater",
    "Skipped",
    "State",
    "hookimpl",
]
