# SPDX-License-Identifier: Apache-2.0
"""What each operation of the document is asked with."""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.claims.state import State
from web.dialects.buildable.wire import ENTERED, FULL_NAME_CHARS, NAME_CHARS, PAGE_SIZE, TERMINAL, TX_KEY_CHARS, Reader

LATEST: Final = 2**53
PAGES: Final = 10**9


class Emit(NamedTuple):
    """`POST /emit`; `payload` is the slice of the body that holds it."""

    event: str
    payload: bytes


class Name(NamedTuple):
    """The parts of a full name; empty ones mean the caller's own."""

    event_name: str
    platform: str
    label: str


class Query(NamedTuple):
    """`POST /query`."""

    name: Name
    tx_key: str
    since_ms: int
    state: State
    page: int
    page_size: int


class Transition(NamedTuple):
    """`POST /init`, `/update` and `/transact`; `event_name` is empty where none has to fit."""

    key: str
    tx_key: str
    event_name: str = ""
    state: State = State.CREATED
    output: str | None = None


def emit(given: Reader) -> Emit:
    """Read `POST /emit`."""
    return Emit(given.text("event", NAME_CHARS), given.object("payload"))


def full_name(given: Reader) -> Name:
    """Read `POST /get-full-event-name`."""
    return _name(given)


def query(given: Reader) -> Query:
    """Read `POST /query`."""
    return Query(
        _name(given),
        given.text("txKey", TX_KEY_CHARS),
        given.number("since", 0, 0, LATEST),
        given.state("txState", tuple(State), State.NONE),
        given.number("page", 1, 1, PAGES),
        given.number("pageSize", 10, 1, PAGE_SIZE),
    )


def init(given: Reader) -> Transition:
    """Read `POST /init`."""
    return Transition(_key(given), _tx_key(given), given.text("eventName", FULL_NAME_CHARS, required=False))


def update(given: Reader) -> Transition:
    """Read `POST /update`."""
    return Transition(_key(given), _tx_key(given), given.text("eventName", FULL_NAME_CHARS), given.state("txState", ENTERED))


def transact(given: Reader) -> Transition:
    """Read `POST /transact`."""
    name = given.text("eventName", FULL_NAME_CHARS, required=False)
    return Transition(_key(given), _tx_key(given), name, given.state("state", TERMINAL), given.output("output"))


def _name(given: Reader) -> Name:
    return Name(
        given.text("eventName", FULL_NAME_CHARS),
        given.text("platform", NAME_CHARS, required=False, plain=True),
        given.text("label", NAME_CHARS, required=False, plain=True),
    )


def _key(given: Reader) -> str:
    return given.text("key", NAME_CHARS)


def _tx_key(given: Reader) -> str:
    return given.text("txKey", TX_KEY_CHARS)
