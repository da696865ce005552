# SPDX-License-Identifier: Apache-2.0
"""A wrong password or an unknown authority: each process says within seconds what is wrong, and never shows a secret."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from bridge import topics
from bridge.domain.errors import Misconfigured
from bridge.kafka.admin import client, ensure_topics
from bridge.kafka.follow import Follower
from bridge.kafka.groups import committed
from bridge.kafka.live import Live
from bridge.kafka.scan import Scan
from bridge.settings import load
from bridge.stack.programs import Program
from tests.integration.secured_stack import PASSWORD, WEB, WORKER, SecuredStack, evb, secured_stack, shows
from tests.web_under_test import until

pytestmark = pytest.mark.timeout(180)

WRONG = "not-the-passw0rd"
Fault = Callable[[SecuredStack], Mapping[str, str]]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    with secured_stack(tmp_path_factory.mktemp("refusing")) as running:
        yield running


def wrong_password(secured: SecuredStack) -> Mapping[str, str]:
    return secured.kafka_of("SASL_SSL") | {"sasl_password": WRONG}


def unknown_authority(secured: SecuredStack) -> Mapping[str, str]:
    return secured.kafka_of("SASL_SSL") | {"ssl_ca_file": str(secured.stranger.ca)}


def no_certificate(secured: SecuredStack) -> Mapping[str, str]:
    return secured.kafka_of("SSL") | {"ssl_certificate_file": "", "ssl_key_file": ""}


KAFKA = [
    (wrong_password, "invalid credentials", "EVB_KAFKA__SASL_PASSWORD"),
    (unknown_authority, "certificate verify failed", "EVB_KAFKA__SSL_"),
    (no_certificate, "certificate required", "EVB_KAFKA__SSL_"),
]


@pytest.mark.parametrize(("fault", "words", "setting"), KAFKA)
def test_every_client_says_what_kafka_refuses(secured: SecuredStack, fault: Fault, words: str, setting: str) -> None:
    settings = load(secured.environ(fault(secured), secured.redis_of("unix")))
    follower = Follower(settings, topics.EVENTS.name(settings), lambda batch: None)
    follower.start()
    asking: list[Callable[[], object]] = [
        lambda: client(settings).cluster(10),
        lambda: Live(settings, [topics.EVENTS.name(settings)]),
        lambda: Scan(settings, (topics.EVENTS,)),
        lambda: committed(settings, "nobody", topics.EVENTS),
    ]
    for ask in asking:
        with pytest.raises(Misconfigured, match=words) as refused:
            ask()
        assert setting in str(refused.value)
        assert no_secret(str(refused.value))
    until(lambda: words in follower.fault and setting in follower.fault, 20)
    follower.close()


@pytest.mark.parametrize(("fault", "words", "setting"), KAFKA[:2])
def test_every_process_says_what_kafka_refuses(secured: SecuredStack, fault: Fault, words: str, setting: str) -> None:
    environ = secured.environ(fault(secured), secured.redis_of("unix"))
    web = secured.program(WEB, environ)
    try:
        web.spawn()
        with ThreadPoolExecutor(2) as pool:
            doctor, worker = pool.map(lambda words: evb(environ, *words), (("doctor", "--json"), ("worker",)))
        (kafka,) = [line for line in json.loads(doctor.stdout) if line["check"] == "kafka"]
        assert (doctor.returncode, kafka["ok"]) == (1, False)
        assert words in kafka["found"]
        assert setting in kafka["found"]
        assert kafka["cure"]
        assert worker.returncode == 2, worker
        assert words in worker.stderr
        assert setting in worker.stderr
        until(lambda: words in followed(web), 20)
        assert setting in followed(web)
        assert readiness(web)[0] == 503
        web.ask_to_end()
        web.await_end()
        for text in (doctor.stdout, doctor.stderr, worker.stdout, worker.stderr, web.log.read_text()):
            assert no_secret(text)
    finally:
        web.kill()


def no_secret(text: str) -> bool:
    assert "Traceback" not in text, text
    return PASSWORD not in text and WRONG not in text


def followed(web: Program) -> str:
    """Give the reasons for which the server waits for its registry."""
    lines = [line for line in web.log.read_text().splitlines() if line.startswith("{")] if web.log.exists() else []
    return " ".join(str(json.loads(line).get("reason")) for line in lines)


def readiness(web: Program) -> tuple[int, str]:
    answer = httpx2.get(f"http://127.0.0.1:{web.port}/readyz?verbose", trust_env=False, timeout=10)
    return answer.status_code, answer.text


def wrong_redis_password(secured: SecuredStack) -> Mapping[str, str]:
    return secured.redis_of("rediss", WRONG)


def unknown_redis_authority(secured: SecuredStack) -> Mapping[str, str]:
    return secured.redis_of("rediss") | {"ssl_ca_file": str(secured.stranger.ca)}


REDIS = [
    (wrong_redis_password, "WRONGPASS", "invalid username-password pair"),
    (unknown_redis_authority, "CERTIFICATE_VERIFY_FAILED", "CERTIFICATE_VERIFY_FAILED"),
]


@pytest.mark.parametrize(("fault", "logged", "reported"), REDIS)
def test_what_redis_refuses_is_said_and_intake_goes_on(secured: SecuredStack, fault: Fault, logged: str, reported: str) -> None:
    environ = secured.environ(secured.kafka_of("SASL_SSL"), fault(secured))
    ensure_topics(load(environ))
    web, worker = secured.program(WEB, environ), secured.program(WORKER, environ)
    try:
        web.spawn()
        worker.spawn()
        doctor = evb(environ, "doctor", "--json")
        (redis,) = [line for line in json.loads(doctor.stdout) if line["check"] == "redis"]
        assert (doctor.returncode, redis["ok"]) == (1, False)
        assert reported in redis["found"]
        assert "EVB_REDIS__URL" in redis["cure"]
        assert no_secret(doctor.stdout + doctor.stderr)
        web.wait()
        worker.wait()
        (line,) = [line for line in readiness(web)[1].splitlines() if line.startswith("[-] redis")]
        assert logged in line
        assert no_secret(line)
        for program in (web, worker):
            until(lambda program=program: program.log.exists() and shows(program, logged), 30)  # type: ignore[misc]
            program.ask_to_end()
        for program in (web, worker):
            program.await_end()
            assert no_secret(program.log.read_text())
    finally:
        web.kill()
        worker.kill()


def test_a_plain_client_is_not_let_in(secured: SecuredStack) -> None:
    """What the other tests pass, they pass by their credentials."""
    plain = {"bootstrap_servers": secured.kafka_of("SASL_SSL")["bootstrap_servers"]}
    done: subprocess.CompletedProcess[str] = evb(
        secured.environ(plain, secured.redis_of("rediss") | {"url": f"redis://127.0.0.1:{secured.valkey.port}"}),
        "doctor",
        "--json",
    )
    lines = {line["check"]: line for line in json.loads(done.stdout)}
    assert (lines["kafka"]["ok"], lines["redis"]["ok"]) == (False, False)
    assert "Authentication required" in lines["redis"]["found"]
