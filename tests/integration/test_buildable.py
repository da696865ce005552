# SPDX-License-Identifier: Apache-2.0
"""The Buildable dialect on the real stack: what is emitted is offered, claimed once, and ends; whatever is lost meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import redis
from confluent_kafka import Consumer, TopicPartition

from bridge.settings import Settings
from bridge.topics import BUILDABLE_RESULTS
from tests.conftest import StackOfTests
from tests.integration.buildable import Caller, make_pair
from tests.web_under_test import Server, free_port, make_tenants, until, web_server

pytestmark = pytest.mark.timeout(120)
LEASE_S = 10  # longer than a rebuild takes on a busy machine


class House(NamedTuple):
    """A server with two tenants' secret keys."""

    server: Server
    settings: Settings
    live: Caller
    test: Caller
    other: Caller


@pytest.fixture(scope="module")
def house(stack: StackOfTests) -> Iterator[House]:
    settings = stack.settings(port=free_port(), partitions=4, claim_lease_s=LEASE_S, buildable_prefix="/buildable")
    make_tenants(settings, "acme", "other")
    (test, live), (_, foreign) = make_pair(settings, "acme", "shop"), make_pair(settings, "other", "shop")
    with web_server(stack, settings) as server:
        yield House(server, settings, *(Caller(server, secret) for secret in (live, test, foreign)))


def test_an_event_is_offered_claimed_and_finished(house: House) -> None:
    live, began = house.live, time.time_ns() // 1_000_000
    key = live.emit("user.created", name="Ada", big=2**70)
    (row,) = live.query("user.created", "mail")["rows"]
    assert row["payload"] == '{"name":"Ada","big":1180591620717411303424}'
    assert (row["key"], row["_id"], row["eventName"], row["environment"]) == (key, key, "user.created", "live")
    assert (row["state"], row["history"], row["query"], row["headers"]) == ("does-not-exist", [], None, None)
    assert began <= row["createdAt"] <= time.time_ns() // 1_000_000
    assert row["ownership"] == {"buildableId": "", "userId": "acme", "clientId": "shop"}
    taken = live.ask("init", key=key, txKey="mail").json()
    assert (taken["state"], taken["txKey"], taken["event"]) == ("created", "mail", {"_id": key, "eventName": "user.created"})
    assert live.query("user.created", "mail")["rows"] == []
    assert [one["key"] for one in live.query("user.created", "bill")["rows"]] == [key], "under another key it is still offered"
    working = live.ask("update", key=key, eventName="user.created", txKey="mail", txState="processing").json()
    assert (working["state"], working["processing"]["totalTransactions"]) == ("processing", 1)
    done = live.ask("transact", key=key, txKey="mail", output='{"sent":1}', state="finished").json()
    assert (done["state"], done["_id"], done["txn"]) == ("finished", taken["_id"], taken["_id"])
    steps = [(one["exitState"], one["enterState"], one["updatedBy"]) for one in done["history"]]
    assert steps == [
        ("does-not-exist", "created", "shop"),
        ("created", "processing", "shop"),
        ("processing", "finished", "shop"),
    ]
    assert done["startedAt"] <= done["endedAt"]
    (row,) = live.query("user.created", "mail", txState="finished")["rows"]
    assert row["processing"] == {
        "hasTransactions": True,
        "totalTransactions": 1,
        "hasFutureTransactions": False,
        "isCompleted": True,
    }


def test_the_output_is_a_result_with_its_events_correlation(house: House) -> None:
    key = house.live.emit("order.paid", total=5)
    house.live.ask("init", key=key, txKey="ship")
    assert house.live.ask("transact", key=key, txKey="ship", output='{"parcel":7}', state="finished").status == 200
    again = house.live.ask("transact", key=key, txKey="ship", output='{"parcel":7}', state="finished")
    assert again.status == 200
    assert house.live.ask("transact", key=key, txKey="ship", output="other", state="finished").status == 409
    found = [one for one in results(house.settings) if one["ce_subject"] == b"custom.shop.order.paid"]
    assert len(found) == 1, "the same end again is published no second time"
    assert found[0]["value"] == b'{"parcel":7}'
    assert found[0]["ce_correlationid"].replace(b"-", b"").decode() == key
    assert found[0]["ce_txkey"] == b"ship"


