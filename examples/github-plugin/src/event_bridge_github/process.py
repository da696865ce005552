# SPDX-License-Identifier: Apache-2.0
"""The process `github`: decides what is worth a result and lets `results` shape it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.sdk import Completed, Context, Event, Outcome, Process, Rejected, Result, Skipped
from event_bridge_github.payloads import Issues, PullRequest, Push, Webhook
from event_bridge_github.results import change_request_changed, issue_changed, pushed, ref_of


class Options(BaseModel):
    """What an operator may set per tenant."""

    model_config = ConfigDict(extra="forbid")

    branches: list[str] = Field(["*"], description="Report pushes to branches that fit one of these, such as `release/*`.")
    tags: bool = Field(True, description="Report pushes of tags.")
    bots: bool = Field(True, description="Report what bots do.")


class GitHub(Process[Options]):
    """Turn `github.push`, `github.issues` and `github.pull_request` into results that every tool can read."""

    name, version = "github", "0.1.0"
    events = ("github.push", "github.issues", "github.pull_request")
    Config = Options

    async def run(self, event: Event, context: Context[Options]) -> Outcome:
        """Return one result; skip what the configuration leaves out; reject what is not GitHub's payload."""
        try:
            payload = _read(event)
        except ValidationError as err:
            where = "; ".join(f"/{'/'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors()[:5])
            return Rejected("not-a-github-payload", f"{event.type} does not have GitHub's shape: {where}")
        if reason := _unwanted(payload, context.config):
            return Skipped(reason)
        result = _result(payload)
        context.log.info("github event normalised", result=result.type, subject=result.subject)
        return Completed(data={"subject": result.subject}, results=[result])


def _read(event: Event) -> Push | Issues | PullRequest:
    match event.type:
        case "github.push":
            return Push.model_validate_json(event.data)
        case "github.issues":
            return Issues.model_validate_json(event.data)
        case _:
            return PullRequest.model_validate_json(event.data)


def _unwanted(payload: Webhook, config: Options) -> str:
    if payload.sender.type == "Bot" and not config.bots:
        return f"{payload.sender.login} is a bot"
    if isinstance(payload, Push):
        kind, name = ref_of(payload)
        if kind == "tag" and not config.tags:
            return f"{name} is a tag"
        if kind == "branch" and not any(fnmatchcase(name, pattern) for pattern in config.branches):
            return f"{name} is not among the branches {', '.join(config.branches)}"
    return ""


def _result(payload: Push | Issues | PullRequest) -> Result:
    match payload:
        case Push():
            return pushed(payload)
        case Issues():
            return issue_changed(payload)
        case PullRequest():
            return change_request_changed(payload)
