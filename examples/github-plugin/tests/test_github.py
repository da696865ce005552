# SPDX-License-Identifier: Apache-2.0
"""Each webhook becomes one normalised result, nothing else does. Needs no Kafka: `bridge.sdk.testing` runs the process."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from event_bridge_github import GitHub

from bridge.sdk import Completed, Rejected, Result, Skipped
from bridge.sdk.testing import event, run

FIXTURES = Path(__file__).parent / "fixtures"


def payload(name: str, **changes: Any) -> dict[str, Any]:
    """A whole payload as GitHub sends it, with members of its top level changed."""
    return json.loads((FIXTURES / f"{name}.json").read_text()) | changes


async def result_of(name: str, **changes: Any) -> Result:
    outcome = await run(GitHub(), event(f"github.{name}", payload(name, **changes)))
    assert isinstance(outcome, Completed)
    [result] = outcome.results
    assert outcome.data == {"subject": result.subject}
    return result


def test_it_is_installed_as_a_plugin() -> None:
    [found] = [e for e in metadata.entry_points(group="event_bridge.plugins") if e.name == "github"]
    [process] = found.load().bridge_processes()
    assert process.name == "github"


async def test_a_push_lists_its_commits_in_order() -> None:
    result = await result_of("push")
    assert (result.type, result.subject) == ("code.pushed", "lindenhof-werke/lagerhaus/branch/main")
    data = result.data
    assert (data["kind"], data["name"], data["default"], data["change"]) == ("branch", "main", True, "advanced")
    assert [c["title"] for c in data["commits"]] == [
        "Zähle Paletten je Stellplatz",
        "Merge pull request #131 from yukari-s/barcode-ean13",
        'Say "kg" and not "Kg" on labels 🏷️',
    ]
    assert data["commits"][0]["paths"] == [
        "docs/zählung.md",
        "lagerhaus/gang.py",
        "lagerhaus/stellplatz.py",
        "tests/test_stellplatz.py",
    ]
    assert data["commits"][1]["author"] == "yukari-s"
    assert data["after"] == data["commits"][-1]["id"]


@pytest.mark.parametrize(("flag", "change"), [("created", "created"), ("deleted", "deleted"), ("forced", "rewritten")])
async def test_a_push_says_how_the_branch_moved(flag: str, change: str) -> None:
    assert (await result_of("push", **{flag: True})).data["change"] == change


async def test_a_tag_with_slashes_keeps_its_name() -> None:
    data = (await result_of("push", ref="refs/tags/lager/v2.1")).data
    assert (data["kind"], data["name"], data["default"]) == ("tag", "lager/v2.1", False)


async def test_an_issue_is_shown_as_it_is_after_the_action() -> None:
    result = await result_of("issues")
    assert (result.type, result.subject) == ("issue.changed", "lindenhof-werke/lagerhaus/issue/118")
    assert result.data == {
        "repository": "lindenhof-werke/lagerhaus",
        "actor": "maren-oe",
        "action": "closed",
        "issue": {
            "number": 118,
            "title": 'Halbe Paletten fehlen in der Summe "Gang 7"',
            "state": "closed",
            "reason": "completed",
            "author": "yukari-s",
            "labels": ["bug", "zählung"],
            "assignees": ["maren-oe", "yukari-s"],
            "url": "https://github.com/lindenhof-werke/lagerhaus/issues/118",
            "updated": "2026-11-23T09:41:09+00:00",
        },
    }


async def test_an_issue_of_a_deleted_account_has_no_author() -> None:
    issue = payload("issues")["issue"] | {"user": None}
    assert (await result_of("issues", issue=issue)).data["issue"]["author"] is None


async def test_a_merge_is_not_just_closed() -> None:
    result = await result_of("pull_request")
    assert (result.type, result.subject) == ("changerequest.changed", "lindenhof-werke/lagerhaus/changerequest/131")
    assert result.data["action"] == "merged"
    request = result.data["changerequest"]
    assert (request["state"], request["from"], request["to"]) == ("merged", "barcode-ean13", "main")
    assert request["size"] == {"files": 6, "additions": 187, "deletions": 62}


async def test_closing_without_a_merge_stays_closed() -> None:
    pull = payload("pull_request")["pull_request"] | {"merged": False}
    data = (await result_of("pull_request", pull_request=pull)).data
    assert (data["action"], data["changerequest"]["state"]) == ("closed", "closed")


@pytest.mark.parametrize(
    ("config", "changes", "reason"),
    [
        ({"branches": ["release/*"]}, {}, "main is not among the branches release/*"),
        ({"tags": False}, {"ref": "refs/tags/v1"}, "v1 is a tag"),
        ({"bots": False}, {"sender": {"login": "dependabot[bot]", "type": "Bot"}}, "dependabot[bot] is a bot"),
    ],
)
async def test_what_the_operator_left_out_is_skipped(config: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    outcome = await run(GitHub(), event("github.push", payload("push", **changes)), config)
    assert outcome == Skipped(reason)


async def test_a_configuration_with_a_misspelt_name_is_refused() -> None:
    with pytest.raises(ValueError, match="branch"):
        await run(GitHub(), event("github.push", payload("push")), {"branch": ["main"]})


@pytest.mark.parametrize("data", [b"{", b"", {"zen": "Design for failure."}, [1]])
async def test_what_is_not_githubs_payload_is_rejected_with_where(data: Any) -> None:
    outcome = await run(GitHub(), event("github.push", data))
    assert isinstance(outcome, Rejected)
    assert outcome.code == "not-a-github-payload"
    assert "github.push does not have GitHub's shape: /" in outcome.reason


async def test_the_same_event_gives_the_same_result_again() -> None:
    same = event("github.pull_request", payload("pull_request"))
    assert await run(GitHub(), same) == await run(GitHub(), same)
