# SPDX-License-Identifier: Apache-2.0
"""What a process is given beside the event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from bridge.domain.redelivery import Journey
from bridge.sdk.state import NO_STATE, State

if TYPE_CHECKING:
    import aiohttp
    from structlog.typing import FilteringBoundLogger

ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Context(Generic[ConfigT]):
    """
    One execution's surroundings.

    `execution_id` is the same whenever this execution is repeated: use it as the idempotency key of what you call.
    `log` carries tenant, event, execution and correlation id. `http` is the worker's shared aiohttp session: it has
    time-outs, reaches public addresses only (`EVB_EGRESS_ALLOWED_NETWORKS`), follows no redirect and reads bounded bodies. In a
    child process it is the run's own, and None for a plain function. `state` is what the process keeps of the event's key.
    `journeys` are those that a message of Event Ingress has to go through, by the names of their workflows: before they begin,
    and with their ends once they have ended. None for any other event.
    """

    tenant: str
    correlation_id: str
    execution_id: str
    attempt: int
    config: ConfigT
    log: FilteringBoundLogger
    http: aiohttp.ClientSession
    state: State = NO_STATE
    journeys: tuple[Journey, ...] | None = None
