# SPDX-License-Identifier: Apache-2.0
"""Notices posted to webhooks by a real worker: signed, by themselves or together, retried, and stopped where nobody answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.credentials import Vault
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Status
from bridge.egress.addresses import LOOPBACK
from bridge.notifications.deliveries import WEBHOOK, Delivery, last_deliveries
from bridge.redis.keys import Keys
from bridge.redis.pipe import Pipe
from bridge.registry.session import changing, reading
from bridge.registry.tenants import create_tenant
from bridge.registry.webhook import Webhook
from bridge.registry.webhooks import Wish, create_webhook, delete_webhook, find_webhook, replace_webhook
from bridge.settings import Settings
from bridge.view.rebuild import rebuild
from tests.conftest import StackOfTests
from tests.integration.deadletters import House
from tests.integration.receiver import Receiver, receiving
from tests.integration.test_notices import create, outcome_id, update
from tests.integration.test_retries import histories
from tests.integration.workers import Sender, site, until, working

pytestmark = pytest.mark.timeout(180)
SECRET = "a secret of the tests"
SPREAD_S = 2  # a change is in every process within this time: the promise; a worker cannot be asked
"""A change of the registry holds in every process within two seconds; there is no way to ask the worker."""


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack, egress_allowed_networks=LOOPBACK, retry_tiers="300ms,500ms")
    processes = "createentity,updateentity"
    with working(stack, settings, tmp_path_factory.mktemp("webhooks"), processes=processes) as worker:
        yield House(settings, worker)
        assert worker.asked_to_end() == 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def wish(url: str, *types: str, batch: int = 0, **members: Any) -> Wish:
    given = {"name": "mine", "secret": SECRET, "enabled": True, "addresses": ()} | members
    return Wish(url=url, types=types or ("*",), batch=batch, **given)


def subscribe(settings: Settings, *wishes: Wish) -> tuple[str, list[Webhook]]:
    """Make a tenant with webhooks, which the worker knows when this returns."""
    tenant, vault = f"t-{uuid.uuid4().hex[:8]}", Vault(settings.secret_keys.get_secret_value())

    async def make() -> list[Webhook]:
        async with changing(settings) as changes:
            await create_tenant(changes, tenant)
            return [await create_webhook(changes, vault, tenant, one) for one in wishes]

    made = asyncio.run(make())
    time.sleep(SPREAD_S)
    return tenant, made


def of_tenant(tenant: str, *events: Event) -> list[Event]:
    return [Event({**one.attributes, "tenantid": tenant}, one.data) for one in events]


def send(settings: Settings, *events: Event) -> None:
    sender = Sender(settings)
    sender.send(*events)
    sender.flush()


def deliveries(settings: Settings, webhook: Webhook) -> list[Delivery]:
    async def look() -> list[Delivery]:
        pipe = Pipe(settings.redis, asyncio.get_running_loop())
        assert await pipe.wait_connected(10)
        try:
            return await last_deliveries(pipe, Keys(settings.topic_prefix), webhook.tenant, webhook.id)
        finally:
            await pipe.close()

    return asyncio.run(look())


def now(settings: Settings, webhook: Webhook) -> Webhook:
    with reading(settings) as registry:
        return find_webhook(registry, webhook.tenant, webhook.id)[0]


def bodies(receiver: Receiver) -> list[Any]:
    return [json.loads(body) for _, body in receiver.came]


def test_each_notice_is_posted_and_signed_in_both_ways(house: House, receiver: Receiver) -> None:
    tenant, (hook,) = subscribe(house.settings, wish(receiver.url))
    (made,) = of_tenant(tenant, create("é☂", "Société 🏦"))
    send(house.settings, made)
    until(lambda: len(receiver.came) >= 4, "all notices have come")
    assert Counter(body["EventType"] for body in bodies(receiver)) == Counter(
        ["journey:instancestarted", "entitydata:created", "entitydata:verified", "eventingress:success"]
    )
    headers, body = next(one for one in receiver.came if b"eventingress:success" in one[1])
    said = json.loads(body)
    assert list(said) == [
        "Id", "TenantId", "EventType", "RelativeUrl", "When", "CorrelationId", "CausationId", "Payload",
    ]  # fmt: skip
    assert (said["Id"], said["TenantId"], said["CausationId"]) == (outcome_id(made), tenant, made.key)
    assert said["CorrelationId"] == "mine-é☂ ☂"
    assert body.isascii(), "as the vendor sends it"
    assert headers["content-type"] == "application/json"
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest().upper()
    assert headers["x-fenx-signature"] == f"sha256={expected}"
    signed = f"{said['Id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    assert (headers["webhook-id"], headers["webhook-signature"]) == (said["Id"], f"v1,{mac}")
    until(lambda: len(deliveries(house.settings, hook)) == 4, "the view has them")
    assert {(one.status, one.code) for one in deliveries(house.settings, hook)} == {("Successful", 200)}


def test_only_the_wanted_types_of_the_own_tenant_come(house: House, receiver: Receiver) -> None:
    tenant, _ = subscribe(house.settings, wish(receiver.url, "eventingress:failed"))
    send(house.settings, *of_tenant(tenant, create("a"), update("nobody", 1)), create("b"))
    until(lambda: receiver.came, "the failure has come")
    house.worker.settle(house.settings)
    (said,) = bodies(receiver)
    assert (said["EventType"], said["Payload"]["cause"]) == ("eventingress:failed", "entity-unknown: there is no entity nobody")


def test_a_batch_webhook_gets_lists_of_notices(house: House, receiver: Receiver) -> None:
    tenant, _ = subscribe(house.settings, wish(receiver.url, "eventingress:success", batch=10))
    messages = of_tenant(tenant, *(create(f"e{n}") for n in range(40)))
    send(house.settings, *messages)
    until(lambda: sum(map(len, bodies(receiver))) >= 40, "all notices have come")
    assert all(1 <= len(body) <= 10 for body in bodies(receiver))
    assert max(map(len, bodies(receiver))) > 1, "several at once"
    assert sorted(one["Id"] for body in bodies(receiver) for one in body) == sorted(map(outcome_id, messages))


def test_what_fails_is_retried_under_one_id_until_it_is_taken(house: House, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (302, {"Location": "http://127.0.0.1:1/"}), (204, {})]
    tenant, (hook,) = subscribe(house.settings, wish(receiver.url, "eventingress:success"))
    (made,) = of_tenant(tenant, create("a"))
    send(house.settings, made)
    until(lambda: len(receiver.came) == 3, "three attempts")
    assert len({headers["webhook-id"] for headers, _ in receiver.came}) == 1
    assert len({body for _, body in receiver.came}) == 1
    name = ids.execution_id(ids.delivery_key(outcome_id(made), hook.id), WEBHOOK)
    until(lambda: [e.status for e in histories(house.settings).get(name, [])][-1:] == [Status.COMPLETED], "it has ended")
    said = histories(house.settings)[name]
    assert [e.reason.partition(" answered ")[2] for e in said] == ["500", "302", ""]
    assert {e.correlation_id for e in said} == {made.key}, "it is part of the message's tree"
    (one,) = deliveries(house.settings, hook)
    assert (one.status, one.attempts, one.notice) == ("Successful", 3, outcome_id(made))
    assert now(house.settings, hook).live


def test_a_webhook_that_never_answers_is_disabled_with_the_reason_until_it_is_changed(house: House, receiver: Receiver) -> None:
    receiver.answers = [(503, {})]
    tenant, (hook, other) = subscribe(
        house.settings, wish(receiver.url, "eventingress:success"), wish(receiver.url, "eventingress:failed", name="other")
    )
    first, second = of_tenant(tenant, create("a"), create("b"))
    send(house.settings, first)
    until(lambda: now(house.settings, hook).disabled, "it is disabled")
    assert now(house.settings, hook).disabled == f"{receiver.host} answered 503"
    assert now(house.settings, other).live
    assert len(receiver.came) == 3, "three attempts with two tiers"
    until(lambda: deliveries(house.settings, hook)[0].attempts == 3, "the log shows it")
    assert [(one.status, one.code) for one in deliveries(house.settings, hook)] == [("Failed", 503)]
    time.sleep(SPREAD_S)
    send(house.settings, second)
    house.worker.settle(house.settings)
    assert len(receiver.came) == 3, "nothing is posted any more"
    receiver.answers = [(200, {})]
    vault = Vault(house.settings.secret_keys.get_secret_value())

    async def change() -> None:
        async with changing(house.settings) as changes:
            changed = wish(receiver.url, "eventingress:success", secret="")
            await replace_webhook(changes, vault, tenant, hook.id, changed)

    asyncio.run(change())
    time.sleep(SPREAD_S)
    (third,) = of_tenant(tenant, create("c"))
    send(house.settings, third)
    until(lambda: len(receiver.came) == 4, "it is posted again")
    expected = hmac.new(SECRET.encode(), receiver.came[-1][1], hashlib.sha256).hexdigest().upper()
    assert receiver.came[-1][0]["x-fenx-signature"] == f"sha256={expected}", "an empty secret keeps the old one"
    replayed = house.evb("dlq", "replay", "--tenant", tenant)
    assert replayed.returncode == 0, replayed.stderr
    until(lambda: len(receiver.came) == 5, "the dead letter was replayed")
    assert bodies(receiver)[-1]["Id"] == outcome_id(first)


def test_a_webhook_that_rests_holds_up_no_other_of_its_tenant(house: House, receiver: Receiver) -> None:
    with receiving() as dead:
        dead.answers = [(500, {})]
        tenant, (resting, hook) = subscribe(
            house.settings, wish(dead.url, "eventingress:failed"), wish(receiver.url, "eventingress:success", name="other")
        )
        send(house.settings, *of_tenant(tenant, *(update(f"nobody-{n}", 1) for n in range(120))))
        until(lambda: "circuit breaker" in reasons(house.settings), "it rests")
        (made,) = of_tenant(tenant, create("a"))
        send(house.settings, made)
        until(lambda: receiver.came, "the other one gets its notice")
    name = ids.execution_id(ids.delivery_key(outcome_id(made), hook.id), WEBHOOK)
    until(lambda: [e.status for e in histories(house.settings).get(name, [])][-1:] == [Status.COMPLETED], "it has ended")
    assert [one.reason for one in histories(house.settings)[name]] == [""], "it was never held"

    async def delete() -> None:
        async with changing(house.settings) as changes:
            await delete_webhook(changes, tenant, resting.id)

    asyncio.run(delete())
    house.worker.settle(house.settings)


def reasons(settings: Settings) -> str:
    return "\n".join(one.reason for found in histories(settings).values() for one in found)


def test_one_that_took_others_meanwhile_is_not_disabled(house: House, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (200, {}), (500, {}), (500, {}), (200, {})]
    tenant, (hook,) = subscribe(house.settings, wish(receiver.url, "eventingress:success"))
    first, second = of_tenant(tenant, create("a"), create("b"))
    send(house.settings, first)
    until(lambda: receiver.came, "the first is refused")
    send(house.settings, second)
    until(lambda: len(receiver.came) >= 4, "both have ended")
    house.worker.settle(house.settings)
    assert now(house.settings, hook).live


def test_gone_is_gone_and_what_is_deleted_gets_nothing(house: House, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    tenant, (hook, deleted) = subscribe(
        house.settings, wish(receiver.url, "eventingress:success"), wish(receiver.url, name="deleted")
    )

    async def delete() -> None:
        async with changing(house.settings) as changes:
            await delete_webhook(changes, tenant, deleted.id)

    asyncio.run(delete())
    time.sleep(SPREAD_S)
    send(house.settings, *of_tenant(tenant, create("a")))
    until(lambda: now(house.settings, hook).disabled, "it is disabled")
    house.worker.settle(house.settings)
    assert len(receiver.came) == 1


def test_only_the_last_twenty_deliveries_are_kept_also_in_a_rebuilt_view(house: House, receiver: Receiver) -> None:
    tenant, (hook,) = subscribe(house.settings, wish(receiver.url, "eventingress:success"))
    send(house.settings, *of_tenant(tenant, *(create(f"e{n}") for n in range(30))))
    until(lambda: len(receiver.came) == 30, "all have come")
    until(lambda: len(deliveries(house.settings, hook)) == 20, "the view has them")
    house.worker.settle(house.settings)
    before = {one.notice for one in deliveries(house.settings, hook)}
    assert rebuild(house.settings) is not None
    after = deliveries(house.settings, hook)
    assert len(after) == 20
    assert len({one.notice for one in after} & before) >= 15, "those with equal times may be others"


def test_an_address_that_is_not_allowed_is_never_reached(stack: StackOfTests, receiver: Receiver, tmp_path: Path) -> None:
    settings = site(stack)
    with working(stack, settings, tmp_path, processes="createentity,updateentity") as worker:
        tenant, (hook,) = subscribe(settings, wish(receiver.url, "eventingress:success"))
        send(settings, *of_tenant(tenant, create("a")))
        until(lambda: deliveries(settings, hook), "it has ended")
        worker.settle(settings)
    assert receiver.came == []
    (one,) = deliveries(settings, hook)
    assert (one.status, "address-not-allowed" in one.reason) == ("Failed", True)
