# SPDX-License-Identifier: Apache-2.0
"""
The syntax of typed attribute values: times, URIs and media types. Each check returns what is wrong as a phrase, or an empty text.

Patterns name one character or escape per step and give nothing back (`*+`) where two steps could take the same character, so that
their time grows with the length of the value only.
"""

from __future__ import annotations

import re
from datetime import date

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)\Z", re.ASCII
)

_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
_SEGMENT = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})"  # without a colon: it would read as a scheme
_USER = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})"
_HOST = r"(?:\[[0-9A-Fa-f:.v]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)"
_AUTHORITY = rf"//(?:{_USER}*@)?{_HOST}(?::[0-9]*)?(?:/{_PCHAR}*)*"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?\Z"
_ABSOLUTE_PATH = rf"/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
_URI = re.compile(rf"{_SCHEME}(?:{_AUTHORITY}|{_ABSOLUTE_PATH}|{_PCHAR}+(?:/{_PCHAR}*)*|){_TAIL}")
_RELATIVE = re.compile(rf"(?:{_AUTHORITY}|{_ABSOLUTE_PATH}|{_SEGMENT}+(?:/{_PCHAR}*)*|){_TAIL}")

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 (RFC 9110's word for it, not a secret)
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x1f\x7f])*+"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*+;[ \t]*+(?:{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))?)*+[ \t]*+\Z")
_CHARSET = re.compile(r';[ \t]*charset="?([^";\s]*)', re.IGNORECASE)


def time_fault(text: str) -> str:
    """Check an RFC 3339 date-time, down to the days of the month; a leap second may be 60."""
    found = _TIME.match(text)
    try:
        if found and date(int(found[1]), int(found[2]), int(found[3])):
            return ""
    except ValueError:
        pass  # a day that the calendar lacks: the same answer as for any other text that is no time
    return "is not an RFC 3339 time such as 2026-01-31T12:00:00Z"


def uri_fault(text: str) -> str:
    """Check a URI (RFC 3986 section 3); non-ASCII characters must be percent-encoded."""
    return "" if _URI.match(text) else "is not an absolute URI (RFC 3986)"


def uri_reference_fault(text: str) -> str:
    """Check a URI-reference (RFC 3986 section 4.1): a URI, or a relative one such as /orders/17."""
    return "" if _URI.match(text) or _RELATIVE.match(text) else "is not a URI-reference (RFC 3986)"


def media_type_fault(text: str) -> str:
    """Check a media type with its parameters (RFC 2046, RFC 9110 section 8.3)."""
    return "" if _MEDIA_TYPE.match(text) else "is not a media type such as application/json"


def media_type(content_type: str) -> str:
    """Give the media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def charset(content_type: str) -> str:
    """Give the `charset` parameter in lower case, or an empty text."""
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else ""


def is_json(content_type: str) -> bool:
    """Say whether a media type declares JSON: `*/json` or `*/*+json` (CloudEvents JSON format section 3.1)."""
    return media_type(content_type).endswith(("/json", "+json"))
