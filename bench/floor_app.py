# SPDX-License-Identifier: Apache-2.0
"""The floor: what one writes in twenty lines. Flask and confluent-kafka, acks=all, 202 after the report, no checks at all."""

import os
import threading

from confluent_kafka import Producer
from flask import Flask, request

app = Flask(__name__)
producer = Producer({"bootstrap.servers": os.environ["BROKER"], "acks": "all", "enable.idempotence": True, "linger.ms": 1})


def poll() -> None:
    while True:
        producer.poll(0.1)


threading.Thread(target=poll, daemon=True).start()


@app.post("/events")
def events() -> tuple[str, int]:
    done, errors = threading.Event(), []
    producer.produce(os.environ["TOPIC"], request.get_data(), on_delivery=lambda e, _: (errors.append(e), done.set()))
    return ("", 202) if done.wait(5) and errors == [None] else ("", 503)
