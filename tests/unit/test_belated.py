# SPDX-License-Identifier: Apache-2.0
"""Replays that were written before they said that they are belated are belated all the same."""

from __future__ import annotations

import pytest

from bridge.domain.redelivery import Redelivery
from bridge.redeliveries import headers_of, redelivery_of


@pytest.mark.parametrize(("replayed_from", "belated"), [("x1", True), ("", False)])
def test_what_an_older_record_means(replayed_from: str, belated: bool) -> None:
    given = Redelivery("p", "x", 2, 0, "t", 0, 0, 0, belated=not belated, replayed_from=replayed_from)
    older = [(name, value) for name, value in headers_of([], given) if name != "rd_belated"]
    assert redelivery_of(older).belated is belated
    assert redelivery_of(headers_of([], given)).belated is not belated, "what a record says itself counts"
