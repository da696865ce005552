# SPDX-License-Identifier: Apache-2.0
"""What a process of ours says about itself at `/metrics`."""

from __future__ import annotations

import http.client

from bridge.stack.ports import LOOPBACK


def metric(port: int, name: str) -> float:
    """Read a metric without labels."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))
