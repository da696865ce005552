# SPDX-License-Identifier: Apache-2.0
"""What machines and people ask the server about itself: health, metrics, and what a problem type means."""

from __future__ import annotations

import asyncio

import flask
from flask import Blueprint, Response

from bridge import metrics
from bridge.domain.errors import NotFound
from web.health import Health
from web.http.problem_types import by_status
from web.services import Services

TEXT = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(services: Services, loop: asyncio.AbstractEventLoop) -> Blueprint:
    """Make the pages. None of them needs a credential or shows a secret."""
    pages = Blueprint("pages", __name__)
    health = Health(services, loop)

    @pages.get("/livez")
    @pages.get("/healthz")
    def livez() -> Response:
        return Response("ok\n", content_type=TEXT)

    @pages.get("/readyz")
    def readyz() -> Response:
        checks = health.checks()
        ready = all(check.passed for check in checks if check.required)
        lines = [f"[{'+' if c.passed else '-'}] {c.name} {c.said}{'' if c.required else ' (not required)'}\n" for c in checks]
        text = "".join(lines) if "verbose" in flask.request.args else ""
        return Response(f"{text}{'ok' if ready else 'not ready'}\n", 200 if ready else 503, content_type=TEXT)

    @pages.get("/metrics")
    def show_metrics() -> Response:
        return Response(metrics.exposition(), content_type=METRICS)

    @pages.get("/problems/<code>")
    def problem(code: str) -> Response:
        for error, meaning in by_status():
            if error.code == code:
                return Response(f"{error.title} ({error.status})\n\n{meaning}\n", content_type=TEXT)
        raise NotFound("There is no problem of this name.")

    return pages
