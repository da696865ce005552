# SPDX-License-Identifier: Apache-2.0
"""Post a body to a URL that others chose, once; what can go wrong on the way has one error with a code."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from bridge.egress.errors import EgressError
from bridge.egress.urls import url_fault


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and from where; `retry_after_s` is None where nothing says how long to wait."""

    host: str
    status: int
    retry_after_s: float | None
    ms: int


async def post(http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], within_s: float) -> Reply:
    """
    Post once, on a session of `bridge.egress.client`; a redirect is a reply like any other, and no body is read.

    Raises: EgressError, whose text names the host and nothing else of the URL.
    """
    if fault := url_fault(url):
        raise EgressError("invalid-url", fault)
    target, began = URL(url), time.monotonic()
    where = f"{target.host}:{target.port}"
    timeout = aiohttp.ClientTimeout(total=within_s, connect=http.timeout.connect)
    try:
        async with http.post(
            target, data=body, headers=headers, skip_auto_headers=["Content-Type"], allow_redirects=False, timeout=timeout
        ) as answer:
            wait = retry_after(answer.headers.get("Retry-After", ""), time.time())
            return Reply(where, answer.status, wait, round((time.monotonic() - began) * 1000))
    except EgressError:
        raise
    except (aiohttp.ClientError, TimeoutError) as err:
        raise _told(err, where) from err


def retry_after(text: str, now_s: float) -> float | None:
    """Read a Retry-After header: seconds, or a date; None where it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s)


def _told(err: Exception, where: str) -> EgressError:
    match err:
        case aiohttp.ClientConnectorDNSError():
            return EgressError("unresolvable", f"{where}: the name has no address")
        case aiohttp.ClientConnectorCertificateError():
            return EgressError("tls-failed", f"{where}: {err.certificate_error}")
        case aiohttp.ClientSSLError():
            return EgressError("tls-failed", f"{where} does not speak TLS as we do")
        case TimeoutError():
            return EgressError("timeout", f"{where} did not answer in time")
        case OSError() if err.errno:
            return EgressError("connection-failed", f"{where}: {os.strerror(err.errno)}")
    return EgressError("connection-failed", f"{where}: {type(err).__name__}")