def results(settings: Settings) -> list[dict[str, Any]]:
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "t", "enable.partition.eof": True})
    topic = BUILDABLE_RESULTS.name(settings)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(settings.partitions)])
    found, ends = [], 0
    while ends < settings.partitions:
        for message in consumer.consume(100, 1):
            if message.error() is not None:
                ends += 1
            else:
                found.append({**dict(message.headers() or ()), "value": message.value()})
    consumer.close()
    return found


def test_of_a_hundred_claims_at_once_one_wins(house: House) -> None:
    key = house.live.emit("race.started")
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: house.live.ask("init", key=key, txKey="racer").status, range(100)))
    assert Counter(answers) == {200: 1, 409: 99}


def test_foreign_keys_do_not_exist(house: House) -> None:
    key = house.live.emit("mine.only")
    for caller in (house.test, house.other):
        assert caller.query("mine.only", "x")["total"] == 0
        for operation in ("init", "transact", "update"):
            members = {"key": key, "txKey": "x", "state": "finished", "txState": "processing", "eventName": "mine.only"}
            assert caller.ask(operation, **members).status == 404
    assert house.live.ask("transact", key=key, txKey="x", state="finished").status == 404, "it was never begun"
    assert house.live.ask("init", key="0" * 32, txKey="x").status == 404
    assert house.live.ask("init", key="no key", txKey="x").status == 404
    assert house.live.ask("init", key=key, txKey="x", eventName="another").status == 404


def test_a_wrong_secret_is_refused_in_the_dialects_form(house: House) -> None:
    for secret in ("", "sk_live_1_nothing"):
        answer = Caller(house.server, secret).ask("emit", event="e", payload={})
        assert (answer.status, answer.json()["name"], answer.json()["status"]) == (401, "invalid-secret", "error")
    assert house.server.ask("GET", "/").status == 200


def test_every_fault_is_named_at_once(house: House) -> None:
    answer = house.live.ask("query", eventName="", txKey=5, since="x", txState="lost", page=0, pageSize=101, platform="a.b")
    assert answer.status == 400
    pointers = [one["pointer"] for one in answer.json()["errors"]]
    assert pointers == ["/eventName", "/platform", "/txKey", "/since", "/txState", "/page", "/pageSize"]
    assert house.live.ask("emit", event="e", payload=[]).json()["errors"] == [
        {"pointer": "/payload", "detail": "must be an object"}
    ]
    assert house.server.ask("POST", "/emit", b"{", x_buildable_secret=house.live.secret).status == 400


def test_a_large_payload_is_taken_up_to_the_dialects_own_limit(house: House) -> None:
    key = house.live.emit("large.one", text="x" * 4_900_000)
    (row,) = house.live.query("large.one", "t")["rows"]
    assert row["key"] == key
    assert len(row["payload"]) > 4_900_000
    more = {"content_length": str(5 * 2**20 + 1), "x_buildable_secret": house.live.secret}
    refused = house.server.ask("POST", "/emit", b"{", **more)
    assert (refused.status, refused.json()["name"]) == (413, "too-large")


def test_names_are_full_or_short(house: House) -> None:
    key = house.live.emit("name.with.dots")
    for given in (
        {"eventName": "name.with.dots"},
        {"eventName": "custom.shop.name.with.dots"},
        {"eventName": "name.with.dots", "platform": "custom", "label": "shop"},
    ):
        assert [one["key"] for one in house.live.query(given.pop("eventName"), "t", **given)["rows"]] == [key]
    assert house.live.query("name.with.dots", "t", label="elsewhere")["total"] == 0
    told = Caller(house.server, house.live.secret, "/buildable").ask("get-full-event-name", eventName="name.with.dots")
    assert told.json() == {"fullName": "custom.shop.name.with.dots"}


