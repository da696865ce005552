# SPDX-License-Identifier: Apache-2.0
"""
Every knob, once.

Read from the environment: `EVB_<NAME>`, nested `EVB_KAFKA__<NAME>`; any of them may be given as `<NAME>_FILE`, the path of a file
that holds the value (secrets). `docs/reference/settings.md` is generated from this file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.domain import limits
from bridge.domain.errors import Misconfigured


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


class Settings(BaseSettings):
    """The whole configuration of one process. Frozen after start."""

    model_config = SettingsConfigDict(
        env_prefix="EVB_", env_nested_delimiter="__", extra="ignore", frozen=True, validate_default=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    topic_prefix: str = Field(
        "bridge", pattern=r"^[a-z][a-z0-9-]{0,30}$", description="First part of every topic name, group and Redis key."
    )
    partitions: int = Field(16, ge=1, le=1024, description="Partitions of every topic. Fixed when the topics are created.")
    retention_hours: int = Field(168, ge=1, description="How long events, results, executions and look-ups are kept.")
    dead_letter_retention_hours: int = Field(720, ge=1, description="How long dead letters are kept.")
    duplicate_window_s: int = Field(
        86_400,
        ge=30,
        description="How long the same id with other content is a conflict, and a repetition gets its first receipt.",
    )
    max_body_bytes: int = Field(limits.BODY_BYTES, ge=1024, le=5 * limits.MIB, description="Largest request body of the doors.")
    read_timeout_s: float = Field(
        5.0, gt=0, le=60, description="A request's headers, and then its body, must arrive within this time."
    )
    host: str = Field("127.0.0.1", description="Address that `evb web` listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port that `evb web` listens on.")
    public_url: str = Field("", description="How clients reach the web server, for links; empty: `http://host:port`.")
    web_workers: int = Field(1, ge=1, le=64, description="Server processes of one `evb web`: one per two cores.")
    web_processes: int = Field(
        1, ge=1, description="Server processes of the whole installation; divides the local limits while Redis is away."
    )
    allowed_origins: str = Field(
        "", description="Origins that may deliver by the CloudEvents WebHook handshake, comma-separated; `*`: any."
    )
    worker_slot: str = Field(
        "0", pattern=r"^[a-z0-9-]{1,40}$", description="Stable name of this worker, unique among the running ones."
    )
    worker_health_port: int = Field(
        0, ge=0, le=65535, description="Port on which a worker answers /livez, /readyz and /metrics; 0: none."
    )
    secret_keys: SecretStr = Field(
        SecretStr(""), description="Fernet keys, comma-separated; the first encrypts signing secrets, all decrypt."
    )
    log_format: Literal["auto", "json", "console"] = Field("auto", description="`auto`: readable in a terminal, JSON elsewhere.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values given in code, then the environment; nothing else."""
        from pydantic_settings import EnvSettingsSource

        return init_settings, EnvSettingsSource(settings_cls)


def load(environ: dict[str, str] | None = None, **values: Any) -> Settings:
    """
    Read the settings of this process.

    Raises: Misconfigured, naming every wrong variable at once; an unknown `EVB_KAFKA__…` or `EVB_REDIS__…` too.
    """
    environ = dict(os.environ if environ is None else environ)
    missing = _read_files(environ)
    if missing:
        raise Misconfigured(*missing)
    saved = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(environ)
        return Settings(**values)
    except ValidationError as err:
        raise Misconfigured(*(f"EVB_{'__'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in err.errors())) from err
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _read_files(environ: dict[str, str]) -> list[str]:
    faults = []
    for name in [n for n in environ if n.startswith("EVB_") and n.endswith("_FILE")]:
        target = name.removesuffix("_FILE")
        if target.lower().endswith(("ssl_ca", "ssl_certificate", "ssl_key")):
            continue  # these settings are paths themselves
        try:
            environ[target] = Path(environ.pop(name)).read_text().strip()
        except OSError as err:
            faults.append(f"{name}: cannot read {err.filename}: {err.strerror}")
    return faults
