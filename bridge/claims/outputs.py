# SPDX-License-Identifier: Apache-2.0
"""
What finished claims returned, as results: CloudEvents in `bridge.results.buildable`, beside their events' other results.

Published and confirmed before the claim is recorded as finished, so that no finished claim lacks its result. Where the record
then fails, the holder finishes again, and the result comes again with the same id.
"""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, KafkaException, Message

from bridge.claims.facts import Place
from bridge.claims.lists import Listed, Lists
from bridge.cloudevents import jsontext
from bridge.cloudevents.kafka import headers_of
from bridge.domain.errors import BrokerUnavailable, TooLarge
from bridge.domain.event import Event
from bridge.domain.ids import result_id, transaction_id
from bridge.domain.limits import CONFIRM_S, LOOP_BYTES, RECORD_BYTES
from bridge.domain.moments import iso
from bridge.kafka.producer import LoopProducer
from bridge.settings import Settings
from bridge.topics import BUILDABLE_RESULTS

FINISHED = "buildable.transaction.finished"


class Outputs:
    """One per web process."""

    def __init__(self, settings: Settings, producer: LoopProducer, lists: Lists) -> None:
        self._topic, self._producer, self._lists = BUILDABLE_RESULTS.name(settings), producer, lists

    async def publish(self, found: Listed, place: Place, output: str) -> None:
        """Return once Kafka has an output. Raises: BrokerUnavailable, TooLarge, ViewUnavailable."""
        correlation, partition = await self._lists.origin(place.tenant, found.key)
        claim, _ = found.claims[place.tx_key]
        transaction = transaction_id(found.key, place.tx_key, claim.began_ms)
        data = output.encode("utf-8", "surrogatepass")
        wrong = await asyncio.to_thread(jsontext.fault, data) if len(data) > LOOP_BYTES else jsontext.fault(data)
        attributes = {
            "specversion": "1.0",
            "id": result_id(transaction, 0),
            "source": f"/buildable/{place.environment}/{found.row.label}",
            "type": FINISHED,
            "subject": place.full_name,
            "time": iso(found.row.created_ms),
            "datacontenttype": "text/plain; charset=utf-8" if wrong else "application/json",
            "tenantid": place.tenant,
            "correlationid": correlation,
            "causationid": transaction,
            "txkey": place.tx_key,
        }
        await self._send(found.key.encode(), headers_of(Event(attributes)), data, partition)

    async def _send(self, key: bytes, headers: list[tuple[str, bytes]], data: bytes, partition: int) -> None:
        done: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()

        def report(error: KafkaError | None, _message: Message) -> None:
            if not done.done():
                done.set_result(error)

        try:
            self._producer.send(self._topic, data, key=key, headers=headers, report=report, partition=partition)
            error = await asyncio.wait_for(done, CONFIRM_S)
        except (TimeoutError, BufferError) as err:
            raise BrokerUnavailable("Kafka did not confirm the output in time; repeat the request.") from err
        except KafkaException as err:
            error = err.args[0]
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise TooLarge(RECORD_BYTES)
        if error is not None:
            raise BrokerUnavailable(f"Kafka did not take the output: {error.str()}.")
