# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/deadletters` by its documented answers: tenants apart, scopes, faults, pages, and bulk calls that go on."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from bridge import topics
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.deadletters import read
from bridge.domain import ids
from bridge.domain.moments import iso
from bridge.domain.principal import Scope
from bridge.kafka.paced import Paced, Record
from bridge.registry.keys import create_key
from bridge.registry.session import changing
from bridge.settings import Settings
from processors.attempts.letters import letter
from tests.chaos.topics import records
from tests.conftest import StackOfTests
from tests.integration.workers import event
from tests.web_under_test import make_tenants
from web.standalone import standalone

pytestmark = pytest.mark.timeout(120)
PATH = "/api/v1/deadletters"
BASE_MS = (int(time.time()) - 60) * 1000
"""When the first letter of each test died."""


@dataclass(frozen=True)
class Api:
    """The application with two tenants, each with a key of the scope `admin`; `poor` has a key without it."""

    settings: Settings
    client: FlaskClient
    keys: dict[str, str]

    def get(self, tenant: str, path: str = "", **query: Any) -> Any:
        return self.client.get(PATH + path, query_string=query, headers={"x-api-key": self.keys[tenant]})

    def post(self, tenant: str, path: str, body: Any) -> Any:
        return self.client.post(PATH + path, json=body, headers={"x-api-key": self.keys[tenant]})


@pytest.fixture(scope="module")
def api(stack: StackOfTests) -> Iterator[Api]:
    settings = stack.settings()
    poor, *_ = make_tenants(settings, "poor", "acme", "globex")

    async def admins() -> dict[str, str]:
        async with changing(settings) as changes:
            return {name: (await create_key(changes, name, "admin", (Scope.ADMIN,))).text for name in ("acme", "globex")}

    keys = asyncio.run(admins()) | {"poor": poor.key}
    with standalone(settings) as app:
        yield Api(settings, app.test_client(), keys)


def die(api: Api, tenant: str, count: int = 1, **more: str) -> list[str]:
    """Write letters as the worker does, each a millisecond after the other, and give their keys."""
    about = {"code": "timeout", "process": "quick", "type": "t.one"} | more
    topic, keys = topics.DEAD_LETTERS.name(api.settings), []
    with Paced(api.settings, 5000, lambda _: None) as paced:
        for n in range(count):
            one = event(about["type"], b'{"n": %d}' % n, tenant)
            execution = ids.execution_id(one.key, about["process"])
            place = {"topic": topics.EVENTS.name(api.settings), "partition": n % 4, "offset": n, "timestamp": BASE_MS}
            record = SimpleNamespace(**place, key=record_key(one), value=one.data, headers=headers_of(one))
            dead = letter(
                record, topic, code=about["code"], reason="no answer", worker="w", key=execution, process=about["process"]
            )
            paced.send(Record(topic, dead.partition, dead.key, dead.value, dead.headers, BASE_MS + n))
            keys.append(execution)
        paced.finish()
    return keys


def redelivered(api: Api) -> int:
    return len(list(records(api.settings.kafka.bootstrap_servers, topics.REDELIVERIES.name(api.settings))))


def test_a_tenant_sees_its_own_letters_in_pages_the_newest_first(api: Api) -> None:
    keys = die(api, "acme", 7, process="paged")
    die(api, "globex", 2, process="paged")
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = api.get("acme", process="paged", limit=3, **({"cursor": cursor} if cursor else {})).json
        assert (len(page["letters"]), page["total"]) == (size, 7)
        seen += [one["key"] for one in page["letters"]]
        cursor = page["cursor"]
    assert cursor is None
    assert seen == keys[::-1]
    assert {one["tenant"] for one in page["letters"]} == {"acme"}
    one = api.get("acme", process="paged", until=iso(BASE_MS + 1)).json["letters"]
    assert [found["key"] for found in one] == keys[:1]
    assert one[0]["died_at"] == iso(BASE_MS)
    assert not api.get("acme", process="paged", reason="exception").json["letters"]


def test_one_letter_is_shown_whole_and_a_foreign_one_is_not_there(api: Api) -> None:
    [key] = die(api, "acme")
    found = api.get("acme", f"/{key}")
    assert (found.status_code, found.json["data"], found.json["data_encoding"]) == (200, '{"n": 0}', "text")
    assert {"name": "ce_type", "value": "t.one", "value_encoding": "text"} in found.json["headers"]
    foreign, unknown = api.get("globex", f"/{key}"), api.get("globex", f"/{uuid.uuid4()}")
    assert foreign.status_code == unknown.status_code == 404
    same = ("type", "title", "status", "code")
    assert [foreign.json[name] for name in same] == [unknown.json[name] for name in same]


