# SPDX-License-Identifier: Apache-2.0
"""
What the registry holds, and how each object is written to its record.

Values are checked when they are read: a record is foreign input, even if we wrote it. Unknown members are ignored, so that an
older process can read what a newer one wrote.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bridge.decisions.facts import Ref
from bridge.domain.limits import DEFAULT_WINDOWS, INGRESS_WINDOWS, Window
from bridge.registry.feeds import FeedPlace
from bridge.registry.fields import Digest, Id, Label, Millis, Name, NameOrAll, PairName, Source, TypeName
from bridge.registry.flow import FlowToken
from bridge.registry.ingress import EventType, OAuthClient, Points
from bridge.registry.webhook import Webhook
from bridge.registry.workflow import WorkflowVersion


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """An owner of data. A closed tenant's credentials open nothing."""

    name: Name
    state: Literal["active", "closed"] = "active"
    windows: tuple[Window, ...] = ()
    ingress_windows: tuple[Window, ...] = ()
    ingress_points: Points = Points()
    created_ms: Millis = 0

    @property
    def ingress_limits(self) -> tuple[Window, ...]:
        """How often it may ask the Event Ingress dialect."""
        return self.ingress_windows or INGRESS_WINDOWS

    @property
    def limits(self) -> tuple[Window, ...]:
        """The rate windows that hold for it: its own, or the default ones."""
        return self.windows or DEFAULT_WINDOWS


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """
    An API key, known by the SHA-256 of its text; `hint` is its first and last characters, for people.

    Events sent with it are of `event_type` where they name none themselves.
    """

    id: Id
    tenant: Name
    name: Label
    digest: Digest
    hint: str
    scopes: tuple[str, ...]
    event_type: str = ""
    state: Literal["active", "revoked"] = "active"
    expires_ms: Millis = 0
    created_ms: Millis = 0

    def valid(self, now_ms: int) -> bool:
        """Say whether it opens anything at this time."""
        return self.state == "active" and (not self.expires_ms or now_ms < self.expires_ms)


class SigningSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A sender's HMAC secret, encrypted; events signed with it are of `event_type` where they name none themselves."""

    id: Id
    tenant: Name
    source: Source
    ciphertext: str
    hint: str
    scheme: Literal["github"] = "github"
    event_type: TypeName = ""
    state: Literal["active", "revoked"] = "active"
    expires_ms: Millis = 0
    created_ms: Millis = 0

    def valid(self, now_ms: int) -> bool:
        """Say whether a signature made with it counts at this time."""
        return self.state == "active" and (not self.expires_ms or now_ms < self.expires_ms)


class SecretPair(msgspec.Struct, frozen=True, kw_only=True):
    """
    A secret key of a dialect that tells environments apart: one name, and a value for each, known by their SHA-256.

    `hints` are the values' first and last characters, for people.
    """

    id: Id
    tenant: Name
    name: PairName
    dialect: Literal["buildable"]
    test: Digest
    live: Digest
    hints: tuple[str, str]
    state: Literal["active", "revoked"] = "active"
    expires_ms: Millis = 0
    created_ms: Millis = 0

    def valid(self, now_ms: int) -> bool:
        """Say whether its values open anything at this time."""
        return self.state == "active" and (not self.expires_ms or now_ms < self.expires_ms)


