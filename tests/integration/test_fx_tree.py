# SPDX-License-Identifier: Apache-2.0
"""What FX's look-ups show of an event before the worker reached it and after: the whole tree, and each execution."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.conftest import StackOfTests
from tests.integration.workers import site, until, working
from tests.web_under_test import Server, Tenant, free_port, make_tenants, web_server

pytestmark = pytest.mark.timeout(120)
POSTS = 300


def submit(server: Server, tenant: Tenant, number: int) -> str:
    """Post an event that one process handles, which emits an event that another one handles; gives its correlation id."""
    event = json.dumps({"event_source": "shop", "event_type": "emit.order", "payload": {"n": number}}).encode()
    answer = server.ask("POST", "/fx/events", event, x_api_key=tenant.key, content_type="application/json")
    assert answer.status == 202, answer.body
    return str(answer.json()["cid"])


def tree(server: Server, tenant: Tenant, cid: str) -> list[dict[str, Any]]:
    answer = server.ask("GET", f"/fx/cid/{cid}", x_api_key=tenant.key)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["executions"]
    return found


def test_executions_are_pending_at_once_and_end_as_one_tree(
    stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = site(stack, port=free_port())
    acme, globex = make_tenants(settings, "acme", "globex")
    log = tmp_path_factory.mktemp("fx")
    with working(stack, settings, log, processes="emitter,quick") as worker, web_server(stack, settings) as server:
        until(lambda: server.ask("GET", "/fx/cid/x", x_api_key=globex.key).status == 404, "the tenants are known")
        until(lambda: len(tree(server, acme, submit(server, acme, -1))) >= 1, "the worker's processes are known")
        frozen = psutil.Process(worker.pid)
        frozen.suspend()
        try:
            with ThreadPoolExecutor(8) as pool:
                posted = list(pool.map(lambda n: (cid := submit(server, acme, n), tree(server, acme, cid)), range(POSTS)))
        finally:
            frozen.resume()
        for _, shown in posted:
            assert [(one["service"], one["status"]) for one in shown] == [("emitter", "pending")]

        cid = posted[-1][0]
        ended = ["completed", "completed"]
        until(
            lambda: [one["status"] for one in tree(server, acme, cid)] == ended, "both have ended, also that of what was emitted"
        )
        whole = tree(server, acme, cid)
        assert {one["service"] for one in whole} == {"emitter", "quick"}
        assert posted[-1][1][0]["execution_id"] in {one["execution_id"] for one in whole}
        for one in whole:
            alone = server.ask("GET", f"/fx/executions/{one['execution_id']}", x_api_key=acme.key)
            assert (alone.status, alone.json()) == (200, one)
            assert set(one) == {"data", "datetime", "execution_id", "execution_time", "service", "status"}
            assert one["execution_time"] >= 0
            assert server.ask("GET", f"/fx/executions/{one['execution_id']}", x_api_key=globex.key).status == 404
        assert next(one for one in whole if one["service"] == "quick")["data"]["n"] > 0
