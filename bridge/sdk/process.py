# SPDX-License-Identifier: Apache-2.0
"""The base class of a business process."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar, Generic, Literal

from pydantic import BaseModel, ConfigDict

from bridge.domain.event import Event
from bridge.sdk.context import ConfigT, Context
from bridge.sdk.outcomes import Outcome


class NoConfig(BaseModel):
    """The configuration of a process that has none."""

    model_config = ConfigDict(extra="forbid")


class Process(Generic[ConfigT]):
    """
    One business behaviour. Subclass it, name it, and return instances from the `bridge_processes` hook.

    `name`      lower-case letters, digits and hyphens, unique in the installation; names the result topic
    `version`   shown with every execution
    `events`    dotted patterns of the event types that it handles
    `Config`    a pydantic model: its fields are what an operator may set per tenant; those of type SecretStr are kept encrypted
    `default_enabled` whether it handles a tenant's events until somebody decides; False: not before `evb tenants enable`
    `timeout_s` deadline of one run; at most 5 in the shared lane, 300 in its own
    `lane`      "shared", or "own": a topic, a consumer group and workers for this process alone (`evb worker --lane NAME`), so
                that a slow one has its backlog for itself
    `isolation` "loop": on the worker's event loop if `run` is `async def`, else in a thread of the worker; "process": in a child
                process that is killed at the deadline, and when it takes more memory or processor time than it may
    `memory_mb` with isolation "process": how much memory a run may take beyond what the child has once the plugin is imported
    `retry`     the delay after each failed attempt, of the installation's tiers, such as ("5s", "5m"): three attempts; empty: one
                attempt; None: every tier once
    `business_process` the Event Ingress dialect offers it: event types can name it, and it gets their messages, whose type is
                `eventingress.<event type>.<subtype>.<name>`; `events` must have the pattern `eventingress.*.*.<name>`
    `title`     the name that people see, such as "Create Entity"; empty: made from `name`
    `ordered`   an event waits until all earlier ones of its partition key have ended, also while one of them waits for a retry
    `state`     the name of what it keeps of each partition key (`context.state`), and of the topic in which that lies; processes
                that name the same one share it, and the order of a key's events; needs `ordered` and the shared lane
    """

    name: ClassVar[str]
    version: ClassVar[str]
    events: ClassVar[tuple[str, ...]]
    timeout_s: ClassVar[float] = 5.0
    isolation: ClassVar[Literal["loop", "process"]] = "loop"
    memory_mb: ClassVar[int] = 256
    retry: ClassVar[Sequence[str] | None] = None
    ordered: ClassVar[bool] = False
    state: ClassVar[str] = ""
    business_process: ClassVar[bool] = False
    title: ClassVar[str] = ""
    lane: ClassVar[Literal["shared", "own"]] = "shared"
    default_enabled: ClassVar[bool] = True
    Config: ClassVar[type[BaseModel]] = NoConfig

    def run(self, event: Event, context: Context[ConfigT]) -> Outcome | Awaitable[Outcome]:
        """
        Handle one event; `async def` runs on an event loop, a plain function in a thread; both in a child process if so isolated.

        Order:  the events of one partition key start in their order; the next one starts when this one has ended. One that waits
                for a retry is overtaken, unless the process is `ordered`.
        Again:  after a crash the same event may come once more, with the same `context.execution_id`.
        Raises: anything; the attempt has then failed. It is repeated as `retry` says; after the last one the execution fails with
                the exception's text as its reason, and a dead letter.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run()")


AnyProcess = Process[Any]