class ProcessSetting(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whether one tenant's events go to one process (None: as the process itself says), and how it is configured for the tenant.

    Secret members of `config` are encrypted (`bridge.registry.options`).
    """

    tenant: Name
    process: Name
    enabled: bool | None = None
    config: dict[str, Any] = {}


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A process that does not run, for one tenant or for all; or all processes of one tenant. `ALL` stands for each of them."""

    tenant: NameOrAll
    process: NameOrAll
    state: Literal["paused", "running"] = "paused"
    reason: str = ""
    since_ms: Millis = 0


class AnnouncedProcess(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that a live worker runs; `business_process`: event types can name it, and people know it as `title`."""

    name: str
    version: str
    patterns: tuple[str, ...]
    default_enabled: bool = True
    business_process: bool = False
    title: str = ""


class AnnouncedPartition(msgspec.Struct, frozen=True, array_like=True):
    """A partition in which a live worker has events in flight, or whose committed offset does not move."""

    topic: str
    partition: int
    in_flight: int
    oldest_s: float
    committed_age_s: float


class AnnouncedRate(msgspec.Struct, frozen=True, array_like=True):
    """What a process did within the last `seconds`: executions by outcome, and how long half and 99 of 100 took at most."""

    process: str
    seconds: float
    outcomes: dict[str, int]
    p50_s: float
    p99_s: float


class AnnouncedBreaker(msgspec.Struct, frozen=True, array_like=True):
    """A tenant's process (or webhook) that rests in this worker: how many attempts in a row have failed, and how the last one."""

    tenant: str
    process: str
    failures: int
    reason: str


class Announcement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What one worker runs and does; repeated as a heartbeat. `instance` tells two workers in one slot apart.

    `lane` is the process whose own lane it serves; empty: the shared one, whose workers announce every process that there is.
    `ended` says why the worker is gone ("asked", or what stood still); empty: nobody knows. `stalls` counts, by reason,
    the lives of the slot that ended standing still. Partitions and processes of which there is nothing to say are left out.
    """

    slot: str
    lane: str = ""
    processes: tuple[AnnouncedProcess, ...]
    at_ms: Millis
    instance: str = ""
    since_ms: Millis = 0
    ended: str = ""
    stalls: dict[str, int] = {}
    partitions: tuple[AnnouncedPartition, ...] = ()
    rates: tuple[AnnouncedRate, ...] = ()
    breakers: tuple[AnnouncedBreaker, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from every other slot of every lane."""
        return worker_name(self.lane, self.slot)


Object = (
    Tenant
    | Credential
    | SigningSecret
    | SecretPair
    | OAuthClient
    | FlowToken
    | EventType
    | FeedPlace
    | Webhook
    | WorkflowVersion
    | ProcessSetting
    | Pause
    | Announcement
)

KINDS: dict[str, type[Object]] = {
    "tenant": Tenant,
    "key": Credential,
    "secret": SigningSecret,
    "pair": SecretPair,
    "client": OAuthClient,
    "flowtoken": FlowToken,
    "eventtype": EventType,
    "feed": FeedPlace,
    "webhook": Webhook,
    "workflow": WorkflowVersion,
    "process": ProcessSetting,
    "pause": Pause,
    "worker": Announcement,
}
"""Kind, the first part of a record's key -> what its value is."""

_encoder = msgspec.json.Encoder()
_decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in KINDS.items()}


def encode(value: Object) -> bytes:
    """Write an object as the JSON of its record."""
    return _encoder.encode(value)


def decode(ref: Ref, value: bytes) -> Object:
    """
    Read and check a record's value.

    Raises: ValueError (msgspec's errors are ValueErrors) naming the member at fault, also where it is not the key's object.
    """
    decoder = _decoders.get(ref.kind)
    if decoder is None:
        raise ValueError(f"{ref.kind!r} is no kind of object")
    found = decoder.decode(value)
    if ref_of(found) != ref:
        raise ValueError(f"the value is that of {ref_of(found)}")
    if isinstance(found, WorkflowVersion):
        _ = found.workflow  # read now, once, so that no request finds that it cannot be
    return found


def ref_of(value: Object) -> Ref:
    """Give the name under which an object is kept."""
    match value:
        case Tenant():
            return Ref("tenant", value.name, "")
        case Credential():
            return Ref("key", value.tenant, value.id)
        case SigningSecret():
            return Ref("secret", value.tenant, value.id)
        case SecretPair():
            return Ref("pair", value.tenant, value.id)
        case OAuthClient():
            return Ref("client", value.tenant, value.id)
        case FlowToken():
            return Ref("flowtoken", value.tenant, value.id)
        case EventType():
            return Ref("eventtype", value.tenant, value.key)
        case FeedPlace():
            return Ref("feed", value.tenant, value.feed)
        case Webhook():
            return Ref("webhook", value.tenant, value.id)
        case WorkflowVersion():
            return value.ref
        case ProcessSetting():
            return Ref("process", value.tenant, value.process)
        case Pause():
            return Ref("pause", value.tenant, value.process)
        case Announcement():
            return Ref("worker", "", value.name)


def worker_name(lane: str, slot: str) -> str:
    """Name a slot of a lane; of the shared one (empty) by its slot alone. Neither has a dot, so no two have one name."""
    return f"{lane}.{slot}" if lane else slot


def plugin_set(announcement: Announcement) -> frozenset[tuple[str, str]]:
    """The processes of an announcement as (name, version), to compare workers by."""
    return frozenset((process.name, process.version) for process in announcement.processes)


def same_content(one: Announcement | None, other: Announcement) -> bool:
    """Say whether two announcements of a slot differ in nothing but the time and what the worker does."""
    return one is not None and one.processes == other.processes and one.instance == other.instance
