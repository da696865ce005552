# SPDX-License-Identifier: Apache-2.0
"""
The Buildable dialect's examples, each sent through both doors on the real stack, each to a tenant of its own.

`before` are the operations that come first. `<live>` is the tenant's secret, `<key>` what the last emit answered (in an answer:
any key), `<ms>` a time and `<text>` any text.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import web.dialects.buildable
from bridge.settings import Settings
from tests.conftest import StackOfTests
from tests.contract.test_fx_examples import by_test_client
from tests.integration.buildable import make_pair
from tests.web_under_test import WHOLE, Reply, free_port, make_tenants, until, web_server
from web.dialects.buildable.routes import OPERATIONS
from web.standalone import standalone

EXAMPLES = Path(web.dialects.buildable.__file__).parent / "examples"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))}
HEX = re.compile(r"[0-9a-f]{32}")
Ask = Callable[..., Reply]


@pytest.fixture(scope="module", params=["rsgi", "flask"])
def served(request: pytest.FixtureRequest, stack: StackOfTests) -> Iterator[tuple[Ask, Settings]]:
    """One server, as each door."""
    settings = stack.settings(port=free_port())
    make_tenants(settings, "demo")
    if request.param == "rsgi":
        with web_server(stack, settings) as server:
            yield server.ask, settings
    else:
        with standalone(settings) as app:
            ask = by_test_client(app.test_client())
            until(lambda: WHOLE in ask("GET", "/readyz?verbose").body)
            yield ask, settings


@pytest.fixture(scope="module")
def secret(served: tuple[Ask, Settings]) -> str:
    return make_pair(served[1], "demo", "demo")[1]


def filled(given: Any, words: dict[str, str]) -> Any:
    text = json.dumps(given)
    for word, value in words.items():
        text = text.replace(word, value)
    return json.loads(text)


def assert_fits(given: Any, wanted: Any, at: str = "") -> None:
    if isinstance(wanted, dict):
        assert set(given) == set(wanted), at
        for name in wanted:
            assert_fits(given[name], wanted[name], f"{at}/{name}")
    elif isinstance(wanted, list):
        assert len(given) == len(wanted), at
        for number, (one, other) in enumerate(zip(given, wanted, strict=True)):
            assert_fits(one, other, f"{at}/{number}")
    elif wanted in ("<key>", "<hex>"):
        assert HEX.fullmatch(given), at
    elif wanted == "<ms>":
        assert isinstance(given, int), at
        assert given > 1_700_000_000_000, at
    elif wanted == "<text>":
        assert isinstance(given, str), at
        assert given, at
    else:
        assert given == wanted, at


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, served: tuple[Ask, Settings], secret: str) -> None:
    ask, _ = served
    case, words = CASES[name], {"<live>": secret, "<key>": ""}
    since = int(time.time() * 1000)
    for step in case.get("before", ()):
        reply = ask("POST", step["path"], body_of(filled(step["body"], words)), x_buildable_secret=secret)
        assert reply.status == 200, reply.body
        words["<key>"] = reply.json()["key"]
    request = filled(case["request"], words)
    if request["path"] == "/query" and "before" in case:
        request["body"]["since"] = since  # earlier examples emitted events of the same name
    body = None if "body" not in request else body_of(request["body"])
    reply = ask(request["method"], request["path"], body, **request["headers"])
    assert reply.status == case["answer"]["status"], reply.body
    assert_fits(reply.json() if reply.body else None, case["answer"].get("body"))


def body_of(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_every_operation_has_an_example() -> None:
    assert {case["request"]["path"] for case in CASES.values()} == {"/", *OPERATIONS}
