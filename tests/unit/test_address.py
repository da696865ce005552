# SPDX-License-Identifier: Apache-2.0
"""Our reading of Redis' URL is redis-py's reading, and no message or text of ours shows what may be a password."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import parse_url

from bridge.domain.errors import Misconfigured
from bridge.redis.address import Address, address
from bridge.settings import Redis

SECRET = "s3cret"
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
host = st.sampled_from(["localhost", "cache.example", "127.0.0.1", "[::1]"])


def read(url: str, **more: str) -> Address:
    return address(Redis.model_validate({"url": url, **more}))


def agree(url: str) -> None:
    """Hold our reading against redis-py's, with what it leaves to its own defaults."""
    ours, theirs = read(url), parse_url(url)
    assert ours.path == theirs.get("path", "")
    assert ours.host == theirs.get("host", "localhost")
    assert ours.port == theirs.get("port", 6379)
    assert ours.database == theirs.get("db", 0)
    assert (ours.username, ours.password) == (theirs.get("username", ""), theirs.get("password", ""))


@given(user=text | st.just(""), password=text, host=host, port=st.integers(1, 65535))
def test_a_url_means_what_it_means_to_redis_py(user: str, password: str, host: str, port: int) -> None:
    who = f"{quote(user, safe='')}:{quote(password, safe='')}"
    agree(f"redis://{who}@{host}:{port}/3")
    agree(f"redis://{host}:{port}?username={quote(user, safe='')}&password={quote(password, safe='')}&db=4")
    agree(f"unix://{who}@/tmp/{quote(password, safe='')}.sock?db=5")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://",
            "redis://h",
            "redis://h/",
            "redis:///3",
            "rediss://me:p%40w@h:7/1",
            "redis://me@h",
            "redis://:pw@h/2",
            "redis://h/1?db=2",
        ),
        *("redis://me:pw@h?password=other&username=other", "unix:///tmp/s?db=2&password=pw", "unix:///a%20b"),
    ],
)
def test_the_short_forms_are_redis_pys_too(url: str) -> None:
    agree(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "must begin with"),
        (f"redis://me:{SECRET}/x@h:1/0", "percent-encoded"),
        (f"redis://me:1/{SECRET}@h:1/0", "the database is not a number"),
        (f"redis://me:{SECRET}#x@h:1/0", "percent-encoded"),
        (f"redis://h/0#{SECRET}", "nothing may follow a '#'"),
        (f"redis://me:1?x={SECRET}@h:1/0", "an option other than"),
        (f"redis://h/{SECRET}", "the database is not a number"),
        ("redis://h/0?db=-1", "the database is not a number"),
        (f"redis://me:{SECRET}@h:99999/0", "host or port"),
        (f"redis://me:{SECRET}@[::1/0", "host or port"),
        ("unix://", "path of the socket"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_being_shown(url: str, said: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read(url)
    assert "EVB_REDIS__URL" in str(refused.value)
    assert said in str(refused.value)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_an_address_shows_where_it_is_and_nothing_else() -> None:
    assert repr(read(f"rediss://me:{SECRET}@h:7/1")) == "h:7"
    assert repr(read(f"unix://me:{SECRET}@/run/s.sock")) == "unix:/run/s.sock"


def test_only_rediss_is_tls_and_it_trusts_nobody_without_proof() -> None:
    assert read("redis://h").tls is None
    context = read("rediss://h").tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_certificate_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(Misconfigured, match=rf"EVB_REDIS__SSL_CA_FILE: cannot read .*{name}"):
            read("rediss://h", ssl_ca_file=str(tmp_path / name))
