# SPDX-License-Identifier: Apache-2.0
"""
Who is calling? The credentials of a request, as a principal or one and the same refusal.

Every route of a dialect calls one of the two functions first. The checks themselves are `bridge.authenticate`'s; here is
only where HTTP carries credentials, and how two of them on one request go together.
"""

from __future__ import annotations

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bridge import authenticate
from bridge.domain.errors import NotAuthenticated, NotFound, Unavailable
from bridge.domain.principal import Principal, Scope
from web.http.messages import Request
from web.services import Services

API_KEY = "x-api-key"
SIGNATURE = "x-hub-signature-256"
MOST_WAITING = 64
"""Signatures that wait for their check; each holds its body."""

_CHECKS = ThreadPoolExecutor(1, "signatures")


@dataclass(frozen=True, slots=True)
class Caller:
    """A sender of events, with the source and the event type that its credential stands for; both may be empty."""

    principal: Principal
    source: str
    event_type: str


async def by_key(request: Request, services: Services, scope: Scope, *, bearer: bool = False) -> Principal:
    """
    Authenticate by `X-API-KEY`, and with `bearer` by `Authorization: Bearer` too; where both are sent, both must be valid.

    A signature alone opens nothing here; beside a key it must be valid as well.
    Raises: NotAuthenticated, NotAllowed.
    """
    headers = request.headers
    if API_KEY in headers and "authorization" not in headers and SIGNATURE not in headers:
        principal = authenticate.by_api_key(services.registry, headers[API_KEY])
    else:
        principal = _together(await _key_holders(request, services, bearer))
    principal.require(scope)
    return principal


async def _key_holders(request: Request, services: Services, bearer: bool) -> list[Principal]:
    """Check every credential of a request of which one at least must be a key."""
    keys = [request.headers[API_KEY]] if API_KEY in request.headers else []
    if bearer and "authorization" in request.headers:
        scheme, _, token = request.headers["authorization"].partition(" ")
        keys.append(token.strip() if scheme.lower() == "bearer" else "")
    if not keys:
        raise NotAuthenticated
    principals = [authenticate.by_api_key(services.registry, key) for key in keys]
    if SIGNATURE in request.headers:
        principals.append(await _signer(request, services, None))
    return principals


async def by_key_or_signature(request: Request, services: Services, scope: Scope, *, source: str | None = None) -> Caller:
    """
    Authenticate by `X-API-KEY`, by `X-Hub-Signature-256` over the raw body, or by both; each that is sent must be valid.

    `source` is the one that the path names: the signature must then be made with a secret of that source, and a key's tenant
    must have it.
    Raises: NotAuthenticated, NotAllowed, NotFound (a key's tenant has no such source).
    """
    key = request.headers.get(API_KEY)
    if SIGNATURE in request.headers:
        signer = await _signer(request, services, source)
        held = [] if key is None else [authenticate.by_api_key(services.registry, key)]
        principal = _together([*held, signer])
        caller = Caller(principal, signer.credential.partition("/")[0], signer.event_type)
    else:
        principal = authenticate.by_api_key(services.registry, key or "")
        caller = Caller(principal, principal.credential, principal.event_type)
        if source is not None:
            caller = Caller(principal, source, _type_of_source(services, principal.tenant, source))
    principal.require(scope)
    return caller


async def _signer(request: Request, services: Services, source: str | None) -> Principal:
    """
    Check the signature; off the event loop where that takes long, because hashing lets the interpreter go.

    Anybody can ask for that, so it is done one after another, in a thread of its own.
    Raises: NotAuthenticated, Unavailable where too many wait.
    """
    arguments = services.registry, request.body, request.headers[SIGNATURE], source
    if not authenticate.takes_long(services.registry, len(request.body), source):
        return authenticate.by_signature(*arguments)
    if _CHECKS._work_queue.qsize() >= MOST_WAITING:
        raise Unavailable("Too many signatures are being checked. Try again.")
    return await asyncio.get_running_loop().run_in_executor(_CHECKS, authenticate.by_signature, *arguments)


def _together(principals: list[Principal]) -> Principal:
    """Make one principal of several valid credentials; they must belong to one tenant."""
    first = principals[0]
    if len(principals) == 1:
        return first
    if any(other.tenant != first.tenant for other in principals):
        raise NotAuthenticated
    return dataclasses.replace(first, scopes=frozenset().union(*(one.scopes for one in principals)))


def _type_of_source(services: Services, tenant: str, source: str) -> str:
    """Give the event type of a tenant's own source; Raises: NotFound where it has none of that name."""
    own = [secret for secret in services.registry.signing_secrets(source) if secret.tenant == tenant]
    if not own:
        raise NotFound("There is no webhook source of this name.")
    return own[-1].event_type
