# SPDX-License-Identifier: Apache-2.0
"""
The Flow dialect's examples, each sent through both doors on the real stack, each to a team of its own without a worker.

The document shows paths, parameters and content types; they are used as they stand there. `workflows` are the team's, `before`
what is sent first, `starts` the workflows of which runs must have begun. `<team>` and `<token>` are the team's own, `<run>` is
the run that was started last; in an answer, `<uuid>`, `<moment>` and `<number>` are any. An answer without a body has none;
`holds` are texts of one that is no JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import web.dialects.flow
from bridge import topics
from bridge.domain.limits import Window
from bridge.registry.flow_tokens import Wish, create_flow_token
from bridge.registry.session import changing
from bridge.registry.tenants import create_tenant
from bridge.registry.workflows import apply_workflow
from bridge.settings import Settings
from bridge.workflows.reading import check
from bridge.workflows.signals import Start, decode
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.contract.test_eventingress_examples import assert_fits, body_of, filled
from tests.contract.test_fx_examples import by_test_client
from tests.integration.ingress import Ask
from tests.web_under_test import WHOLE, free_port, until, web_server
from web.dialects.flow.routes import ROUTES
from web.http.table import Table
from web.standalone import standalone

EXAMPLES = Path(web.dialects.flow.__file__).parent / "examples"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))}


class Served(NamedTuple):
    """One server, as one of the doors, with a token for every example."""

    ask: Ask
    settings: Settings
    tokens: dict[str, str]


@pytest.fixture(scope="module", params=["rsgi", "flask"])
def served(request: pytest.FixtureRequest, stack: StackOfTests) -> Iterator[Served]:
    settings = stack.settings(port=free_port(), flow_query_tokens=True)
    tokens = asyncio.run(make_teams(settings))
    if request.param == "rsgi":
        with web_server(stack, settings) as server:
            yield Served(server.ask, settings, tokens)
    else:
        with standalone(settings) as app:
            ask = by_test_client(app.test_client())
            until(lambda: WHOLE in ask("GET", "/readyz?verbose").body)
            yield Served(ask, settings, tokens)


async def make_teams(settings: Settings) -> dict[str, str]:
    """Give the token of each example."""
    async with changing(settings) as changes:
        made = {}
        for name, case in CASES.items():
            await create_tenant(changes, name, [Window(*case["window"])] if "window" in case else ())
            for document in case["workflows"]:
                await apply_workflow(changes, name, check(document))
            issued = await create_flow_token(changes, name, Wish("program", **case.get("token", {})))
            made[name] = issued.text
        return made


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, served: Served) -> None:
    ask, case = served.ask, CASES[name]
    token = served.tokens[name]
    words = {"<team>": name, "<token>": token}
    for step in case.get("before", ()):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | step.get("headers", {})
        reply = ask(step["method"], step["path"], body_of(step), **headers)
        assert reply.status == 200, reply.body
        words["<run>"] = reply.json()["id"]
    request, wanted = filled(case["request"], words), filled(case["answer"], words)
    reply = ask(request["method"], request["path"], body_of(request), **request["headers"])
    assert reply.status == wanted["status"], reply.body
    if "body" in wanted:
        assert reply.headers["content-type"] == "application/json"
        assert_fits(reply.json(), wanted["body"])
    elif "holds" in wanted:
        assert all(text.encode() in reply.body for text in wanted["holds"]), reply.body
    else:
        assert reply.body == b""
    for header, value in wanted.get("headers", {}).items():
        assert_fits(reply.headers[header.lower()], value, header)
    if "starts" in case:
        assert sorted(started(served.settings, name)) == case["starts"]


def started(settings: Settings, team: str) -> list[str]:
    """Give the workflows of the runs that a team has started."""
    values = [one.value() for one in records(settings.kafka.bootstrap_servers, topics.SIGNALS.name(settings))]
    found = [decode(value) for value in values if value]
    return [one.workflow for one in found if isinstance(one, Start) and one.tenant == team]


def test_every_operation_of_the_document_has_an_example() -> None:
    table = Table(ROUTES)
    requests = [case["request"] for case in CASES.values()]
    found = [table.find(one["method"], one["path"].partition("?")[0]) for one in requests]
    assert {route for route, _ in filter(None, found)} == set(ROUTES)
