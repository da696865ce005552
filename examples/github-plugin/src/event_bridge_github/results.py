# SPDX-License-Identifier: Apache-2.0
"""Turn GitHub's payloads into our own result shapes. Pure functions: a payload in, one result out."""

from __future__ import annotations

from typing import Any

from bridge.sdk import Result
from event_bridge_github.payloads import Commit, Issues, Item, PullRequest, Push, Webhook


def pushed(payload: Push) -> Result:
    """Give `code.pushed`: which branch or tag moved, how, and the commits in the order of the push."""
    kind, name = ref_of(payload)
    change = "created" if payload.created else "deleted" if payload.deleted else "rewritten" if payload.forced else "advanced"
    return _result(
        "code.pushed",
        payload,
        f"{kind}/{name}",
        {
            "kind": kind,
            "name": name,
            "default": kind == "branch" and name == payload.repository.default_branch,
            "change": change,
            "before": payload.before,
            "after": payload.after,
            "url": payload.compare,
            "commits": [_commit(commit) for commit in payload.commits],
        },
    )


def issue_changed(payload: Issues) -> Result:
    """Give `issue.changed`: the action and the issue as it is after it."""
    issue = _item(payload.issue) | {"reason": payload.issue.state_reason}
    return _result("issue.changed", payload, f"issue/{payload.issue.number}", {"action": payload.action, "issue": issue})


def change_request_changed(payload: PullRequest) -> Result:
    """Give `changerequest.changed`; a merge is the action `merged`, which GitHub spells as closed with a flag."""
    pull = payload.pull_request
    action = "merged" if payload.action == "closed" and pull.merged else payload.action
    request = _item(pull) | {
        "state": "merged" if pull.merged else pull.state,
        "draft": pull.draft,
        "from": pull.head.ref,
        "to": pull.base.ref,
        "commit": pull.head.sha,
        "size": {"files": pull.changed_files, "additions": pull.additions, "deletions": pull.deletions},
    }
    return _result("changerequest.changed", payload, f"changerequest/{pull.number}", {"action": action, "changerequest": request})


def ref_of(payload: Push) -> tuple[str, str]:
    """Split `refs/heads/main` into ("branch", "main"), `refs/tags/v1` into ("tag", "v1")."""
    _, kind, name = payload.ref.split("/", 2)
    return {"heads": "branch", "tags": "tag"}.get(kind, kind), name


def _result(result_type: str, payload: Webhook, subject: str, data: dict[str, Any]) -> Result:
    common = {"repository": payload.repository.full_name, "actor": payload.sender.login}
    return Result(result_type, common | data, subject=f"{payload.repository.full_name}/{subject}")


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.id,
        "title": commit.message.partition("\n")[0],
        "author": commit.author.username or commit.author.name,
        "at": commit.timestamp.isoformat(),
        "url": commit.url,
        "paths": sorted({*commit.added, *commit.removed, *commit.modified}),
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "number": item.number,
        "title": item.title,
        "state": item.state,
        "author": item.user.login if item.user else None,
        "labels": [label.name for label in item.labels],
        "assignees": [user.login for user in item.assignees],
        "url": item.html_url,
        "updated": item.updated_at.isoformat(),
    }
