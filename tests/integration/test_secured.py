# SPDX-License-Identifier: Apache-2.0
"""SASL, TLS and AUTH pass through: every process and every client of ours works on servers that let nobody else in."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator

import aiokafka
import httpx2
import pytest
from confluent_kafka import Message
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from bridge import topics
from bridge.domain.errors import Misconfigured
from bridge.kafka.admin import check_topics, ensure_topics
from bridge.kafka.client import connection, producing
from bridge.kafka.follow import Follower
from bridge.kafka.groups import committed
from bridge.kafka.live import Live
from bridge.kafka.producer import LoopProducer
from bridge.kafka.scan import Scan
from bridge.settings import Settings, load
from bridge.stack.programs import Program
from processors.stream.app import credentials
from tests.integration.secured_stack import PASSWORD, WEB, WORKER, SecuredStack, evb, secured_stack, shows

pytestmark = pytest.mark.timeout(180)

EVENT = {"ce-specversion": "1.0", "ce-type": "order.created", "ce-source": "/shop", "ce-id": "7", "content-type": "text/plain"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    with secured_stack(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.mark.parametrize(("protocol", "scheme"), [("SASL_SSL", "rediss"), ("SSL", "unix")])
def test_the_whole_product_runs_with_nothing_but_settings(secured: SecuredStack, protocol: str, scheme: str) -> None:
    environ = secured.environ(secured.kafka_of(protocol), secured.redis_of(scheme))
    assert not any(PASSWORD in value for value in environ.values()), "secrets are in files"
    assert said(evb(environ, "topics", "ensure"), "created")
    key = json.loads(said(evb(environ, "tenants", "create", "acme", "--json"), "api_key"))["api_key"]
    web, worker = secured.program(WEB, environ), secured.program(WORKER, environ)
    try:
        web.spawn()
        worker.start()
        web.wait()
        assert outcome(web, key) == ("completed", {"completed"})
        url = f"http://127.0.0.1:{web.port}"
        report = json.loads(said(evb(environ, "doctor", "--json", "--url", url), "kafka"))
        assert {line["check"]: line["ok"] for line in report} == dict.fromkeys(ALL_LINES, True), report
        for program in (web, worker):
            program.ask_to_end()
        for program in (web, worker):
            program.await_end()
            assert not shows(program, PASSWORD)
    finally:
        web.kill()
        worker.kill()


ALL_LINES = ("settings", "plugins", "kafka", "topics", "secrets", "worker", "redis", "memory", "view", "clock", "web")


def outcome(web: Program, key: str) -> tuple[str, set[str]]:
    """Post an event and wait for its end: its status, and those of its executions."""
    own = {"x-api-key": key}
    with httpx2.Client(base_url=f"http://127.0.0.1:{web.port}", trust_env=False, timeout=40) as client:
        receipt = client.post("/events", content=b"hello", headers=EVENT | own)
        assert receipt.status_code == 202, receipt.text
        found = client.get(f"/events/{receipt.json()['key']}?wait=30", headers=own).json()
    return found["status"], {one["status"] for one in found["executions"]}


def said(done: subprocess.CompletedProcess[str], expected: str) -> str:
    """Give what a command printed; it must have ended well, with the expected word, and without the password."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


WAYS = [
    ("SASL_SSL", "PLAIN"),
    ("SASL_SSL", "SCRAM-SHA-256"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("SSL", ""),
]


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
async def test_every_client_of_ours_gets_in(secured: SecuredStack, protocol: str, mechanism: str) -> None:
    settings = load(secured.environ(secured.kafka_of(protocol, mechanism), secured.redis_of("unix")))
    await asyncio.to_thread(ensure_topics, settings)
    assert await asyncio.to_thread(check_topics, settings) == []
    await asyncio.to_thread(lambda: Live(settings, [topics.EVENTS.name(settings)]).__exit__(None, None, None))
    assert await asyncio.to_thread(committed, settings, "nobody", topics.EVENTS) == {}
    await produce(settings)
    assert await asyncio.to_thread(scanned, settings) == [b"one"]
    assert await asyncio.to_thread(followed, settings) == [b"one"]
    consumer = aiokafka.AIOKafkaConsumer(
        topics.EVENTS.name(settings),
        bootstrap_servers=settings.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        **credentials_to_aiokafka_auth(credentials(settings.kafka)),
    )
    try:
        await consumer.start()
        assert (await asyncio.wait_for(consumer.getone(), 30)).value == b"one"
    finally:
        await consumer.stop()


async def produce(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    reported: asyncio.Future[object] = loop.create_future()
    producer = LoopProducer(producing(settings, linger_ms=0, timeout_s=30), loop, lambda error: None)
    producer.send(topics.EVENTS.name(settings), b"one", key=None, headers=[], report=lambda err, _: reported.set_result(err))
    assert await reported is None
    assert await producer.close(5) == 0


def scanned(settings: Settings) -> list[bytes | None]:
    with Scan(settings, (topics.EVENTS,)) as scan:
        found: list[Message] = []
        while not scan.done:
            found += scan.read(10, 0.5)
    return [message.value() for message in found]


def followed(settings: Settings) -> list[bytes | None]:
    found: list[bytes | None] = []
    follower = Follower(settings, topics.EVENTS.name(settings), lambda batch: found.extend(one.value() for one in batch))
    follower.start()
    try:
        assert follower.wait_current(15), follower.fault
    finally:
        follower.close()
    return found


def test_files_and_credentials_that_cannot_be_used_are_named_before_anything_is_asked(secured: SecuredStack) -> None:
    nonsense = secured.socket.with_suffix(".pem")
    nonsense.write_text("no certificate")
    certificate = secured.kafka_of("SSL")["ssl_certificate_file"]
    for wrong, named in (
        (
            {"security_protocol": "SSL", "ssl_ca_file": "/nowhere/ca.pem"},
            "EVB_KAFKA__SSL_CA_FILE: /nowhere/ca.pem cannot be used",
        ),
        ({"security_protocol": "SSL", "ssl_ca_file": str(nonsense)}, "EVB_KAFKA__SSL_CA_FILE"),
        ({"security_protocol": "SSL", "ssl_certificate_file": certificate}, "EVB_KAFKA__SSL_KEY_FILE"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "me"}, "EVB_KAFKA__SASL_PASSWORD are needed with SASL_SSL"),
    ):
        settings = load(secured.environ({"bootstrap_servers": "127.0.0.1:1", **wrong}, secured.redis_of("unix")))
        with pytest.raises(Misconfigured, match=named):
            connection(settings)
