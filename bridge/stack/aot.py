# SPDX-License-Identifier: Apache-2.0
"""
The JDK's ahead-of-time cache for Kafka: trained once by a short life of a broker, it makes every later start three times faster.

It belongs to one JDK build, one class path and one collector. The JVM believes what it reads and dies of a damaged one, so its
checksum is kept beside it; a file with another is made anew. Where training fails, Kafka runs without it, more slowly. The caller
holds the cache's lock.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from bridge.domain.errors import Misconfigured
from bridge.stack.cache import holds, replace, sha256_of
from bridge.stack.family import Family
from bridge.stack.java import Java, cache_key
from bridge.stack.kafka import KafkaPart, Silent

KEPT = 3


def find(directory: Path, class_path: list[Path]) -> Path | None:
    """Give the cache of this class path where it is there and whole."""
    path = directory / f"kafka-{cache_key(class_path)}.aot"
    noted = _checksum(path)
    return path if noted.is_file() and holds(path, noted.read_text(errors="replace")) else None


def provide(directory: Path, class_path: list[Path], console: Console) -> Path | None:
    """Give the cache of this class path, training it where it is missing or damaged; None where that fails."""
    if path := find(directory, class_path):
        return path
    console.print("Preparing Kafka for quick starts, once")
    path = directory / f"kafka-{cache_key(class_path)}.aot"
    directory.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".train-", dir=directory))
    try:
        _live_shortly(scratch, Java(tuple(class_path), train=scratch / "cache.aot"))
        replace(_checksum(path), sha256_of(scratch / "cache.aot"))
        (scratch / "cache.aot").replace(path)
    except (Misconfigured, OSError) as err:
        console.print(f"Kafka will start more slowly: its cache could not be made: {err}", markup=False, style="yellow")
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _drop_old(directory)
    return path


def _checksum(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _live_shortly(directory: Path, java: Java) -> None:
    """Run a broker through what every start does and what every client asks, then end it cleanly: the JVM writes at its end."""
    family = Family()
    broker = KafkaPart(directory / "kafka", family, directory / "kafka.log", java)
    broker.stop_s = 120.0
    try:
        broker.start()
        _use(broker.bootstrap)
        broker.stop()
    finally:
        broker.kill()
        family.close()


def _use(bootstrap: str) -> None:
    config: dict[str, Any] = {"bootstrap.servers": bootstrap, "logger": Silent()}
    admin = AdminClient(config)
    for made in admin.create_topics([NewTopic("training", num_partitions=4, replication_factor=1)]).values():
        made.result(timeout=30)
    producer = Producer(config | {"enable.idempotence": True})
    for number in range(200):
        producer.produce("training", key=str(number), value=b"x" * 200)
    producer.flush(30)


def _drop_old(directory: Path) -> None:
    """Keep the newest few: another JDK or another checkout may use one."""
    for left in directory.glob(".train-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    newest_first = sorted(directory.glob("kafka-*.aot"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
    for path in newest_first[KEPT:]:
        path.unlink()
        _checksum(path).unlink(missing_ok=True)
