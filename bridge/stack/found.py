# SPDX-License-Identifier: Apache-2.0
"""
How a command finds a running stack: `stack.json` in its data directory, the same document as `evb dev --ready-file`.

The file carries credentials, so only its owner may read it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from bridge.domain.errors import Misconfigured
from bridge.settings import Settings, load
from bridge.stack.cache import replace
from bridge.stack.directory import LOCK, STATE


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A tenant of the stack with its credentials, for people and scripts on this machine."""

    name: str
    api_key: str
    signing_secret: str


@dataclass(frozen=True, slots=True)
class DemoPair:
    """The demo tenant's secret key of the Buildable dialect."""

    test: str
    live: str


@dataclass(frozen=True, slots=True)
class DemoClient:
    """The demo tenant's client of the Event Ingress dialect; `tenant_id` goes into X-TENANT-ID."""

    client_id: str
    client_secret: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class DemoToken:
    """The demo tenant's token of Flow's API; `team` is the tenant's name."""

    token: str
    team: str


@dataclass(frozen=True, slots=True)
class StackInfo:
    """
    Where a stack's parts are. `pids` by role: `web`, `worker`, `worker-<lane>`, `kafka`, `redis`; a part that has just ended
    keeps its old one until it is started again.

    `environ` are the `EVB_*` variables that its web server and worker run with; secrets are in files that these name.
    """

    url: str
    kafka: str
    redis: str
    pids: Mapping[str, int]
    tenants: tuple[DemoTenant, ...] = ()
    buildable: DemoPair | None = None
    eventingress: DemoClient | None = None
    flow: DemoToken | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Give the settings with which an operator's command speaks to this stack."""
        return load(dict(self.environ))

    def document(self) -> str:
        """Give the JSON that the ready file holds."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2).decode() + "\n"


def write(info: StackInfo, *files: Path) -> None:
    """Write the document to each file at once; a reader never sees a part of it."""
    for file in files:
        replace(file, info.document(), mode=0o600)


def read(file: Path) -> StackInfo:
    """Read a document. Raises: Misconfigured where it is not one."""
    try:
        known = orjson.loads(file.read_bytes())
        tenants = tuple(DemoTenant(t["name"], t["api_key"], t["signing_secret"]) for t in known["tenants"])
        pair = DemoPair(known["buildable"]["test"], known["buildable"]["live"])
        client = DemoClient(**known["eventingress"])
        token, places = DemoToken(**known["flow"]), (known["url"], known["kafka"], known["redis"])
        return StackInfo(*places, known["pids"], tenants, pair, client, token, known["environ"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as err:
        raise Misconfigured(f"{file} does not describe a stack: {err!r}. Stop `evb dev` and start it again.") from err


def locate(data: Path) -> StackInfo:
    """
    Find the stack that runs in a data directory.

    Raises: Misconfigured where none does.
    """
    file = data / STATE
    if not file.is_file() or not _is_held(data / LOCK):
        raise Misconfigured(f"No stack runs in {data}: start one with `evb dev --data {data}`.")
    return read(file)


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
