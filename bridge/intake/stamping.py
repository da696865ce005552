# SPDX-License-Identifier: Apache-2.0
"""How a draft becomes an event of ours: named, and stamped with the attributes that only the bridge sets. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.errors import Fault, InvalidEvent
from bridge.domain.event import Event
from bridge.domain.ids import event_key
from bridge.domain.receipt import Draft


def stamp(draft: Draft, tenant: str) -> Event:
    """
    Name a draft, and add `tenantid`, `eventkey` and `correlationid`.

    Shape: a born event's id is its event key; the correlation id is the one the caller chose, else the event key.
    """
    given = draft.attributes
    if draft.born:
        key = given["id"]
    else:
        content = (given["type"], given.get("datacontenttype", ""), draft.data, given.get("partitionkey", ""))
        key = event_key(tenant, given["source"], given["id"], *content)
    return Event(
        {**given, "tenantid": tenant, "eventkey": key, "correlationid": draft.correlation_id or key},
        draft.data,
    )


def require_distinct(drafts: Sequence[Draft]) -> None:
    """Raises: InvalidEvent naming every draft whose source and id an earlier one of the batch has."""
    seen: set[tuple[str, str]] = set()
    faults = []
    for index, draft in enumerate(drafts):
        name = (draft.attributes["source"], draft.attributes["id"])
        if name in seen:
            faults.append(Fault(f"/{index}/id", "names the same event as an earlier member of the batch"))
        seen.add(name)
    if faults:
        raise InvalidEvent(*faults)
