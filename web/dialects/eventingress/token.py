# SPDX-License-Identifier: Apache-2.0
"""`POST /connect/token`: OAuth 2 client credentials (RFC 6749 sections 4.4 and 5), in that document's own forms."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

import orjson

from bridge.cloudevents import syntax
from bridge.domain.errors import BridgeError, Fault, NotAllowed, NotAuthenticated, NotFound
from web.http import problems
from web.http.faults import InvalidRequest
from web.http.messages import Answer, Request
from web.services import Services

FORM: Final = "application/x-www-form-urlencoded"
BODY_BYTES: Final = 8192
SCOPE_CHARS: Final = 300
FIELDS: Final = 32
JSON_ANSWER = (("content-type", "application/json"), ("pragma", "no-cache"))  # no-store is sent with every answer
CHALLENGE = ("www-authenticate", 'Basic realm="event-bridge"')
GRANT: Final = "client_credentials"


class Asked(NamedTuple):
    """A request for a token; no scopes: all that the client has."""

    client_id: str
    secret: str
    scopes: tuple[str, ...]


async def give_token(request: Request, services: Services) -> Answer:
    """Answer `POST /connect/token`; where another issuer makes the tokens, there is no such path."""
    if not services.ingress.tokens.made_here:
        raise NotFound("Tokens come from another issuer.")
    fields = _fields(request)
    grant = fields.get("grant_type")
    if grant not in (None, GRANT):
        return _refusal(400, "unsupported_grant_type", f"The grant type is {GRANT}.")
    asked = _asked(request, fields)
    issued = services.ingress.tokens.issue(asked.client_id, asked.secret, asked.scopes)
    shown = {"access_token": issued.text, "expires_in": issued.lifetime_s, "token_type": "Bearer"}
    return Answer(200, orjson.dumps(shown | {"scope": " ".join(issued.scopes)}), JSON_ANSWER)


def answer_of(error: BridgeError, request_id: str) -> Answer:
    """Give an error as RFC 6749 section 5.2 writes it: a wrong client is 401, all else is 400 or HTTP's own."""
    if isinstance(error, NotAuthenticated):
        return _refusal(401, "invalid_client", "The client is not known, or its secret is wrong.", CHALLENGE)
    if isinstance(error, NotAllowed):
        return _refusal(400, "invalid_scope", f"The client does not have the scope {error.scope}.")
    headers = [one for one in problems.answer_of(error, request_id).headers if one[0] == "retry-after"]
    name = "invalid_request" if error.status < 500 else "temporarily_unavailable" if error.status == 503 else "server_error"
    return _refusal(error.status, name, error.detail if error.status != BridgeError.status else error.title, *headers)


def _fields(request: Request) -> dict[str, str]:
    """Read the form. Raises: InvalidRequest."""
    if syntax.media_type(request.headers.get("content-type", FORM)) != FORM:
        raise InvalidRequest(Fault("", f"must be sent as {FORM}"))
    try:
        pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError as err:
        raise InvalidRequest(Fault("", f"is not a percent-encoded form of at most {FIELDS} fields")) from err
    names = [name for name, _ in pairs]
    twice = [Fault(name, "is given twice") for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InvalidRequest(*twice)
    return {name: value for name, value in pairs if value}  # RFC 6749 section 3.2: without a value is left out


def _asked(request: Request, fields: Mapping[str, str]) -> Asked:
    """Take the client's credentials from where they are. Raises: InvalidRequest, NotAuthenticated."""
    faults = [] if "grant_type" in fields else [Fault("grant_type", "is required")]
    scope = fields.get("scope", "")
    if len(scope) > SCOPE_CHARS:
        faults.append(Fault("scope", f"is longer than {SCOPE_CHARS} characters"))
    given = request.headers.get("authorization")
    if given is not None and "client_secret" in fields:
        faults.append(Fault("client_secret", "is given beside the header Authorization: use one of them"))
    elif given is None:
        faults += [Fault(name, "is required") for name in ("client_id", "client_secret") if name not in fields]
    if faults:
        raise InvalidRequest(*faults)
    client_id, secret = (fields["client_id"], fields["client_secret"]) if given is None else _basic(given)
    if fields.get("client_id", client_id) != client_id:
        raise InvalidRequest(Fault("client_id", "is another one than that of the header Authorization"))
    return Asked(client_id, secret, tuple(scope.split()))


def _basic(header: str) -> tuple[str, str]:
    """Read HTTP Basic, whose two parts are form-encoded first (RFC 6749 section 2.3.1). Raises: NotAuthenticated."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as err:
        raise NotAuthenticated from err
    client_id, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise NotAuthenticated
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(status: int, error: str, description: str, *headers: tuple[str, str]) -> Answer:
    plain = "".join(c if 0x20 <= ord(c) < 0x7F and c not in '"\\' else "?" for c in description)  # RFC 6749 section 5.2
    return Answer(status, orjson.dumps({"error": error, "error_description": plain}), (*JSON_ANSWER, *headers))
