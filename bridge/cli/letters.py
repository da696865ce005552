# SPDX-License-Identifier: Apache-2.0
"""Dead letters for people: a table of many, or one of them whole."""

from __future__ import annotations

from bridge.cli.output import out, show_rows
from bridge.deadletters import document
from bridge.deadletters.letter import Letter
from bridge.deadletters.read import Page

COLUMNS = ("died", "key", "tenant", "type", "process", "code", "attempts", "replays", "reason")
REASON_CHARS = 80
DATA_CHARS = 2000


def show_letters(page: Page) -> None:
    """Write one line per letter, and how many there are."""
    rows = [_row(letter) for letter in page.letters]
    show_rows(rows, COLUMNS, as_json=False, empty="No dead letters.")
    if page.total > len(rows):
        out.print(f"{len(rows)} of {page.total}; --limit shows more.", markup=False)


def show_letter(letter: Letter) -> None:
    """Write everything that a letter says, its data at the end."""
    about = document.whole(letter)
    place = about["position"]
    lines = [
        f"{about['key']}",
        f"  reason    {about['code']}: {about['reason']}",
        f"  process   {about['process'] or '–'} {about['version']}  worker {about['worker']}",
        f"  event     {about['type']}  from {about['source']}  id {about['id']}  key {about['event_key']}",
        f"  tenant    {about['tenant']}",
        f"  received  {about['received_at']}  died {about['died_at']}",
        f"  stored    {place['topic']} [p{place['partition']} @ {place['offset']}]",
    ]
    if about["replays"]:
        lines.append(f"  replayed  {about['replays']} ×, last at {about['replayed_at']} as {about['replayed_as']}")
    lines += [f"  attempt {one['attempt']}  {one['started_at']} – {one['ended_at']}  {one['reason']}" for one in about["tries"]]
    lines += [f"  {one['name']}: {one['value']}" for one in about["headers"]]
    cut = "…  (--json shows all)" if len(about["data"]) > DATA_CHARS else ""
    lines.append(f"{about['data'][:DATA_CHARS]}{cut}")
    out.print("\n".join(lines), markup=False)


def _row(letter: Letter) -> dict[str, object]:
    about = document.summary(letter)
    reason = about["reason"].splitlines()[0][:REASON_CHARS] if about["reason"] else ""
    return about | {"died": about["died_at"], "reason": reason}
