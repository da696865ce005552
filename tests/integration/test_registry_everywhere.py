# SPDX-License-Identifier: Apache-2.0
"""
Changes of the registry hold in every process within 2 s, and what it holds is read from Kafka: it serves without Redis too.

Two web servers, each a process of its own; the changes are made by a third, and timed from its answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from bridge.domain.limits import Window
from bridge.registry.changes import Changes
from bridge.registry.keys import revoke_key
from bridge.registry.session import changing
from bridge.registry.signing import revoke_secret
from bridge.registry.tenants import change_tenant
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.web_under_test import Reply, Server, Tenant, free_port, make_tenants, until, web_server

WITHIN_S = 2.0
Ask = Callable[[Server, Tenant], Reply]


@pytest.fixture(scope="module")
def settings(stack: StackOfTests) -> Settings:
    return stack.settings(port=free_port())


@pytest.fixture(scope="module")
def servers(stack: StackOfTests, settings: Settings) -> Iterator[tuple[Server, Server]]:
    other = settings.model_copy(update={"port": free_port()})
    with web_server(stack, settings) as one, web_server(stack, other) as two:
        yield one, two


def with_key(server: Server, tenant: Tenant) -> Reply:
    event = {"ce_specversion": "1.0", "ce_id": str(uuid.uuid4()), "ce_source": "/t", "ce_type": "t.e"}
    return server.ask("POST", "/events", b"{}", X_API_KEY=tenant.key, Content_Type="application/json", **event)


def with_signature(server: Server, tenant: Tenant) -> Reply:
    body = b'{"id":"%s"}' % str(uuid.uuid4()).encode()
    signed = {"X_Hub_Signature_256": tenant.sign(body), "X_GitHub_Event": "push", "X_GitHub_Delivery": str(uuid.uuid4())}
    return server.ask("POST", f"/fx/events/webhook/{tenant.source}", body, Content_Type="application/json", **signed)


def evb(stack: StackOfTests, settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {n: v for n, v in os.environ.items() if not n.startswith("EVB_")} | stack.environ(settings)
    command = [sys.executable, "-m", "bridge.cli", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def seconds_until_all_know(servers: tuple[Server, ...], change: Callable[[], float], known: Callable[[Server], bool]) -> float:
    """Ask every server again and again while a change is made; `change` says when it was answered."""

    def watch(server: Server) -> float:
        until(lambda: known(server), 30)
        return time.monotonic()

    with ThreadPoolExecutor(len(servers)) as pool:
        watching = [pool.submit(watch, server) for server in servers]
        answered = change()
        return max(one.result() for one in watching) - answered


def by_use_case(settings: Settings, change: Callable[[Changes], object]) -> float:
    async def run() -> float:
        async with changing(settings) as changes:
            await change(changes)  # type: ignore[misc]  # a use case with its arguments bound
            return time.monotonic()

    return asyncio.run(run())


def tenant_of(servers: tuple[Server, ...], name: str) -> Tenant:
    """Make a tenant, and wait until both its credentials open both servers."""
    (tenant,) = make_tenants(servers[0].settings, name)
    for server in servers:
        until(lambda server=server: with_key(server, tenant).status == with_signature(server, tenant).status == 202)
    return tenant


def test_a_revoked_key_is_refused_everywhere_within_two_seconds(settings: Settings, servers: tuple[Server, Server]) -> None:
    tenant = tenant_of(servers, "alpha")

    def revoke() -> float:
        return by_use_case(settings, lambda changes: revoke_key(changes, "alpha", "program of alpha"))

    assert seconds_until_all_know(servers, revoke, lambda server: with_key(server, tenant).status == 401) < WITHIN_S
    assert {with_signature(server, tenant).status for server in servers} == {202}, "the secret is another credential"


def test_a_revoked_secret_is_refused_everywhere_within_two_seconds(settings: Settings, servers: tuple[Server, Server]) -> None:
    tenant = tenant_of(servers, "beta")

    def revoke() -> float:
        return by_use_case(settings, lambda changes: revoke_secret(changes, "beta", tenant.source))

    assert seconds_until_all_know(servers, revoke, lambda server: with_signature(server, tenant).status == 401) < WITHIN_S
    assert {with_key(server, tenant).status for server in servers} == {202}


def test_a_closed_tenant_and_new_limits_hold_everywhere_within_two_seconds(
    settings: Settings, servers: tuple[Server, Server]
) -> None:
    tenant = tenant_of(servers, "gamma")

    def limit() -> float:
        return by_use_case(settings, lambda changes: change_tenant(changes, "gamma", windows=[Window(4321, 7)]))

    def close() -> float:
        return by_use_case(settings, lambda changes: change_tenant(changes, "gamma", closed=True))

    def limited(server: Server) -> bool:
        return "q=4321;w=7" in with_key(server, tenant).headers["ratelimit-policy"]

    assert seconds_until_all_know(servers, limit, limited) < WITHIN_S
    assert seconds_until_all_know(servers, close, lambda server: with_key(server, tenant).status == 401) < WITHIN_S


@pytest.mark.timeout(120)
def test_credentials_work_without_redis(stack: StackOfTests, settings: Settings, servers: tuple[Server, Server]) -> None:
    """In a server that runs, in one that starts now, and for commands that read; commands that change say that they cannot."""
    revoked, tenant = tenant_of(servers, "delta"), tenant_of(servers, "epsilon")
    assert evb(stack, settings, "keys", "revoke", "delta", "program of delta").returncode == 0
    stack.valkey.kill()
    newcomer = Server(stack, settings.model_copy(update={"port": free_port()}))
    try:
        until(lambda: _ready(newcomer), 30)
        for server in (*servers, newcomer):
            assert with_key(server, tenant).status == 202
            assert with_signature(server, tenant).status == 202
            assert with_key(server, revoked).status == 401
        assert newcomer.stop() == 0
    finally:
        newcomer.process.kill()
        newcomer.process.wait()
    assert [row["state"] for row in json.loads(evb(stack, settings, "keys", "list", "delta", "--json").stdout)] == ["revoked"]
    assert len(json.loads(evb(stack, settings, "secrets", "list", "epsilon", "--json").stdout)) == 1
    assert {"delta", "epsilon"} <= {row["tenant"] for row in json.loads(evb(stack, settings, "tenants", "list", "--json").stdout)}
    refused = evb(stack, settings, "keys", "revoke", "epsilon", "program of epsilon")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Redis does not answer" in refused.stderr
    assert {with_key(server, tenant).status for server in servers} == {202}


def _ready(server: Server) -> bool:
    with suppress(OSError):
        return server.ask("GET", "/readyz").status == 200
    return False
