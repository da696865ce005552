# SPDX-License-Identifier: Apache-2.0
"""Whether a caller may start a run, in the order of the document's codes, and the start itself."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from bridge.authenticate import FlowCaller
from bridge.domain.errors import NotAllowed
from bridge.registry.workflow import WorkflowVersion
from bridge.workflows.document import TriggerName, Workflow
from bridge.workflows.run import Run
from bridge.workflows.signals import Start
from bridge.workflows.triggers import UNKNOWN_WORKFLOW, refusal
from web.dialects.flow.failures import NotStarted
from web.services import Services


class Cause(NamedTuple):
    """
    What starts runs: the trigger, what its conditions look at, and the params that runs get.

    `key` names it where the sender has given it a name: it starts each workflow once, however often it comes.
    """

    trigger: TriggerName
    facts: Any
    params: dict[str, Any]
    key: str = ""


async def start_one(services: Services, caller: FlowCaller, name: str, cause: Cause) -> tuple[Run, Workflow | None]:
    """
    Start a run of a workflow, and give both.

    Raises: NotStarted (1201, 1305), NotAllowed, TooManyRequests (1020), in this order; what `Runs.start` raises.
    """
    if not name:
        raise NotStarted(UNKNOWN_WORKFLOW)
    if not caller.opens(name):
        raise NotAllowed(f"workflow {name}")
    version = services.registry.workflows.current(caller.tenant, name)
    refused = refusal(version.workflow if version is not None else None, cause.trigger, cause.facts)
    if version is None or refused is not None:
        raise NotStarted(refused or UNKNOWN_WORKFLOW)
    if (known := await _started(services, caller, name, cause)) is not None:
        return known, services.registry.workflows.of_run(known)
    await _count(services, caller, 1)
    return await _start(services, caller, version, cause), version.workflow


async def start_all(services: Services, caller: FlowCaller, cause: Cause) -> None:
    """
    Start a run of every workflow that takes the cause; one that does not is passed over.

    Order:  one after the other, so that a large body is in memory a few times only.
    Raises: TooManyRequests before the first; what `Runs.start` raises, after which some have begun.
    """
    versions = [one for one in services.registry.workflows.of(caller.tenant) if caller.opens(one.name)]
    wanted = []
    for one in versions:
        if refusal(one.workflow, cause.trigger, cause.facts) is None and not await _started(services, caller, one.name, cause):
            wanted.append(one)
        await asyncio.sleep(0)  # patterns may take a while, and there may be many
    if wanted:
        await _count(services, caller, len(wanted))
    for version in wanted:
        await _start(services, caller, version, cause)


async def _started(services: Services, caller: FlowCaller, name: str, cause: Cause) -> Run | None:
    """Give the run that this cause has started before: a repetition does not count for the quota."""
    return await services.flow.runs.started(caller.tenant, name, _named(caller, cause)) if cause.key else None


def _named(caller: FlowCaller, cause: Cause) -> str:
    return f"{caller.tenant}/{cause.key}" if cause.key else ""


async def _count(services: Services, caller: FlowCaller, runs: int) -> None:
    await services.flow.starts.count(caller.tenant, services.registry.windows(caller.tenant), runs)


async def _start(services: Services, caller: FlowCaller, version: WorkflowVersion, cause: Cause) -> Run:
    wanted = Start(
        tenant=caller.tenant,
        workflow=version.name,
        version=version.number,
        trigger=cause.trigger,
        initiated_by=caller.name,
        params=cause.params,
    )
    return await services.flow.runs.start(wanted, _named(caller, cause))
