# SPDX-License-Identifier: Apache-2.0
"""Which addresses are open and which URLs are sound: pure rules, one case a line."""

from __future__ import annotations

import pytest

from bridge.egress.addresses import LOOPBACK, is_open, networks
from bridge.egress.urls import url_fault

OPEN = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]

SHUT = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
    ),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::"),
    *("2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1"),
    *("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", ""),
]


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_open(address: str) -> None:
    assert is_open(address, ())


@pytest.mark.parametrize("address", SHUT)
def test_any_other_is_not(address: str) -> None:
    assert not is_open(address, ())


def test_an_allowed_network_opens_itself_and_nothing_else() -> None:
    allowed = networks("10.1.0.0/16, fd00::/8,127.0.0.1")
    assert [is_open(one, allowed) for one in ("10.1.2.3", "fd12::1", "127.0.0.1", "8.8.8.8")] == [True] * 4
    assert [is_open(one, allowed) for one in ("10.2.0.1", "fc00::1", "127.0.0.2", "::ffff:10.1.2.3")] == [False] * 4


def test_every_wrong_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8 .*'here'"):
        networks("10.0.0.1/8,127.0.0.0/8,here")
    assert networks("") == ()


FAULTS = {
    "ftp://shop.example/": "not an http or https one",
    "file:///etc/passwd": "not an http or https one",
    "//shop.example/": "not an http or https one",
    "shop.example": "not an http or https one",
    "": "not an http or https one",
    "http://": "no host",
    "http:///hooks": "no host",
    "https://me:secret@shop.example/": "user or password",
    "https://me@shop.example/": "user or password",
    "https://:@shop.example/": "user or password",
    "http://shop.example:0/": "port 0",
    "http://shop.example:65536/": "cannot be read",
    "http://shop.example:http/": "cannot be read",
    "http://[::1/": "cannot be read",
    "http://shop.example/\r\nHost: other": "control character",
    "http://shop.example /": "space",
    "http:\\\\shop.example\\": "backslash",
    "http://2130706433/": "a number but no address",
    "http://0x7f.1/": "a number but no address",
    "http://127.1/": "a number but no address",
    "http://017700000001./": "a number but no address",
    f"http://shop.example/{'x' * 2048}": "more than 2048 characters",
}


@pytest.mark.parametrize("url", FAULTS)
def test_a_fault_is_named_and_the_url_not_quoted(url: str) -> None:
    fault = url_fault(url)
    assert FAULTS[url] in fault
    assert "secret" not in fault


@pytest.mark.parametrize(
    "url", ["http://shop.example", "https://bücher.example:8443/a?b=c", "http://127.0.0.1:9000/", "http://[::1]/"]
)
def test_a_sound_url_has_no_fault(url: str) -> None:
    """What may be reached is the workers' to know, where nobody says it here."""
    assert url_fault(url) == ""


def test_an_address_is_judged_where_it_is_known_what_is_open() -> None:
    assert "127.0.0.1 is not a public address" in url_fault("http://127.0.0.1:9000/", ())
    assert url_fault("http://127.0.0.1:9000/", networks(LOOPBACK)) == ""
