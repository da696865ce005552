# SPDX-License-Identifier: Apache-2.0
"""
Creates the topics of the catalogue and compares those that exist with it. Called at start by the web and the worker, by
`evb topics` and `evb doctor`; never changes or deletes a topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from bridge.domain.errors import BrokerUnavailable, Misconfigured
from bridge.domain.retry import LABEL
from bridge.kafka.client import connection
from bridge.kafka.reason import Reason
from bridge.settings import Settings
from bridge.topics import REGISTRY, RUNS, TAKEN, Topic, catalogue, state

T = TypeVar("T")
TIMEOUT_S = 15.0
ANSWER_S = 2.0  # in which a leader says where its partitions end


@dataclass(frozen=True, slots=True)
class Wrong:
    """One setting of one topic that is not as it should be; `cure` is a sentence that says what to do."""

    topic: str
    setting: str
    expected: str
    found: str
    cure: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, expected {self.expected}. {self.cure}"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the brokers know it; `partitions` 0: it does not exist."""

    name: str
    partitions: int
    replicas: int


def ensure_topics(settings: Settings, extra: Iterable[Topic] = ()) -> list[str]:
    """
    Create what is missing of the catalogue and of `extra`, and give the names that were created, once they can be used.

    Again:   what exists is left as it is; two processes may do this at once.
    Raises:  BrokerUnavailable, Misconfigured where the brokers refuse to create one.
    """
    admin = client(settings)
    known = _known(admin)
    topics = {topic.name(settings): topic for topic in (*catalogue(settings), *extra)}
    missing = [_new(topics[name], settings, known.brokers) for name in topics if name not in known.topics]
    if not missing:
        return []
    faults, created = list[str](), list[str]()
    # The registry first and by itself: a broker lets nobody read any topic of a request before it has made them all, and
    # every process begins with the registry.
    registry = [one for one in missing if one.topic == REGISTRY.name(settings)]
    for batch in (registry, [one for one in missing if one not in registry]):
        if late := _create(admin, batch, created, faults):
            admin = client(settings)  # that one may have forgotten every broker (`bridge.kafka.brokerless`)
            late = _create(admin, [one for one in batch if one.topic in late], created, faults)
        if late:
            raise BrokerUnavailable(f"Kafka does not create {', '.join(late)}: {', '.join(sorted(set(late.values())))}.")
    if faults:
        raise Misconfigured(*faults, "Create them by hand, or give the user of EVB_KAFKA__SASL_USERNAME the right to.")
    await_topics(settings, topics)
    return created


def _create(admin: Admin, missing: list[NewTopic], created: list[str], faults: list[str]) -> dict[str, str]:
    """Create topics, and give those of which no broker said anything, with what librdkafka says instead."""
    if not missing:
        return {}
    late = {}
    for name, made in admin.create_topics(missing, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).items():
        try:
            _result(made)
            created.append(name)
        except KafkaException as err:
            error = err.args[0]
            if error.code() < KafkaError.UNKNOWN:  # the brokers' own words begin with that
                late[name] = error.str()
            elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                faults.append(f"{name} could not be created: {error.str()}.")
    return late


def await_topics(settings: Settings, names: Iterable[str]) -> None:
    """
    Return once the leader of every partition of these topics answers for it.

    Brokers hear of a topic later than who created it, name its leaders then, and make its partitions after that.
    Raises: BrokerUnavailable where that takes longer than 15 s.
    """
    wanted, deadline = set(names), time.monotonic() + TIMEOUT_S
    admin = client(settings)
    consumer = Consumer(connection(settings) | {"group.id": "unused"})  # it never joins; the other client may crash (0060)
    try:
        while unled := _unled(consumer, _known(admin), wanted):
            if time.monotonic() > deadline:
                why = ", ".join(sorted(set(unled.values())))
                raise BrokerUnavailable(f"Kafka created {', '.join(sorted(unled))}, and no leader answers for it: {why}.")
            time.sleep(0.02)  # brokers tell nobody when they are ready
    finally:
        consumer.close()


def _unled(consumer: Consumer, known: _Cluster, names: set[str]) -> dict[str, str]:
    """Give the topics of which some partition's leader does not say where it ends, and why."""
    there = names & known.usable
    asked = [TopicPartition(name, number, OFFSET_END) for name in there for number in range(known.topics[name].partitions)]
    try:
        found = consumer.offsets_for_times(asked, timeout=ANSWER_S) if asked else []
    except KafkaException as err:
        return dict.fromkeys(names, err.args[0].str())
    unled = {one.topic: one.error.str() for one in found if one.error is not None}
    return dict.fromkeys(names - there, "no leader is known") | unled


def list_topics(settings: Settings, extra: Iterable[Topic] = ()) -> list[TopicState]:
    """Give the state of the catalogue's topics, and of `extra`. Raises BrokerUnavailable."""
    known = _known(client(settings))
    names = [topic.name(settings) for topic in (*catalogue(settings), *extra)]
    return [known.topics.get(name, TopicState(name, 0, 0)) for name in names]


def result_topics(settings: Settings) -> list[TopicState]:
    """Give the result topics that exist, by name. Raises BrokerUnavailable."""
    return _family(settings, "results")


