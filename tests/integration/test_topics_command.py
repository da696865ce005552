# SPDX-License-Identifier: Apache-2.0
"""`evb topics` on real brokers: list, ensure, check, their JSON and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bridge.topics import catalogue
from tests.conftest import StackOfTests, as_environ


def evb(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge.cli", "topics", *words]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=40)


def test_topics_are_missing_then_ensured_then_right(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    environ = as_environ(settings)
    expected = {topic.name(settings) for topic in catalogue(settings)}

    missing = evb(environ, "check", "--json")
    assert missing.returncode == 1
    assert {fault["topic"] for fault in json.loads(missing.stdout)} >= expected
    assert "evb topics ensure" in evb(environ, "check").stdout

    created = evb(environ, "ensure", "--json")
    assert created.returncode == 0
    assert set(json.loads(created.stdout)["created"]) >= expected
    assert "All topics are there" in evb(environ, "ensure").stdout

    listed = {row["topic"]: row for row in json.loads(evb(environ, "list", "--json").stdout)}
    assert set(listed) >= expected | {f"{settings.topic_prefix}.results.record"}
    assert {row["partitions"] for row in listed.values()} == {2}
    assert evb(environ, "check").returncode == 0


def test_another_number_of_partitions_is_named_with_its_cure(stack: StackOfTests) -> None:
    settings = stack.settings(partitions=2)
    environ = as_environ(settings)
    assert evb(environ, "ensure").returncode == 0
    wrong = evb(environ | {"EVB_PARTITIONS": "8"}, "check")
    assert wrong.returncode == 1
    assert "EVB_PARTITIONS=2" in wrong.stdout
