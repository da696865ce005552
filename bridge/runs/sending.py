# SPDX-License-Identifier: Apache-2.0
"""Send a signal from a server or a command, and return once Kafka has it."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, KafkaException, Message

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain.errors import BrokerUnavailable, TooLarge
from bridge.domain.event import Event
from bridge.domain.limits import CONFIRM_S, RECORD_BYTES
from bridge.kafka.producer import LoopProducer
from bridge.settings import Settings
from bridge.topics import SIGNALS


class Sender:
    """One per process, on its loop."""

    def __init__(self, settings: Settings, producer: LoopProducer) -> None:
        self._topic, self._producer = SIGNALS.name(settings), producer

    async def send(self, signal: Event) -> None:
        """Return once Kafka has a signal. Raises: BrokerUnavailable, after which it may have it; TooLarge."""
        done: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()

        def report(error: KafkaError | None, _message: Message) -> None:
            if not done.done():
                done.set_result(error)

        try:
            self._producer.send(self._topic, signal.data, key=record_key(signal), headers=headers_of(signal), report=report)
            error = await asyncio.wait_for(done, CONFIRM_S)
        except (TimeoutError, BufferError) as err:
            raise BrokerUnavailable("Kafka did not confirm the signal in time; repeat the request.") from err
        except KafkaException as err:
            error = err.args[0]
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise TooLarge(RECORD_BYTES)
        if error is not None:
            raise BrokerUnavailable(f"Kafka did not take the signal: {error.str()}.")
