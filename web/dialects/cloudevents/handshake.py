# SPDX-License-Identifier: Apache-2.0
"""
The WebHook handshake: may this origin deliver here, and how often? (CloudEvents, HTTP 1.1 Web Hooks, section 4). Pure.

Consent is the presence of the header; an answer without it grants nothing, whatever its status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.domain.errors import Fault
from bridge.domain.limits import Window
from web.http.faults import InvalidRequest
from web.http.limits import Header

ORIGIN, RATE = "webhook-request-origin", "webhook-request-rate"
_POSITIVE = re.compile(r"0*[1-9][0-9]{0,17}")


def consent(headers: Mapping[str, str], allowed_origins: str, windows: Sequence[Window]) -> tuple[Header, ...]:
    """
    Give the headers that let an origin deliver, or none.

    Shape:  `allowed_origins` is comma-separated, `*` allows any; `windows` are the caller's rate windows.
    Raises: InvalidRequest for a rate that is not a positive whole number.
    """
    origin, wanted = headers.get(ORIGIN, "").strip(), headers.get(RATE)
    if wanted is not None and not _POSITIVE.fullmatch(wanted.strip()):
        raise InvalidRequest(Fault(f"header:{RATE}", "must be a positive whole number of requests per minute"))
    known = {one.strip().lower() for one in allowed_origins.split(",")} - {""}
    if not origin or not known & {origin.lower(), "*"}:
        return ()
    return ("webhook-allowed-origin", origin), ("webhook-allowed-rate", rate(windows))


def rate(windows: Sequence[Window]) -> str:
    """Give the requests per minute that every window lets through for ever, at least 1; `*` without a window."""
    return str(max(1, min(window.quota * 60 // window.seconds for window in windows))) if windows else "*"
