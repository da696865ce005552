# SPDX-License-Identifier: Apache-2.0
"""
Where claims are kept in Redis while and after they are decided about: a field of their event's hash, a few bytes each.

A tentative change has a hash of its own, which goes with its confirmation; what was never confirmed leaves it until the event is
forgotten, so that its number is not given again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.claims.facts import Place
from bridge.claims.packed import pack
from bridge.claims.state import Claim, State
from bridge.decisions.facts import EPOCH_SPAN
from bridge.decisions.holds import HOLD_MS, Change, Held, Stale, Tentative
from bridge.redis.keys import Keys, list_member
from bridge.redis.pipe import Argument, Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings

LISTED: Final = (State.CREATED, State.PROCESSING, State.FINISHED, State.FAILED)
"""The states that have a list each, in the order of `packed`."""


@dataclass(frozen=True, slots=True)
class ClaimChange(Change):
    """What somebody wants a claim to be."""

    place: Place
    claim: Claim


@dataclass(frozen=True, slots=True)
class Written:
    """A claim to write into the view. `nonce` is that of our hold, empty where none is asked for."""

    place: Place
    claim: Claim
    version: int
    nonce: str = ""


class ClaimHolds:
    """One per web process."""

    def __init__(self, pipe: Pipe, settings: Settings) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)
        self._keep_s = settings.retention_hours * 3600

    async def begin(self, change: ClaimChange) -> Tentative[ClaimChange] | None:
        """Make a change of a claim tentative."""
        place, names, nonce, run_id = change.place, self._keys, secrets.token_hex(8), self._pipe.run_id
        event = names.event(place.tenant, place.event_key)
        hold = names.claiming(place.tenant, place.event_key, place.tx_key)
        args = (run_id, nonce, place.tx_key, change.expected, HOLD_MS, EPOCH_SPAN, self._keep_s)
        match await self._pipe.script(script("claim_begin"), (names.epoch, event, hold), args):
            case [b"tentative", int(version), int(epoch)]:
                return Tentative(change, version, epoch, run_id, nonce)
            case [b"stale", int(version)]:
                raise Stale(f"The transaction was changed meanwhile: it is at version {version}, not {change.expected}.")
            case [b"held", int(ms)]:
                raise Held(f"The transaction is being changed by someone else; that may take {ms / 1000:.0f} s.")
            case _:
                return None

    async def release(self, tentative: Tentative[ClaimChange]) -> None:
        """Let go of a change."""
        place = tentative.change.place
        hold = self._keys.claiming(place.tenant, place.event_key, place.tx_key)
        await self._pipe.script(script("release_hold"), (hold,), (tentative.nonce,))

    async def confirm(self, tentative: Tentative[ClaimChange]) -> bool:
        """Confirm a change: the claim, its lists and its lease are as it says from now on."""
        change = tentative.change
        written = Written(change.place, change.claim, tentative.version, tentative.nonce)
        return await self.write(self._keys.epoch, tentative.life, [written])

    async def write(self, guard: str, must_be: str, claims: Sequence[Written]) -> bool:
        """Write claims while the key `guard` holds `must_be`; newer ones stay. Raises: ViewUnavailable."""
        keys: list[Argument] = [guard]
        args: list[Argument] = [must_be]
        for one in claims:
            keys += self._places(one.place, one.claim)
            args += self._values(one)
        return bool(await self._pipe.script(script("claim_write"), keys, args) == 1)

    def _places(self, place: Place, claim: Claim) -> list[Argument]:
        names, tenant = self._keys, place.tenant
        lists = [names.listed(tenant, place.environment, place.full_name, state.value, place.tx_key) for state in LISTED]
        return [
            names.event(tenant, place.event_key),
            names.claiming(tenant, place.event_key, place.tx_key),
            *lists,
            names.leases(tenant),
            names.lease(tenant, due_second(claim)),
        ]

    def _values(self, one: Written) -> list[Argument]:
        place, claim = one.place, one.claim
        return [
            one.nonce,
            place.tx_key,
            pack(claim, one.version),
            list_member(place.event_key),
            place.created_ms,
            due_second(claim),
            place.created_ms // 1000 + self._keep_s,
        ]


def due_second(claim: Claim) -> int:
    """Give the second in which a held claim's lease is over; 0 where it is not held."""
    return -(-claim.until_ms // 1000) if claim.state.held else 0
