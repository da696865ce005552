# SPDX-License-Identifier: Apache-2.0
"""
The public keys of an issuer outside: fetched off the event loop, kept, and fetched again when they are old or one is unknown.

A stranger can make us ask the issuer once a minute, no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx2
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from bridge import logs
from bridge.domain.errors import NotAuthenticated, Unavailable

MAX_AGE_S: Final = 3600.0  # a key that the issuer has withdrawn opens nothing for longer than this
UNKNOWN_S: Final = 60.0  # how often an unknown key is asked for
FAILED_S: Final = 5.0  # how often it is tried again where there are no keys
FETCH_S: Final = 3.0
BYTES: Final = 256 * 1024
MOST_KEYS: Final = 100

PublicKey = RSAKey | ECKey | OKPKey
Keys = dict[str | None, PublicKey]
TYPES: Final[dict[object, type[PublicKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
"""Asymmetric ones only: a secret that an issuer publishes would be everybody's."""

LOG = logs.get("bridge.tokens")


class PublicKeys:
    """Used on one loop. `fetch` blocks, in a thread; `clock` gives seconds that never step back."""

    def __init__(
        self, url: str, fetch: Callable[[str], bytes] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._fetch, self._clock = url, fetch or fetch_document, clock
        self._keys: Keys = {}
        self._fetched, self._tried = float("-inf"), float("-inf")
        self._failed = False
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> PublicKey:
        """
        Give the key of an id; without one, the only key there is.

        Raises: NotAuthenticated where the issuer has no such key, Unavailable where it cannot be asked.
        """
        found = self._known(kid)
        if found is not None:
            return found
        async with self._lock:  # whoever waited for another's fetch finds what that brought
            found = self._known(kid)
            if found is not None:
                return found
            now = self._clock()
            old = now - self._fetched >= MAX_AGE_S
            if now - self._tried >= (FAILED_S if old else UNKNOWN_S):
                await self._ask(now)
        found = self._known(kid)
        if found is not None:
            return found
        if self._failed:
            raise Unavailable("The issuer's keys cannot be fetched.")
        raise NotAuthenticated

    def _known(self, kid: str | None) -> PublicKey | None:
        if self._clock() - self._fetched >= MAX_AGE_S:
            return None
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _ask(self, now: float) -> None:
        self._tried = now
        try:
            self._keys = read_keys(await asyncio.to_thread(self._fetch, self._url))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as err:
            self._failed = True
            LOG.error("the keys of the tokens' issuer cannot be fetched", url=self._url, reason=str(err) or type(err).__name__)
        else:
            self._failed, self._fetched = False, now


def read_keys(document: bytes) -> Keys:
    """Read a JWK set; keys of no use here are left out. Raises: ValueError where it is none, or nothing is left."""
    given = orjson.loads(document)
    listed = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a JWK set")
    found: Keys = {}
    for one in listed[:MOST_KEYS]:
        type_ = TYPES.get(one.get("kty")) if isinstance(one, dict) and isinstance(one.get("kty"), str) else None
        if type_ is None or one.get("use", "sig") != "sig" or not isinstance(one.get("kid"), str | None):
            continue
        try:
            found[one.get("kid")] = type_.import_key(one)
        except (JoseError, ValueError, TypeError):
            LOG.warning("a key of the tokens' issuer cannot be read", kid=one.get("kid"))
    if not found:
        raise ValueError("it holds no public key that can be used")
    return found


def fetch_document(url: str) -> bytes:
    """Get a document of bounded size in bounded time. Raises: httpx2.HTTPError, ValueError."""
    deadline, body = time.monotonic() + FETCH_S, b""
    plain = {"accept": "application/json", "accept-encoding": "identity"}  # what is not packed cannot swell
    with httpx2.stream("GET", url, headers=plain, timeout=FETCH_S / 2, follow_redirects=False, trust_env=False) as answer:
        if answer.status_code != 200:
            raise ValueError(f"the issuer answers {answer.status_code}")
        for part in answer.iter_raw():
            body += part
            if len(body) > BYTES:
                raise ValueError(f"it is longer than {BYTES} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"it takes longer than {FETCH_S:g} s")
    return body