def retry_topics(settings: Settings) -> list[TopicState]:
    """Give the topics of retry tiers that exist, those of tiers that were taken out included. Raises BrokerUnavailable."""
    return [one for one in _family(settings, "retries") if LABEL.fullmatch(one.name.rpartition(".")[2])]


def lanes(settings: Settings) -> list[str]:
    """Name the processes whose own lanes exist, those that were removed included. Raises BrokerUnavailable."""
    start = f"{settings.topic_prefix}.lanes."
    return [one.name.removeprefix(start) for one in _family(settings, "lanes")]


def state_topics(settings: Settings) -> list[Topic]:
    """Give the topics in which processes keep state, those of processes that were removed included. Raises BrokerUnavailable."""
    start = f"{settings.topic_prefix}."
    names = [name.removeprefix(start) for name in _known(client(settings)).topics if name.startswith(start)]
    return [RUNS, *(state(name) for name in sorted(names) if name.partition(".")[0] not in TAKEN)]


def _family(settings: Settings, kind: str) -> list[TopicState]:
    prefix = f"{settings.topic_prefix}.{kind}."
    return sorted((t for t in _known(client(settings)).topics.values() if t.name.startswith(prefix)), key=lambda t: t.name)


def check_topics(settings: Settings, extra: Iterable[Topic] = ()) -> list[Wrong]:
    """
    Compare the topics with the catalogue, and name everything that differs with its cure.

    Raises: BrokerUnavailable.
    """
    admin = client(settings)
    known, topics = _known(admin), {topic.name(settings): topic for topic in (*catalogue(settings), *extra)}
    wrong = []
    for name in topics:
        state = known.topics.get(name)
        if state is None:
            wrong.append(Wrong(name, "the topic", "there", "missing", "Run `evb topics ensure`."))
        elif state.partitions != settings.partitions:
            wrong.append(_partitions(name, state.partitions, settings))
    there = [name for name in topics if name in known.topics]
    for name, found in _configs(admin, there).items():
        for setting, expected in topics[name].config(settings).items():
            if found.get(setting) != expected:
                wrong.append(_setting(name, setting, expected, str(found.get(setting))))
    return wrong


class Admin(AdminClient):
    """An administration client that says why the brokers do not let it in."""

    def __init__(self, settings: Settings) -> None:
        self._reason = Reason()
        config: dict[str, Any] = connection(settings) | {"reconnect.backoff.max.ms": 500, "error_cb": self._reason}
        super().__init__(config)
        self._config = config

    def cluster(self, timeout_s: float) -> Any:
        """Ask for the brokers and topics. Raises: BrokerUnavailable, Misconfigured where we are refused."""
        asked: AdminClient = self

        def ask(patience_s: float) -> Any:
            nonlocal asked
            try:
                return asked.list_topics(timeout=patience_s)
            except KafkaException:
                asked = AdminClient(self._config)  # this one may have forgotten every broker (`bridge.kafka.brokerless`)
                raise

        return self._reason.ask(self, ask, timeout_s, "Kafka does not answer")


def client(settings: Settings) -> Admin:
    """Make an administration client. Raises: Misconfigured."""
    return Admin(settings)


@dataclass(frozen=True, slots=True)
class _Cluster:
    brokers: int
    topics: dict[str, TopicState]
    usable: frozenset[str]


def _known(admin: Admin) -> _Cluster:
    found = admin.cluster(TIMEOUT_S)
    topics = {
        name: TopicState(name, len(t.partitions), min((len(p.replicas) for p in t.partitions.values()), default=0))
        for name, t in found.topics.items()
        if t.error is None
    }
    usable = frozenset(name for name in topics if all(p.leader >= 0 for p in found.topics[name].partitions.values()))
    return _Cluster(len(found.brokers), topics, usable)


def _new(topic: Topic, settings: Settings, brokers: int) -> NewTopic:
    replicas = settings.kafka.replication_factor or (3 if brokers >= 3 else 1)
    config = topic.config(settings) | {"min.insync.replicas": "2" if replicas >= 3 else "1"}
    return NewTopic(topic.name(settings), settings.partitions, replicas, config=config)


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    try:
        return {
            resource.name: {entry.name: entry.value for entry in _result(told).values()}
            for resource, told in admin.describe_configs(resources, request_timeout=TIMEOUT_S).items()
        }
    except KafkaException as err:
        raise BrokerUnavailable(f"Kafka does not tell the topics' settings: {err.args[0].str()}.") from err


def _result(future: Future[T]) -> T:
    try:
        return future.result(timeout=TIMEOUT_S + 5)
    except TimeoutError as err:
        raise BrokerUnavailable("Kafka did not answer in time.") from err


def _partitions(name: str, found: int, settings: Settings) -> Wrong:
    cure = f"The number is fixed at creation: set EVB_PARTITIONS={found}, or start with another EVB_TOPIC_PREFIX."
    return Wrong(name, "the number of partitions", str(settings.partitions), str(found), cure)


def _setting(name: str, setting: str, expected: str, found: str) -> Wrong:
    cure = f"Run `kafka-configs.sh --alter --topic {name} --add-config '{setting}={_quoted(expected)}'`."
    return Wrong(name, setting, expected, found, cure)


def _quoted(value: str) -> str:
    return f"[{value}]" if "," in value else value
