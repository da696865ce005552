# SPDX-License-Identifier: Apache-2.0
"""What `evb dev` gives: a ready file, a curl that works, and an answer from every door's consumer."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import time
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
import redis

from tests.e2e.running import EVB, Dev, buildable, statuses, wait_for

pytestmark = pytest.mark.timeout(180)


def test_the_ready_file_tells_what_runs_and_the_printed_curl_works(product: Dev) -> None:
    dev = product
    info = dev.info
    assert set(info["pids"]) == {"web", "worker", "kafka", "redis"}
    for pid in info["pids"].values():
        assert psutil.pid_exists(pid)
    with redis.Redis.from_url(info["redis"]) as client:
        assert client.ping()
    (tenant,) = info["tenants"]
    assert tenant["name"] == "demo"
    wait_for("the welcome, which follows the ready file", lambda: "Ctrl-C ends it" in dev.said)
    for credential in (tenant["api_key"], tenant["signing_secret"], info["url"]):
        assert credential in dev.said
    for file in (dev.ready, dev.data / "stack.json", dev.data / "demo.json", dev.data / "secret.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads((dev.data / "stack.json").read_text()) == info
    assert "public addresses, and 127.0.0.0/8,::1/128" in dev.said

    (line,) = [line for line in dev.said.splitlines() if line.strip().startswith("curl ")]
    answer = json.loads(subprocess.run(shlex.split(line), capture_output=True, check=True, timeout=20).stdout)

    status, result = dev.call("GET", f"/fx/cid/{answer['cid']}")
    assert status == 200
    assert result["executions"]
    wait_for("a final status", lambda: statuses(dev, answer["cid"]) == {"completed"})


def test_an_emitted_event_is_processed_and_claimed_and_seen_in_one_look_up(product: Dev) -> None:
    pair = product.info["buildable"]
    key = buildable(product, "live", "emit", event="user.created", payload={"id": "42"})[1]["key"]
    assert buildable(product, "test", "init", key=key, txKey="mailer")[0] == 404, "a value sees its own environment only"
    assert buildable(product, "live", "init", key=key, txKey="mailer")[0] == 200
    finished = {"key": key, "txKey": "mailer", "output": "{}", "state": "finished"}
    assert buildable(product, "live", "transact", **finished)[0] == 200
    seen = wait_for("its executions' ends", lambda: _settled(product, key))
    assert {one["status"] for one in seen["executions"]} == {"completed"}
    assert [(one["tx_key"], one["state"]) for one in seen["transactions"]] == [("mailer", "finished")]
    told = subprocess.run([*EVB, "events", "get", key, "--data", str(product.data)], capture_output=True, text=True, check=True)
    assert "transaction mailer  finished" in told.stdout
    assert pair["test"].startswith("sk_test_1_")


def test_a_message_makes_an_entity_and_shows_it(product: Dev) -> None:
    client = product.info["eventingress"]
    form = urlencode({"grant_type": "client_credentials"} | {name: client[name] for name in ("client_id", "client_secret")})
    token = product.call("POST", "/connect/token", form.encode(), content_type="application/x-www-form-urlencoded")[1]
    caller = {"authorization": f"Bearer {token['access_token']}", "x_tenant_id": client["tenant_id"]}
    payload = {"type": "Company", "properties": {"legalEntityName": {"type": "Single", "value": "Acme Finance Group"}}}
    message = {"eventType": "externaldata", "eventSubtype": "createentity", "payload": payload}
    status, sent = product.call(
        "POST", "/eventingress/v1/events", json.dumps(message).encode(), content_type="application/json", **caller
    )
    assert status == 202, sent

    def ended() -> Any:
        time.sleep(1)  # two requests a second are let in
        found = product.call("GET", f"/eventingress/v1/events/{sent['data']['eventId']}", **caller)[1]["data"]
        return found if found["status"]["status"] not in ("Received", "Processing") else None

    shown = wait_for("the message's end", ended)
    assert (shown["status"]["status"], shown["eventData"]) == ("Processed", payload), shown
    ((entity),) = shown["entities"]
    assert (entity["action"], entity["eventId"]) == ("Created", sent["data"]["eventId"])


def _settled(dev: Dev, key: str) -> Any:
    found = dev.call("GET", f"/events/{key}")[1]
    return found if found["settled"] else None
