# SPDX-License-Identifier: Apache-2.0
"""Werkzeug's HTTP errors as members of our tree, so that Flask's own refusals look like all others."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from bridge.domain.errors import BridgeError, LengthRequired, NotFound, UnsupportedMedia
from web.http.faults import MalformedRequest, MethodNotAllowed


def of_http_exception(error: HTTPException) -> BridgeError | None:
    """Give our error for one of werkzeug's; None for what is no error, such as a redirect."""
    status = error.code or 500
    if status < 400:
        return None
    if isinstance(error, WerkzeugMethodNotAllowed):
        return MethodNotAllowed(tuple(error.valid_methods or ()))
    match status:
        case 404:
            return NotFound("There is nothing at this path.")
        case 411:
            return LengthRequired()
        case 415:
            return UnsupportedMedia()
        case _ if status < 500:
            return MalformedRequest(error.description or "")
        case _:
            return BridgeError()
