# SPDX-License-Identifier: Apache-2.0
"""Bodies: a JSON value of a webhook or callback, and a CloudEvent as the JSON object that conditions and runs see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson

from bridge.cloudevents import http, jsontext, syntax
from bridge.domain import ids
from bridge.domain.errors import Fault, InvalidEvent, UnsupportedMedia
from bridge.domain.event import Event
from bridge.domain.limits import LOOP_BYTES
from web.http.messages import Request

NO_OBJECT: Final = Fault("/data", "must be a JSON object, or a text that holds one")

T = TypeVar("T")


async def value_of(request: Request) -> Any:
    """Read a JSON body. Raises: UnsupportedMedia, InvalidEvent."""
    given = request.headers.get("content-type", "")
    if syntax.media_type(given) != "application/json" or syntax.charset(given) not in ("", "utf-8"):
        raise UnsupportedMedia(f"Send application/json in UTF-8, not {given[:100]!r}.")
    return await _aside(request, lambda: _value(request.body))


async def event_of(request: Request) -> tuple[dict[str, Any], str]:
    """
    Read a CloudEvent, structured or binary: its attributes, with `data` where it has some, and its name.

    Again:  the same name.
    Raises: InvalidEvent with every fault; UnsupportedMedia for a batch and for other formats.
    """
    return await _aside(request, lambda: _event(request))


async def _aside(request: Request, read: Callable[[], T]) -> T:
    """Read a body; a large one in a thread: parsing it would hold the loop up."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMedia("Send the body without a content encoding.")
    return await asyncio.to_thread(read) if len(request.body) > LOOP_BYTES else read()


def _value(text: bytes) -> Any:
    if wrong := jsontext.fault(text) if text else "must be JSON":
        raise InvalidEvent(Fault("", wrong))
    return _load(text, "")


def _event(request: Request) -> tuple[dict[str, Any], str]:
    if http.is_batch(request.headers):
        raise UnsupportedMedia("Send one event; batches are for /events.")
    (event,) = http.read(request.headers, request.body)
    found: dict[str, Any] = dict(event.attributes)
    data = _data(event)
    name = ids.event_key("", event.source, event.id, event.type, event.content_type, event.data)
    return (found if data is None else found | {"data": data}), name


def _data(event: Event) -> dict[str, Any] | None:
    """Give an event's data; older clients of Flow send an object as a JSON text within the JSON."""
    if not event.data or event.data == b"null":
        return None
    found = _load(event.data, "/data") if syntax.is_json(event.content_type or "application/json") else None
    if isinstance(found, str) and not jsontext.fault(found.encode()):
        found = _load(found.encode(), "/data")
    if not isinstance(found, dict):
        raise InvalidEvent(NO_OBJECT)
    return found


def _load(text: bytes, pointer: str) -> Any:
    """Build the value of JSON that is known to be well-formed; a number may still be more than any computer's."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as err:
        raise InvalidEvent(Fault(pointer, f"cannot be read: {err.msg}")) from err
