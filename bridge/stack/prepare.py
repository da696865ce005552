# SPDX-License-Identifier: Apache-2.0
"""What has to be there before Kafka can start: its jars and its ahead-of-time cache, found whole or made."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bridge.domain.errors import Misconfigured
from bridge.stack import aot, jars
from bridge.stack.cache import cache_dir
from bridge.stack.java import Java
from bridge.stack.lock import exclusive


def prepare(console: Console, *, as_shipped: bool = False, cache: Path | None = None) -> Java:
    """
    Give a Java that can run Kafka, filling or repairing the cache where needed (one process at a time).

    `as_shipped`: with the memory and collector of Kafka's own start scripts, for load runs; else small and sooner ready.
    Raises: Misconfigured where the jars can't be had, or the cache can't be written.
    """
    cache = cache or cache_dir()
    try:
        class_path, trained = _find_or_make(cache, console)
    except OSError as err:
        raise Misconfigured(f"The cache {cache} cannot be used: {err}. Mend it, or name another directory in EVB_CACHE.") from err
    return Java(tuple(class_path), cache=None if as_shipped else trained, as_shipped=as_shipped)


def _find_or_make(cache: Path, console: Console) -> tuple[list[Path], Path | None]:
    directory = cache / f"kafka-{jars.KAFKA_VERSION}"
    class_path = jars.whole(directory)
    trained = aot.find(cache / "aot", class_path) if class_path else None
    if not (class_path and trained):
        with exclusive(cache / "lock"):
            class_path = jars.provide(directory, console)
            trained = aot.provide(cache / "aot", class_path, console)
    return class_path, trained
