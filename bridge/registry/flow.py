# SPDX-License-Identifier: Apache-2.0
"""
The tokens of Flow's API as objects of the registry, and the index that a request asks by a token's digest.

Changed by the use cases of `flow_tokens`; the index is kept by `view`, whose rules of threads hold here too.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from bridge.decisions.facts import Ref
from bridge.registry.fields import Digest, Id, Label, Millis, Name

TokenKind = Literal["team", "workflow", "user", "global"]
PREFIXES: Final[dict[TokenKind, str]] = {"team": "bft_", "workflow": "bfw_", "user": "bfu_", "global": "bfg_"}
"""What a token's text begins with."""


class FlowToken(msgspec.Struct, frozen=True, kw_only=True):
    """
    A token of Flow's API, known by the SHA-256 of its text; `hint` is its first and last characters, for people.

    One of the kind `workflow` opens `workflow` only, which the others leave empty.
    """

    id: Id
    tenant: Name
    name: Label
    kind: TokenKind
    digest: Digest
    hint: str
    scopes: tuple[str, ...]
    workflow: Annotated[str, msgspec.Meta(max_length=64)] = ""
    state: Literal["active", "revoked"] = "active"
    expires_ms: Millis = 0
    created_ms: Millis = 0

    def valid(self, now_ms: int) -> bool:
        """Say whether it opens anything at this time."""
        return self.state == "active" and (not self.expires_ms or now_ms < self.expires_ms)


class FlowTokenIndex:
    """Follows every change of a token."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, FlowToken] = {}
        self._digests: dict[Ref, bytes] = {}

    def token(self, digest: bytes) -> FlowToken | None:
        """Give the token of a text's SHA-256 (32 bytes), whatever its state."""
        return self._by_digest.get(digest)

    def tokens(self, tenant: str) -> tuple[FlowToken, ...]:
        """Give a tenant's tokens, the oldest first, revoked ones too."""
        found = [one for one in list(self._by_digest.values()) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))

    def replace(self, ref: Ref, new: Any) -> None:
        """Take an object's new state; None: it is gone, or cannot be read."""
        if ref.kind != "flowtoken":
            return
        digest = bytes.fromhex(new.digest) if isinstance(new, FlowToken) else b""
        old = self._digests.pop(ref, b"")
        if digest:
            self._digests[ref], self._by_digest[digest] = digest, new
        if old != digest:
            self._by_digest.pop(old, None)
