# SPDX-License-Identifier: Apache-2.0
"""Warn of the name of a process that nobody knows. It may be deployed later, so it is no fault: but it may be a typing error."""

from __future__ import annotations

import difflib

from bridge.cli.output import err
from bridge.domain.errors import Misconfigured
from bridge.hosting.find import find_processes
from bridge.notifications.deliveries import WEBHOOK
from bridge.registry.view import View
from bridge.runs.carried import RUNS


def warn_of_unknown(registry: View, process: str) -> None:
    """Say on stderr, with the names that are close, that no worker has announced a process and that it is not installed here."""
    known = {WEBHOOK, RUNS, *registry.process_names(), *_installed()}
    if process in known:
        return
    close = " or ".join(difflib.get_close_matches(process, sorted(known)))
    meant = f" Did you mean {close}?" if close else ""
    err.print(f"! no worker has announced a process {process}; is it spelled right?{meant}", markup=False, style="yellow")


def _installed() -> tuple[str, ...]:
    """Name what is installed here; a plugin that is broken must keep nobody from pausing a process."""
    try:
        return tuple(find_processes().patterns)
    except Misconfigured:
        return ()
