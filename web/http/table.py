# SPDX-License-Identifier: Apache-2.0
"""Which route answers a method and a path: exact paths in a dictionary, templates by comparing segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from web.http.messages import Route

NO_PARAMS: Mapping[str, str] = {}


class Table:
    """
    The routes of all dialects.

    An exact path wins over a template. What is not found here is for the Flask application: management, health, 404 and 405.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[tuple[str, str], Route] = {}
        self._templates: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        self._rests: list[tuple[str, str, Route]] = []
        for route in self.routes:
            if route.path.endswith("*}"):
                before, _, name = route.path[:-2].rpartition("{")
                self._rests.append((before, name, route))
            elif "{" in route.path:
                parts = route.path.split("/")
                self._templates.setdefault((route.method, len(parts)), []).append((parts, route))
            elif self._exact.setdefault((route.method, route.path), route) is not route:
                raise ValueError(f"{route.method} {route.path} is routed twice")

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """Give the route and its path parameters, or None. `path` is percent-decoded."""
        route = self._exact.get((method, path))
        if route is not None:
            return route, NO_PARAMS
        given = path.split("/")
        for parts, candidate in self._templates.get((method, len(given)), ()):
            params = _fit(parts, given)
            if params is not None:
                return candidate, params
        for before, name, candidate in self._rests:
            rest = path.removeprefix(before)
            if candidate.method == method and rest != path and rest[:1] not in ("", "/"):
                return candidate, {name: rest}
        return None


def _fit(parts: list[str], given: list[str]) -> dict[str, str] | None:
    params = {}
    for part, value in zip(parts, given, strict=True):
        if part.startswith("{"):
            if not value:
                return None
            params[part[1:-1]] = value
        elif part != value:
            return None
    return params
