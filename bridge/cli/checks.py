# SPDX-License-Identifier: Apache-2.0
"""
What `evb doctor` looks at: one function per line of its report.

A check gives what it found; what it cannot find out (Kafka away, Redis away) it raises, and the report says so with the cure.
Nothing here changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import redis

from bridge.cli.fleet import slot_of
from bridge.credentials import NEW_KEY, Unopenable, Vault
from bridge.domain.errors import BrokerUnavailable, Misconfigured
from bridge.domain.limits import MIB
from bridge.hosting.find import Plugins, find_processes
from bridge.kafka.admin import check_topics, client
from bridge.redis.address import address
from bridge.redis.epoch import whole
from bridge.redis.keys import Keys
from bridge.registry import Announcement, ProcessSetting, Registry
from bridge.registry.view import View
from bridge.settings import Settings
from bridge.topics import REGISTRY

KAFKA_S, REDIS_S, REGISTRY_S, WEB_S = 5.0, 2.0, 10.0, 3.0
WORKER_S = 60.0
"""Without a heartbeat for this long a worker counts as gone."""
SKEW_MS = 1000
KEEPS_ALL = "noeviction"
NEARLY_FULL = 0.8
"""Of Redis' memory: time enough to do something before it takes no more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: is it right, what was found, and what to do where it is not. `ok` None: it could not be looked at."""

    ok: bool | None
    found: str
    cure: str = ""


def brokers(settings: Settings) -> Finding:
    """Ask Kafka for its brokers."""
    servers = settings.kafka.bootstrap_servers
    try:
        known = client(settings).cluster(KAFKA_S)
    except Misconfigured as err:
        return Finding(False, f"{servers}: {err}", "Mend the settings that it names.")
    except BrokerUnavailable as err:
        return Finding(False, f"{servers}: {err}", "Check EVB_KAFKA__* and that the brokers run.")
    replicas = settings.kafka.replication_factor
    count = len(known.brokers)
    if replicas > count:
        return Finding(
            False, f"{count} of {replicas} brokers at {servers}", "Set EVB_KAFKA__REPLICATION_FACTOR to what there is."
        )
    return Finding(True, f"{count} broker{'s' * (count != 1)} at {servers}")


def topics(settings: Settings, plugins: Plugins) -> list[Finding]:
    """Compare the topics, those of the installed processes included, with the catalogue."""
    wrong = check_topics(settings, plugins.topics)
    found = [Finding(False, f"{w.topic}: {w.setting} is {w.found}, expected {w.expected}", w.cure) for w in wrong]
    return found or [Finding(True, f"all as they should be, {settings.partitions} partitions each")]


def server(settings: Settings) -> Finding:
    """Ask Redis or Valkey who it is."""
    with _redis(settings) as link:
        info = link.info("server")
    name, version = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
    return Finding(True, f"{name} {version}")


def memory(settings: Settings) -> Finding:
    """Tell whether Redis keeps what it is given, and has room for more."""
    with _redis(settings) as link:
        info = link.info("memory")
    used, limit, policy = info["used_memory"], info["maxmemory"], info["maxmemory_policy"]
    if not limit:
        return Finding(True, f"{used / MIB:.0f} MB, without a limit")
    if policy != KEEPS_ALL:
        cure = f"Set maxmemory-policy {KEEPS_ALL}, then run `evb rebuild`: what it drops is missed by nobody."
        return Finding(False, f"drops keys when it is full ({policy})", cure)
    full = used / limit
    cure = "Give it more memory, or keep less (EVB_RETENTION_HOURS): a full one takes no change, as if it were away."
    return Finding(full < NEARLY_FULL, f"{used / MIB:.0f} of {limit / MIB:.0f} MB", "" if full < NEARLY_FULL else cure)


def view(settings: Settings) -> Finding:
    """Tell whether the live view belongs to this server and is whole."""
    with _redis(settings) as link:
        run_id, epoch = link.info("server")["run_id"], link.get(Keys(settings.topic_prefix).epoch)
    if isinstance(epoch, bytes) and whole(epoch, run_id):
        return Finding(True, f"whole, epoch {epoch.decode().rpartition(':')[2]}")
    state = "missing" if epoch is None else "of another server's life"
    return Finding(False, f"{state}; look-ups answer 503", "A running web server or worker rebuilds it; or run `evb rebuild`.")


def clock(settings: Settings) -> Finding:
    """Compare this machine's clock with the one of Redis, which decides the rate windows."""
    with _redis(settings) as link:
        before = time.time()
        seconds, micros = link.time()
        after = time.time()
    skew_ms = round((seconds + micros / 1e6 - (before + after) / 2) * 1000)
    if abs(skew_ms) - (after - before) * 500 > SKEW_MS:
        return Finding(False, f"{skew_ms} ms away from Redis' clock", "Run NTP (chrony, systemd-timesyncd) on both machines.")
    return Finding(True, f"{skew_ms} ms from Redis' clock")


def plugins() -> tuple[Plugins, list[Finding]]:
    """Load the plugins; every fault is a finding."""
    try:
        found = find_processes()
    except Misconfigured as err:
        return Plugins(()), [
            Finding(False, fault, "Mend or uninstall the package, then `evb plugins list`.") for fault in err.faults
        ]
    if not found.installed:
        return found, [Finding(False, "none is installed", "Install one, e.g. pip install -e examples/github-plugin.")]
    return found, [Finding(True, ", ".join(f"{one.name} {one.process.version}" for one in found.installed))]


