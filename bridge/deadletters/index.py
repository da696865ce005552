# SPDX-License-Identifier: Apache-2.0
"""
Which letters there are: one pass over the topic that keeps no bodies.

It keeps 0.5 kB for each letter that is asked for and nothing for the others, so that any number of bodies of any size fits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

from bridge.deadletters.letter import REPLAYED_AT, REPLAYS, Letter
from bridge.domain.patterns import matches
from bridge.kafka.scan import Scan
from bridge.settings import Settings
from bridge.topics import DEAD_LETTERS


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which letters are meant: all that fit every filter that is given.

    `type` is a dotted pattern, `code` a reason's code; a letter died at or after `since_ms` and before `until_ms` (0: no
    bound). `keys` None: not named one by one.
    """

    tenant: str = ""
    type: str = ""
    process: str = ""
    code: str = ""
    since_ms: int = 0
    until_ms: int = 0
    keys: frozenset[str] | None = None

    def fits(self, letter: Letter) -> bool:
        """Say whether a letter is meant."""
        return (
            (self.keys is None or letter.key in self.keys)
            and self.tenant in ("", letter.tenant)
            and self.process in ("", letter.process)
            and self.code in ("", letter.code)
            and letter.died_ms >= self.since_ms
            and (not self.until_ms or letter.died_ms < self.until_ms)
            and (not self.type or matches(self.type, letter.text("ce_type")))
        )


class Entry(NamedTuple):
    """What a plan needs to know of a letter: when it died, where it lies now, what it is about, and its replays so far."""

    died_ms: int
    partition: int
    offset: int
    tenant: str
    type: str
    process: str
    code: str
    replays: int
    replayed_ms: int


def index(settings: Settings, wanted: Wanted) -> dict[str, Entry]:
    """
    Find the letters that are meant, by key.

    Order:  none that means anything.
    Raises: BrokerUnavailable, Misconfigured.
    """
    found: dict[str, Entry] = {}
    # Marks carry the time of their letter, but lie behind it, as tombstones do: nothing that counts is missed.
    with Scan(settings, (DEAD_LETTERS,), wanted.since_ms or None) as scan:
        while not scan.done:
            for message in scan.read(500, 0.2):
                key = (message.key() or b"").decode(errors="replace")
                before = found.pop(key, None)
                if message.value() is not None and wanted.fits(letter := Letter(message)):
                    found[key] = _entry(letter, before)
    return found


def _entry(letter: Letter, before: Entry | None) -> Entry:
    # A worker that was killed may write a letter a second time, behind the mark of its replay: the mark holds all the same.
    replays, replayed_ms = letter.number(REPLAYS), letter.number(REPLAYED_AT)
    if before is not None:
        replays, replayed_ms = max(replays, before.replays), max(replayed_ms, before.replayed_ms)
    tenant, type_, process, code = map(sys.intern, (letter.tenant, letter.text("ce_type"), letter.process, letter.code))
    return Entry(letter.died_ms, letter.partition, letter.offset, tenant, type_, process, code, replays, replayed_ms)
