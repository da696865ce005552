# SPDX-License-Identifier: Apache-2.0
"""
Every way in which a process can end, and every record that is no event, through one real worker: each gets its one final status
or dead letter, and whatever lies around it completes.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest
from confluent_kafka import Message

from bridge.cloudevents.kafka import headers_of, record_key
from bridge.domain import ids
from bridge.domain.event import Event
from bridge.domain.execution import Execution, Status
from tests.conftest import StackOfTests
from tests.integration.workers import Aftermath, Headers, Sender, Worker, event, headers, site

FAILURES = {
    "faulty.raises": ("exception", "ValueError: it is broken"),
    "faulty.exits": ("exception", "SystemExit: 3"),
    "faulty.cancels": ("exception", "CancelledError"),
    "faulty.cancels-itself": ("exception", "CancelledError"),
    "faulty.hangs": ("timeout", "no outcome within 0.3 s"),
    "faulty.stubborn": ("timeout", "no outcome within 0.3 s, and the cancellation was ignored"),
    "faulty.rejects": ("bad-order", "no such order"),
    "faulty.retries": ("retry-later", "the shop is closed"),
    "faulty.bloats": ("result-too-large", "results[0] has 6000"),
    "faulty.unserialisable": ("not-serialisable", "data cannot be written as JSON"),
    "faulty.nonsense": ("invalid-outcome", "run() returned 'done'"),
    "faulty.raises-unsayable": ("exception", "Unsayable"),
    "faulty.returns-unsayable": ("invalid-outcome", "Unsayable"),
    "faulty.rejects-unsayable": ("invalid-outcome", "a Rejected that cannot be read: RuntimeError: no words"),
    "faulty.lists-unsayable": ("invalid-outcome", "a Completed that cannot be read: RuntimeError: no words"),
    "thread.sleeps": ("timeout", "no outcome within 0.5 s"),
    "thread.exits": ("exception", "SystemExit: 3"),
    "thread.cancels": ("exception", "CancelledError"),
    "thread.runs-out": ("exception", "StopIteration"),
    "picky.any": ("invalid-config", "the configuration of tenant acme does not fit"),
}
"""The event's type -> the code and the reason of its dead letter."""

BINARY = bytes(range(256))

GOOD = list(headers_of(event("t.spoiled")))


def spoiled(name: str, value: bytes | None) -> Headers:
    """Good headers, but for one."""
    return [(header, given) for header, given in GOOD if header != name] + [(name, value)]


UNDECODABLE: dict[str, tuple[bytes | None, Headers, str]] = {
    "no headers": (b'{"a": 1}', [], "header:ce_specversion"),
    "null value and no headers": (None, [], "header:ce_id"),
    "not UTF-8": (BINARY, spoiled("ce_id", b"\xff\xfe"), "is not UTF-8 at byte 0"),
    "null header": (b"{}", spoiled("ce_source", None), "header:ce_source: has no value"),
    "another version": (b"{}", spoiled("ce_specversion", b"0.3"), "must be 1.0"),
    "hops of words": (b"{}", spoiled("ce_hops", b"many"), "header:ce_hops"),
    "no tenant": (b"{}", spoiled("ce_tenantid", b""), "header:ce_tenantid"),
    "a tenant that is no name": (b"{}", spoiled("ce_tenantid", b"a/b"), "header:ce_tenantid"),
    "no event key": (b"{}", spoiled("ce_eventkey", b""), "header:ce_eventkey"),
    "structured": (b"{}", spoiled("content-type", b"application/cloudevents+json"), "header:content-type"),
}
"""A record that is no event of ours: its value, its headers, and what the reason says."""


@dataclass
class Run:
    """What was sent, and what came of it."""

    sent: dict[str, Event]
    around: list[Event]
    after: Aftermath
    exit_code: int

    def only(self, sent: Event, process: str) -> Execution:
        """Give the event's one record of this process."""
        found = self.after.executions[ids.execution_id(sent.key, process)]
        assert len(found) == 1, [one.status for one in found]
        return found[0]


