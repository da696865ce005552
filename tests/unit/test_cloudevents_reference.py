# SPDX-License-Identifier: Apache-2.0
"""The reference page says what the code does: its limits, every row of its tables of faults, its links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bridge.cloudevents import http
from bridge.domain import limits
from bridge.domain.errors import InvalidEvent
from bridge.domain.event import RESERVED
from web.dialects.cloudevents import wire

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/cloudevents.md"
CORE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def rows(heading: str) -> list[tuple[str, ...]]:
    """Give the rows of the table under a heading row, without code marks."""
    text = PAGE.read_text().split(f"| {heading} |\n", 1)[1].split("\n\n", 1)[0]
    found = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in text.splitlines()[1:]]
    assert found
    return found


def plain(cell: str) -> str:
    return cell.strip().strip("`")


def test_the_limits_are_those_of_the_code() -> None:
    given = [int(re.match(r"\d+", limit)[0]) for _, limit in rows("what | limit")]  # type: ignore[index]  # every row has one
    assert given == [
        limits.BATCH_EVENTS,
        limits.ATTRIBUTES,
        limits.ATTRIBUTE_CHARS,
        limits.CORRELATION_CHARS,
        limits.JSON_DEPTH,
        limits.BODY_BYTES,
        wire.LONGEST_WAIT_S,
    ]


@pytest.mark.parametrize(("header", "fault"), rows("header | fault"))
def test_faults_of_headers(header: str, fault: str) -> None:
    name, value = plain(header).split(": ", 1)
    core = {f"ce-{attribute}": text for attribute, text in CORE.items()}
    with pytest.raises(InvalidEvent) as refused:
        http.read({**core, name: value}, b"")
    assert [(f.pointer, f.detail) for f in refused.value.faults] == [(f"header:{name}", fault)]


@pytest.mark.parametrize(("members", "pointer", "fault"), rows("members | pointer | fault"))
def test_faults_of_members(members: str, pointer: str, fault: str) -> None:
    own = json.loads(f"{{{plain(members)}}}")
    rest = [f"{json.dumps(name)}:{json.dumps(text)}" for name, text in CORE.items() if name not in own]
    with pytest.raises(InvalidEvent) as refused:
        http.read({"content-type": http.STRUCTURED}, f"{{{','.join([plain(members), *rest])}}}".encode())
    assert [(f.pointer, f.detail) for f in refused.value.faults] == [(plain(pointer), fault)]


def test_what_the_bridge_sets_is_listed() -> None:
    sentence = re.search(r"only the bridge sets are (.*)\.", PAGE.read_text())
    assert sentence is not None
    assert set(re.findall(r"`(\w+)`", sentence[1])) == RESERVED


def test_every_member_of_a_look_up_is_explained() -> None:
    explained = {name for cells in rows("member | says") for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    fields = {*wire.Event.__struct_fields__, *wire.Execution.__struct_fields__, *wire.Transaction.__struct_fields__, "id", "type"}
    assert fields <= explained


def test_links_lead_somewhere() -> None:
    for page in (PAGE, ROOT / "web/dialects/cloudevents/README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), target
