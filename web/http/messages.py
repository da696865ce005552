# SPDX-License-Identifier: Apache-2.0
"""
The framework-free shape of an HTTP exchange.

A dialect's route is `async (Request, Services) -> Answer`. The RSGI door and the Flask view call the same function, so that
the fast server and any WSGI server give equal bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from bridge.domain.errors import BridgeError
    from web.services import Services


class Request(msgspec.Struct, frozen=True):
    """
    One request, its body read whole and bounded.

    `headers` have lower-case names; a repeated header is joined with ", ". `path_params` are percent-decoded. `query` is the
    raw query string. `request_id` is ours, or the caller's own `X-Request-Id` where it is a short plain token.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""
    path_params: Mapping[str, str] = {}
    request_id: str = ""


class Answer(msgspec.Struct, frozen=True):
    """One answer; header names are lower-case, and `content-length` is added by the door."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request, "Services"], Awaitable[Answer]]
Failure = Callable[["BridgeError", str], Answer]
"""What a dialect answers to an error of a request with this id."""


@dataclass(frozen=True, slots=True)
class Route:
    """
    One operation of a dialect.

    `path` is a template such as `/fx/executions/{execution_id}`; a parameter is one non-empty segment, and the rest of the path
    with its slashes where it ends the template as `{cid*}`. `dialect` labels metrics and logs.
    `reads_body` routes demand a Content-Length within the limit, the others refuse a body; `max_body` is a limit of the dialect's
    own, in bytes (0: the setting's). `failure` writes its errors in its own form; None: as problem documents.
    """

    method: str
    path: str
    handler: Handler
    dialect: str
    reads_body: bool = False
    max_body: int = 0
    failure: Failure | None = None
