# SPDX-License-Identifier: Apache-2.0
"""A refusal that the brokers have taken back is no reason for what fails later."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.domain.errors import BrokerUnavailable, Misconfigured
from bridge.kafka.reason import Reason

REFUSED = KafkaError(KafkaError._AUTHENTICATION, "invalid credentials")


class Client:
    """Keeps what librdkafka would tell until it is polled."""

    def __init__(self, reason: Reason) -> None:
        self.reason, self.untold = reason, [REFUSED]

    def poll(self, _: float) -> None:
        while self.untold:
            self.reason(self.untold.pop())


def fails(_: float) -> None:
    raise KafkaException(KafkaError(KafkaError._FAIL, "something else"))


def test_a_refusal_is_the_reason_of_what_fails_with_it() -> None:
    reason = Reason()
    with pytest.raises(Misconfigured, match="invalid credentials"):
        reason.ask(Client(reason), fails, 1, "asked")


def test_a_refusal_before_an_answer_is_no_reason_of_what_fails_after_it() -> None:
    reason = Reason()
    client = Client(reason)
    assert reason.ask(client, lambda _: "answer", 1, "asked") == "answer"
    with pytest.raises(BrokerUnavailable, match="something else"):
        reason.ask(client, fails, 1, "asked")
