# SPDX-License-Identifier: Apache-2.0
"""
What a command works on: the operator's settings for Kafka and Redis, or a URL and a key for HTTP. One place, so that `--data`,
`EVB_DATA`, `--url` and `--key` mean the same everywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bridge.domain.errors import Misconfigured
from bridge.settings import Settings, load
from bridge.stack.found import StackInfo, locate

DEFAULT_DATA = Path(".bridge")

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="EVB_DATA", help="Data directory of the `evb dev` to work on.", file_okay=False),
]
Url = Annotated[str | None, typer.Option("--url", envvar="EVB_URL", help="Where the web server is, e.g. http://localhost:8080.")]
Key = Annotated[str | None, typer.Option("--key", envvar="EVB_API_KEY", help="API key; default: the demo tenant's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A web server and the API key to use there; no trailing slash in `url`."""

    url: str
    key: str


def operator_settings(data: Path | None) -> Settings:
    """
    Give the settings of an operating command: of the stack in `data`, else of the `EVB_*` environment.

    Where neither is given and an `evb dev` runs in `.bridge` here, that one is meant.
    Raises: Misconfigured.
    """
    if stack := _stack(data, given="EVB_KAFKA__BOOTSTRAP_SERVERS" in os.environ):
        return stack.settings()
    return load()


def http_target(url: str | None, key: str | None, data: Path | None) -> HttpTarget:
    """
    Give the web server and the key of a command that works over HTTP: as given, else those of the stack in `data` or `.bridge`.

    Raises: Misconfigured, saying which option is missing.
    """
    stack = _stack(data, given=url is not None)
    if stack:
        url = url or stack.url
        key = key or next((tenant.api_key for tenant in stack.tenants), None)
    if not url:
        raise Misconfigured("Which server? Give --url (or EVB_URL), or --data DIR (or EVB_DATA) of a running `evb dev`.")
    if not key:
        raise Misconfigured(f"A key is needed for {url}: give --key (or EVB_API_KEY). `evb keys create` makes one.")
    return HttpTarget(url.rstrip("/"), key)


def find_url(url: str | None, data: Path | None) -> str | None:
    """Give the web server that is meant, as `http_target` finds it, or None where nothing names one."""
    if url:
        return url.rstrip("/")
    stack = _stack(data, given="EVB_KAFKA__BOOTSTRAP_SERVERS" in os.environ)
    return stack.url if stack else None


def signing_secret(secret: str | None, data: Path | None) -> str:
    """Give the secret to sign a test webhook with: as given, else the demo tenant's. Raises: Misconfigured."""
    stack = None if secret else _stack(data, given=False)
    found = secret or next(
        (tenant.signing_secret for tenant in stack.tenants if tenant.signing_secret) if stack else iter(()), ""
    )
    if not found:
        raise Misconfigured("A signing secret is needed: give --secret (or EVB_SIGNING_SECRET). `evb secrets create` makes one.")
    return found


def _stack(data: Path | None, *, given: bool) -> StackInfo | None:
    """Find the stack that is meant; `given`: the caller was told what else to use, so the default directory is not looked at."""
    if data is not None:
        return locate(data)
    if given or not DEFAULT_DATA.is_dir():
        return None
    try:
        return locate(DEFAULT_DATA)
    except Misconfigured:  # nothing runs there, and nobody said that something should
        return None
