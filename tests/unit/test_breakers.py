# SPDX-License-Identifier: Apache-2.0
"""A breaker opens after failures in a row, lets one probe through when its rest is over, and rests longer each time."""

from __future__ import annotations

from bridge.domain.event import Event
from bridge.registry.objects import AnnouncedBreaker
from processors.attempts.breakers import FIRST_REST_S, LONGEST_REST_S, UNTRIED_S, Breakers, circuit_of


def opened(at: float = 0.0) -> Breakers:
    breakers = Breakers(3)
    for _ in range(3):
        assert breakers.rest("acme", "crm", at) is None
        breakers.failed("acme", "crm", "timeout", at)
    return breakers


def test_failures_in_a_row_open_it_for_one_tenants_process_only() -> None:
    breakers = opened()
    assert breakers.rest("acme", "crm", 1) == (
        FIRST_REST_S - 1,
        "circuit breaker: 3 attempts in a row have failed, the last with timeout",
    )
    assert breakers.rest("other", "crm", 1) is None
    assert breakers.rest("acme", "shop", 1) is None


def test_one_success_in_between_keeps_it_closed() -> None:
    breakers = Breakers(3)
    for _ in range(10):
        breakers.failed("acme", "crm", "timeout", 0)
        breakers.failed("acme", "crm", "timeout", 0)
        breakers.worked("acme", "crm")
    assert breakers.rest("acme", "crm", 0) is None


def test_one_probe_at_a_time() -> None:
    breakers = opened()
    assert breakers.rest("acme", "crm", FIRST_REST_S) is None, "the probe"
    assert breakers.rest("acme", "crm", FIRST_REST_S) is not None
    breakers.lost("acme", "crm")
    assert breakers.rest("acme", "crm", FIRST_REST_S) is None, "another one, where the first was given up"
    breakers.worked("acme", "crm")
    assert breakers.rest("acme", "crm", FIRST_REST_S) is None


def test_each_failed_probe_doubles_the_rest_up_to_a_bound() -> None:
    breakers, now, rests = opened(), 0.0, list[float]()
    for _ in range(10):
        found = breakers.rest("acme", "crm", now)
        assert found is not None
        rests.append(found[0])
        now += found[0]
        assert breakers.rest("acme", "crm", now) is None
        breakers.failed("acme", "crm", "timeout", now)
    assert rests[:4] == [5, 10, 20, 40]
    assert rests[-1] == LONGEST_REST_S


def test_none_means_never() -> None:
    breakers = Breakers(0)
    for _ in range(1000):
        breakers.failed("acme", "crm", "timeout", 0)
    assert breakers.rest("acme", "crm", 0) is None


def test_each_webhook_of_a_tenant_is_a_circuit_of_its_own() -> None:
    one, other = (Event({"source": f"/webhooks/{name}"}) for name in ("a", "b"))
    assert circuit_of("crm", one) == circuit_of("crm", other) == "crm"
    assert (circuit_of("webhook", one), circuit_of("webhook", other)) == ("webhook a", "webhook b")


def test_what_is_open_and_still_tried_rests() -> None:
    breakers = opened()
    breakers.failed("acme", "shop", "timeout", 1.0)
    for now in (1.0, FIRST_REST_S + UNTRIED_S - 1):
        assert list(breakers.resting(now)) == [AnnouncedBreaker("acme", "crm", 3, "timeout")]
    assert not list(breakers.resting(FIRST_REST_S + UNTRIED_S)), "another worker may have the partition now"
    breakers.failed("acme", "crm", "timeout", FIRST_REST_S + UNTRIED_S)
    breakers.worked("acme", "crm")
    assert not list(breakers.resting(FIRST_REST_S + UNTRIED_S))
