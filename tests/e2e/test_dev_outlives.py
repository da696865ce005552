# SPDX-License-Identifier: Apache-2.0
"""Where `evb dev` is killed nothing is left, and its data serves the next."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.e2e.running import Starter, buildable, completed, event_of, post, statuses, wait_for

pytestmark = pytest.mark.timeout(180)


def test_a_killed_dev_leaves_no_child_its_data_serves_the_next_and_a_reset_begins_with_nothing(
    start: Starter, tmp_path: Path
) -> None:
    dev = start()
    assert post(dev, "kept") == 202
    tenants, pair, client = dev.info["tenants"], dev.info["buildable"], dev.info["eventingress"]
    token = dev.info["flow"]
    assert (token["token"][:4], token["team"]) == ("bft_", tenants[0]["name"])
    key = buildable(dev, "live", "emit", event="kept", payload={})[1]["key"]
    assert buildable(dev, "live", "init", key=key, txKey="mine")[0] == 200
    dev.process.kill()
    dev.process.wait()
    assert dev.nothing_is_left()

    second = start()
    assert second.info["tenants"] == tenants
    found = wait_for("the event", lambda: completed(second, "kept"))
    assert found["executions"]
    assert second.info["buildable"] == pair
    assert second.info["eventingress"] == client
    assert second.info["flow"] == token
    assert buildable(second, "live", "init", key=key, txKey="mine")[0] == 409, "an answered claim survives the end of everything"
    assert buildable(second, "live", "transact", key=key, txKey="mine", state="finished")[0] == 200

    second.end()
    third = start(tmp_path, "--reset")
    assert third.info["tenants"][0]["api_key"] != tenants[0]["api_key"]
    assert third.call("GET", "/events?source=/tests&id=kept")[0] == 404


def test_what_was_kept_can_be_looked_up_at_the_moment_that_it_is_ready(start: Starter) -> None:
    dev = start()
    event = {"event_source": "tests", "event_type": "kept", "payload": {"id": "1"}}
    accepted = dev.call("POST", "/fx/events", json.dumps(event).encode(), content_type="application/json")[1]
    wait_for("a final status", lambda: statuses(dev, accepted["cid"]) == {"completed"})
    cloud_event = json.dumps(event_of("kept")).encode()
    status, receipt = dev.call("POST", "/events", cloud_event, content_type="application/cloudevents+json")
    assert status == 202
    dev.end()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(_hold_the_rebuild, dev.data)
        second = start()
        found = [second.call("GET", path)[0] for path in (f"/events/{receipt['key']}", f"/fx/cid/{accepted['cid']}")]
        held.result()
    assert found == [200, 200]
    assert "not whole" not in second.said


def _hold_the_rebuild(data: Path) -> None:
    """Have the processes believe that another one rebuilds the view, until a second after the worker is ready."""
    log = data / "log" / "worker.log"
    before = log.read_text().count("worker is ready")
    port = wait_for("Valkey", lambda: _port_of_valkey(data))
    with redis.Redis(port=port, retry=Retry(ConstantBackoff(0.02), 500)) as client:
        assert client.set("bridge:rebuild", "the test", px=25_000, nx=True), "held before anybody rebuilt"
        wait_for("the worker", lambda: log.read_text().count("worker is ready") > before)
        time.sleep(1)
        client.delete("bridge:rebuild")


def _port_of_valkey(data: Path) -> int:
    """Its port, found by its directory; 0 where it does not run."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if "--port" in line and str(data / "valkey") in line:
                return int(line[line.index("--port") + 1])
    return 0
