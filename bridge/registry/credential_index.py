# SPDX-License-Identifier: Apache-2.0
"""
The part of the registry in memory that finds what a request shows: API keys and values of pairs, by their SHA-256 digests.

Kept by `view`, whose rules of threads hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bridge.registry.objects import Credential, Object, SecretPair

Environment = Literal["test", "live"]


class CredentialIndex:
    """Follows every change of an API key and of a pair."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Credential] = {}
        self._pairs: dict[bytes, tuple[SecretPair, Environment]] = {}

    def api_key(self, digest: bytes) -> Credential | None:
        """Give the API key of a digest (32 bytes), whatever its state."""
        return self._keys.get(digest)

    def pair(self, digest: bytes) -> tuple[SecretPair, Environment] | None:
        """Give the pair and the environment of a value's digest (32 bytes), whatever the pair's state."""
        return self._pairs.get(digest)

    def replace(self, old: Object | None, new: Object | None) -> None:
        """Take an object's new state in place of its old one; None: it is gone, or cannot be read."""
        keys, pairs = _keys(new), _pairs(new)
        self._keys.update(keys)
        self._pairs.update(pairs)
        for digest in _keys(old).keys() - keys:
            self._keys.pop(digest, None)
        for digest in _pairs(old).keys() - pairs:
            self._pairs.pop(digest, None)


def _keys(of: Object | None) -> Mapping[bytes, Credential]:
    return {bytes.fromhex(of.digest): of} if isinstance(of, Credential) else {}


def _pairs(of: Object | None) -> Mapping[bytes, tuple[SecretPair, Environment]]:
    if not isinstance(of, SecretPair):
        return {}
    return {bytes.fromhex(of.test): (of, "test"), bytes.fromhex(of.live): (of, "live")}
