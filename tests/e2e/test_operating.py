# SPDX-License-Identifier: Apache-2.0
"""What an operator's commands change holds in the running product: tenants and their credentials, processes, the view."""

from __future__ import annotations

import hmac
import http.client
import json
import time
import uuid
from urllib.parse import urlsplit

import pytest
import redis

from tests.e2e.running import Dev, completed, evb, patience, post, triggered, wait_for

pytestmark = pytest.mark.timeout(120)
PAUSED_S = 2.0


def test_what_an_operator_changes_holds_in_the_running_server(on: dict[str, str], product: Dev) -> None:
    made = json.loads(evb("tenants", "create", "shop", "--json", **on).stdout)
    signing = json.loads(evb("secrets", "create", "shop", "--source", "shop-hooks", "--json", **on).stdout)["signing_secret"]
    event, push = b'{"event_source":"s","event_type":"t","payload":1}', b'{"ref":"main"}'
    signed = {"x_hub_signature_256": "sha256=" + hmac.digest(signing.encode(), push, "sha256").hex()}

    def submitted() -> int:
        return product.call("POST", "/fx/events", event, content_type="application/json", x_api_key=made["api_key"])[0]

    def pushed() -> int:
        target = urlsplit(product.info["url"])
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=10)
        headers = {name.replace("_", "-"): value for name, value in signed.items()} | {"content-type": "application/json"}
        connection.request("POST", "/fx/events/webhook/shop-hooks", push, headers)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    wait_for("the key opens", lambda: submitted() == 202)
    wait_for("the signature opens", lambda: pushed() == 202)
    assert evb("tenants", "change", "shop", "--windows", "1/60s", **on).returncode == 0
    wait_for("the new limit holds", lambda: submitted() == 429)
    assert evb("secrets", "revoke", "shop", "shop-hooks", **on).returncode == 0
    wait_for("the signature opens nothing any more", lambda: pushed() == 401)
    assert evb("tenants", "close", "shop", **on).returncode == 0
    wait_for("the key opens nothing any more", lambda: submitted() == 401)
    rows = json.loads(evb("tenants", "list", "--json", **on).stdout)
    assert [row["state"] for row in rows if row["tenant"] == "shop"] == ["closed"]


def test_a_process_is_paused_and_resumed(on: dict[str, str], product: Dev) -> None:
    def set_aside() -> str:
        """Post an event, and give its id where it waits instead of being completed."""
        name = uuid.uuid4().hex
        assert post(product, name) == 202
        wait_for("it is completed or waits", lambda: completed(product, name) or "disk is full" in why(name))
        return "" if completed(product, name) else name

    def why(name: str) -> str:
        return "".join(one["reason"] for one in product.call("GET", f"/events?source=/tests&id={name}")[1]["executions"])

    assert evb("processes", "pause", "record", "--tenant", "demo", "--reason", "the disk is full", **on).returncode == 0
    decided = time.monotonic()
    name = wait_for("events are set aside", set_aside)
    assert time.monotonic() - decided < patience(PAUSED_S)
    assert "the disk is full" in evb("processes", "list", "--json", **on).stdout
    assert evb("processes", "resume", "record", "--tenant", "demo", **on).returncode == 0
    resumed = time.monotonic()
    wait_for("it is worked off", lambda: completed(product, name))
    assert time.monotonic() - resumed < patience(PAUSED_S)


def test_what_redis_has_lost_is_there_again_after_a_rebuild(on: dict[str, str], product: Dev) -> None:
    [event] = triggered("order.created", "--wait", **on)["events"]
    with redis.Redis.from_url(product.info["redis"]) as client:
        assert [client.delete(key) for key in client.scan_iter(f"*{event['key']}*")]
    assert product.call("GET", f"/events/{event['key']}")[0] == 404
    done = evb("rebuild", "--json", **on)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["events"] >= 1, report["executions"] >= 1, report["unreadable"]) == (True, True, 0)
    found = wait_for("look-ups answer", lambda: product.call("GET", f"/events/{event['key']}"))
    assert found == (200, event["outcome"])
    assert evb("rebuild", **on).stdout.startswith("✓ ")
