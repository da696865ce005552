# SPDX-License-Identifier: Apache-2.0
"""Speaks to a web server on behalf of a command: one request, one answer, and every refusal as an error with its cure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx2
import orjson

from bridge.cli.target import HttpTarget
from bridge.domain.errors import BridgeError, NotAllowed, NotAuthenticated, NotFound, Refused, Unavailable

TIMEOUT_S = 10.0
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and its JSON document or an empty one."""

    status: int
    body: Mapping[str, Any]


class Forbidden(NotAllowed):
    """The server refused a valid key, in its own words."""

    def __init__(self, detail: str) -> None:
        BridgeError.__init__(self, detail)
        self.scope = ""


class Api:
    """A web server and a key. Use it as `async with`; requests may run side by side, on at most 64 connections."""

    def __init__(self, target: HttpTarget) -> None:
        self._url, self._key = target.url, target.key
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._client = httpx2.AsyncClient(base_url=target.url, timeout=TIMEOUT_S, limits=limits, trust_env=False)

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, wait_s: float = 0, **query: str) -> Reply:
        """
        Look something up; `wait_s`: the server may wait that long for a final status.

        Raises: NotFound, NotAuthenticated, NotAllowed, Unavailable, Refused, TimeoutError.
        """
        params = query | ({"wait": f"{wait_s:g}"} if wait_s else {})
        return await self._ask("GET", path, headers={"x-api-key": self._key}, params=params, timeout=TIMEOUT_S + wait_s)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], *, with_key: bool = True) -> Reply:
        """Send a body. `with_key` False: the headers carry a signature instead. Raises: as `get`."""
        credential = {"x-api-key": self._key} if with_key else {}
        return await self._ask("POST", path, headers={**headers, **credential}, content=body)

    async def _ask(self, method: str, path: str, **options: Any) -> Reply:
        try:
            response = await self._client.request(method, path, **options)
        except httpx2.TimeoutException as err:
            raise TimeoutError(f"{self._url} did not answer {method} {path} in time.") from err
        except httpx2.HTTPError as err:
            raise Unavailable(f"{self._url} cannot be reached: {err or type(err).__name__}. Is `evb dev` running there?") from err
        document = _document(response)
        if response.status_code >= 400:
            raise self._error(response.status_code, document)
        return Reply(response.status_code, document)

    def _error(self, status: int, document: Mapping[str, Any]) -> BridgeError:
        faults = "".join(f"\n  {f['pointer']}: {f['detail']}" for f in document.get("errors", ()))
        said = document.get("detail") or document.get("title") or "no explanation"
        said = f"{status}: {document.get('title', 'Refused')}:{faults}" if faults else f"{status}: {said}"
        match status:
            case 401:
                return NotAuthenticated(f"{self._url} does not accept the credential. Give --key, or see `evb keys list`.")
            case 403:
                return Forbidden(said)
            case 404:
                return NotFound(said)
            case status if status >= 500:
                return Unavailable(said)
            case _:
                return Refused(said)


def _document(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        document = orjson.loads(response.content) if response.content else {}
    except orjson.JSONDecodeError:
        return {"title": f"not an answer of Event Bridge: {response.text[:200]}"}
    return document if isinstance(document, dict) else {"items": document}
