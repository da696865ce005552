# SPDX-License-Identifier: Apache-2.0
"""Times, URIs, media types and names: what is let through, what is not, and that no text makes the check slow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.cloudevents import attributes, syntax
from tests.timing import quickest


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2024-02-29T23:59:60.123456789Z",
        "1985-04-12T23:20:50.52+00:00",
        "1996-12-19T16:39:57-08:00",
        "9999-12-31T23:59:59+23:59",
    ],
)
def test_times(text: str) -> None:
    assert syntax.time_fault(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-1-1T00:00:00Z",
        "1767225600",
        "",
    ],
)
def test_no_times(text: str) -> None:
    assert syntax.time_fault(text)


URIS = ["a:b", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "https://u:p@h.example:8080/a/b?c=d/?#e", "mailto:a@b.example"]
URIS += ["http://[2001:db8::1]:80/", "http://192.0.2.1", "file:///etc/hosts", "http:", "tag:x,2026:y", "http://h/%C3%A4"]
REFERENCES = [
    "/",
    "/orders/17",
    "orders",
    "a/b:c",
    "./a:b",
    "//host/x",
    "../x",
    "?q",
    "#f",
    "%20",
    "/a//b",
    "*",
    "",
    "~me",
    "a@b",
]
NEITHER = [
    "a b",
    "ä",
    "/ä",
    "%zz",
    "%2",
    "a#b#c",
    "1a:b",
    ":a",
    "http://[::1",
    "a[b]",
    "<a>",
    '"',
    "\\",
    "a^b",
    "{x}",
    "a\n",
    "http://h:x/",
]


@pytest.mark.parametrize("text", URIS)
def test_uris(text: str) -> None:
    assert syntax.uri_fault(text) == "" == syntax.uri_reference_fault(text)


@pytest.mark.parametrize("text", REFERENCES)
def test_relative_references_are_no_uris(text: str) -> None:
    assert syntax.uri_reference_fault(text) == ""
    assert syntax.uri_fault(text)


@pytest.mark.parametrize("text", NEITHER)
def test_what_is_no_uri_reference(text: str) -> None:
    assert syntax.uri_reference_fault(text)
    assert syntax.uri_fault(text)


@pytest.mark.parametrize(
    ("text", "valid", "is_json"),
    [
        ("application/json", True, True),
        ("Application/JSON; charset=utf-8", True, True),
        ("application/vnd.github+json", True, True),
        ("text/json ; a=b", True, True),
        ("text/plain;charset=utf-8", True, False),
        ('a/b; x="y; z"; q=1', True, False),
        ("a/b;", True, False),
        ("application/jsonp", True, False),
        ("json", False, False),
        ("a/b, c/d", False, False),
        ("a/b; c", False, False),
        ('a/b; c="d', False, False),
        ("a/b\n", False, False),
        ("a /b", False, False),
        ("", False, False),
    ],
)
def test_media_types(text: str, valid: bool, is_json: bool) -> None:
    assert (syntax.media_type_fault(text) == "") == valid
    assert syntax.is_json(text) == is_json


def test_the_charset_is_found() -> None:
    assert syntax.charset('a/b; x=y; Charset="UTF-8"') == "utf-8"
    assert syntax.charset("a/b; x=y") == ""


@pytest.mark.parametrize("check", [syntax.time_fault, syntax.uri_fault, syntax.uri_reference_fault, syntax.media_type_fault])
@pytest.mark.parametrize(
    "unit", ["a", "/a", "a@", "%41", "a/b", ";", "; ", "; a=b", ' ;a="', '\\"', " ", "a:", "1", "//", "[", ".0"]
)
def test_time_grows_with_the_length_only(check: Callable[[str], str], unit: str) -> None:
    def check_all() -> None:
        for head in ("", "a/b", "http://", "2026-01-01T00:00:00"):
            check(head + unit * (8192 // len(unit)) + "\0")

    assert quickest(check_all, 0.25) < 0.25


@pytest.mark.parametrize("name", ["a", "0", "traceparent", "x" * 40])
def test_names(name: str) -> None:
    assert attributes.name_fault(name) == ""


@pytest.mark.parametrize("name", ["", "A", "a_b", "a-b", "ä", "a b", "a\n", "data", "٣"])
def test_no_names(name: str) -> None:
    assert attributes.name_fault(name)


@pytest.mark.parametrize(
    "character", ["\0", "\x1f", "\x7f", "\x80", "\x9f", "\ud800", "\ufdd0", "\ufffe", "\uffff", "\U0010ffff"]
)
def test_forbidden_characters_are_named(character: str) -> None:
    assert attributes.text_fault(f"ab{character}") == f"has the forbidden character U+{ord(character):04X} at position 2"


def test_all_other_characters_are_allowed() -> None:
    assert attributes.text_fault(" ~\u00a0ä\u2028\ufffd\U0001f600\ue000") == ""
