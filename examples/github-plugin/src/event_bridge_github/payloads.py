# SPDX-License-Identifier: Apache-2.0
"""
The parts of GitHub's webhook payloads that we read; everything else in them is ignored.

Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads (push, issues, pull_request).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class User(BaseModel):
    """An account: a person, a bot or an organisation."""

    login: str
    type: str = "User"


class Repository(BaseModel):
    """The repository that the webhook belongs to."""

    full_name: str
    default_branch: str


class Webhook(BaseModel):
    """What every payload has."""

    repository: Repository
    sender: User


class Author(BaseModel):
    """Who wrote a commit; `username` is missing where the address belongs to no account."""

    name: str
    username: str | None = None


class Commit(BaseModel):
    """One commit of a push, with the paths that it touched."""

    id: str
    message: str
    timestamp: datetime
    url: str
    author: Author
    added: list[str] = []
    removed: list[str] = []
    modified: list[str] = []


class Push(Webhook):
    """`push`: a branch or tag moved, appeared or went. `commits` has at most 2,048 entries and is empty when it went."""

    ref: str
    before: str
    after: str
    created: bool
    deleted: bool
    forced: bool
    compare: str
    commits: list[Commit]


class Label(BaseModel):
    """A label on an issue or a pull request."""

    name: str


class Item(BaseModel):
    """What issues and pull requests have in common."""

    number: int
    title: str
    state: Literal["open", "closed"]
    html_url: str
    user: User | None  # null for a deleted account
    labels: list[Label] = []
    assignees: list[User] = []
    updated_at: datetime


class Issue(Item):
    """An issue; `state_reason` says why it is closed."""

    state_reason: str | None = None


class Issues(Webhook):
    """`issues`: something happened to an issue."""

    action: str
    issue: Issue


class Branch(BaseModel):
    """One end of a pull request."""

    ref: str
    sha: str


class Change(Item):
    """A pull request."""

    draft: bool
    merged: bool
    head: Branch
    base: Branch
    additions: int
    deletions: int
    changed_files: int


class PullRequest(Webhook):
    """`pull_request`: something happened to a pull request."""

    action: str
    pull_request: Change
