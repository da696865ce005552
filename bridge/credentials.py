# SPDX-License-Identifier: Apache-2.0
"""
How credentials are made and kept: API keys as a digest, signing secrets encrypted under the operator's keys.

Called by the registry and the use cases that change it. Nothing here logs, and no plain credential is ever written anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from bridge.domain.errors import Misconfigured

KEY_PREFIX = "evb_"
CLIENT_PREFIX = "evbc_"
SECRET_PREFIX = "whsec_"  # noqa: S105  a public prefix
RANDOM_BYTES = 32
LONG_ENOUGH = 24
"""From this many characters on, the last four may be shown to people."""

NEW_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


@dataclass(frozen=True, slots=True)
class NewKey:
    """An API key at the only moment when its text is known."""

    text: str
    digest: str
    hint: str


def new_api_key() -> NewKey:
    """Make an API key of 256 random bits."""
    text = KEY_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return NewKey(text, digest(text).hex(), f"{text[: len(KEY_PREFIX) + 4]}…{text[-4:]}")


def new_pair_value(environment: str) -> NewKey:
    """Make one value of a secret key, of 256 random bits; what it begins with says what it is for."""
    prefix = f"sk_{environment}_1_"
    text = prefix + secrets.token_urlsafe(RANDOM_BYTES)
    return NewKey(text, digest(text).hex(), f"{text[: len(prefix) + 4]}…{text[-4:]}")


def new_client_secret() -> NewKey:
    """Make a client's secret, of 256 random bits."""
    text = CLIENT_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return NewKey(text, digest(text).hex(), f"{text[: len(CLIENT_PREFIX) + 4]}…{text[-4:]}")


def new_flow_token(prefix: str) -> NewKey:
    """Make a token of Flow's API, of 256 random bits; what it begins with says its kind."""
    text = prefix + secrets.token_urlsafe(RANDOM_BYTES)
    return NewKey(text, digest(text).hex(), f"{text[: len(prefix) + 4]}…{text[-4:]}")


def digest(text: str) -> bytes:
    """
    Give the SHA-256 by which an API key is known.

    The key has 256 random bits, so a slow password hash would add nothing, and a look-up by digest tells a guesser nothing.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def new_signing_secret() -> str:
    """Make a signing secret of 256 random bits in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()


def hint_of(secret: str) -> str:
    """Give what of a signing secret people may see."""
    return f"…{secret[-4:]}" if len(secret) >= LONG_ENOUGH else "…"


class Unopenable(ValueError):
    """A ciphertext that none of the keys opens."""


class Vault:
    """
    Encrypts and decrypts signing secrets. The first of the keys encrypts, every one decrypts.

    Raises: Misconfigured when a key is malformed; having no key at all is a fault only once a secret is to be encrypted.
    """

    def __init__(self, keys: str) -> None:
        parts = [part.strip() for part in keys.split(",") if part.strip()]
        try:
            self._fernet = MultiFernet([Fernet(part) for part in parts]) if parts else None
        except ValueError as err:
            raise Misconfigured(
                f"EVB_SECRET_KEYS: every key must be 32 bytes in url-safe base64; make one with: {NEW_KEY}"
            ) from err

    @property
    def has_key(self) -> bool:
        """Whether secrets can be encrypted."""
        return self._fernet is not None

    def seal(self, secret: str) -> str:
        """Encrypt a secret. Raises: Misconfigured without a key."""
        return self._need().encrypt(secret.encode()).decode()

    def open(self, ciphertext: str) -> bytes:
        """Decrypt a secret. Raises: Unopenable."""
        if self._fernet is None:
            raise Unopenable("EVB_SECRET_KEYS is empty")
        try:
            return self._fernet.decrypt(ciphertext.encode())
        except InvalidToken as err:
            raise Unopenable("it was encrypted under a key that EVB_SECRET_KEYS no longer holds") from err

    def reseal(self, ciphertext: str) -> str:
        """Encrypt again under the first key. Raises: Misconfigured without a key, Unopenable."""
        fernet = self._need()
        try:
            return fernet.rotate(ciphertext.encode()).decode()
        except InvalidToken as err:
            raise Unopenable("it was encrypted under a key that EVB_SECRET_KEYS no longer holds") from err

    def _need(self) -> MultiFernet:
        if self._fernet is None:
            raise Misconfigured(f"EVB_SECRET_KEYS: signing secrets need a key to encrypt them; make one with: {NEW_KEY}")
        return self._fernet