def test_pages_follow_the_order_of_creation_with_right_totals(house: House) -> None:
    keys = [house.live.emit("paged.event", n=n) for n in range(25)]
    claimed = keys[::3]
    for key in claimed:
        assert house.live.ask("init", key=key, txKey="p").status == 200
    left = [key for key in keys if key not in claimed]
    for size in (1, 4, 10, 100):
        pages = [house.live.query("paged.event", "p", page=n, pageSize=size) for n in range(1, -(-len(left) // size) + 2)]
        assert [one["key"] for page in pages for one in page["rows"]] == left
        assert {(page["total"], page["totalPages"]) for page in pages} == {(len(left), -(-len(left) // size))}
    taken = house.live.query("paged.event", "p", txState="created", pageSize=100)
    assert [one["key"] for one in taken["rows"]] == claimed
    middle = house.live.query("paged.event", "q", pageSize=100)["rows"][12]
    since = house.live.query("paged.event", "q", since=middle["createdAt"], pageSize=100)
    assert middle["key"] in [one["key"] for one in since["rows"]], "since is inclusive"
    assert all(one["createdAt"] >= middle["createdAt"] for one in since["rows"])


def test_an_answered_claim_survives_the_loss_of_redis(house: House) -> None:
    mine, free = house.live.emit("kept.claim", n=1), house.live.emit("kept.claim", n=2)
    done = house.live.emit("kept.claim", n=3)
    for key in (mine, done):
        assert house.live.ask("init", key=key, txKey="k").status == 200
    assert house.live.ask("transact", key=done, txKey="k", state="failed").status == 200
    outside = redis.Redis.from_url(house.settings.redis.url.get_secret_value())
    outside.flushall()
    until(lambda: house.live.ask("init", key=mine, txKey="k").status != 503, 30)
    assert house.live.ask("init", key=mine, txKey="k").status == 409
    assert house.live.ask("init", key=done, txKey="k").status == 409
    assert [one["key"] for one in house.live.query("kept.claim", "k")["rows"]] == [free]
    (row,) = house.live.query("kept.claim", "k", txState="failed")["rows"]
    assert row["key"] == done
    assert house.live.ask("transact", key=mine, txKey="k", state="finished").status == 200, "and its holder goes on"


def test_a_lease_ends_also_where_redis_was_emptied_meanwhile(house: House) -> None:
    key = house.live.emit("lease.kept")
    assert house.live.ask("init", key=key, txKey="t").status == 200
    redis.Redis.from_url(house.settings.redis.url.get_secret_value()).flushall()
    until(lambda: house.live.ask("init", key=key, txKey="other").status == 200, 30)
    assert house.live.query("lease.kept", "t")["total"] == 0, "it is still held"
    until(lambda: house.live.query("lease.kept", "t")["total"] == 1, LEASE_S + 20)


def test_a_claim_whose_holder_is_gone_is_offered_again(house: House) -> None:
    key, kept = house.live.emit("lease.over", n=1), house.live.emit("lease.over", n=2)
    for one in (key, kept):
        assert house.live.ask("init", key=one, txKey="t").status == 200
    deadline = time.monotonic() + LEASE_S + 20
    while not (rows := house.live.query("lease.over", "t")["rows"]):
        assert time.monotonic() < deadline
        assert house.live.ask("update", key=kept, eventName="lease.over", txKey="t", txState="created").status == 200
        time.sleep(0.3)
    assert [one["key"] for one in rows] == [key], "who goes on keeps it"
    late = house.live.ask("transact", key=key, txKey="t", state="finished")
    assert (late.status, late.json()["name"]) == (409, "conflict")
    again = house.live.ask("init", key=key, txKey="t")
    assert [one["enterState"] for one in again.json()["history"]] == ["created", "does-not-exist", "created"]
    assert again.json()["history"][1]["updatedBy"] == "lease"
