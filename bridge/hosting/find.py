# SPDX-License-Identifier: Apache-2.0
"""
Find, check and describe the installed plugins. Called once at the start of a worker, of a web server and of the CLI.

Every fault of every plugin is reported together, each with its cure. Running the processes is the worker's work, not ours.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import pluggy

from bridge.domain.errors import Misconfigured, NotFound
from bridge.hosting.rules import faults_of
from bridge.sdk.hooks import ENTRY_POINTS, PROJECT, Hooks
from bridge.sdk.process import AnyProcess, Process
from bridge.topics import Topic, lane, results, state

HOOKS: Final = tuple(name for name in vars(Hooks) if not name.startswith("_"))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a process comes from: a distribution (the name that pip knows), its version, and the entry point."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (entry point {self.entry_point!r})"


@dataclass(frozen=True, slots=True)
class Installed:
    """One process that an installed plugin contributes, checked."""

    process: AnyProcess
    origin: Origin

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def patterns(self) -> tuple[str, ...]:
        """The event types that it handles, as dotted patterns."""
        return tuple(self.process.events)

    @property
    def config_schema(self) -> dict[str, Any]:
        """The JSON Schema of what an operator may set per tenant."""
        return self.process.Config.model_json_schema()


@dataclass(frozen=True, slots=True)
class Plugins:
    """All processes of this installation, ordered by name."""

    installed: tuple[Installed, ...]

    @property
    def processes(self) -> tuple[AnyProcess, ...]:
        return tuple(one.process for one in self.installed)

    @property
    def patterns(self) -> Mapping[str, tuple[str, ...]]:
        """Process name -> its patterns."""
        return {one.name: one.patterns for one in self.installed}

    def unknown_tiers(self, labels: Sequence[str]) -> list[str]:
        """Say of each process whose `retry` names a delay that the installation does not have what to do about it."""
        there = ",".join(labels)
        return [
            f"{one.origin}: process {one.name!r}: retry has {label!r}, which is not among EVB_RETRY_TIERS={there}"
            for one in self.installed
            for label in dict.fromkeys(one.process.retry or ())
            if label not in labels
        ]

    @property
    def lanes(self) -> tuple[str, ...]:
        """The processes that have a lane of their own."""
        return tuple(one.name for one in self.installed if one.process.lane == "own")

    @property
    def states(self) -> tuple[str, ...]:
        """The names under which processes keep state, each once."""
        return tuple(dict.fromkeys(one.process.state for one in self.installed if one.process.state))

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What its processes need beside the catalogue: their results, their lanes, and what they keep."""
        return (*map(results, self.patterns), *map(lane, self.lanes), *map(state, self.states))

    def of_lane(self, name: str) -> Plugins:
        """Give what a worker of a lane runs, everything for the shared one. Raises: NotFound; Misconfigured: it has no lane."""
        if not name:
            return self
        one = self.named(name)
        if one.process.lane != "own":
            raise Misconfigured(f"The process {name} runs in the shared lane; it has a lane of its own with lane = 'own'.")
        return Plugins((one,))

    def named(self, name: str) -> Installed:
        """Raises: NotFound, naming the processes that are installed."""
        for one in self.installed:
            if one.name == name:
                return one
        raise NotFound(f"No process {name!r} is installed here; there are: {', '.join(self.patterns) or 'none'}.")


def find_processes(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """
    Load every plugin of the entry-point group and check every process.

    Shape:  `entry_points` are those of the environment unless given.
    Raises: Misconfigured with every fault of every plugin, each naming distribution, entry point and, where it has one, process.
    """
    found: list[Installed] = []
    faults: list[str] = []
    for entry_point in metadata.entry_points(group=ENTRY_POINTS) if entry_points is None else entry_points:
        origin = _origin(entry_point)
        try:
            contributed = _contributed(entry_point)
        except _Broken as broken:
            faults.append(f"{origin}: {broken}")
            continue
        for thing in contributed:
            wrong = faults_of(thing)
            faults.extend(f"{origin}: {fault}" for fault in wrong)
            if isinstance(thing, Process) and not wrong:
                found.append(Installed(thing, origin))
    faults.extend(_same_names(found))
    if faults:
        raise Misconfigured(*faults)
    return Plugins(tuple(sorted(found, key=lambda one: one.name)))


class _Broken(Exception):
    """A plugin that cannot be asked for its processes, with the cure."""


def _origin(entry_point: metadata.EntryPoint) -> Origin:
    dist = entry_point.dist
    return Origin(dist.name if dist else "?", dist.version if dist else "?", entry_point.name)


def _contributed(entry_point: metadata.EntryPoint) -> list[Any]:
    # A manager of its own per plugin: what it objects to is then known to be this plugin's, and none outlives the search.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        plugin = entry_point.load()
    except (Exception, SystemExit) as err:  # the edge to foreign code: whatever its import does is this plugin's fault
        raise _Broken(f"cannot import {entry_point.value!r}: {_said(err)}; mend or uninstall the package") from err
    misfits = [f"there is no hook {name!r}" for name in _unknown_hooks(manager, plugin)]
    try:
        manager.register(plugin, entry_point.name)
        if not misfits:
            manager.check_pending()
    except (pluggy.PluginValidationError, TypeError, ValueError) as err:
        misfits.append(f"a hook does not fit: {_said(err)}")
    if misfits:
        raise _Broken(f"{'; '.join(misfits)}; the hook is {', '.join(HOOKS)}(), without parameters")
    if not manager.get_hookcallers(plugin):
        raise _Broken(f"{entry_point.value!r} has no bridge_processes hook; decorate the function with @hookimpl")
    try:
        return [process for returned in manager.hook.bridge_processes() for process in _plain(returned)]
    except (Exception, SystemExit) as err:  # foreign code again
        raise _Broken(f"bridge_processes failed: {_said(err)}; it must be a plain function that returns a list") from err


def _unknown_hooks(manager: pluggy.PluginManager, plugin: Any) -> list[str]:
    """Name all of them: `check_pending` stops at one."""
    options = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    return [name for name, given in options.items() if given and name not in HOOKS and not given["optionalhook"]]


def _plain(returned: Any) -> Any:
    if inspect.iscoroutine(returned):
        returned.close()  # else Python warns later, far from here, that nobody awaited it
        raise TypeError("the hook is an async function")
    return returned


def _said(err: BaseException) -> str:
    return f"{type(err).__name__}: {err}".replace("\n", " ")


def _same_names(found: Iterable[Installed]) -> list[str]:
    by_name: defaultdict[str, list[Installed]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    return [
        f"the process name {name!r} is used by {' and by '.join(str(one.origin) for one in same)}; "
        "uninstall one of them or rename its process"
        for name, same in by_name.items()
        if len(same) > 1
    ]