@pytest.fixture(scope="module")
def run(stack: StackOfTests, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything at once through one worker."""
    settings = site(stack)
    sent = {type_: event(type_) for type_ in (*FAILURES, "faulty.skips", "emit.one", "hop.first", "thread.runs", "nobody.wants")}
    sent["t.binary"] = event("t.binary", BINARY, datacontenttype="application/x-mine", partitionkey="lane 7", subject="s ü")
    sent["t.empty"] = event("t.empty", b"")
    sent["t.far"], sent["t.too-far"] = event("t.far", hops="16"), event("t.too-far", b"far", hops="17")
    around = [event("t.around", b'{"n": %d}' % n) for n in range(60)]
    sender = Sender(settings)
    for good in around[::2]:
        sender.send(good)
    for value, given, _ in UNDECODABLE.values():
        sender.send_raw(value, b"some key", given)
    sender.send_raw(None, record_key(sent["t.empty"]), list(headers_of(sent["t.empty"])))
    sender.send(*(one for one in sent.values() if one.type != "t.empty"), *around[1::2])
    sender.flush()
    worker = Worker(stack, settings, tmp_path_factory.mktemp("outcomes"))
    try:
        worker.start()
        worker.settle(settings)
        worker.kill()
        worker.start()  # recovers tables of such events
        code = worker.asked_to_end()
    finally:
        worker.kill()
    return Run(sent, around, Aftermath.of(settings), code)


def assert_letter(letter: Message, sent: Event, code: str, reason: str) -> None:
    """A dead letter is the record as it was, and says why."""
    said = headers(letter)
    assert letter.value() == sent.data
    assert (letter.headers() or [])[: len(sent.attributes)] == headers_of(sent)
    assert said["dl_code"] == code
    assert reason in said["dl_reason"]
    assert said["dl_key"] == record_key(sent).decode()
    assert int(said["dl_partition"]) == letter.partition()


@pytest.mark.parametrize("type_", FAILURES)
def test_a_failed_execution_has_one_status_and_one_dead_letter(run: Run, type_: str) -> None:
    code, reason = FAILURES[type_]
    sent, process = run.sent[type_], type_.split(".")[0]
    execution = run.only(sent, process)
    assert execution.status is Status.FAILED
    assert execution.reason.startswith(f"{code}: ")
    assert reason in execution.reason
    assert execution.results == ()
    (letter,) = run.after.letters[execution.execution_id]
    assert_letter(letter, sent, code, reason)
    assert headers(letter)["dl_process"] == process
    assert headers(letter)["dl_attempts"] == "1"
    assert not run.after.results[execution.execution_id]


@pytest.mark.parametrize("type_", ["t.binary", "t.empty", "t.far", "thread.runs"])
def test_a_completed_execution_has_its_result(run: Run, type_: str) -> None:
    sent, process = run.sent[type_], {"t": "quick", "thread": "thread"}[type_.split(".")[0]]
    assert_completed(run, sent, process, b"false" if process == "thread" else sent.data)


def test_what_lies_around_completes(run: Run) -> None:
    for sent in run.around:
        assert_completed(run, sent, "quick", sent.data)


def assert_completed(run: Run, sent: Event, process: str, data: bytes) -> None:
    execution = run.only(sent, process)
    assert (execution.status, execution.reason, execution.attempt) == (Status.COMPLETED, "", 1)
    assert not run.after.letters[execution.execution_id]
    (result,) = run.after.results[execution.execution_id]
    (ref,) = execution.results
    assert ref.id == ids.result_id(execution.execution_id, 0)
    assert (ref.topic, ref.partition, ref.offset) == (result.topic(), result.partition(), result.offset())
    assert result.partition() == execution.event_position.partition
    assert (result.key() or b"").decode() == sent.attributes.get("partitionkey", sent.key)
    assert result.value() == data
    said = headers(result)
    assert said.pop("ce_time")
    content_type = {"content-type": sent.content_type if process == "quick" else "application/json"}
    assert said == content_type | {
        "ce_specversion": "1.0",
        "ce_id": ref.id,
        "ce_source": f"/processes/{process}",
        "ce_type": f"{process}.done",
        "ce_tenantid": "acme",
        "ce_correlationid": sent.correlation_id,
        "ce_causationid": execution.execution_id,
    }


def test_a_skipped_execution_leaves_its_reason_and_nothing_else(run: Run) -> None:
    execution = run.only(run.sent["faulty.skips"], "faulty")
    assert (execution.status, execution.reason) == (Status.SKIPPED, "not mine")
    assert not run.after.letters[execution.execution_id]
    assert not run.after.results[execution.execution_id]


def test_an_event_that_no_process_wants_is_passed(run: Run) -> None:
    assert [one for many in run.after.executions.values() for one in many if one.event_key == run.sent["nobody.wants"].key] == []


def test_an_emitted_event_names_its_cause_and_is_handled(run: Run) -> None:
    sent = run.sent["emit.one"]
    cause = run.only(sent, "emitter")
    assert cause.status is Status.COMPLETED
    (emitted,) = (one for one in run.after.events if headers(one).get("ce_causationid") == cause.execution_id)
    said = headers(emitted)
    key = ids.emitted_key(cause.execution_id, 0)
    assert (said["ce_id"], said["ce_eventkey"], said["ce_type"]) == (key, key, "t.emitted")
    assert (said["ce_hops"], said["ce_correlationid"], said["ce_tenantid"]) == ("1", sent.correlation_id, "acme")
    assert emitted.partition() == cause.event_position.partition
    assert orjson.loads(emitted.value() or b"") == {"from": sent.id}
    (execution,) = run.after.executions[ids.execution_id(key, "quick")]
    assert (execution.status, execution.correlation_id) == (Status.COMPLETED, sent.correlation_id)


def test_a_chain_of_more_than_16_hops_ends_as_a_dead_letter(run: Run) -> None:
    chain = [one for one in run.after.events if headers(one).get("ce_correlationid") == run.sent["hop.first"].key]
    assert sorted(int(headers(one).get("ce_hops", "0")) for one in chain) == list(range(18))
    last = next(one for one in chain if headers(one).get("ce_hops") == "17")
    assert not run.after.executions[ids.execution_id(headers(last)["ce_eventkey"], "emitter")]
    for record in (last, next(one for one in run.after.events if headers(one).get("ce_type") == "t.too-far")):
        (letter,) = run.after.letters[f"{record.topic()}/{record.partition()}/{record.offset()}"]
        assert headers(letter)["dl_code"] == "too-many-hops"
        assert "17 hops" in headers(letter)["dl_reason"]
        assert letter.value() == record.value()
        assert (letter.headers() or [])[: len(record.headers() or [])] == record.headers()


@pytest.mark.parametrize("name", UNDECODABLE)
def test_a_record_that_is_no_event_is_a_dead_letter_by_position(run: Run, name: str) -> None:
    value, given, reason = UNDECODABLE[name]
    (record,) = (one for one in run.after.events if (one.headers() or []) == given and one.value() == value)
    (letter,) = run.after.letters[f"{record.topic()}/{record.partition()}/{record.offset()}"]
    assert letter.value() == (value or b"")
    assert letter.partition() == record.partition()
    assert (letter.headers() or [])[: len(given)] == given
    said = headers(letter)
    assert (said["dl_code"], said["dl_process"], said["dl_key"]) == ("undecodable", "", "some key")
    assert reason in said["dl_reason"]


def test_nothing_else_was_written(run: Run) -> None:
    failed, positions = len(FAILURES), len(UNDECODABLE) + 2
    assert sum(map(len, run.after.letters.values())) == failed + positions
    completed = [one for many in run.after.executions.values() for one in many if one.status is Status.COMPLETED]
    assert len(completed) == len(run.around) + 4 + 1 + 1 + 17
    assert sum(map(len, run.after.results.values())) == len(run.around) + 4 + 1


def test_the_worker_started_again_and_left_when_asked(run: Run) -> None:
    assert run.exit_code == 0
