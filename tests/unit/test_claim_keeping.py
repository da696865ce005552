# SPDX-License-Identifier: Apache-2.0
"""What the log's end says of a claim, and leases that cannot be given back now: they are looked at again."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.claims.leases import Leases
from bridge.claims.log import ClaimLog
from bridge.decisions.facts import EPOCH_SPAN, Line, Ref, marker_key
from bridge.decisions.holds import Held
from bridge.domain.errors import BridgeError, BrokerUnavailable, ViewUnavailable
from bridge.settings import Settings

REF = Ref("claim", "acme", "k.d")


@pytest.mark.parametrize(("registry", "fate"), [(0, "counts"), (4, "counts"), (5, "void")])
async def test_a_claim_of_an_epoch_that_the_registry_has_left_is_void(registry: int, fate: str) -> None:
    """The marker of its own topic may lie before the place where this process began to follow."""
    log, version = ClaimLog(Settings(), lambda: registry), 4 * EPOCH_SPAN + 1
    assert log._take(Line(0, REF.record_key(version), b"{}", b"4", 1)) == REF
    assert await log.fate(REF, version, 1) == fate


async def test_a_marker_that_follows_makes_the_next_claims_void() -> None:
    log, version = ClaimLog(Settings(), lambda: 0), 4 * EPOCH_SPAN + 1
    log._take(Line(0, marker_key(5, "w"), b"", b"5", 1))
    log._take(Line(0, REF.record_key(version), b"{}", b"4", 2))
    assert await log.fate(REF, version, 1) == "void"
    log._facts.forget(REF)
    assert await log.fate(REF, version, 0.01) is None


@pytest.mark.parametrize(
    ("trouble", "over"), [(None, True), (Held("h"), False), (BrokerUnavailable("b"), False), (ViewUnavailable("v"), False)]
)
async def test_a_lease_that_cannot_be_given_back_now_is_looked_at_again(trouble: BridgeError | None, *, over: bool) -> None:
    async def expire(*_: Any) -> bool:
        if trouble is not None:
            raise trouble
        return True

    claims: Any = SimpleNamespace(expire=expire)
    nothing: Any = None
    leases = Leases(nothing, Settings(), claims, list)
    assert await leases._expire("acme", uuid.uuid4().bytes + b"t") is over
