# SPDX-License-Identifier: Apache-2.0
"""
Every knob, once.

Read from the environment: `EVB_<NAME>`, nested `EVB_KAFKA__<NAME>`; any of them may be given as `<NAME>_FILE`, the path of a file
that holds the value (secrets). `docs/reference/settings.md` is generated from this file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.domain import limits
from bridge.domain.errors import Misconfigured
from bridge.domain.retry import tiers
from bridge.egress.addresses import networks

PREFIX = "EVB_"
AMBIENT = {
    "EVB_DATA": "Data directory of the development stack that a command speaks to, as `--data`.",
    "EVB_URL": "Web server that a command speaks to, as `--url`.",
    "EVB_API_KEY": "API key that a command sends, as `--key`.",
    "EVB_SIGNING_SECRET": "Secret that `evb trigger --scheme github` signs with, as `--secret`.",
    "EVB_CACHE": "Directory of the development stack's downloads and caches.",
    "EVB_MAVEN_REPOSITORY": "Maven repository that the development stack asks for Kafka's jars, instead of the public one.",
    "EVB_DEBUG": "Any text: errors of `evb` show their stack as well.",
}
"""Variables of the `evb` program that are no settings of a server."""


class Kafka(BaseModel):
    """How to reach the brokers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Comma-separated `host:port` of the brokers.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka's own setting of this name."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Used where `security_protocol` is a SASL one."
    )
    sasl_username: str = Field("", description="SASL user.")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password.")
    ssl_ca_file: str = Field("", description="PEM file of the certificate authorities to trust; empty: the system's.")
    ssl_certificate_file: str = Field("", description="PEM file of the client's certificate, for mutual TLS.")
    ssl_key_file: str = Field("", description="PEM file of the client's key, for mutual TLS.")
    replication_factor: int = Field(
        0, ge=0, description="Replicas of the topics that are created; 0: 3 where there are three brokers, else 1."
    )
    linger_ms: float = Field(
        1.0, ge=0, le=100, description="How long the web's producer gathers records. 0 is quicker for few clients."
    )


class Redis(BaseModel):
    """How to reach Redis or Valkey."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="`redis://[user:password@]host:port/db`, `rediss://…` for TLS, or `unix:///path?db=0`.",
    )
    ssl_ca_file: str = Field("", description="PEM file of the certificate authorities to trust with `rediss://`.")
    timeout_ms: int = Field(500, ge=50, description="Longest wait for an answer on the request path.")
    when_down: Literal["limit-locally", "refuse"] = Field(
        "limit-locally",
        description="What intake does without Redis: go on with a local limit of each tenant's quota divided by "
        "`web_processes`, or answer 503.",
    )


class Ingress(BaseModel):
    """Whose tokens the Event Ingress dialect takes: its own, or those of an issuer outside, which is then named whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        "", description="`iss` of the tokens of an issuer outside; empty: tokens are made and checked here (`/connect/token`)."
    )
    jwks_url: str = Field(
        "",
        description="Where that issuer's public keys are: `https://…`, or `http://` on this machine; no redirects.",
    )
    audience: str = Field("", description="What `aud` of its tokens must name.")
    tenant_claim: str = Field("tenant", min_length=1, description="Claim of its tokens that holds the name of the tenant.")

    @model_validator(mode="after")
    def _whole(self) -> Ingress:
        given = [bool(self.issuer), bool(self.jwks_url), bool(self.audience)]
        if any(given) and not all(given):
            raise ValueError("ISSUER, JWKS_URL and AUDIENCE belong together: give all of them or none")
        at = urlsplit(self.jwks_url)
        local = at.hostname in ("127.0.0.1", "::1", "localhost")
        if self.jwks_url and not (at.hostname and (at.scheme == "https" or (at.scheme == "http" and local))):
            raise ValueError("JWKS_URL must be https://…; http:// only on this machine, where nobody in between can change keys")
        return self


