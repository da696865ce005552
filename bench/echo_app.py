# SPDX-License-Identifier: Apache-2.0
"""The worker's floor: a bare Faust echo, one record in, one awaited-by-nobody record out, as the Faust tutorial writes it."""

import os

import faust

app = faust.App(
    os.environ["GROUP"],
    broker="kafka://" + os.environ["BROKER"],
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    value_serializer="raw",
    key_serializer="raw",
    producer_linger=5,
)
events = app.topic(os.environ["TOPIC"], key_type=bytes, value_type=bytes)
echoes = app.topic(os.environ["OUT"], key_type=bytes, value_type=bytes)


@app.agent(events)
async def echo(stream: faust.Stream[bytes]) -> None:
    async for event in stream.events():
        await echoes.send(key=event.key, value=event.value, headers=event.message.headers)


if __name__ == "__main__":
    app.main()
