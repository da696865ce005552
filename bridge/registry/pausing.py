# SPDX-License-Identifier: Apache-2.0
"""
Use cases: keep a process from running for a while, and let it run again; for one tenant or for all.

Nothing is dropped meanwhile: workers set the executions aside and take them up again.
"""

from __future__ import annotations

from bridge.decisions.facts import Ref
from bridge.domain.errors import InvalidValue, NotFound
from bridge.registry.changes import Changes, now_ms
from bridge.registry.fields import ALL
from bridge.registry.objects import Pause
from bridge.registry.tenants import find_tenant

REASON_CHARS = 200


async def pause(changes: Changes, process: str | None, tenant: str | None, reason: str = "") -> Pause:
    """
    Keep a process (None: all of them) from running for a tenant (None: for all). Holds everywhere within two seconds.

    Again:  a second pause replaces the reason and keeps the time.
    Raises: InvalidValue, NotFound for an unknown tenant, Conflict, and what decisions raise.
    """
    if process is None and tenant is None:
        raise InvalidValue("Name a process, a tenant, or both.")
    if len(reason) > REASON_CHARS:
        raise InvalidValue(f"A reason has at most {REASON_CHARS} characters.")
    if tenant is not None:
        find_tenant(changes, tenant)
    version, held = changes.registry.held(Ref("pause", tenant or ALL, process or ALL))
    since = held.since_ms if isinstance(held, Pause) and held.state == "paused" else now_ms()
    made = Pause(tenant=tenant or ALL, process=process or ALL, reason=reason, since_ms=since)
    await changes.put(made, version)
    return made


async def resume(changes: Changes, process: str | None, tenant: str | None) -> Pause:
    """
    End the pause that was made in the same words.

    Raises: NotFound where there is none, naming those that there are; Conflict, and what decisions raise.
    """
    version, held = changes.registry.held(Ref("pause", tenant or ALL, process or ALL))
    if not isinstance(held, Pause) or held.state != "paused":
        there = "; ".join(said(one) for one in changes.registry.pauses()) or "nothing"
        raise NotFound(f"That is not paused. What is: {there}.")
    ended = Pause(tenant=held.tenant, process=held.process, state="running", reason=held.reason, since_ms=now_ms())
    await changes.put(ended, version)
    return ended


def said(one: Pause) -> str:
    """Say what a pause is about."""
    process = "all processes" if one.process == ALL else one.process
    return process if one.tenant == ALL else f"{process} for {one.tenant}"
