# SPDX-License-Identifier: Apache-2.0
"""
What both doors demand of a request before any of its body is read.

Pure functions over lower-case headers, so that the RSGI door and the Flask views refuse the same requests with the same
words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from bridge.domain.errors import LengthRequired, TooLarge
from web.http.faults import MalformedRequest

PLAIN_TOKEN = re.compile(r"[A-Za-z0-9._:-]{1,64}")
PLAIN_NUMBER = re.compile(r"[0-9]{1,18}")
PRINTABLE = re.compile(r"[\t\x20-\x7e]*")


def request_id_of(headers: Mapping[str, str]) -> str:
    """Take the caller's `X-Request-Id` where it is a short plain token, else make one."""
    given = headers.get("x-request-id")
    if given is not None and PLAIN_TOKEN.fullmatch(given):
        return given
    return f"req_{random.getrandbits(96):024x}"


def body_length(headers: Mapping[str, str], limit: int, *, demanded: bool) -> int:
    """
    Give the length of the announced body, in bytes.

    `demanded`: a request without Content-Length is refused; otherwise it has no body. A chunked body is always refused: its
    length is unknown until it is read.
    Raises: LengthRequired, MalformedRequest, TooLarge.
    """
    given = headers.get("content-length")
    if "transfer-encoding" in headers or (given is None and demanded):
        raise LengthRequired("Send a Content-Length; chunked bodies are not read.")
    if given is None:
        return 0
    if not PLAIN_NUMBER.fullmatch(given):
        raise MalformedRequest("Content-Length is not a plain decimal number.")
    length = int(given)
    if length > limit:
        raise TooLarge(limit)
    return length


def check_path(path: str) -> None:
    """Raise MalformedRequest where a decoded path held bytes that are not UTF-8 (decoders put U+FFFD for them) or a NUL."""
    if "\ufffd" in path or "\0" in path:
        raise MalformedRequest("The path is not percent-encoded UTF-8.")


def check_header_values(values: Mapping[str, str]) -> None:
    """Raise MalformedRequest where a header's value holds anything but printable ASCII."""
    for name, value in values.items():
        if not (value.isascii() and PRINTABLE.fullmatch(value)):
            raise not_ascii(name)


def not_ascii(name: str) -> MalformedRequest:
    """Say that a header's value cannot be read."""
    return MalformedRequest(f"The value of the header {name} is not printable ASCII.")
