# SPDX-License-Identifier: Apache-2.0
"""
From the document's shapes to events and claims, and back. Pure: ids and times are handed in.

Names: `platform.label.eventName` is the full name. The platform of what is emitted here is `custom`, its label the name of the
secret key; left out, both mean these everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bridge.claims.claims import Holder
from bridge.claims.lists import Listed
from bridge.claims.rows import ENVIRONMENT, LABEL, PLATFORM
from bridge.claims.rows import full_name as joined
from bridge.claims.state import LEASE, Change, Claim, State
from bridge.domain.ids import transaction_id
from bridge.domain.receipt import Draft
from web.dialects.buildable.requests import Emit, Name

CUSTOM: Final = "custom"
KEY: Final = re.compile(r"[0-9a-f]{32}")

Named = Callable[[str], str]
"""The name of a credential by its id."""


def draft(request: Emit, holder: Holder, label: str, event_id: str, time: str) -> Draft:
    """Translate `POST /emit`."""
    values = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/buildable/{holder.environment}/{label}",
        "type": request.event,
        "time": time,
        "datacontenttype": "application/json",
        ENVIRONMENT: holder.environment,
        PLATFORM: CUSTOM,
        LABEL: label,
    }
    return Draft(values, request.payload, born=True)


def key_of(event_key: str) -> str:
    """Give an event key as the dialect writes it: 32 hexadecimal digits."""
    return event_key.replace("-", "")


def event_key(key: str) -> str | None:
    """Read a key of the dialect; None where it is none, so that nothing has it."""
    if not KEY.fullmatch(key):
        return None
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def full_name(name: Name, label: str, labels: Iterable[str] = ()) -> str:
    """Give a full name; one that is full already stays as it is: with the caller's own parts, or one of the tenant's `labels`."""
    platform, own = name.platform or CUSTOM, name.label or label
    known = (own,) if name.label else (own, *labels)
    if name.event_name.startswith(tuple(f"{platform}.{one}." for one in known)):
        return name.event_name
    return joined(platform, own, name.event_name)


def fits(found: Listed, event_name: str) -> bool:
    """Say whether an event has a name, short or full; the empty one fits all."""
    return event_name in ("", found.row.name, found.row.full_name)


def event(found: Listed, tenant: str, tx_key: str, keep_ms: int, named: Named) -> dict[str, Any]:
    """
    Give the document's `Event`, as one transaction key sees it: state and history are those of its transaction.

    `ttl` is when it is forgotten; `v` how many changes all its transactions have had.
    """
    row, claims = found.row, [claim for claim, _ in found.claims.values()]
    own = found.claims.get(tx_key)
    present = [claim for claim in claims if claim.state is not State.NONE]
    return {
        "_id": key_of(found.key),
        "key": key_of(found.key),
        "eventName": row.name,
        "environment": row.environment,
        "payload": found.data.decode(),
        "query": None,
        "headers": None,
        "createdAt": row.created_ms,
        "state": own[0].state.value if own else State.NONE.value,
        "history": _history(own[0], named) if own else [],
        "ttl": row.created_ms + keep_ms,
        "v": sum(len(claim.changes) for claim in claims),
        "ownership": {"buildableId": "", "userId": tenant, "clientId": row.label},
        "processing": {
            "hasTransactions": bool(present),
            "totalTransactions": len(present),
            "hasFutureTransactions": not present or not all(claim.state.ended for claim in present),
            "isCompleted": bool(present) and all(claim.state.ended for claim in present),
        },
    }


def transaction(found: Listed, tx_key: str, keep_ms: int, named: Named) -> dict[str, Any]:
    """Give the document's `Transaction`; `endedAt` only once it has ended."""
    claim, _ = found.claims[tx_key]
    name = key_of(transaction_id(found.key, tx_key, claim.began_ms))
    shown: dict[str, Any] = {
        "_id": name,
        "key": key_of(found.key),
        "txn": name,
        "event": {"_id": key_of(found.key), "eventName": found.row.name},
        "createdAt": claim.began_ms,
        "ttl": found.row.created_ms + keep_ms,
        "state": claim.state.value,
        "history": _history(claim, named),
        "startedAt": claim.began_ms,
        "txKey": tx_key,
        "input": found.data.decode(),
    }
    if claim.state.ended:
        shown["endedAt"] = claim.changes[-1].at_ms
    return shown


def _history(claim: Claim, named: Named) -> list[Mapping[str, Any]]:
    before, shown = State.NONE, []
    for change in claim.changes:
        shown.append(_record(change, before, named))
        before = change.state
    return shown


def _record(change: Change, before: State, named: Named) -> Mapping[str, Any]:
    by = "lease" if change.by == LEASE else named(change.by)
    return {"enterState": change.state.value, "exitState": before.value, "timestamp": change.at_ms, "updatedBy": by}