def test_a_foreign_letter_is_neither_replayed_nor_purged(api: Api) -> None:
    [key] = die(api, "acme", process="guarded")
    before = redelivered(api)
    for action in ("replay", "purge"):
        for body in ({"keys": [key]}, {"process": "guarded"}):
            told = api.post("globex", f"/{action}", body).json
            assert (told["planned"], told["done"], told["left"]) == (0, 0, 0)
        assert api.post("globex", f"/{action}", {"keys": [key]}).json["skipped"] == {"not-found": 1}
    assert redelivered(api) == before
    assert api.get("acme", f"/{key}").status_code == 200


def test_only_the_scope_admin_opens_it(api: Api) -> None:
    for answer in (api.get("poor"), api.get("poor", "/k"), api.post("poor", "/replay", {}), api.post("poor", "/purge", {})):
        assert (answer.status_code, answer.json["code"]) == (403, "not-allowed")
    assert api.client.get(PATH).status_code == api.client.post(f"{PATH}/purge", json={}).status_code == 401
    bearer = {"authorization": f"Bearer {api.keys['acme']}"}
    assert api.client.get(PATH, headers=bearer).status_code == 200


def test_a_bulk_call_is_planned_and_repeated_until_nothing_is_left(api: Api) -> None:
    keys = die(api, "acme", 5, process="bulk")
    before = redelivered(api)
    plan = api.post("acme", "/replay", {"process": "bulk", "dry_run": True, "rate": 10}).json
    assert (plan["planned"], plan["done"], plan["left"], plan["estimated_s"]) == (5, 0, 5, 0.5)
    assert (plan["types"], plan["oldest_at"]) == ({"t.one": 5}, iso(BASE_MS))
    assert redelivered(api) == before
    told = [api.post("acme", "/replay", {"process": "bulk", "limit": 2}).json for _ in range(4)]
    assert [(one["planned"], one["done"], one["left"]) for one in told] == [(5, 2, 3), (3, 2, 1), (1, 1, 0), (0, 0, 0)]
    assert told[-1]["skipped"] == {"replayed": 5}
    assert redelivered(api) == before + 5
    shown = api.get("acme", f"/{keys[0]}").json
    assert shown["replays"] == 1
    again = {"process": "bulk", "limit": 3, "again": shown["replayed_at"][:-5] + "Z"}
    assert api.post("acme", "/replay", again).json["planned"] == 0
    again["again"] = "2100-01-01"
    assert api.post("acme", "/replay", {**again, "keys": keys[:1]}).json["done"] == 1
    assert api.get("acme", f"/{keys[0]}").json["replays"] == 2
    told = [api.post("acme", "/purge", {"process": "bulk", "limit": 3}).json for _ in range(2)]
    assert [(one["done"], one["left"]) for one in told] == [(3, 2), (2, 0)]
    assert api.get("acme", process="bulk").json["total"] == 0


def test_every_fault_is_named_with_its_place(api: Api) -> None:
    query = api.get("acme", since="yesterday", limit=0, cursor="x", colour="red", type="a..b")
    assert (query.status_code, query.json["code"]) == (400, "invalid-request")
    assert {one["pointer"] for one in query.json["errors"]} == {
        f"query:{n}" for n in ("since", "limit", "cursor", "colour", "type")
    }
    body = api.post("acme", "/replay", {"keys": [1, ""], "limit": 501, "rate": "fast", "again": 3, "dry_run": "no", "a/b": 1})
    assert {one["pointer"] for one in body.json["errors"]} == {
        *("/keys/0", "/keys/1", "/limit", "/rate", "/again", "/dry_run", "/a~1b"),
    }
    assert all(one["detail"] for one in (*body.json["errors"], *query.json["errors"]))
    assert api.post("acme", "/purge", {"again": "2100-01-01"}).json["errors"][0]["pointer"] == "/again"
    assert api.post("acme", "/purge", []).json["errors"] == [{"pointer": "", "detail": "must be an object"}]
    headers = {"x-api-key": api.keys["acme"]}
    path = f"{PATH}/replay"
    assert api.client.get(f"{PATH}?limit=1&limit=2", headers=headers).json["errors"][0]["detail"] == "is given twice"
    assert api.client.post(path, data="{", headers=headers, content_type="application/json").status_code == 400
    assert api.client.post(path, data="{}", headers=headers, content_type="text/plain").status_code == 415
    assert api.client.post(path, data=b" " * 65_537, headers=headers, content_type="application/json").status_code == 413
    assert api.client.get(PATH, data=b"x", headers=headers).status_code == 400
    assert api.client.put(f"{PATH}/replay", headers=headers).status_code == 405


def test_a_tenant_reads_the_topic_one_request_at_a_time_and_keeps_nobody_else_from_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on, find = threading.Event(), threading.Event(), read.find

    def slow(*arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(30)
        return find(*arguments)

    monkeypatch.setattr(read, "find", slow)
    first = threading.Thread(target=lambda: api.get("acme", "/nosuch"))
    first.start()
    assert reading.wait(30)
    busy, other = api.get("acme"), api.get("globex")
    go_on.set()
    first.join()
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    assert other.status_code == 200
    assert api.get("acme").status_code == 200
