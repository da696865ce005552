# SPDX-License-Identifier: Apache-2.0
"""Messages of Event Ingress among the events: those whose type ends with the business process that they are for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt

FIRST: Final = "eventingress."


def concerns(attempt: Attempt) -> bool:
    """Say whether an attempt is the business process of a message."""
    type_ = attempt.given.event.type
    return type_.startswith(FIRST) and type_.rpartition(".")[2] == attempt.process.name


def parts(type_: str) -> tuple[str, str]:
    """Give the event type and the subtype of a message, empty where its type does not say."""
    _, kind, subtype, _ = (*type_.split("."), "", "", "")[:4]
    return kind, subtype
