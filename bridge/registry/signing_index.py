# SPDX-License-Identifier: Apache-2.0
"""Signing secrets, decrypted and keyed once, by the source that they are of: what a signature is tried against."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge import logs
from bridge.decisions.facts import Ref
from bridge.registry.objects import Object, SigningSecret

LOG = logs.get("bridge.registry")


@dataclass(frozen=True, slots=True)
class KeyedSecret:
    """A signing secret with its HMAC context, keyed once so that a request only copies it."""

    secret: SigningSecret
    mac: hmac.HMAC


class SigningIndex:
    """Follows every change of a signing secret; one that cannot be decrypted is logged and left out."""

    def __init__(self, decrypt: Callable[[str], bytes]) -> None:
        self._decrypt = decrypt
        self._keyed: dict[Ref, KeyedSecret] = {}
        self._changes = 0
        self._by_source: tuple[int, dict[str | None, list[KeyedSecret]]] = (0, {})

    def of(self, source: str | None) -> Sequence[KeyedSecret]:
        """Give the secrets of one source name, or of all (None), whatever their state."""
        changes, by_source = self._by_source
        if changes != self._changes:
            changes, by_source = self._changes, {}  # read first: a change meanwhile makes this stale again
            for keyed in list(self._keyed.values()):
                by_source.setdefault(None, []).append(keyed)
                by_source.setdefault(keyed.secret.source, []).append(keyed)
            self._by_source = changes, by_source
        return by_source.get(source, ())

    def replace(self, ref: Ref, new: Object | None) -> None:
        """Take an object's new state; None: it is gone, or cannot be read."""
        if isinstance(new, SigningSecret):
            self._key(ref, new)
        elif self._keyed.pop(ref, None) is None:
            return
        self._changes += 1

    def _key(self, ref: Ref, secret: SigningSecret) -> None:
        known = self._keyed.get(ref)
        if known and known.secret.ciphertext == secret.ciphertext:
            self._keyed[ref] = KeyedSecret(secret, known.mac)
            return
        try:
            self._keyed[ref] = KeyedSecret(secret, hmac.new(self._decrypt(secret.ciphertext), digestmod=hashlib.sha256))
        except ValueError as err:
            self._keyed.pop(ref, None)
            LOG.error("a signing secret cannot be decrypted; `evb doctor` says how to mend it", secret=str(ref), reason=str(err))
