# SPDX-License-Identifier: Apache-2.0
"""
Why the brokers do not let a client in, told at once and with the setting to mend. Used by whoever asks them something.

librdkafka tells its caller only that a question failed, and goes on dialling until the caller's time is over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.domain.errors import BridgeError, BrokerUnavailable, Misconfigured

CURES: Final = {
    KafkaError._AUTHENTICATION: "Check EVB_KAFKA__SASL_MECHANISM, EVB_KAFKA__SASL_USERNAME and EVB_KAFKA__SASL_PASSWORD.",
    KafkaError._SSL: "Check EVB_KAFKA__SECURITY_PROTOCOL and EVB_KAFKA__SSL_*.",
}
"""What brokers refuse for good, and what to do about it."""

FIRST_LOOK_S: Final = 1.0
PAUSE_S: Final = 0.1
PASSING: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    }
)
"""What goes away by itself, though librdkafka does not call it retriable: leaders and coordinators move, as after a start."""

T = TypeVar("T")


def answered(found: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """Give an answer that has something of every partition. Raises: KafkaException for one that its leader did not give."""
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return found


class Reason:
    """
    What librdkafka's `error_cb` was told about one client.

    Make one per client and give it as `error_cb`; what it is told arrives with the client's `poll`.
    """

    def __init__(self) -> None:
        self._said, self.cure = "", ""

    def clear(self) -> None:
        """Forget it: the brokers have answered."""
        self._said, self.cure = "", ""

    def __call__(self, error: KafkaError) -> None:
        code, said = error.code(), re.sub(r" \(after \d+ms in state \w+\)$", "", error.str())
        if code == KafkaError._TRANSPORT and ":SSL routines:" in said:  # an alert of the other side comes under this name
            code = KafkaError._SSL
        if code in CURES:
            self._said, self.cure = said, CURES[code]

    def of(self, error: KafkaException) -> str:
        """Say why a question failed with `error`."""
        return f"{self._said}. {self.cure}" if self._said else str(error.args[0].str())

    def ask(self, client: Any, question: Callable[[float], T], timeout_s: float, what: str) -> T:
        """
        Give the answer to `question(patience_s)`, asked of `client` again where leaders move or the brokers are slow.

        Order:  before `client` reads: a record that it has fetched may be lost.
        Raises: Misconfigured where we are refused, else BrokerUnavailable; both begin with `what`.
        """
        deadline, patience = time.monotonic() + timeout_s, FIRST_LOOK_S
        while True:
            try:
                answer = question(max(0.0, min(patience, deadline - time.monotonic())))
            except KafkaException as err:
                client.poll(0)  # which calls us with the reason
                passes = err.args[0].retriable() or err.args[0].code() in PASSING
                if self.cure or not passes or time.monotonic() + PAUSE_S > deadline:
                    raise self._error(err, what) from err
            else:
                client.poll(0)  # refusals that were passed over wait there
                self.clear()
                return answer
            time.sleep(PAUSE_S)
            patience *= 2

    def _error(self, error: KafkaException, what: str) -> BridgeError:
        said = self.of(error)
        return Misconfigured(f"{what}: {said}") if self.cure else BrokerUnavailable(f"{what}: {said}.")
