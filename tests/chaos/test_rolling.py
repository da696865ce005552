# SPDX-License-Identifier: Apache-2.0
"""Two web servers and two workers are restarted one after another under load: the short form of row R of the matrix."""

from __future__ import annotations

import pytest

from tests.chaos.scenarios import rolling
from tests.chaos.scenarios.stage import Form, run
from tests.chaos.test_chaos import SEED

SHORT = Form(800, 80, 1)


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_a_rolling_restart_loses_and_refuses_nothing() -> None:
    row, _ = await run(rolling.SCENARIO, SHORT, SEED)
    assert not row.missed, row.missed
    assert ", of them 0 answered 5xx," in row.measured["requests"]
    print(f"{row.events} events; {row.measured}")
