# SPDX-License-Identifier: Apache-2.0
"""
How a worker leaves: 0 when it was asked to, 70 in doubt, 75 when it stands still. A supervisor starts it again.

Everything in `processors` that meets something it cannot vouch for calls `doubt`: the events are then read again from the
committed offsets, which is safe; going on would not be.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from bridge import logs
from processors.stacks import dump_stacks

ASKED, DOUBT, STALLED = 0, 70, 75

LOG = logs.get("processors.ending")


def doubt(reason: str, **fields: object) -> NoReturn:
    """End the process now: what it has not committed is read again by whoever starts next."""
    LOG.critical("The worker ends: it cannot vouch for its state", reason=reason, **fields)
    leave(DOUBT)


def stalled(reason: str, tell: Callable[[], object], **fields: object) -> NoReturn:
    """End the process because nothing moves any more; all stacks go to stderr first, then `tell` is called."""
    LOG.critical("The worker ends: it stands still", reason=reason, **fields)
    dump_stacks()
    tell()
    leave(STALLED)


def before_leaving(last: Callable[[], None]) -> None:
    """Have something done before the process leaves of its own accord; not where it stands still."""
    _LAST.append(last)


_LAST: list[Callable[[], None]] = []


def leave(code: int) -> NoReturn:
    """End the process without running anything else: no handler, thread or client gets a say."""
    if code != STALLED:
        for last in _LAST:
            last()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
