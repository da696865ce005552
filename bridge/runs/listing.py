# SPDX-License-Identifier: Apache-2.0
"""
List a tenant's runs, from their topic. Blocking: for commands.

The whole topic is read, since it has no order by tenant or time; of other tenants only the keys are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from bridge.kafka.scan import Scan
from bridge.settings import Settings
from bridge.topics import RUNS
from bridge.workflows.run import Origin, Status

READ_S: Final = 0.2


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a list says of a run: some of its members; times in milliseconds, 0 for none."""

    id: str
    workflow: str
    version: int
    status: Status = "notstarted"
    trigger: Origin = "manual"
    created_ms: int = 0
    ended_ms: int = 0


class _Newest(NamedTuple):
    version: int
    run: Listed | None


_decode = msgspec.json.Decoder(Listed).decode


def runs_of(settings: Settings, tenant: str) -> list[Listed]:
    """Give every run of a tenant that a worker has come to, the newest first. Raises: BrokerUnavailable, Misconfigured."""
    newest: dict[bytes, _Newest] = {}
    with Scan(settings, (RUNS,)) as scan:
        while not scan.done:
            _take(newest, tenant, ((one.key() or b"", one.value()) for one in scan.read(1000, READ_S)))
    found = (one.run for one in newest.values() if one.run is not None)
    return sorted(found, key=lambda run: (run.created_ms, run.id), reverse=True)


def _take(newest: dict[bytes, _Newest], tenant: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    for key, version, value in _own(tenant, records):
        if key not in newest or newest[key].version <= version:
            newest[key] = _Newest(version, _decode(value) if value else None)


def _own(tenant: str, records: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, int, bytes]]:
    """Give the tenant's records but tombstones, which only follow a newer version or an empty one."""
    for name, value in records:
        key, _, number = name.rpartition(b"/")
        if value is not None and number.isdigit() and key.startswith(tenant.encode() + b"/"):
            yield key, int(number), value
