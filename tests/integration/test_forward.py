# SPDX-License-Identifier: Apache-2.0
"""
Events of real tenants, through a real worker, to real receivers: what arrives, what is tried again, and what never leaves.

Each test has a tenant and a receiver of its own; the installation allows loopback, but for the last one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from bridge import topics
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from bridge.egress.addresses import LOOPBACK
from bridge.kafka.admin import ensure_topics
from bridge.registry.session import reading
from bridge.view.expecting import Expectation
from tests.conftest import StackOfTests
from tests.integration.deadletters import House, execution_of, header, replays_of
from tests.integration.receiver import Receiver, receiving
from tests.integration.workers import Sender, event, site, until, working

pytestmark = pytest.mark.timeout(120)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BEARER = "Bearer open-sesame"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(scope="module")
def house(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = site(stack, egress_allowed_networks=LOOPBACK)
    with working(stack, settings, tmp_path_factory.mktemp("forward"), processes="forward,quick") as worker:
        yield House(settings, worker)
        assert worker.asked_to_end() == 0


def tenant_of(house: House, **options: Any) -> str:
    """Make a tenant that forwards with these options; its worker knows when this returns."""
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    for arguments in (("tenants", "create", tenant), ("tenants", "enable", tenant, "forward", "--config", json.dumps(options))):
        done = house.evb(*arguments)
        assert done.returncode == 0, done.stderr
    time.sleep(2)  # "in every process within two seconds": the promise, for there is no way to ask the worker
    return tenant


def ended(house: House, one: Event) -> list[Execution]:
    """Wait for the end of an event's forwarding, and give every record of it."""

    def states() -> list[Execution]:
        return house.executions(one.tenant).get(execution_of(one, "forward"), [])

    until(lambda: states() and states()[-1].status.final, "the event is forwarded, or dead")
    return states()


def dead_letter(house: House, one: Event) -> tuple[str, str]:
    """The code and the reason of an event's dead letter, which has its bytes."""
    key = execution_of(one, "forward").encode()
    (letter,) = (record for record in house.records(topics.DEAD_LETTERS) if record.key() == key)
    assert letter.value() == one.data
    return header(letter, "dl_code"), header(letter, "dl_reason")


def assert_signed(headers: dict[str, str], body: bytes) -> None:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


def test_an_event_is_delivered_once_and_signed(house: House, receiver: Receiver) -> None:
    tenant = tenant_of(house, url=receiver.url, secret=SECRET, headers={"authorization": BEARER}, types=["t.*"])
    body = bytes(range(256))
    one, other = event("t.paid", body, tenant, datacontenttype="image/png"), event("other.type", b"{}", tenant)
    foreign = event("t.paid", body, "nobody")
    house.send(one, other, foreign)
    (execution,) = ended(house, one)
    assert (execution.status, execution.attempt) == (Status.COMPLETED, 1)
    told = json.loads(execution.data)
    assert told | {"ms": 0} == {"host": receiver.host, "status": 200, "ms": 0, "attempt": 1}
    ((headers, came),) = receiver.came
    assert came == body
    assert_signed(headers, came)
    assert headers["webhook-id"] == one.key
    said = {name: text for name, text in headers.items() if name.startswith(("ce-", "content-type", "auth"))}
    assert said == {
        "ce-specversion": "1.0",
        "ce-id": one.id,
        "ce-source": "/shop",
        "ce-type": "t.paid",
        "ce-correlationid": one.correlation_id,
        "content-type": "image/png",
        "authorization": BEARER,
    }
    assert ended(house, other)[-1].status is Status.SKIPPED
    assert set(house.executions("nobody")) == {execution_of(foreign, "quick")}, "it costs a tenant nothing who did not ask for it"


def test_the_web_expects_it_where_it_is_on_only(house: House, receiver: Receiver) -> None:
    tenant = tenant_of(house, url=receiver.url)
    with reading(house.settings) as registry:
        expected = Expectation(registry)
        assert (*expected(tenant, "t.paid"), *expected("nobody", "t.paid")) == ("forward", "quick", "quick")


