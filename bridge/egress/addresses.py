# SPDX-License-Identifier: Apache-2.0
"""
Which addresses may be spoken to: public ones, and the networks that the operator allows.

Asked by `bridge.egress.client` for every connection, by `bridge.egress.urls` for addresses in URLs, and by the settings.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

Networks = tuple[IPv4Network | IPv6Network, ...]

REMEMBERED: Final = 4096
"""Answers that are kept: each request asks two or three times about one address."""

LOOPBACK: Final = "127.0.0.0/8,::1/128"

GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that IANA has given out. The rest is local, multicast, reserved, or an IPv4 address in disguise (mapped, NAT64)."""

CLOSED: Final[Networks] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",
            "100.64.0.0/10",  # behind a carrier's NAT
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host, public by its number only
            "169.254.0.0/16",  # link-local: the clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation, as the other two
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address in disguise
            "3fff::/20",  # documentation
        ),
    )
)
"""`ipaddress` has an opinion, too, but calls NAT64, 6to4 and multicast global on some of the Pythons that we run on."""


def networks(text: str) -> Networks:
    """Read comma-separated networks such as `10.1.0.0/16,fd00::/8`. Raises: ValueError, naming every wrong one."""
    found: list[IPv4Network | IPv6Network] = []
    wrong: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError as err:
            wrong.append(str(err))
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(found)


@lru_cache(REMEMBERED)
def is_open(address: str, allowed: Networks) -> bool:
    """Say whether an address, in its canonical form, may be spoken to; False for a text that is none."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if any(ip in network for network in allowed):
        return True
    return (ip.version == 4 or ip in GLOBAL_V6) and not any(ip in network for network in CLOSED)
