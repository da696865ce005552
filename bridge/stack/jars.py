# SPDX-License-Identifier: Apache-2.0
"""
Kafka's jars: exactly those that `kafka.lock` pins, downloaded once, checked by SHA-256, repaired where broken.

Callers hold the cache's lock. The repository that is asked is jgo's default, or `EVB_MAVEN_REPOSITORY`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from bridge.domain.errors import Misconfigured
from bridge.stack.cache import holds

KAFKA_VERSION = "4.4.0"
PARALLEL = 8
READERS = 4
TRIES = 3


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar; `size` in bytes, `sha256` in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def pinned() -> tuple[Jar, ...]:
    """Read `kafka.lock`; the order is the class path's."""
    lines = files("bridge.stack").joinpath("kafka.lock").read_text().splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            coordinates, size, checksum = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, int(size), checksum.removeprefix("sha256:")))
    return tuple(jars)


def whole(directory: Path) -> list[Path] | None:
    """Give the class path where every jar is there with its checksum, else None."""
    return None if _wanted(directory) else [directory / jar.file_name for jar in pinned()]


def provide(directory: Path, console: Console) -> list[Path]:
    """
    Give the class path, downloading what is missing, cut or changed.

    Raises: Misconfigured where a jar can't be had, or has another checksum than the pinned one.
    """
    if wanted := _wanted(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _download(wanted, directory, console)
    return [directory / jar.file_name for jar in pinned()]


def _wanted(directory: Path) -> list[Jar]:
    """Give the jars that are missing or are not what is pinned; threads help, as hashing leaves Python's lock."""
    jars = pinned()
    with ThreadPoolExecutor(READERS) as pool:
        right = pool.map(lambda jar: holds(directory / jar.file_name, jar.sha256), jars)
        return [jar for jar, is_right in zip(jars, right, strict=True) if not is_right]


def _download(wanted: Sequence[Jar], directory: Path, console: Console) -> None:
    megabytes = sum(jar.size for jar in wanted) / 1e6
    console.print(f"Downloading Apache Kafka {KAFKA_VERSION}: {len(wanted)} jars, {megabytes:.0f} MB, once")
    for left in directory.glob(".download-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=directory))
    columns = (TextColumn("  jars"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("jars", total=sum(jar.size for jar in wanted))
            with ThreadPoolExecutor(PARALLEL) as pool:
                jobs = [pool.submit(_fetch, jar, scratch, directory, lambda n: progress.advance(task, n)) for jar in wanted]
                faults = [str(err) for job in jobs if (err := job.exception())]
    finally:
        shutil.rmtree(scratch)
    if faults:
        raise Misconfigured(*faults)


def _fetch(jar: Jar, scratch: Path, directory: Path, advance: Callable[[int], None]) -> None:
    """Download one jar beside the cache, check it, and move it in."""
    from jgo.maven import MavenContext, PythonResolver
    from requests import RequestException

    @contextmanager
    def progress(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    callback: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = progress
    chosen = os.environ.get("EVB_MAVEN_REPOSITORY")
    cause: Exception | None = None
    for attempt in range(TRIES):
        context = MavenContext(
            resolver=PythonResolver(progress_callback=callback),
            repo_cache=scratch / f"{jar.file_name}.{attempt}",
            local_repos=[],
            remote_repos={"chosen": chosen.rstrip("/")} if chosen else None,
            timeout=30,
        )
        try:
            path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (RequestException, RuntimeError, OSError) as err:  # RuntimeError: jgo's word for "not found there"
            cause = err
            continue
        if holds(path, jar.sha256):
            path.replace(directory / jar.file_name)
            return
        cause = ValueError("it is not the file whose checksum is pinned")
    raise Misconfigured(
        f"{jar.group}:{jar.artifact}:{jar.version} could not be downloaded: {cause}. Check the network and "
        "EVB_MAVEN_REPOSITORY, then start again: what is there is kept."
    ) from cause
