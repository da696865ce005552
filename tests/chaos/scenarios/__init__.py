# SPDX-License-Identifier: Apache-2.0
"""
The matrix of faults: one scenario a file, each with a short account of what it does, two sizes, and what it asks for.

A scenario is run by `stage.py`, which gives it a product of its own and accounts for every event afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.scenarios import (
    abuse,
    broker_killed,
    broker_stopped,
    clock,
    disk_full,
    everything,
    faulty,
    flushed,
    members,
    network,
    nothing,
    open_files,
    poison,
    redis_killed,
    rolling,
    soak,
    web_killed,
    worker_killed,
    workflows,
)
from tests.chaos.scenarios.stage import Scenario

ALL: Sequence[Scenario] = (
    nothing.SCENARIO,
    web_killed.SCENARIO,
    worker_killed.SCENARIO,
    members.SCENARIO,
    broker_stopped.SCENARIO,
    network.SCENARIO,
    broker_killed.SCENARIO,
    redis_killed.SCENARIO,
    redis_killed.APPENDING,
    flushed.SCENARIO,
    everything.SCENARIO,
    workflows.SCENARIO,
    rolling.SCENARIO,
    poison.SCENARIO,
    abuse.SCENARIO,
    faulty.SCENARIO,
)

LONG_ONLY: Sequence[Scenario] = (disk_full.SCENARIO, clock.SCENARIO, open_files.SCENARIO, soak.SCENARIO)
"""Rows of the long tier alone: they need what not every machine gives, or last as long as a clock was moved, or an hour."""
