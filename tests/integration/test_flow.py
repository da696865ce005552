# SPDX-License-Identifier: Apache-2.0
"""Flow's API on the real stack, with a worker: a CloudEvent starts a run, a callback wakes it, a look-up shows its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from bridge.registry.flow_tokens import Wish, create_flow_token, revoke_flow_token
from bridge.registry.session import changing
from bridge.settings import Settings
from bridge.workflows.limits import RUN_BYTES
from tests.conftest import StackOfTests
from tests.integration.running import adds, set_up, task, workflow
from tests.integration.workers import site, until, working
from tests.web_under_test import Reply, Server, free_port, web_server

pytestmark = pytest.mark.timeout(300)
ORDER = workflow(
    "order",
    task("paid", "eventwait", params={"topic": "paid-$(params.id)"}),
    adds("book", "$(task.paid.results.data.amount)", "paid"),
    triggers={
        "event": {"enabled": True, "conditions": [{"field": "$.type", "operation": "matches", "value": r"order\..*"}]},
    },
    params=[{"name": "id", "type": "number"}],
    results=[{"name": "amount", "value": "$(task.paid.results.data.amount)"}],
)

HOOK = workflow("hook", task("paid", "eventwait", params={"topic": "paid"}), triggers={"webhook": {"enabled": True}})


class House(NamedTuple):
    """A server and a worker, a team with the workflow, and a token of it."""

    server: Server
    settings: Settings
    team: str
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        named = {"authorization": f"Bearer {self.token}"} | ({} if body is None else {"content_type": "application/json"})
        sent = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        return self.server.ask(method, f"/api/v2{path}", sent, **(named | headers))

    def known(self, token: str, path: str) -> Reply:
        """Ask with a new token, once the server knows it."""
        until(lambda: self.ask("GET", path, authorization=token).status != 401, "the token is known")
        return self.ask("GET", path, authorization=f"Bearer {token}")

    def run(self, run_id: str) -> Any:
        reply = self.ask("GET", f"/team/{self.team}/workflowrun/{run_id}")
        assert reply.status == 200, reply.body
        return reply.json()

    def comes_to(self, run_id: str, true: Callable[[Any], bool]) -> Any:
        until(lambda: true(self.run(run_id)), "the run has come so far")
        return self.run(run_id)


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack).model_copy(update={"port": free_port()})
    team = set_up(settings, ORDER, HOOK)
    token = asyncio.run(issue(settings, team, Wish("program")))
    log: Path = tmp_path_factory.mktemp("flow")
    with working(stack, settings, log, processes="quick"), web_server(stack, settings) as server:
        yield House(server, settings, team, token)


async def issue(settings: Settings, team: str, wish: Wish) -> str:
    async with changing(settings) as changes:
        return (await create_flow_token(changes, team, wish)).text


def cloud_event(**attributes: str) -> CloudEvent:
    """Make an event with the CloudEvents SDK."""
    named = {"id": "1", "source": "/shop", "type": "order.created", "datacontenttype": "application/json"} | attributes
    return CloudEvent(named, {"id": 42})


@pytest.mark.parametrize("write", [sdk.to_structured, sdk.to_binary])
def test_an_event_of_the_sdk_starts_a_run_and_a_callback_ends_it(house: House, write: Any) -> None:
    message = write(cloud_event(id=write.__name__, subject="/order/created"), JSONFormat())
    reply = house.ask("POST", "/event", message.body, **message.headers)
    assert reply.status == 200, reply.body
    begun = reply.json()
    assert (begun["workflowRef"], begun["status"], begun["trigger"]) == ("order", "notstarted", "event")
    assert begun["initiatedByRef"] == "program"
    assert {"name": "id", "value": 42} in begun["params"], "members of the data are params"
    house.comes_to(begun["id"], lambda run: run["status"] == "waiting")
    told = house.ask("POST", f"/callback?ref={begun['id']}&topic=other", {"amount": 1})
    assert (told.status, told.body) == (200, b""), "nobody waits for it"
    told = house.ask("POST", f"/callback?ref={begun['id']}&topic=paid-42", {"amount": 7})
    assert (told.status, told.body) == (200, b"")
    done = house.comes_to(begun["id"], lambda run: run["phase"] == "completed")
    assert (done["status"], done["results"]) == ("succeeded", [{"name": "amount", "value": 7}])
    assert [(one["name"], one["status"]) for one in done["tasks"]] == [("paid", "succeeded"), ("book", "succeeded")]
    assert done["startTime"] >= done["creationDate"]
    assert done["duration"] > 0
    late = house.ask("GET", f"/callback?ref={begun['id']}&topic=paid-42&status=failed")
    assert (late.status, late.body) == (200, b"")
    assert house.run(begun["id"]) == done, "what has ended stays as it is"


def test_a_failed_callback_fails_the_run_and_get_gives_no_result(house: House) -> None:
    run_id = house.ask("POST", "/webhook?ref=hook", {"id": 1}).json()["id"]
    waiting = house.comes_to(run_id, lambda run: run["status"] == "waiting")
    assert waiting["params"] == [{"name": "data", "value": {"id": 1}}]
    assert house.ask("GET", f"/callback?ref={run_id}&topic=paid&status=Failed").status == 200
    ended = house.comes_to(run_id, lambda run: run["phase"] == "completed")
    assert ended["status"] == "failed"
    assert (ended["tasks"][0]["status"], ended["tasks"][0]["results"], ended["results"]) == ("failed", [], [])


def test_a_token_sees_runs_of_its_team_and_workflow_only(house: House) -> None:
    run_id = house.ask("POST", "/webhook?ref=hook", {}).json()["id"]
    other = set_up(house.settings, HOOK)
    foreign = asyncio.run(issue(house.settings, other, Wish("foreign")))
    narrow = asyncio.run(issue(house.settings, house.team, Wish("narrow", "workflow", "order")))
    for token, team, code in ((foreign, other, 1301), (foreign, house.team, 403), (narrow, house.team, 1301)):
        answer = house.known(token, f"/team/{team}/workflowrun/{run_id}")
        assert answer.json()["code"] == code
    for token in (foreign, narrow):
        assert house.known(token, f"/callback?ref={run_id}&topic=paid").json()["code"] == 1301
    assert house.ask("POST", "/webhook?ref=hook", {}, authorization=narrow).status == 403
    assert house.run(run_id)["status"] in ("notstarted", "waiting"), "none of them has told it anything"


def test_what_a_run_could_not_keep_is_refused(house: House) -> None:
    reply = house.ask("POST", "/webhook?ref=hook", b'"' + b"x" * (RUN_BYTES - 2) + b'"')
    assert (reply.status, reply.json()["code"], reply.json()["reason"]) == (413, 413, "TOO_LARGE")
    assert house.ask("POST", "/webhook?ref=hook", b'"' + b"x" * (RUN_BYTES - 2000) + b'"').status == 200


def test_a_revoked_token_is_refused(house: House) -> None:
    token = asyncio.run(issue(house.settings, house.team, Wish("short")))
    path = f"/team/{house.team}/workflowrun/01890000-0000-7000-8000-000000000000"
    assert house.known(token, path).json()["code"] == 1301

    async def revoke() -> None:
        async with changing(house.settings) as changes:
            await revoke_flow_token(changes, house.team, "short")

    asyncio.run(revoke())
    until(lambda: house.ask("GET", path, authorization=token).status == 401, "it is revoked")


HOOKED = "/api/v2/webhook?ref=hook"
JSON = {"content_type": "application/json"}


def test_a_token_in_the_query_counts_only_where_it_is_allowed(house: House) -> None:
    assert house.server.ask("POST", f"{HOOKED}&access_token={house.token}", b"{}", **JSON).status == 401


def test_anybody_comes_in_where_the_setting_says_so_and_the_log_warns(
    stack: StackOfTests, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = site(stack).model_copy(update={"port": free_port(), "flow_query_tokens": True, "log_format": "json"})
    team = set_up(settings, HOOK)
    token = asyncio.run(issue(settings, team, Wish("program")))
    with web_server(stack, settings.model_copy(update={"flow_anonymous_tenant": team})) as server:
        reply = server.ask("POST", HOOKED, b"{}", **JSON)
        assert (reply.status, reply.json()["initiatedByRef"]) == (200, "anonymous")
        reply = server.ask("POST", f"{HOOKED}&access_token={token}", b"{}", **JSON)
        assert (reply.status, reply.json()["initiatedByRef"]) == (200, "program")
        assert reply.headers["cache-control"] == "private, no-store"
        assert server.ask("POST", HOOKED, b"{}", authorization="Bearer wrong", **JSON).status == 401
    said = capfd.readouterr().out
    lines = [orjson.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["tenant"] for line in lines if "EVB_FLOW_ANONYMOUS_TENANT" in line["event"]] == [team]
    assert "/api/v2/webhook" in said, "requests are logged"
    assert token not in said, "without their queries"
