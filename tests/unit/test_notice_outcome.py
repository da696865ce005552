# SPDX-License-Identifier: Apache-2.0
"""The notice of a message's outcome says what a look-up of the message says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.domain.event import Event
from bridge.domain.execution import Execution, Position, Status
from bridge.notifications.notice import FAILED, SUCCESS
from processors.attempts.notices import outcome

KEY = "01234567-89ab-7def-8123-456789abcdef"


def ended(status: Status, reason: str = "") -> Execution:
    texts = ("event_id", "event_source", "event_type", "version", "correlation_id")
    given: dict[str, Any] = dict.fromkeys(texts, "") | {"execution_id": KEY, "event_key": KEY, "tenant": "acme"}
    given |= {"process": "createentity", "attempt": 1, "received_ms": 1, "started_ms": 2, "finished_ms": 3}
    return Execution(status=status, event_position=Position("events", 0, 0), reason=reason, **given)


@pytest.mark.parametrize(
    ("status", "reason", "type_", "said", "cause"),
    [
        (Status.COMPLETED, "", SUCCESS, "Processed", None),
        (Status.SKIPPED, "nothing to do", SUCCESS, "Processed", "nothing to do"),
        (Status.FAILED, "entity-unknown: no", FAILED, "Failed", "entity-unknown: no"),
    ],
)
def test_what_did_not_fail_is_a_success(status: Status, reason: str, type_: str, said: str, cause: str | None) -> None:
    event = Event({"type": "eventingress.externaldata.createentity.createentity", "tenantid": "acme", "eventkey": KEY})
    attempt: Any = SimpleNamespace(given=SimpleNamespace(event=event))
    found = outcome(attempt, ended(status, reason))
    payload = json.loads(found.payload)
    assert (found.type, payload["status"], payload["cause"], found.causation) == (type_, said, cause, KEY)
    assert (payload["eventType"], payload["eventSubtype"], found.when_ms) == ("externaldata", "createentity", 3)
