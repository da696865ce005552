# SPDX-License-Identifier: Apache-2.0
"""
The two steps of a decision that Redis takes part in: make it tentative, and confirm it.

`ObjectHolds` keeps a hash for each object, as the registry's few objects can afford; claims keep theirs in `bridge.claims.holds`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from bridge.decisions.facts import EPOCH_SPAN, Ref
from bridge.domain.errors import Conflict
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.redis.scripts import script
from bridge.settings import Settings

HOLD_MS: Final = 10_000
"""How long a tentative decision keeps others out: more than its record may take to be confirmed or given up."""


class Stale(Conflict):
    """Somebody else's change counts: the object is not at the version that this one was based on."""


class Held(Conflict):
    """Somebody else's decision about the object is under way."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What somebody wants an object to be.

    `expected` is the version that the change is based on (0: the object does not exist yet). `seen` is the version that this
    process has seen in Kafka: a fact, even where Redis has not been told of its confirmation.
    """

    ref: Ref
    value: bytes
    expected: int
    seen: int


ChangeT = TypeVar("ChangeT", bound=Change)


@dataclass(frozen=True, slots=True)
class Tentative(Generic[ChangeT]):
    """A decision that keeps others out for `HOLD_MS`; `nonce` says that it is ours."""

    change: ChangeT
    version: int
    epoch: int
    run_id: str
    nonce: str

    @property
    def life(self) -> str:
        """The epoch as Redis holds it."""
        return f"{self.run_id}:{self.epoch}"


class Holds(Protocol[ChangeT]):
    """Where tentative decisions are kept."""

    async def begin(self, change: ChangeT) -> Tentative[ChangeT] | None:
        """Make a decision tentative; None where the view does not stand. Raises: Stale, Held, ViewUnavailable."""

    async def release(self, tentative: Tentative[ChangeT]) -> None:
        """Let go of it: nothing of it was recorded. Raises: ViewUnavailable."""

    async def confirm(self, tentative: Tentative[ChangeT]) -> bool:
        """Confirm it; False where the view is another, or somebody took over. Raises: ViewUnavailable."""


class ObjectHolds:
    """One hash in Redis per object."""

    def __init__(self, pipe: Pipe, settings: Settings) -> None:
        self._pipe, self._keys = pipe, Keys(settings.topic_prefix)

    async def begin(self, change: Change) -> Tentative[Change] | None:
        """Make a decision tentative."""
        nonce, run_id = secrets.token_hex(8), self._pipe.run_id
        keys = (self._keys.epoch, self._keys.holes, self._keys.decision(*change.ref))
        args = (run_id, nonce, change.expected, change.seen, HOLD_MS, EPOCH_SPAN)
        match await self._pipe.script(script("decide_begin"), keys, args):
            case [b"tentative", int(version), int(epoch)]:
                return Tentative(change, version, epoch, run_id, nonce)
            case [b"stale", int(confirmed)]:
                raise Stale(f"{change.ref} was changed meanwhile: it is at version {confirmed}, not {change.expected}.")
            case [b"held", int(ms)]:
                raise Held(f"{change.ref} is being changed by someone else; that may take {ms / 1000:.0f} s.")
            case _:
                return None

    async def release(self, tentative: Tentative[Change]) -> None:
        """Let go of a decision."""
        hold = self._keys.decision(*tentative.change.ref)
        await self._pipe.script(script("release_hold"), (hold,), (tentative.nonce,))

    async def confirm(self, tentative: Tentative[Change]) -> bool:
        """Confirm a decision."""
        keys = (self._keys.epoch, self._keys.decision(*tentative.change.ref))
        args = (tentative.life, tentative.nonce, tentative.version)
        return bool(await self._pipe.script(script("decide_confirm"), keys, args) == 1)
