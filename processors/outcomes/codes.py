# SPDX-License-Identifier: Apache-2.0
"""The codes of our own failures: what a metric names; a process may reject with any code it likes."""

from __future__ import annotations

CODES = frozenset(
    {
        "exception",
        "timeout",
        "crashed",
        "not-started",
        "crashed-worker",
        "out-of-memory",
        "retry-later",
        "result-too-large",
        "not-serialisable",
        "invalid-outcome",
        "invalid-config",
        "process-unknown",
        "invalid-payload",
        "payload-too-large",
        "too-many-journeys",
    }
)


def known_code(code: str) -> str:
    """Bound a metric's label: what is none of ours is `rejected`."""
    return code if not code or code in CODES else "rejected"
