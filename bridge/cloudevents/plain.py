# SPDX-License-Identifier: Apache-2.0
"""
The quick way through binary mode: header names that came together before, values that need no decoding.

`bridge.cloudevents.http` asks here first. Nothing is refused here and no fault is named: whatever this way cannot vouch for is
read again, slowly, by the rules. Where it gives an event, the slow way would give an equal one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from bridge.cloudevents import attributes as rules
from bridge.cloudevents import jsontext, producer, syntax
from bridge.domain.event import RESERVED, Event
from bridge.domain.limits import ATTRIBUTES

_NAMES_CHARS, _VALUES_CHARS = 1000, 1000
"""Longer ones take the slow way, so that a stranger's texts are never remembered without bound; no limit is below this."""

Values = Callable[[Mapping[str, str]], tuple[str, ...]]


class _Form(NamedTuple):
    """
    What a request's header names say before any value is looked at.

    `names` are the attributes whose texts `values` takes from the headers. `repeated` are those of them whose texts come again
    and again, taken from the attributes by `again`; `single` have a syntax or a limit of their own and new texts each time.
    """

    names: tuple[str, ...]
    values: Values
    repeated: tuple[str, ...]
    again: Values
    single: tuple[str, ...]


def event_of(headers: Mapping[str, str], body: bytes) -> Event | None:
    """Read a request in binary mode, or give None: then it has to be read by the rules."""
    names = tuple(headers)
    form = _form(names) if len("".join(names)) <= _NAMES_CHARS else None
    if form is None:
        return None
    texts = form.values(headers)
    if not _plain(texts):
        return None
    attributes = dict(zip(form.names, texts, strict=True))
    is_json = _is_json(form.repeated, form.again(attributes))
    if is_json is None or (is_json and body and jsontext.fault(body)):
        return None
    for name in form.single:
        if producer.value_fault(name, attributes[name]):
            return None
    return Event(attributes, body)


def _plain(texts: tuple[str, ...]) -> bool:
    """Tell whether none of the texts is empty or long, and each stands for itself (`percent.decode`)."""
    together = "".join(texts)
    return (
        len(together) <= _VALUES_CHARS
        and together.isascii()
        and together.isprintable()
        and "%" not in together
        and '"' not in together
        and "" not in texts
    )


@lru_cache(maxsize=256)
def _form(headers: tuple[str, ...]) -> _Form | None:
    """Look at a request's header names; None where one of them is at fault or one is missing."""
    given = [header for header in headers if header[:3] == "ce-"]
    names = [header[3:] for header in given]
    if "datacontenttype" in names or any(name in RESERVED or rules.name_fault(name) for name in names):
        return None
    if "content-type" in headers:
        given.append("content-type")
        names.append("datacontenttype")
    if len(names) > ATTRIBUTES or not names or any(name not in names for name in rules.REQUIRED):
        return None
    looked_at = [name for name in names if name in producer.LOOKED_AT]
    repeated = [name for name in looked_at if name in producer.REPEATED]
    single = [name for name in looked_at if name not in producer.REPEATED]
    return _Form(tuple(names), itemgetter(*given), tuple(repeated), itemgetter(*repeated), tuple(single))


@lru_cache(maxsize=1024)
def _is_json(names: tuple[str, ...], texts: tuple[str, ...]) -> bool | None:
    """Say whether the data calls itself JSON; None where one of the repeated attributes has a fault."""
    attributes = dict(zip(names, texts, strict=True))
    if any(producer.value_fault(name, text) for name, text in attributes.items()):
        return None
    return syntax.is_json(attributes.get("datacontenttype", ""))