class Settings(BaseSettings):
    """The whole configuration of one process. Frozen after start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True, validate_default=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    ingress: Ingress = Ingress()
    topic_prefix: str = Field(
        "bridge", pattern=r"^[a-z][a-z0-9-]{0,30}$", description="First part of every topic name, group and Redis key."
    )
    partitions: int = Field(
        8,
        ge=1,
        le=1024,
        description="Partitions of every topic: the most workers that can share the work. Fixed when the topics are created.",
    )
    retention_hours: int = Field(168, ge=1, description="How long events, results, executions and look-ups are kept.")
    run_retention_hours: int = Field(
        720,
        ge=1,
        le=720,
        description="How long runs of workflows are kept that have ended. A worker holds all of them in memory.",
    )
    dead_letter_retention_hours: int = Field(720, ge=1, description="How long dead letters are kept.")
    duplicate_window_s: int = Field(
        86_400,
        ge=30,
        description="How long the same id with other content is a conflict, and a repetition gets its first receipt.",
    )
    claim_lease_s: float = Field(
        900.0,
        ge=1,
        le=86_400,
        description="How long a claim of the Buildable dialect holds without a word from its holder; "
        "its event is then offered again.",
    )
    buildable_prefix: str = Field(
        "",
        pattern=r"^(/[a-z0-9-]{1,30})?$",
        description="Path under which the Buildable dialect is mounted as well, such as `/buildable`; empty: its own paths only.",
    )
    flow_query_tokens: bool = Field(
        False,
        description="Whether Flow's API takes a token as `access_token` in the query as well, for senders that cannot set a "
        "header. Proxies log queries.",
    )
    flow_anonymous_tenant: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$",
        description="Tenant for which anybody may use Flow's API without a token; empty: nobody.",
    )
    max_body_bytes: int = Field(
        limits.BODY_BYTES, ge=1024, le=limits.MOST_BODY_BYTES, description="Largest request body of the doors."
    )
    read_timeout_s: float = Field(
        5.0, gt=0, le=60, description="A request's headers, and then its body, must arrive within this time."
    )
    host: str = Field("127.0.0.1", description="Address that `evb web` listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port that `evb web` listens on.")
    public_url: str = Field("", description="How clients reach the web server, for links; empty: `http://host:port`.")
    web_workers: int = Field(1, ge=1, le=64, description="Server processes of one `evb web`: one per two cores.")
    web_processes: int = Field(
        1,
        ge=1,
        description="Server processes of the whole installation; divides the local limits while Redis is away. Never fewer than "
        "`web_workers`.",
    )
    allowed_origins: str = Field(
        "", description="Origins that may deliver by the CloudEvents WebHook handshake, comma-separated; `*`: any."
    )
    retry_tiers: str = Field(
        "5s,30s,5m,30m,2h",
        description="Delays before a failed attempt is repeated, each with a topic of its own; a process that says nothing else "
        "goes through all of them. A tier that is taken out is still emptied.",
    )
    breaker_failures: int = Field(
        50,
        ge=0,
        description="So many failed attempts in a row, without a success, make a tenant's process rest; then it is tried with "
        "one event at a time. 0: never.",
    )
    worker_slot: str = Field(
        "0", pattern=r"^[a-z0-9-]{1,40}$", description="Stable name of this worker, unique among the running ones."
    )
    worker_lane: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,60}$",
        description="Name of the process whose own lane this worker serves, as `evb worker --lane`; empty: the shared lane.",
    )
    journal_dir: str = Field(
        "",
        description="Directory where a worker notes what it is running, so that its next life knows what may have ended it; it "
        "must outlive the process. Empty: one of this user in the system's temporary directory.",
    )
    worker_health_port: int = Field(
        0, ge=0, le=65535, description="Port on which a worker answers /livez, /readyz and /metrics; 0: none."
    )
    stall_s: float = Field(
        30.0,
        ge=2,
        le=3600,
        description="How long a partition with a backlog, a rebalance or a recovery may stand still before the worker dumps its "
        "stacks and ends, to be started again. Time in which Kafka does not answer does not count.",
    )
    secret_keys: SecretStr = Field(
        SecretStr(""),
        description="Fernet keys, comma-separated; the first encrypts signing secrets, secret options and secrets of webhooks, "
        "all decrypt.",
    )
    egress_allowed_networks: str = Field(
        "",
        description="Networks that webhooks, and processes by `context.http`, may reach beside public addresses, "
        "comma-separated, such as `10.1.0.0/16,fd00::/8`; empty: none.",
    )
    log_format: Literal["auto", "json", "console"] = Field("auto", description="`auto`: readable in a terminal, JSON elsewhere.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")

    @property
    def local_shares(self) -> int:
        """Into how many parts a limit is divided that every web process has to keep by itself."""
        return max(self.web_processes, self.web_workers)

    @field_validator("retry_tiers")
    @classmethod
    def _readable(cls, value: str) -> str:
        tiers(value)
        return value

    @field_validator("egress_allowed_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        networks(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic names it
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the values given in code and nothing else: `load` alone reads an environment, the one that it is given."""
        return (init_settings,)


class _Environment(EnvSettingsSource):
    """pydantic's reader of variables, reading the given ones instead of the process's own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}


def variables() -> dict[str, FieldInfo]:
    """Give every variable that is a setting, in the order of the catalogue: `EVB_<GROUP>__…` and `EVB_…`."""
    found: dict[str, FieldInfo] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {f"{PREFIX}{name}__{n}".upper(): f for n, f in field.annotation.model_fields.items()}
        else:
            found[f"{PREFIX}{name}".upper()] = field
    return found


def load(environ: Mapping[str, str] | None = None, **values: Any) -> Settings:
    """
    Read the settings of this process: `values` given in code first, then the variables of `environ` (default: the process's own).

    Raises: Misconfigured, naming every wrong, unknown or unreadable variable at once.
    """
    given, faults = _given(os.environ if environ is None else environ)
    read = _Environment(given)()
    for name, value in values.items():
        nested = isinstance(value, dict) and isinstance(read.get(name), dict)
        read[name] = {**read[name], **value} if nested else value
    try:
        settings = Settings(**read)
    except ValidationError as err:
        faults += [f"{PREFIX}{'__'.join(str(part) for part in e['loc'])}".upper() + f": {e['msg']}" for e in err.errors()]
        raise Misconfigured(*faults) from err
    if faults:
        raise Misconfigured(*faults)
    return settings


def _given(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Resolve `_FILE` variables and find the ones that mean nothing, which are typing errors until shown otherwise."""
    known, given, faults = variables(), {}, []
    for name, value in environ.items():
        plain = name.removesuffix("_FILE")
        if not name.startswith(PREFIX) or name in AMBIENT:
            continue
        if name in known:
            given[name] = value
        elif plain not in known:
            near = difflib.get_close_matches(name, known, 1)
            faults.append(f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
        elif plain in environ:
            faults.append(f"{name}: {plain} is given as well; keep one of them")
        else:
            try:
                given[plain] = Path(value).read_text().strip()
            except (OSError, UnicodeDecodeError) as err:
                faults.append(f"{name}: cannot read {value}: {getattr(err, 'strerror', None) or 'it is not text'}")
    return given, faults
