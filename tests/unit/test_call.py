# SPDX-License-Identifier: Apache-2.0
"""One request, one answer: whoever is first wins, and the count is right."""

from __future__ import annotations

import json
from types import SimpleNamespace

from bridge.metrics import INGRESS_IN_PROGRESS, INGRESS_REQUESTS
from bridge.settings import Settings
from web.access_log import AccessLog
from web.call import Call
from web.http.messages import Answer


class Protocol:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    def response_bytes(self, status: int, _headers: list[tuple[str, str]], body: bytes) -> None:
        self.sent.append((status, body))


def begin() -> tuple[Call, Protocol]:
    protocol = Protocol()
    log = AccessLog(Settings(log_level="error"))
    call = Call(log, SimpleNamespace(method="POST", path="/fx/events"), protocol)
    call.dialect = "test"
    return call, protocol


def counted(code: str) -> float:
    return float(INGRESS_REQUESTS.labels("test", code)._value.get())


def in_progress() -> float:
    return float(INGRESS_IN_PROGRESS._value.get())


def test_a_late_handlers_answer_is_dropped_and_the_client_told_to_repeat() -> None:
    before, open_before = counted("503"), in_progress()
    call, protocol = begin()
    assert in_progress() == open_before + 1
    call.late()
    call.answer(Answer(202))
    call.gone()
    ((status, body),) = protocol.sent
    assert status == 503
    assert json.loads(body)["code"] == "broker-unavailable"
    assert counted("503") == before + 1
    assert in_progress() == open_before


def test_a_deadline_after_the_answer_changes_nothing() -> None:
    before = counted("202")
    call, protocol = begin()
    call.answer(Answer(202, b"{}"))
    call.late()
    assert protocol.sent == [(202, b"{}")]
    assert counted("202") == before + 1


def test_a_client_that_left_is_counted_as_such() -> None:
    before = counted("499")
    call, protocol = begin()
    call.gone()
    assert protocol.sent == []
    assert counted("499") == before + 1
