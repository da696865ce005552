# SPDX-License-Identifier: Apache-2.0
"""`evb doctor` finds each thing that can be wrong and names the cure; a sound installation is all ✓."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet

from bridge.stack.found import locate
from tests.e2e.running import Dev, evb

pytestmark = pytest.mark.timeout(120)

Lines = dict[str, dict[str, object]]


ALL = {"settings", "plugins", "kafka", "topics", "secrets", "worker", "redis", "memory", "view", "clock", "web"}


def examined(*options: str, **environ: str) -> tuple[int, Lines]:
    """Run doctor; give its exit code and the first line about each thing."""
    done = evb("doctor", "--json", *options, **environ)
    lines: Lines = {}
    for line in json.loads(done.stdout):
        lines.setdefault(line["check"], line)
    return done.returncode, lines


def wrong(lines: Lines) -> set[str]:
    found = {about for about, line in lines.items() if line["ok"] is False}
    assert all(lines[about]["cure"] for about in found), "every ✗ names its cure"
    return found


def test_a_sound_installation_is_all_right(product: Dev) -> None:
    code, lines = examined("--data", str(product.data))
    assert wrong(lines) == set()
    assert set(lines) == {
        "settings",
        "plugins",
        "kafka",
        "topics",
        "secrets",
        "worker",
        "redis",
        "memory",
        "view",
        "clock",
        "web",
    }
    assert code == 0
    shown = evb("doctor", EVB_DATA=str(product.data)).stdout.splitlines()
    assert len(shown) == 11
    assert all(line.startswith("✓ ") for line in shown)


def test_nothing_there_is_said_line_by_line() -> None:
    environ = {"EVB_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "EVB_REDIS__URL": "redis://127.0.0.1:1"}
    code, lines = examined("--url", "http://127.0.0.1:1", **environ)
    assert code == 1
    assert wrong(lines) == {"kafka", "redis", "web"}
    assert [about for about, line in lines.items() if line["ok"] is None] == ["topics", "secrets", "worker"]


def test_an_installation_that_was_never_set_up(product: Dev) -> None:
    environ = dict(locate(product.data).environ) | {"EVB_TOPIC_PREFIX": "another"}
    code, lines = examined(**environ)
    assert code == 1
    assert wrong(lines) == {"topics", "secrets", "view"}
    assert "evb topics ensure" in str(lines["topics"]["cure"])


def test_a_lost_secret_key_is_named_with_the_secrets_it_opened(product: Dev) -> None:
    environ = {name: value for name, value in locate(product.data).environ.items() if not name.startswith("EVB_SECRET_KEYS")}
    _, lines = examined(**environ, EVB_SECRET_KEYS=Fernet.generate_key().decode())
    assert wrong(lines) == {"secrets"}
    assert "1 of 1 signing secrets cannot be decrypted: demo/" in str(lines["secrets"]["found"])
    _, lines = examined(**environ)
    assert wrong(lines) == {"secrets"}


def test_other_partitions_than_the_topics_have(product: Dev) -> None:
    _, lines = examined(**dict(locate(product.data).environ) | {"EVB_PARTITIONS": "5"})
    assert "topics" in wrong(lines)


def test_wrong_settings_are_all_named() -> None:
    done = evb("doctor", EVB_PORT="x", EVB_KAFKA__BOOTSTRAP="b:1")
    assert done.returncode == 1
    assert "✗ settings  EVB_PORT" in done.stdout
    assert "EVB_KAFKA__BOOTSTRAP: there is no such setting" in done.stdout
