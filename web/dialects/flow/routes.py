# SPDX-License-Identifier: Apache-2.0
"""The operations of the document, and the older paths of two of them."""

from __future__ import annotations

from typing import Any, Final

from bridge.authenticate import FlowCaller
from bridge.domain.errors import Fault, NotAllowed, NotFound
from bridge.domain.principal import FlowScope
from bridge.workflows.document import Workflow
from bridge.workflows.drawing import svg
from bridge.workflows.run import Run
from bridge.workflows.signals import Callback
from bridge.workflows.triggers import UNKNOWN_RUN, UNKNOWN_WORKFLOW
from web.dialects.flow import reading, requests, translate
from web.dialects.flow.calling import Operation, called
from web.dialects.flow.failures import JSON, NotStarted, answer_of
from web.dialects.flow.starting import Cause, start_all, start_one
from web.http.faults import InvalidRequest
from web.http.messages import Answer, Request, Route
from web.services import Services

DIALECT: Final = "flow"
SLACK, GITHUB, DELIVERY = "x-slack-signature", "x-github-event", "x-github-delivery"
SLACK_TYPES: Final = ("event_callback", "shortcut")
LINKS: Final = ("created", "deleted")
PICTURE: Final = ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
"""Nothing in a picture may run or be fetched."""


async def accept_event(request: Request, services: Services, caller: FlowCaller) -> Answer:
    """Answer `POST /event` with the run that the event has started."""
    event, key = await reading.event_of(request)
    name = requests.workflow_of(request.query) or translate.workflow_of_subject(event.get("subject", ""))
    cause = Cause("event", event, {"event": event}, key)
    return _shown(*await start_one(services, caller, name, cause))


async def accept_webhook(request: Request, services: Services, caller: FlowCaller) -> Answer:
    """Answer `POST /webhook`: with the run; to Slack's question; to GitHub with nothing."""
    name, body = requests.workflow_of(request.query), await reading.value_of(request)
    if SLACK in request.headers:
        members = body if isinstance(body, dict) else {}
        if members.get("type") == "url_verification":
            return _challenge(members)
        if members.get("type") not in SLACK_TYPES:
            raise InvalidRequest(Fault("/type", f"must be url_verification, {' or '.join(SLACK_TYPES)}"))
    elif GITHUB in request.headers:
        if not _links(request, body):
            await start_all(services, caller, _of_github(request, body))
        return Answer(200)
    return _shown(*await start_one(services, caller, name, Cause("webhook", body, {"data": body})))


async def call_back(request: Request, services: Services, caller: FlowCaller) -> Answer:
    """Answer `POST` and `GET /callback`: the run has been told; the body is what its tasks find as `data`."""
    asked = requests.callback_of(request.query)
    results = {"data": await reading.value_of(request)} if request.method == "POST" else {}
    await _run(services, caller, asked.run_id)
    told = Callback(topic=asked.topic, status=asked.status, results=results)
    await services.flow.runs.signal(caller.tenant, asked.run_id, told)
    return Answer(200)


async def show_run(request: Request, services: Services, caller: FlowCaller) -> Answer:
    """Answer `GET /team/{team}/workflowrun/{id}`."""
    if request.path_params["team"] != caller.tenant:
        raise NotAllowed("another team")
    run = await _run(services, caller, requests.run_id_of(request.path_params["id"]))
    return _shown(run, services.registry.workflows.of_run(run))


async def draw_run(request: Request, services: Services, caller: FlowCaller) -> Answer:
    """Answer `GET /team/{team}/workflowrun/{id}/svg` with a picture of the run's tasks."""
    if request.path_params["team"] != caller.tenant:
        raise NotAllowed("another team")
    run = await _run(services, caller, requests.run_id_of(request.path_params["id"]))
    workflow = services.registry.workflows.of_run(run)
    if workflow is None:
        raise NotStarted(UNKNOWN_WORKFLOW)
    return Answer(200, svg(run, workflow).encode(), (("content-type", "image/svg+xml"), PICTURE))


async def _run(services: Services, caller: FlowCaller, run_id: str) -> Run:
    """Find a run that the caller may have to do with. Raises: NotStarted (1301), ViewUnavailable."""
    try:
        run = await services.flow.runs.find(caller.tenant, run_id)
    except NotFound:
        raise NotStarted(UNKNOWN_RUN) from None
    if not caller.opens(run.workflow):
        raise NotStarted(UNKNOWN_RUN)
    return run


def _challenge(members: dict[str, Any]) -> Answer:
    challenge = members.get("challenge")
    if not isinstance(challenge, str):
        raise InvalidRequest(Fault("/challenge", "must be a text"))
    return Answer(200, translate.write({"challenge": challenge}), (JSON,))


def _links(request: Request, body: Any) -> bool:
    """Say whether GitHub tells of an installation that comes or goes. Nothing follows: the token says whose events they are."""
    told = request.headers[GITHUB] == "installation" and isinstance(body, dict)
    return told and body.get("action") in LINKS


def _of_github(request: Request, body: Any) -> Cause:
    """Say what GitHub tells of: conditions see the kind of the event among the body's members, and runs as a param of its own."""
    kind, delivery = {GITHUB: request.headers[GITHUB]}, request.headers.get(DELIVERY, "")
    facts = body | kind if isinstance(body, dict) else body
    return Cause("github", facts, {"data": body} | kind, f"github/{delivery}" if delivery else "")


def _shown(run: Run, workflow: Workflow | None) -> Answer:
    return Answer(200, translate.write(translate.workflow_run(run, workflow)), (JSON,))


def _route(method: str, path: str, operation: Operation, scope: FlowScope = FlowScope.WEBHOOK_ACTION) -> Route:
    return Route(method, f"/api/v2{path}", called(operation, scope), DIALECT, reads_body=method != "GET", failure=answer_of)


ROUTES: Final = (
    _route("POST", "/event", accept_event),
    _route("PUT", "/event", accept_event),
    _route("POST", "/callback", call_back),
    _route("GET", "/callback", call_back),
    _route("POST", "/webhook", accept_webhook),
    _route("POST", "/trigger/webhook", accept_webhook),
    _route("GET", "/team/{team}/workflowrun/{id}", show_run, FlowScope.WORKFLOWRUN_READ),
    _route("GET", "/team/{team}/workflowrun/{id}/svg", draw_run, FlowScope.WORKFLOWRUN_READ),
)
