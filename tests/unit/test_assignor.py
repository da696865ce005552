# SPDX-License-Identifier: Apache-2.0
"""Partitions are shared out of every topic or of none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from processors.stream import assignor
from processors.stream.assignor import WholeAssignor

SUBSCRIPTIONS = {"one": ["events", "surplus"]}


class Ended(Exception):
    """Stands for the end of the process."""


def share_out(known: dict[str, set[int]]) -> Any:
    cluster: Any = SimpleNamespace(partitions_for_topic=known.get)
    return WholeAssignor._get_copartitioned_groups({"events", "surplus"}, cluster, SUBSCRIPTIONS)


def test_topics_of_one_size_go_together() -> None:
    groups = share_out({"events": {0, 1}, "surplus": {0, 1}})
    assert [set(group) for group in groups[2]] == [{"events", "surplus"}]


def test_a_worker_ends_rather_than_read_some_of_its_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubt(reason: str, **fields: object) -> None:
        raise Ended(reason, fields)

    monkeypatch.setattr(assignor, "doubt", doubt)
    with pytest.raises(Ended, match="surplus"):
        share_out({"events": {0, 1}})