def test_two_failures_and_a_success_are_three_attempts_of_one_message(house: House, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (500, {}), (200, {})]
    one = event("t.paid", b'{"n": 1}', tenant_of(house, url=receiver.url, secret=SECRET))
    house.send(one)
    states = ended(house, one)
    assert [(e.status, e.attempt) for e in states] == [(Status.PENDING, 1), (Status.PENDING, 2), (Status.COMPLETED, 3)]
    assert [e.reason for e in states[:2]] == [f"retry-later: {receiver.host} answered 500"] * 2
    assert len(receiver.came) == 3
    assert {headers["webhook-id"] for headers, _ in receiver.came} == {one.key}
    for headers, body in receiver.came:
        assert_signed(headers, body)


def test_a_receiver_that_is_gone_gets_no_second_request(house: House, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    one = event("t.paid", b"{}", tenant_of(house, url=receiver.url))
    house.send(one)
    assert [e.status for e in ended(house, one)] == [Status.FAILED]
    assert dead_letter(house, one) == ("gone", f"{receiver.host} answered 410")
    assert len(receiver.came) == 1


def test_a_redirect_is_not_followed(house: House, receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.answers = [(307, {"Location": elsewhere.url})]
        one = event("t.paid", b"{}", tenant_of(house, url=receiver.url))
        house.send(one)
        assert [e.status for e in ended(house, one)] == [Status.PENDING, Status.PENDING, Status.FAILED]
        assert dead_letter(house, one) == ("retry-later", f"{receiver.host} answered 307")
        assert (len(receiver.came), elsewhere.came) == (3, [])


def test_the_wait_that_a_receiver_asks_for_is_kept(house: House, receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "1"}), (200, {})]
    one = event("t.paid", b"{}", tenant_of(house, url=receiver.url))
    house.send(one)
    wait, done = ended(house, one)
    assert done.status is Status.COMPLETED
    assert wait.due_ms is not None
    assert wait.due_ms - wait.started_ms >= 1000, "its first tier would be 300 ms"


def test_a_silent_receiver_is_named_and_holds_nobody_up(house: House, receiver: Receiver) -> None:
    """More events than it may have connections, on all partitions: a neighbour's are done before the first one is given up."""
    receiver.silent.clear()
    tenant, neighbour = tenant_of(house, url=receiver.url), f"n-{uuid.uuid4().hex[:8]}"
    stuck, others = [event("t.stuck", b"{}", tenant) for _ in range(60)], [event("t.other", b"{}", neighbour) for _ in range(20)]
    sender = Sender(house.settings)
    sender.send(*stuck, *others)
    sender.flush()
    until(lambda: len(house.executions(neighbour)) == len(others), "the others have ended")
    until(lambda: all(execution_of(one, "forward") in house.executions(tenant) for one in stuck), "each was tried once")
    firsts = [states[0] for states in house.executions(tenant).values() if states[0].process == "forward"]
    assert {one.reason for one in firsts} == {f"retry-later: timeout: {receiver.host} did not answer in time"}
    given_up = min(one.due_ms or 0 for one in firsts)
    assert max(states[-1].finished_ms or given_up for states in house.executions(neighbour).values()) < given_up


def test_what_died_is_delivered_by_a_replay_under_the_same_id(house: House, receiver: Receiver) -> None:
    receiver.answers = [(410, {}), (200, {})]
    tenant = tenant_of(house, url=receiver.url, secret=SECRET)
    one = event("t.paid", b'{"n": 1}', tenant)
    house.send(one)
    assert ended(house, one)[-1].status is Status.FAILED
    done = house.evb("dlq", "replay", "--tenant", tenant, "--process", "forward")
    assert done.returncode == 0, done.stderr
    until(lambda: replays_of(house, tenant), "the replay has ended")
    assert [headers["webhook-id"] for headers, _ in receiver.came] == [one.key] * 2
    assert "ce-replayedfrom" not in receiver.came[1][0]