def secrets(settings: Settings, registry: Registry) -> list[Finding]:
    """Try to decrypt every signing secret that is in force, every secret option, and the secrets of webhooks."""
    vault, tenants = Vault(settings.secret_keys.get_secret_value()), [one.name for one in registry.tenants()]
    signing = [one for name in tenants for one in registry.secrets(name) if one.state == "active"]
    configured = [one for name in tenants for one in registry.process_settings(name)]
    hooks = [one for name in tenants for one in registry.webhooks.of(name)]
    signs = [(f"{one.tenant}/{one.source}", _opens(vault, one.ciphertext)) for one in signing]
    options = [(f"{one.tenant}/{one.process}", _opens_options(registry, one)) for one in configured]
    posts = [(f"{one.tenant}/{one.id}", _opens(vault, one.ciphertext)) for one in hooks]
    found = [
        *_lost("signing secrets", signs, "make new secrets with `evb secrets rotate`"),
        *_lost("processes' options", options, "give the options anew with `evb tenants enable`"),
        *_lost("webhooks' secrets", posts, "give the webhooks new ones (`PUT /webhooks/v1/webhooks/{id}`)"),
    ]
    if not found and not vault.has_key:
        return [Finding(False, "EVB_SECRET_KEYS is empty: no signing secret can be made", f"Set it to the output of: {NEW_KEY}")]
    return found or [Finding(True, f"all {len(signs)} signing secrets and {len(posts)} webhooks' secrets can be decrypted")]


def _lost(what: str, kept: list[tuple[str, bool]], cure: str) -> list[Finding]:
    lost = [name for name, opens in kept if not opens]
    if not lost:
        return []
    said = f"{len(lost)} of {len(kept)} {what} cannot be decrypted: {', '.join(lost)}"
    return [Finding(False, said, f"Give the earlier key in EVB_SECRET_KEYS again, or {cure}.")]


def workers(registry: View, installed: Plugins) -> list[Finding]:
    """Look for the heartbeats of workers, in each lane, and for workers with other plugins than these."""
    now_ms = time.time() * 1000
    live = [one for one in registry.workers() if now_ms - one.at_ms < WORKER_S * 1000]
    served = {one.lane for one in live}
    missing = [_nobody(lane) for lane in ("", *installed.lanes) if lane not in served]
    return missing + [_of_worker(one, installed, now_ms) for one in live]


def _nobody(lane: str) -> Finding:
    who, how = (f"none of lane {lane}", f" --lane {lane}") if lane else ("none", "")
    return Finding(False, f"{who} has announced itself in the last minute", f"Start one: `evb worker{how}` (or `evb dev`).")


def _of_worker(announced: Announcement, installed: Plugins, now_ms: float) -> Finding:
    there = {process.name for process in announced.processes}
    here = {announced.lane} & set(installed.lanes) if announced.lane else set(installed.patterns)
    if there == here:
        return Finding(True, f"{slot_of(announced)}: {_names(there)}, {(now_ms - announced.at_ms) / 1000:.0f} s ago")
    found = f"{slot_of(announced)} runs {_names(there)}; installed here: {_names(here)}"
    return Finding(False, found, "Install the same plugins everywhere and restart the worker.")


def _names(processes: set[str]) -> str:
    return ", ".join(sorted(processes)) or "nothing"


def web(url: str) -> Finding:
    """Ask a web server whether it is ready."""
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=WEB_S, trust_env=False)
    except httpx2.HTTPError as err:
        return Finding(False, f"{url} does not answer ({_said(err)})", "Start it: `evb web`, or give --url.")
    if answer.status_code != 200:
        return Finding(False, f"{url} is not ready ({answer.status_code})", f"Ask it why: curl '{url}/readyz?verbose'")
    return Finding(True, f"{url} is ready")


@contextmanager
def followed(settings: Settings) -> Iterator[Registry]:
    """Give the registry as Kafka has it now. Raises: TimeoutError."""
    registry = Registry(settings)
    registry.start()
    try:
        if not registry.wait_current(REGISTRY_S):
            raise TimeoutError(f"{REGISTRY.name(settings)} could not be read: {registry.fault or 'it takes too long'}")
        yield registry
    finally:
        registry.close()


@contextmanager
def _redis(settings: Settings) -> Iterator[redis.Redis]:
    url, ca_file = settings.redis.url.get_secret_value(), settings.redis.ssl_ca_file
    at = address(settings.redis)  # redis-py's own words about a wrong URL could show its password
    tls = {"ssl_ca_certs": ca_file} if at.tls and ca_file else {}
    # RESP2, as the pipe speaks: what RESP3's greeting answers to a missing password speaks of anything but a password.
    link = redis.Redis.from_url(url, protocol=2, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S, **tls)
    try:
        yield link
    finally:
        link.close()


def _opens(vault: Vault, ciphertext: str) -> bool:
    try:
        return bool(vault.open(ciphertext))
    except Unopenable:
        return False


def _opens_options(registry: Registry, setting: ProcessSetting) -> bool:
    try:
        registry.options_of(setting.tenant, setting.process)
    except ValueError:
        return False
    return True


def _said(err: BaseException) -> str:
    return str(err) or type(err).__name__
