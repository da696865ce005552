# SPDX-License-Identifier: Apache-2.0
"""What `evb doctor` says of Redis' memory, asked of a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli.checks import memory
from bridge.settings import Settings
from tests.integration.valkey import OwnValkey


@pytest.mark.parametrize(
    ("limit", "policy", "ok", "said"),
    [
        ("0", "allkeys-lru", True, "without a limit"),
        ("1gb", "noeviction", True, "of 1024 MB"),
        ("1gb", "volatile-ttl", False, "drops keys when it is full (volatile-ttl)"),
        ("1mb", "noeviction", False, "of 1 MB"),
    ],
    ids=["no limit", "room", "drops", "nearly full"],
)
def test_the_doctor_looks_at_the_memory_of_redis(tmp_path: Path, limit: str, policy: str, ok: bool, said: str) -> None:
    own = OwnValkey(tmp_path, "--maxmemory", limit, "--maxmemory-policy", policy).start()
    try:
        found = memory(Settings(redis=own.settings()))
        assert (found.ok, bool(found.cure)) == (ok, not ok)
        assert said in found.found
    finally:
        own.kill()
