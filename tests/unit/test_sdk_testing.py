# SPDX-License-Identifier: Apache-2.0
"""A plugin's tests run its process as the worker does: configuration, deadline, threads, and one of the four outcomes."""

from __future__ import annotations

import threading
import time
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel, ValidationError

from bridge.sdk import Completed, Context, Event, Outcome, Process
from bridge.sdk.testing import event, run
from tests.canaries import listening


class Options(BaseModel):
    greeting: str = "Hello"


class Greeter(Process[Options]):
    name, version, events = "greeter", "1.0.0", ("user.created",)
    Config = Options

    async def run(self, event: Event, context: Context[Options]) -> Outcome:
        return Completed(data=[context.config.greeting, event.json()["name"], context.tenant, context.attempt])


class Plain(Process[Any]):
    name, version, events, timeout_s = "plain", "1.0.0", ("*",), 0.05

    def run(self, event: Event, context: Context[Any]) -> Any:
        if event.type == "slow":
            time.sleep(0.2)
        return "text" if event.type == "odd" else Completed(data=threading.current_thread() is threading.main_thread())


async def test_a_process_gets_its_event_and_configuration() -> None:
    created = event("user.created", {"name": "Ada"})
    assert await run(Greeter(), created) == Completed(data=["Hello", "Ada", "test", 1])
    assert await run(Greeter(), created, {"greeting": "Hi"}, attempt=2) == Completed(data=["Hi", "Ada", "test", 2])


async def test_a_faulty_configuration_is_refused() -> None:
    with pytest.raises(ValidationError):
        await run(Greeter(), event("user.created"), {"greeting": 1})


async def test_a_plain_function_runs_in_a_thread_and_keeps_its_deadline() -> None:
    assert await run(Plain(), event("quick")) == Completed(data=False)
    with pytest.raises(TimeoutError):
        await run(Plain(), event("slow"))


class Caller(Process[Any]):
    name, version, events = "caller", "1.0.0", ("*",)

    async def run(self, event: Event, context: Context[Any]) -> Outcome:
        async with context.http.get(event.json()) as answer:
            return Completed(data=await answer.text())


async def test_a_test_can_have_a_server_of_its_own_and_reach_nothing_else_of_its_network() -> None:
    async with listening() as canary:
        assert await run(Caller(), event("call", f"http://127.0.0.1:{canary.port}/")) == Completed(data="here")
    with pytest.raises(aiohttp.ClientError, match=r"address-not-allowed: 10\.0\.0\.1"):
        await run(Caller(), event("call", "http://10.0.0.1/"))


async def test_only_outcomes_may_be_returned() -> None:
    with pytest.raises(TypeError, match="return Completed"):
        await run(Plain(), event("odd"))


def test_an_event_is_whole_and_can_be_given_attributes() -> None:
    made = event("a.b", b"\x00", id="7", datacontenttype="application/octet-stream", subject="s")
    assert (made.id, made.data, made.content_type, made.attributes["subject"]) == ("7", b"\x00", "application/octet-stream", "s")
    assert made.key == made.correlation_id
    assert event("a.b", b"\x00", id="7", datacontenttype="application/octet-stream").key == made.key