def test_no_secret_is_kept_or_shown_in_the_clear(house: House, receiver: Receiver) -> None:
    tenant = tenant_of(house, url=receiver.url, secret=SECRET, headers={"authorization": BEARER})
    receiver.answers = [(410, {})]
    house.send(event("t.paid", b"{}", tenant))
    kept = b"".join(record.value() or b"" for topic in topics.catalogue(house.settings) for record in house.records(topic))
    assert tenant.encode() in kept
    shown = house.evb("tenants", "show", tenant).stdout
    assert json.loads(shown)["processes"][0]["config"] == {
        "url": receiver.url,
        "secret": "**********",
        "headers": "**********",
    }
    for secret in (SECRET, BEARER):
        assert secret.encode() not in kept
        assert secret not in house.worker.log.read_text() + shown


def test_the_key_of_secret_options_can_be_changed_and_its_loss_is_named(stack: StackOfTests) -> None:
    settings, new = site(stack), Fernet.generate_key().decode()
    old = settings.secret_keys.get_secret_value()

    def evb(keys: str, *arguments: str) -> str:
        keyed = settings.model_copy(update={"secret_keys": SecretStr(keys)})
        return House(keyed, None).evb(*arguments).stdout  # type: ignore[arg-type]  # these commands need no worker

    evb(old, "tenants", "create", "acme")
    evb(old, "tenants", "enable", "acme", "forward", "--config", json.dumps({"url": "http://x", "secret": SECRET}))
    assert "✓ secrets" in evb(old, "doctor")
    assert "✗ acme/forward cannot be opened with any key" in evb(new, "secrets", "reencrypt")
    assert "✗ secrets   secret options cannot be decrypted: acme/forward" in evb(new, "doctor")
    assert evb(f"{new},{old}", "secrets", "reencrypt") == "✓ 1 secrets encrypted anew\n"
    assert "✓ secrets" in evb(new, "doctor")
    assert "✗ secrets" in evb(old, "doctor")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["url: Field required"]),
        ({"url": "gopher://x", "types": ["a..b"]}, ["url: ", "not an http or https one", "types: ", "'a..b'"]),
    ],
)
def test_faulty_options_are_refused_with_every_fault(house: House, options: dict[str, Any], words: list[str]) -> None:
    house.evb("tenants", "create", "faulty")
    done = house.evb("tenants", "enable", "faulty", "forward", "--config", json.dumps(options))
    assert done.returncode != 0
    assert [word for word in words if word not in " ".join(done.stderr.split())] == []


def test_options_of_a_process_that_is_not_installed_are_refused(house: House) -> None:
    house.evb("tenants", "create", "absent")
    done = house.evb("tenants", "enable", "absent", "unheard-of", "--config", '{"password": "sesame"}')
    assert done.returncode != 0
    assert "nobody can tell which of its options are secret" in " ".join(done.stderr.split())
    assert house.evb("tenants", "enable", "absent", "unheard-of").returncode == 0


def test_nothing_leaves_for_an_address_that_is_not_allowed(stack: StackOfTests, tmp_path: Path, receiver: Receiver) -> None:
    settings = site(stack)
    ensure_topics(settings)
    with working(stack, settings, tmp_path, processes="forward") as worker:
        house = House(settings, worker)
        one = event("t.paid", b"{}", tenant_of(house, url=receiver.url, secret=SECRET))
        house.send(one)
        assert [e.status for e in ended(house, one)] == [Status.FAILED]
        reason = "127.0.0.1 is not a public address, nor of EVB_EGRESS_ALLOWED_NETWORKS"
        assert dead_letter(house, one) == ("address-not-allowed", reason)
        assert receiver.came == []
