# SPDX-License-Identifier: Apache-2.0
"""What a URL that others chose may look like. Asked when one is configured, and again for every request."""

from __future__ import annotations

import re
from ipaddress import ip_address

from yarl import URL

from bridge.egress.addresses import Networks, is_open
from bridge.egress.errors import EgressError

URL_CHARS = 2048
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f]")
NUMBER = re.compile(r"(\d+|0[xX][0-9a-fA-F]*)\.?")


def url_fault(url: str, allowed: Networks | None = None) -> str:
    """
    Say what is wrong with an http(s) URL, or an empty text; never quotes it.

    Shape: an address in it is judged where `allowed` is given: who configures may not know what the workers may reach.
    """
    if len(url) > URL_CHARS:
        return f"the URL has more than {URL_CHARS} characters"
    if UNPRINTABLE.search(url) or "\\" in url:
        return "the URL has a space, a backslash or a control character"
    try:
        check(URL(url), allowed)
    except EgressError as err:
        return err.reason
    except ValueError:
        return "the URL has a host or port that cannot be read"
    return ""


def check(url: URL, allowed: Networks | None) -> None:
    """Raises: EgressError `invalid-url`; `address-not-allowed` where the host is an address that is not open."""
    if url.scheme not in ("http", "https"):
        raise EgressError("invalid-url", "the URL is not an http or https one")
    if url.raw_user is not None or url.raw_password is not None:
        raise EgressError("invalid-url", "the URL has a user or password in it; credentials go into headers")
    host = url.raw_host
    if not host:
        raise EgressError("invalid-url", "the URL has no host")
    if not url.port:
        raise EgressError("invalid-url", "the URL has port 0")
    try:
        ip_address(host)
    except ValueError:
        if NUMBER.fullmatch(host.rpartition(".")[2] or host.rstrip(".").rpartition(".")[2]):
            raise EgressError("invalid-url", f"the URL has the host {host}, which is a number but no address") from None
        return
    if allowed is not None and not is_open(host, allowed):
        raise not_allowed(host)


def not_allowed(host: str, address: str = "") -> EgressError:
    """Give the error for a host, and the address that it has where that is not its name."""
    where = f"{host} ({address})" if address else host
    return EgressError("address-not-allowed", f"{where} is not a public address, nor of EVB_EGRESS_ALLOWED_NETWORKS")
