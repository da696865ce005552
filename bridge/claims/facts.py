# SPDX-License-Identifier: Apache-2.0
"""A claim as the record of `bridge.claims` holds it, and the name under which it is decided about."""

from __future__ import annotations

import hashlib

import msgspec

from bridge.claims.state import Change, Claim
from bridge.decisions.facts import Ref

KIND = "claim"


class Place(msgspec.Struct, frozen=True):
    """Which claim it is: an event of a tenant, with its name and environment, under a transaction key."""

    tenant: str
    environment: str
    full_name: str
    event_key: str
    created_ms: int
    tx_key: str

    @property
    def ref(self) -> Ref:
        """The name of the object that is decided about; a transaction key may hold any character."""
        digest = hashlib.blake2b(self.tx_key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return Ref(KIND, self.tenant, f"{self.event_key}.{digest}")


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a record: the claim whole, after one change. `output` is what its holder returned, as it was sent."""

    place: Place
    changes: tuple[Change, ...]
    until_ms: int = 0
    digest: str = ""
    output: str | None = None

    @property
    def claim(self) -> Claim:
        return Claim(self.changes, self.until_ms, bytes.fromhex(self.digest))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fact).decode


def encode(place: Place, claim: Claim, output: str | None) -> bytes:
    """Write a claim as its record's value."""
    return _encode(Fact(place, claim.changes, claim.until_ms, claim.output.hex(), output))


def decode(value: bytes) -> Fact:
    """Read a record's value. Raises: ValueError where it is none of ours."""
    return _decode(value)


def digest_of(output: str | None) -> bytes:
    """Give the digest by which a claim knows its output again: nothing for none."""
    return b"" if output is None else hashlib.blake2b(output.encode("utf-8", "surrogatepass"), digest_size=8).digest()
