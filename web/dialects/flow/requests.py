# SPDX-License-Identifier: Apache-2.0
"""What each operation is asked with in its query, older names of a parameter included. Others are passed over, as Flow does."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from bridge.domain.errors import Fault
from bridge.workflows.limits import TEXT_CHARS
from bridge.workflows.run import EndStatus
from bridge.workflows.signals import end_status
from bridge.workflows.triggers import INVALID_END_STATUS, UNKNOWN_RUN
from web.dialects.flow.failures import NotStarted
from web.http.faults import InvalidRequest

FIELDS: Final = 50
RUN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Callback(NamedTuple):
    """The query of `/callback`."""

    run_id: str
    topic: str
    status: EndStatus


def workflow_of(query: str) -> str:
    """Give the workflow that `ref` names; empty where it is left out. Raises: InvalidRequest."""
    fields = _Fields(query)
    found = fields.one("ref", "workflow")
    fields.finish()
    return found


def callback_of(query: str) -> Callback:
    """Read the query of `/callback`. Raises: InvalidRequest with every fault; NotStarted for a status or id that cannot be."""
    fields = _Fields(query)
    ref, topic = fields.one("ref", "workflowrun", required=True), fields.one("topic", required=True)
    status = end_status(fields.one("status") or "succeeded")
    fields.finish()
    if status is None:
        raise NotStarted(INVALID_END_STATUS)
    return Callback(run_id_of(ref), topic, status)


def run_id_of(text: str) -> str:
    """Give a run's id in the form that ids have. Raises: NotStarted where it is none."""
    if not RUN.fullmatch(text.lower()):
        raise NotStarted(UNKNOWN_RUN)
    return text.lower()


class _Fields:
    """Reads parameters one by one and gathers what is wrong with them."""

    def __init__(self, query: str) -> None:
        try:
            self._given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
        except UnicodeDecodeError:
            raise InvalidRequest(Fault("query:", "is not percent-encoded UTF-8")) from None
        except ValueError:
            raise InvalidRequest(Fault("query:", f"has more than {FIELDS} parameters")) from None
        self._faults: list[Fault] = []

    def one(self, *names: str, required: bool = False) -> str:
        """Give the parameter of one of these names, the first of which is today's; empty where there is none."""
        values = {value for name, value in self._given if name in names and value}
        found = values.pop() if values else ""
        if values:
            self._complain(names[0], "is given twice, and differs")
        elif required and not found:
            self._complain(names[0], "is required")
        elif len(found) > TEXT_CHARS:
            self._complain(names[0], f"is longer than {TEXT_CHARS} characters")
        return found

    def finish(self) -> None:
        """Raise InvalidRequest where anything was wrong."""
        if self._faults:
            raise InvalidRequest(*self._faults)

    def _complain(self, name: str, detail: str) -> None:
        self._faults.append(Fault(f"query:{name}", detail))
