# SPDX-License-Identifier: Apache-2.0
"""One request at the RSGI door: answered exactly once, then counted and logged."""

from __future__ import annotations

import time
from typing import Any

from bridge.domain.errors import BrokerUnavailable
from web.access_log import AccessLog
from web.counting import Tally
from web.http.exchange import headers_of, refuse
from web.http.limits import Header
from web.http.messages import Answer, Route

CLIENT_GONE = 499
UNCONFIRMED = "There is no confirmation yet. Repeat the request with the same id."
OTHER = "other"
"""The label of what belongs to no dialect."""
AT_ONCE = Tally()


class Call:
    """
    The fate of one request.

    Whoever answers first wins: the handler, or the deadline. A handler that comes later has still done its work; its answer
    is dropped.
    """

    __slots__ = ("_began", "_done", "_log", "_protocol", "_tally", "dialect", "method", "path", "request_id", "route")

    def __init__(self, log: AccessLog, scope: Any, protocol: Any, tally: Tally = AT_ONCE) -> None:
        self.method: str = scope.method
        self.path: str = scope.path
        self.request_id = ""
        self.dialect = OTHER
        self.route: Route | None = None
        self._log, self._protocol, self._began, self._done = log, protocol, time.perf_counter(), False
        self._tally = tally
        tally.began()

    def answer(self, answer: Answer) -> None:
        """Send an answer with the headers that every answer has."""
        self.send(answer, headers_of(answer, self.request_id))

    def send(self, answer: Answer, headers: list[Header]) -> None:
        """Send an answer as it is; its length is added by the server."""
        if not self._done:
            status, body = answer.status, answer.body
            self._protocol.response_bytes(status, headers, body)
            self._finish(status, len(body))

    def late(self) -> None:
        """Answer that nobody knows: the handler has taken longer than any client was promised to wait."""
        self.answer(refuse(BrokerUnavailable(UNCONFIRMED), self.request_id, self.route))

    def gone(self) -> None:
        """Note that the client left before its request was complete."""
        if not self._done:
            self._finish(CLIENT_GONE, 0)

    def _finish(self, status: int, size: int) -> None:
        self._done = True
        seconds = time.perf_counter() - self._began
        self._tally.ended(self.dialect, status, seconds)
        if self._log.enabled:
            self._log.add((time.time(), self.method, self.path, status, seconds, size, self.dialect, self.request_id))
