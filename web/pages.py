# SPDX-License-Identifier: Apache-2.0
"""What machines and people ask the server about itself: health, metrics, and what a problem type means."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import flask
from flask import Blueprint, Response

from bridge import metrics
from bridge.domain.errors import BridgeError, NotFound
from web.health import Health
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
        for error in every_error():
            if error.code == code:
                return Response(f"{error.title} ({error.status})\n\n{explanation(error)}\n", content_type=TEXT)
        raise NotFound("There is no problem of this name.")

    return pages


def every_error(root: type[BridgeError] = BridgeError) -> Iterator[type[BridgeError]]:
    """Give every error that an answer may speak of, each after its parent."""
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)


def explanation(error: type[BridgeError]) -> str:
    """Give an error's docstring as one paragraph."""
    return " ".join((error.__doc__ or "").split())
