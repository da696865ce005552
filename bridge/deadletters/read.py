# SPDX-License-Identifier: Apache-2.0
"""List letters page by page, and show one of them whole."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.deadletters.index import Entry, Wanted, index
from bridge.deadletters.letter import Letter
from bridge.deadletters.plan import Plan
from bridge.deadletters.run import letters_of
from bridge.domain.errors import NotFound
from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, the newest first; `cursor` is where the next page begins, empty after the last one."""

    letters: Sequence[Letter]
    cursor: str
    total: int


def find(settings: Settings, wanted: Wanted, most: int, after: tuple[int, str] | None = None) -> Page:
    """
    Give the newest `most` letters that fit, or those behind `after` (of `place_of`); `total` counts all that fit.

    Order:  by the time they died, the newest first, then by key.
    Raises: BrokerUnavailable, Misconfigured.
    """
    found = index(settings, wanted)
    ordered = sorted(found.items(), key=_place, reverse=True)
    left = ordered if after is None else [item for item in ordered if _place(item) < after]
    chosen = dict(left[:most])
    letters = sorted(letters_of(settings, Plan(chosen)), key=lambda letter: (letter.died_ms, letter.key), reverse=True)
    more = len(left) > most
    return Page(letters, _cursor(*_place(left[most - 1])) if more else "", len(found))


def get(settings: Settings, key: str, tenant: str = "") -> Letter:
    """Give one letter of a tenant's, or of anybody's. Raises: NotFound, BrokerUnavailable, Misconfigured."""
    page = find(settings, Wanted(tenant=tenant, keys=frozenset((key,))), 1)
    if not page.letters:
        raise NotFound(f"There is no dead letter {key}.")
    return page.letters[0]


def place_of(cursor: str) -> tuple[int, str]:
    """Read a page's cursor. Raises: ValueError."""
    try:
        died_ms, _, key = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return int(died_ms), key
    except (ValueError, binascii.Error):
        raise ValueError("is not a cursor that a page gave") from None


def _place(item: tuple[str, Entry]) -> tuple[int, str]:
    return item[1].died_ms, item[0]


def _cursor(died_ms: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{died_ms} {key}".encode()).decode()
