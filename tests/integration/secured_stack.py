# SPDX-License-Identifier: Apache-2.0
"""
A real Kafka and a real Valkey that let nobody in without a password or certificate, and the settings that open them.

Kafka listens three times more than embedded: SASL_SSL, SASL_PLAINTEXT, and SSL that asks for the client's certificate. The plain
listener stays for the stack's own question whether it is up; no setting given here names it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.fernet import Fernet
from rich.console import Console

from bridge.stack.cache import replace
from bridge.stack.family import Family
from bridge.stack.java import Java
from bridge.stack.kafka import KafkaPart
from bridge.stack.ports import LOOPBACK, free_port
from bridge.stack.prepare import prepare
from bridge.stack.programs import Program
from tests.integration.certificates import Authority
from tests.integration.tls_relay import tls_relay
from tests.integration.valkey import OwnValkey

USER, PASSWORD = "evb-user", "pa$$w/o:rd@%41?#x"  # what a URL would trip over
SCRAM = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
WEB, WORKER = "web", "worker"


class SecuredKafka(KafkaPart):
    """The embedded broker with the three secured listeners."""

    def __init__(self, directory: Path, family: Family, log: Path, java: Java, authority: Authority) -> None:
        super().__init__(directory, family, log, java)
        certificate, key = authority.issue("broker")
        self._pem, self._trusted = directory / "broker.pem", authority.ca
        self._pem.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.ports = {name: free_port() for name in ("SASL_SSL", "SASL_PLAINTEXT", "SSL")}

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self._directory / "server.properties"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
        secured = "".join(f",{name}://{LOOPBACK}:{port}" for name, port in self.ports.items())
        lines["listeners"] += secured
        lines["advertised.listeners"] += secured
        lines |= {
            "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in ("PLAINTEXT", *self.ports))
            + ",CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._pem),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._trusted),
            "listener.name.ssl.ssl.client.auth": "required",
        }
        for name in ("sasl_ssl", "sasl_plaintext"):
            plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            lines[f"listener.name.{name}.plain.sasl.jaas.config"] = plain
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                lines[f"listener.name.{name}.{mechanism}.sasl.jaas.config"] = module
        replace(file, "".join(f"{name}={value}\n" for name, value in lines.items()))

    def add_user(self) -> None:
        """Give the user its SCRAM passwords: the brokers keep those themselves."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        wanted = [
            UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode()) for mechanism in SCRAM
        ]
        for one in wanted:
            for done in admin.alter_user_scram_credentials([one]).values():
                done.result(20)


class SecuredStack:
    """Everything that is secured, and the settings of processes that are let in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority, self.stranger = Authority(folder, "authority"), Authority(folder, "stranger")
        self._client = self.authority.issue("client")
        self._close = contextlib.ExitStack()
        self.family = Family()
        self._close.callback(self.family.close)
        java = prepare(Console(stderr=True))
        (folder / "kafka").mkdir()
        self.kafka = SecuredKafka(folder / "kafka", self.family, folder / "kafka.log", java, self.authority)
        words = ("--user", "default", "off", "--user", USER, "on", ">" + PASSWORD, "~*", "&*", "+@all")
        self.socket = folder / "valkey.sock"
        self.valkey = OwnValkey(folder, *words, "--unixsocket", str(self.socket))

    def start(self) -> None:
        """Start everything."""
        self._close.callback(self.kafka.kill)
        self.kafka.spawn()
        self._close.callback(self.valkey.kill)
        self.valkey.start()
        relay = tls_relay(self.valkey.port, *self.authority.issue("valkey"))
        self._tls_port = self._close.enter_context(relay)
        self.kafka.wait()
        self.kafka.add_user()

    def close(self) -> None:
        """End everything."""
        self._close.close()

    def kafka_of(self, protocol: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """Give the settings that open one of Kafka's listeners."""
        found = {"bootstrap_servers": f"{LOOPBACK}:{self.kafka.ports[protocol]}", "security_protocol": protocol}
        if protocol.startswith("SASL"):
            found |= {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": PASSWORD}
        if protocol.endswith("SSL"):
            found["ssl_ca_file"] = str(self.authority.ca)
        if protocol == "SSL":
            found |= {"ssl_certificate_file": str(self._client[0]), "ssl_key_file": str(self._client[1])}
        return found

    def redis_of(self, scheme: str, password: str = PASSWORD) -> dict[str, str]:
        """Give the settings that open Valkey: by `rediss`, or by its `unix` socket and in another database."""
        who = f"{quote(USER, safe='')}:{quote(password, safe='')}"
        if scheme == "unix":
            return {"url": f"unix://{who}@{self.socket}?db=1"}
        return {"url": f"rediss://{who}@{LOOPBACK}:{self._tls_port}/0", "ssl_ca_file": str(self.authority.ca)}

    def environ(self, kafka: Mapping[str, str], redis: Mapping[str, str]) -> dict[str, str]:
        """Give the environment of an installation of its own, whose secrets are in files."""
        values = {f"EVB_KAFKA__{name}".upper(): value for name, value in kafka.items()}
        values |= {f"EVB_REDIS__{name}".upper(): value for name, value in redis.items()}
        values |= {"EVB_TOPIC_PREFIX": f"it-{uuid.uuid4().hex[:6]}", "EVB_PARTITIONS": "2"}
        values |= {"EVB_SECRET_KEYS": Fernet.generate_key().decode(), "EVB_LOG_FORMAT": "json"}
        for name in {"EVB_KAFKA__SASL_PASSWORD", "EVB_REDIS__URL", "EVB_SECRET_KEYS"} & values.keys():
            file = self._folder / f"{values['EVB_TOPIC_PREFIX']}-{name}"
            file.write_text(values.pop(name) + "\n")
            values[f"{name}_FILE"] = str(file)
        return values

    def program(self, role: str, environ: Mapping[str, str]) -> Program:
        """Give `evb web` or `evb worker`, not started; its output is in `log`."""
        port = free_port()
        log = self._folder / f"{environ['EVB_TOPIC_PREFIX']}-{role}.log"
        own = {"EVB_PORT" if role == WEB else "EVB_WORKER_HEALTH_PORT": str(port)}
        return Program(role, port, self.family, log, environ | own)


@contextlib.contextmanager
def secured_stack(folder: Path) -> Iterator[SecuredStack]:
    """Give a running one."""
    stack = SecuredStack(folder)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def evb(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours with these settings and no others."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EVB_") or name == "EVB_CACHE"}
    command = [sys.executable, "-m", "bridge.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=plain | environ, timeout=60, check=False)


def shows(program: Program, text: str) -> bool:
    """Tell whether a text is anywhere in what a program has written."""
    return text in program.log.read_text()
