# SPDX-License-Identifier: Apache-2.0
"""A notice on its way into Kafka, and then to each webhook that wants it, as deliveries for the process `webhook`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge import redeliveries
from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.redelivery import Redelivery
from bridge.notifications.deliveries import WEBHOOK, delivery_of
from bridge.notifications.notice import Notice, partition_of, written
from processors.ending import doubt
from processors.stream.outbox import Record

if TYPE_CHECKING:
    from processors.attempts.attempt import Attempt


class Telling:
    """`then` is called once Kafka has all of it, unless the attempt's partition was taken away."""

    __slots__ = ("_attempt", "_left", "_notice", "_then")

    def __init__(self, attempt: Attempt, notice: Notice, then: Callable[[], None]) -> None:
        self._attempt, self._notice, self._then = attempt, notice, then
        self._left = 1

    def begin(self) -> None:
        """Send the notice."""
        topics, tenant = self._attempt.around.topics, self._notice.tenant
        key, headers, value = written(self._notice)
        record = Record(topics.notifications, key, value, headers, partition_of(tenant, topics.partitions))
        self._attempt.around.outbox.send(record, self._stored)

    def _stored(self, error: Any, message: Any) -> None:
        self._check(error)
        around, notice, event = self._attempt.around, self._notice, self._attempt.given.event
        for webhook in around.registry.webhooks.wanting(notice.tenant, notice.type):
            self._left += 1
            delivery = delivery_of(notice, webhook.id, event.correlation_id or event.key)
            around.outbox.send(self._record(delivery, message), self._sent)
        self._sent(None, message)

    def _sent(self, error: Any, _: Any) -> None:
        self._check(error)
        self._left -= 1
        if not self._left and self._attempt.window.alive:
            self._then()

    def _check(self, error: Any) -> None:
        if error is not None:
            doubt("a notice could not be delivered", error=error.str(), execution=self._attempt.execution_id)

    def _record(self, delivery: Event, stored: Any) -> Record:
        """Give a delivery to the process `webhook`; the event's own record is that of the notice."""
        redelivery = Redelivery(
            process=WEBHOOK,
            execution_id=ids.execution_id(delivery.key, WEBHOOK),
            attempt=1,
            due_ms=0,
            topic=stored.topic(),
            partition=stored.partition(),
            offset=stored.offset(),
            received_ms=stored.timestamp()[1],
        )
        headers = redeliveries.headers_of(headers_of(delivery), redelivery)
        topic, partition = self._attempt.around.topics.redeliveries, self._attempt.given.record.partition
        return Record(topic, record_key(delivery), delivery.data, headers, partition)
