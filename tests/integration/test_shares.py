# SPDX-License-Identifier: Apache-2.0
"""A tenant whose events are many and slow does not keep the others from the worker; what it has too much of is worked off."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bridge.domain import ids
from bridge.domain.execution import Status
from bridge.registry.pausing import pause, resume
from bridge.registry.tenants import create_tenant
from processors.attempts.shares import MOST_SHARES
from processors.stream.room import ASIDE_IN_FLIGHT, IN_FLIGHT
from tests.conftest import StackOfTests
from tests.integration.test_pausing import decide, newest
from tests.integration.test_retries import final, histories
from tests.integration.workers import Sender, event, site, until, working


@pytest.mark.timeout(120)
def test_a_tenant_above_its_share_waits_for_itself_only(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    decide(settings, lambda c: create_tenant(c, "acme"), lambda c: create_tenant(c, "other"))
    many = [event("slow.now", b'{"seconds": 4, "n": 0}') for _ in range(2 * IN_FLIGHT)]
    few = [event("t.now", tenant="other") for _ in range(50)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(*many, *few)
        sender.flush()
        until(lambda: final(settings, few, "quick"), "the other tenant's events have ended")
        states = [state.status for state in newest(settings, many, "slow")]
        assert states.count(Status.PENDING) >= IN_FLIGHT // 2, "what is above the share is set aside"
        assert states.count(Status.COMPLETED) < len(many) - IN_FLIGHT // 2, "and was not worked off first"
    reasons = {state.reason for state in newest(settings, many, "slow") if state.status is Status.PENDING}
    assert reasons <= {"waits for its tenant's share"}


def test_what_is_set_aside_ends_like_everything(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    decide(settings, *(partial(create_tenant, name=name) for name in ("acme", *(f"other-{n}" for n in range(1, MOST_SHARES)))))
    many = [event("slow.now", b'{"seconds": 2, "n": 0}') for _ in range(IN_FLIGHT // 2 + 2 * IN_FLIGHT // MOST_SHARES)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(*many)
        sender.flush()
        until(lambda: final(settings, many, "slow"), "everything has ended")
    told = histories(settings)
    ends = [[s for s in told[ids.execution_id(one.key, "slow")] if s.status.final] for one in many]
    assert all(told[ids.execution_id(one.key, "slow")][-1].status.final for one in many), "the end is the last word"
    assert {(s.status, s.attempt) for of in ends for s in of} == {(Status.COMPLETED, 1)}
    assert any(len(told[ids.execution_id(one.key, "slow")]) == 2 for one in many), "some of it was set aside"


def test_a_slow_event_keeps_nothing_behind_it_from_being_worked_off(stack: StackOfTests, tmp_path: Path) -> None:
    settings = site(stack)
    decide(settings, lambda c: create_tenant(c, "acme"))
    slow = [event("slow.now", b'{"seconds": 4, "n": 0}', partitionkey="one after another") for _ in range(8)]
    behind = [event("t.now") for _ in range(IN_FLIGHT + 500)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(*slow, *behind, partition=0)
        sender.flush()
        until(lambda: final(settings, behind, "quick"), "more than a worker holds has ended behind it")
        assert not final(settings, slow[-1:], "slow")


@pytest.mark.timeout(120)
def test_a_tenant_with_many_slow_retries_does_not_keep_the_others_from_theirs(stack: StackOfTests, tmp_path: Path) -> None:
    """What was paused comes back like a retry: in the order in which it went, so all of the one tenant's first."""
    settings = site(stack)
    decide(
        settings, lambda c: create_tenant(c, "acme"), lambda c: create_tenant(c, "other"), lambda c: pause(c, "slow", None, "")
    )
    many = [event("slow.now", b'{"seconds": 4, "n": 0}') for _ in range(6 * ASIDE_IN_FLIGHT)]
    few = [event("slow.now", b'{"seconds": 0, "n": 0}', tenant="other") for _ in range(10)]
    with working(stack, settings, tmp_path):
        sender = Sender(settings)
        sender.send(*many)
        sender.flush()
        until(lambda: len(newest(settings, many, "slow")) == len(many), "all of them are set aside")
        sender.send(*few)
        sender.flush()
        until(lambda: len(newest(settings, few, "slow")) == len(few), "and those of the other tenant behind them")
        decide(settings, lambda c: resume(c, "slow", None))
        until(lambda: final(settings, few, "slow"), "the other tenant's have ended")
        ended = sum(state.status is Status.COMPLETED for state in newest(settings, many, "slow"))
        assert ended <= 2 * ASIDE_IN_FLIGHT, "long before those that came before them"
        until(lambda: final(settings, many, "slow"), "everything has ended")
    assert {state.attempt for state in newest(settings, many, "slow")} == {1}, "waiting for its share is no attempt"
