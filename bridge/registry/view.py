# SPDX-License-Identifier: Apache-2.0
"""
The registry in memory: objects by name, and the indexes that requests need.

Written by one thread (the follower's), read by all others without a lock: every method that reads touches each container
once, in one step that the interpreter does not interrupt.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from bridge import logs
from bridge.decisions.facts import Fact, Facts, Line, Ref
from bridge.domain.limits import DEFAULT_WINDOWS, INGRESS_WINDOWS, Window
from bridge.registry import fields, objects
from bridge.registry.credential_index import CredentialIndex
from bridge.registry.feeds import FeedPlace
from bridge.registry.flow import FlowTokenIndex
from bridge.registry.ingress import Points
from bridge.registry.ingress_index import IngressIndex
from bridge.registry.objects import (
    Announcement,
    Credential,
    Object,
    Pause,
    ProcessSetting,
    SecretPair,
    SigningSecret,
    Tenant,
)
from bridge.registry.options import opened
from bridge.registry.signing_index import KeyedSecret, SigningIndex
from bridge.registry.webhook_index import WebhookIndex
from bridge.registry.workflow import WorkflowIndex

DAY_MS = 86_400_000
ObjectT = TypeVar("ObjectT", bound=Object)
LOG = logs.get("bridge.registry")


class Held(NamedTuple):
    """An object with the version of its fact; None where there is none, or where its record cannot be read."""

    version: int
    object: Object | None


NOTHING = Held(0, None)


class View:
    """The state of the registry after any number of records; `generation` grows with every change that readers can see."""

    def __init__(self, decrypt: Callable[[str], bytes]) -> None:
        self.generation = 0
        self.unreadable = 0
        self.facts = Facts()
        self.ingress, self.webhooks, self.workflows = IngressIndex(), WebhookIndex(), WorkflowIndex()
        self.flow_tokens = FlowTokenIndex()
        self.credentials, self.signing = CredentialIndex(), SigningIndex(decrypt)
        self._decrypt = decrypt
        self._held: dict[Ref, Held] = {}
        self._tenants: dict[str, Tenant] = {}
        self._announced: dict[str, Announcement] = {}
        self._pauses: dict[tuple[str, str], Pause] = {}

    def tenant(self, name: str) -> Tenant | None:
        """Give a tenant, closed ones too."""
        return self._tenants.get(name)

    def tenants(self) -> tuple[Tenant, ...]:
        """Give all tenants by name, closed ones too."""
        return tuple(sorted(self._tenants.values(), key=lambda one: one.name))

    def windows(self, tenant: str) -> tuple[Window, ...]:
        """Give the rate windows that hold for a tenant."""
        found = self._tenants.get(tenant)
        return found.limits if found else DEFAULT_WINDOWS

    def ingress_windows(self, tenant: str) -> tuple[Window, ...]:
        """Give how often a tenant may ask the Event Ingress dialect."""
        found = self._tenants.get(tenant)
        return found.ingress_limits if found else INGRESS_WINDOWS

    def ingress_points(self, tenant: str) -> Points:
        """Give what a tenant's messages may weigh."""
        found = self._tenants.get(tenant)
        return found.ingress_points if found else Points()

    def api_keys(self, tenant: str) -> tuple[Credential, ...]:
        """Give a tenant's API keys, the oldest first, revoked ones too."""
        found = [one for one in self._of_type(Credential) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))

    def pairs(self, tenant: str) -> tuple[SecretPair, ...]:
        """Give a tenant's pairs, the oldest first, revoked ones too."""
        found = [one for one in self._of_type(SecretPair) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))

    def secrets(self, tenant: str) -> tuple[SigningSecret, ...]:
        """Give a tenant's signing secrets, the oldest first, revoked ones and ones that cannot be decrypted too."""
        found = [one for one in self._of_type(SigningSecret) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: (one.created_ms, one.id)))

    def keyed_secrets(self, source: str | None) -> list[KeyedSecret]:
        """Give what a signature is tried against: valid secrets of active tenants, of one source name or of all (None)."""
        now_ms = int(time.time() * 1000)
        return [keyed for keyed in self.signing.of(source) if keyed.secret.valid(now_ms) and self.active(keyed.secret.tenant)]

    def signing_secrets(self, source: str | None) -> tuple[SigningSecret, ...]:
        """Give the secrets of `keyed_secrets`."""
        return tuple(keyed.secret for keyed in self.keyed_secrets(source))

    def active(self, tenant: str) -> bool:
        """Say whether a tenant exists and is not closed."""
        found = self._tenants.get(tenant)
        return found is not None and found.state == "active"

    def process_of(self, tenant: str, process: str) -> ProcessSetting:
        """Give a process's setting for a tenant; without an entry nobody has decided, and it has its defaults."""
        found = self._held.get(Ref("process", tenant, process), NOTHING).object
        return found if isinstance(found, ProcessSetting) else ProcessSetting(tenant=tenant, process=process)

    def options_of(self, tenant: str, process: str) -> dict[str, Any]:
        """Give a process's options for a tenant in the clear. Raises: ValueError where a secret cannot be decrypted."""
        return opened(self.process_of(tenant, process).config, self._decrypt)

    def process_settings(self, tenant: str) -> tuple[ProcessSetting, ...]:
        """Give the entries that were made for a tenant, by process."""
        found = [one for one in self._of_type(ProcessSetting) if one.tenant == tenant]
        return tuple(sorted(found, key=lambda one: one.process))

    def paused(self, tenant: str, process: str) -> Pause | None:
        """Give what keeps a tenant's events from being handled by a process now; None where nothing does."""
        pauses = self._pauses
        if not pauses:
            return None
        return pauses.get((tenant, process)) or pauses.get((fields.ALL, process)) or pauses.get((tenant, fields.ALL))

    def pauses(self) -> tuple[Pause, ...]:
        """Give every pause that holds, the oldest first."""
        return tuple(sorted([*self._pauses.values()], key=lambda one: (one.since_ms, one.tenant, one.process)))

    def workers(self) -> tuple[Announcement, ...]:
        """Give what all workers announced, by lane and slot; what is older than a day only where nothing younger exists."""
        return _young(self._announced.values())

    def announced(self) -> tuple[Announcement, ...]:
        """Give of `workers` those of the shared lane: they route all events, so they alone say which processes there are."""
        return _young(one for one in list(self._announced.values()) if not one.lane)

    def last_announced(self, lane: str, slot: str) -> Announcement | None:
        """Give the last announcement of a slot of a lane (empty: the shared one), however old it is."""
        return self._announced.get(objects.worker_name(lane, slot))

    def process_names(self) -> frozenset[str]:
        """Name the processes of the last announcement of each slot, however old it is."""
        return frozenset(process.name for one in list(self._announced.values()) for process in one.processes)

    def differing_plugins(self, within_s: float = 60) -> dict[str, Announcement]:
        """
        Give the live workers, by name, of each lane in which they announce different plugin sets: an operator should look.

        An own lane's worker with a version of its process that no worker of the shared lane has differs from those, too.
        """
        since_ms = time.time() * 1000 - within_s * 1000
        live = [one for one in list(self._announced.values()) if one.at_ms > since_ms]
        sets = Counter(lane for lane, _ in {(one.lane, objects.plugin_set(one)) for one in live})
        shared = frozenset[tuple[str, str]]().union(*(objects.plugin_set(one) for one in live if not one.lane))
        known = {name for name, _ in shared}
        other = {one.name for one in live if any(name in known for name, _ in objects.plugin_set(one) - shared)}
        return {one.name: one for one in live if sets[one.lane] > 1 or one.name in other}

    def feeds(self, tenant: str) -> list[FeedPlace]:
        """Give where a tenant's feeds are."""
        return [one for one in self._of_type(FeedPlace) if one.tenant == tenant]

    def held(self, ref: Ref) -> Held:
        """Give an object of any versioned kind together with its version."""
        return self._held.get(ref, NOTHING)

    def apply(self, lines: Sequence[Line]) -> bool:
        """
        Take records in the order of their partitions; say whether readers can see a change.

        A record that cannot be read is counted in `unreadable` and logged; its object is then absent rather than as it was
        before, because the change might have been a revocation.
        """
        before = self.generation
        for line in lines:
            try:
                fact = self.facts.apply(line)
            except ValueError as err:
                self._complain(line.key, err)
                continue
            if fact is not None and self._take(fact):
                self.generation += 1
        return self.generation != before

    def _take(self, fact: Fact) -> bool:
        new: Object | None = None
        if fact.value is not None:
            try:
                new = objects.decode(fact.ref, fact.value)
            except ValueError as err:
                self._complain(str(fact.ref).encode(), err)
        if isinstance(new, Announcement):
            old = self._announced.get(fact.ref.id)
            self._announced[fact.ref.id] = new
            return not objects.same_content(old, new)
        if fact.ref.kind == "worker":
            return self._announced.pop(fact.ref.id, None) is not None
        self._replace(fact, new)
        return fact.ref.kind != "feed"  # which moves often, and which nobody keeps anything of

    def _replace(self, fact: Fact, new: Object | None) -> None:
        ref = fact.ref
        self.credentials.replace(self.held(ref).object, new)
        self.ingress.replace(ref, new)
        self.webhooks.replace(ref, new)
        self.workflows.replace(ref, new)
        self.flow_tokens.replace(ref, new)
        self.signing.replace(ref, new)
        if ref.kind == "tenant":
            self._replace_tenant(ref.tenant, new)
        elif ref.kind == "pause":
            self._pause(ref, new)
        if fact.value is None:  # last, so that whoever waits for this version finds it in the indexes
            self._held.pop(ref, None)
        else:
            self._held[ref] = Held(fact.version or 0, new)

    def _pause(self, ref: Ref, new: Object | None) -> None:
        if isinstance(new, Pause) and new.state == "paused":
            self._pauses[ref.tenant, ref.id] = new
        else:
            self._pauses.pop((ref.tenant, ref.id), None)

    def _replace_tenant(self, name: str, new: Object | None) -> None:
        if isinstance(new, Tenant):
            self._tenants[name] = new
        else:
            self._tenants.pop(name, None)

    def _of_type(self, type_: type[ObjectT]) -> list[ObjectT]:
        return [one.object for one in list(self._held.values()) if isinstance(one.object, type_)]

    def _complain(self, key: bytes, err: Exception) -> None:
        self.unreadable += 1
        LOG.error("a record of the registry cannot be read", key=key.decode(errors="replace"), reason=str(err))


def _young(announced: Iterable[Announcement]) -> tuple[Announcement, ...]:
    found = sorted(announced, key=lambda one: (one.lane, one.slot))
    young = [one for one in found if one.at_ms > time.time() * 1000 - DAY_MS]
    return tuple(young or found)
