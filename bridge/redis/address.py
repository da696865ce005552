# SPDX-License-Identifier: Apache-2.0
"""
Where Redis is and how to get in, read from the URL of the settings.

Used by the pipe; understands the URLs that redis-py understands, so one setting serves both.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from bridge.domain.errors import Misconfigured
from bridge.settings import Redis

DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
OPTIONS = frozenset({"db", "username", "password"})
ENCODE = "user and password must be percent-encoded"


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """One server: a TCP host and port, or a unix socket's path; never shows its password."""

    host: str
    port: int
    path: str
    username: str
    password: str
    database: int
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


def address(settings: Redis) -> Address:
    """
    Read the address and credentials of Redis.

    Raises: Misconfigured for a URL that cannot be meant, or a certificate file that cannot be read. It quotes nothing of the URL:
    a password that was not percent-encoded can be read as any other part.
    """
    url = settings.url.get_secret_value()
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise Misconfigured(f"EVB_REDIS__URL: its host or port cannot be read; {ENCODE}.") from None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    local = parts.scheme == "unix"
    database = options.get("db") or ("" if local else parts.path.strip("/")) or "0"
    faults = []
    if parts.scheme not in SCHEMES:
        faults.append("EVB_REDIS__URL must begin with redis://, rediss:// or unix://.")
    if options.keys() - OPTIONS:
        faults.append(f"EVB_REDIS__URL: it has an option other than {', '.join(sorted(OPTIONS))}; {ENCODE}.")
    if not database.isdigit():
        faults.append(f"EVB_REDIS__URL: the database is not a number; {ENCODE}.")
    if parts.fragment:
        faults.append(f"EVB_REDIS__URL: nothing may follow a '#'; {ENCODE}.")
    if local and not parts.path:
        faults.append("EVB_REDIS__URL: unix:// needs the path of the socket.")
    if faults:
        raise Misconfigured(*faults)
    return Address(
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if local else "",
        username=unquote(parts.username or "") or options.get("username", ""),
        password=unquote(parts.password or "") or options.get("password", ""),
        database=int(database),
        tls=_trust(settings.ssl_ca_file) if parts.scheme == "rediss" else None,
    )


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as err:
        raise Misconfigured(f"EVB_REDIS__SSL_CA_FILE: cannot read {ca_file}: {err}.") from err
