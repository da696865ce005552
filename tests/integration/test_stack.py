# SPDX-License-Identifier: Apache-2.0
"""The embedded Kafka and Valkey live through what a developer and the chaos tests do to them."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.domain.errors import Misconfigured
from bridge.stack.kafka import KafkaPart
from bridge.stack.stack import Stack


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this file's own, so that the other tests' one is left alone."""
    with Stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def _whole(own: Stack) -> None:
    for part in (own.valkey, own.kafka):
        part.thaw()
        part.start()


def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        made.result(timeout=20)
    producer, failed = Producer({"bootstrap.servers": bootstrap, "acks": "all"}), []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda err, _: failed.append(err) if err else None)
    assert producer.flush(20) == 0
    assert not failed


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        messages = [message for message in consumer.consume(count, timeout=20) if not message.error()]
        return [message.value() or b"" for message in messages]
    finally:
        consumer.close()


@pytest.mark.parametrize("end", [lambda part: part.kill(), lambda part: part.stop()], ids=["killed", "stopped"])
def test_kafka_has_its_records_after_its_end(own: Stack, end: Callable[[object], None]) -> None:
    topic, values = f"kept-{time.monotonic_ns()}", [b"one", b"two", b"three"]
    bootstrap, before = own.kafka.bootstrap, own.kafka.pid
    write(bootstrap, topic, values)
    end(own.kafka)
    assert own.kafka.pid == 0
    own.kafka.start()
    assert own.kafka.pid not in (0, before)
    assert own.kafka.bootstrap == bootstrap
    assert read(bootstrap, topic, 3) == values


def test_valkey_forgets_and_refuses_rather_than_evicts(own: Stack) -> None:
    with redis.Redis.from_url(own.redis) as client:
        client.set("a", "b")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("save")["save"] == ""
        run = client.info("server")["run_id"]
    own.valkey.kill()
    own.valkey.start()
    with redis.Redis.from_url(own.redis) as client:
        assert client.get("a") is None
        assert client.info("server")["run_id"] != run


def test_a_frozen_part_answers_after_its_thaw(own: Stack) -> None:
    for part in (own.valkey, own.kafka):
        part.freeze()
        assert psutil.Process(part.pid).status() == psutil.STATUS_STOPPED
        assert not part.answers()
        part.thaw()
        part.wait()


def test_everything_listens_on_loopback_only(own: Stack) -> None:
    for part in (own.kafka, own.valkey):
        listening = [c for c in psutil.Process(part.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}


def test_a_part_that_cannot_start_says_why(own: Stack) -> None:
    own.kafka.kill()
    own.kafka._directory.joinpath("data", "meta.properties").rename(own.data / "aside")
    broken = own.kafka._directory / "data" / "meta.properties"
    broken.write_text("version=nonsense\n")
    try:
        with pytest.raises(Misconfigured, match=r"(?s)kafka ended with \d+ while starting.*The end of .*kafka\.log"):
            own.kafka.start()
    finally:
        (own.data / "aside").replace(broken)


def test_a_crash_of_java_is_told_beside_the_logs(own: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own.kafka.kill()
    own.kafka.start()
    crashed = own.kafka.pid
    os.kill(crashed, signal.SIGSEGV)
    psutil.Process(crashed).wait(30)
    assert "SIGSEGV" in (own.log / f"kafka-crash-{crashed}.log").read_text()
    assert not list(tmp_path.glob("hs_err*"))


def test_java_tells_of_a_crash_while_it_makes_the_data_directory_too(own: Stack, tmp_path: Path) -> None:
    part = KafkaPart(tmp_path / "kafka", own.family, tmp_path / "100%" / "kafka.log", own.kafka._java)
    command = part.command()
    assert f"-XX:ErrorFile={tmp_path}/100%%/kafka-crash-%p.log" in command
    assert (tmp_path / "100%").is_dir(), "or Java would take the working directory"


def test_a_data_directory_has_one_stack(own: Stack) -> None:
    with pytest.raises(Misconfigured, match=rf"is in use by a running stack \(process {os.getpid()}\)"):
        Stack(own.data)


OWNER = """
import sys, time
from pathlib import Path
from bridge.stack.stack import Stack
stack = Stack(Path(sys.argv[1]))
stack.valkey.start()
child = stack.family.start([sys.executable, "-c", sys.argv[2]], log=Path(sys.argv[1]) / "log" / "x.log")
print(stack.valkey.pid, child.pid, flush=True)
time.sleep(600)
"""
STARTS_MORE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""


def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data), STARTS_MORE], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(word) for word in owner.stdout.readline().split()]
    family = psutil.Process(owner.pid).children(recursive=True)
    deadline = time.monotonic() + 10
    while len(family) < 4 and time.monotonic() < deadline:  # the reaper, Valkey, the child, and the child's child
        family = psutil.Process(owner.pid).children(recursive=True)
    assert len(family) == 4
    assert set(pids) < {process.pid for process in family}

    owner.send_signal(signal.SIGKILL)
    owner.wait()

    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    Stack(data).close()  # and the directory is free again


LOSES_ITS_REAPER = """
import sys, time
from pathlib import Path
from bridge.stack.family import Family
unmarked, log = ["env", "-i", "sleep", "600"], Path(sys.argv[1])
family = Family()
first = family.start(unmarked, log=log)
family._reaper.kill()
family._reaper.wait()
second = family.start(unmarked, log=log)
while not family.look():
    time.sleep(0.01)
print(first.pid, second.pid, family.look(), flush=True)
time.sleep(600)
"""


def test_a_second_reaper_knows_the_children_of_the_first_and_those_that_began_between(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", LOSES_ITS_REAPER, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        first, second, again = owner.stdout.readline().decode().split()
    assert again == "False"
    children = [psutil.Process(int(pid)) for pid in (first, second)]
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    for process in alive:
        process.kill()
    assert not alive


def test_the_name_of_a_cluster_never_looks_like_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: Stack) -> None:
    dashed = uuid.UUID(bytes=b"\xfb" + bytes(15))
    assert base64.urlsafe_b64encode(dashed.bytes).startswith(b"-")
    monkeypatch.setattr("bridge.stack.kafka.uuid.uuid4", lambda: dashed)
    part = KafkaPart(tmp_path / "kafka", own.family, tmp_path / "kafka.log", own.kafka._java)
    part.command()
    assert "cluster.id=e" in (tmp_path / "kafka" / "data" / "meta.properties").read_text()
