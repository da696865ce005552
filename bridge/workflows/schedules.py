# SPDX-License-Identifier: Apache-2.0
"""
When a cron expression of five fields is due next, on the clock of a time zone.

croniter finds times on the clock's face; what they mean where the clock is put on or back is decided here (as cron does): an
expression for given hours is due once a day, also where its time is skipped or comes twice; one for every hour (`*` or `*/n`)
follows real time. croniter is loaded when it is first needed: most servers never do.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime, timedelta
from functools import lru_cache

_ITEM = r"(\*|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?"
_CRON = re.compile(rf"{_ITEM}(,{_ITEM})*( {_ITEM}(,{_ITEM})*){{4}}")
SHIFT = timedelta(hours=3)
"""More than any clock is put on or back."""


def fault(cron: str, zone: str) -> str:
    """Say what is wrong with an expression in a zone, or an empty text."""
    if zone not in _zones():
        return f"{zone!r} is not a time zone such as Europe/Berlin"
    wanted = "is not an expression of five fields such as 0 9 * * 1-5"
    if not _CRON.fullmatch(cron):
        return f"{cron!r} {wanted}"
    from croniter import croniter

    try:
        croniter(cron, datetime(2024, 1, 1)).get_next(datetime)
    except (ValueError, KeyError) as err:
        return f"{cron!r} {wanted}: {err}"
    return ""


def next_due_ms(cron: str, zone: str, after_ms: int) -> int:
    """Give the first time after another at which a schedule without faults is due."""
    from croniter import croniter

    there = zoneinfo.ZoneInfo(zone)
    face = datetime.fromtimestamp(after_ms / 1000, there).replace(tzinfo=None)
    hourly = cron.split(" ")[1].startswith("*")
    soon = croniter(cron, face).get_next(datetime)
    if (
        len({(one + shift).replace(tzinfo=there).utcoffset() for one in (face, soon) for shift in (-SHIFT, timedelta(), SHIFT)})
        == 1
    ):
        (found_ms,) = _times_ms(soon, there, hourly=hourly)  # the clock is not put on or back meanwhile
        return found_ms
    faces = croniter(cron, face - SHIFT)
    found, until = None, datetime.max
    while (shown := faces.get_next(datetime)) < until:
        times = [ms for ms in _times_ms(shown, there, hourly=hourly) if ms > after_ms]
        if times and found is None:
            found, until = min(times), shown + SHIFT
        elif times and found is not None:
            found = min(found, *times)
    assert found is not None
    return found


def _times_ms(face: datetime, zone: zoneinfo.ZoneInfo, *, hourly: bool) -> list[int]:
    """Give the times at which the clock shows a face: none or several for every hour, else exactly one."""
    first, second = (face.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    both = [int(time.timestamp() * 1000) for time in (first, second)]
    if not hourly or first.utcoffset() == second.utcoffset():
        return both[:1]
    shown = datetime.fromtimestamp(both[0] / 1000, zone).replace(tzinfo=None)
    return both if shown == face else []


@lru_cache(1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
