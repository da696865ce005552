# SPDX-License-Identifier: Apache-2.0
"""
The accounting check: given what clients were told and what lies in Kafka, name every event that is not accounted for.

Pure: facts in, findings out. `ledger.py` gathers the clients' side, `topics.py` Kafka's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ATTEMPTS = 3  # what the tiers of a run allow: one more than there are
FINAL = frozenset({"completed", "failed", "skipped"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as its client remembers it: what was told, the digest of its bytes, and what it must lead to."""

    id: str
    verdict: str  # accepted | unknown | refused
    digest: str
    process: str
    status: str
    results: int
    receipt: str = ""  # the event key that the receipt named
    lane: str = ""  # events of one lane were posted one after another; "" where there is no order
    number: int = -1  # its place in that lane, and what its results carry
    owner: int = 0  # which of the target's tenants posted it
    began_ms: float = 0.0  # when its last attempt began
    attempts: int = ATTEMPTS  # what its process's policy allows
    ordered: bool = False  # its results come in order also where attempts were repeated


@dataclass(frozen=True, slots=True)
class Stored:
    """One record of the events topic."""

    id: str
    key: str
    digest: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Executed:
    """One record of the executions topic, in the order of its partition."""

    execution_id: str
    event_key: str
    process: str
    status: str
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """One record of a result topic."""

    id: str
    execution_id: str
    digest: str
    number: int = -1  # the sequence number that it carries; -1 where it has none
    stored_ms: int = 0  # when Kafka took it


@dataclass(frozen=True, slots=True)
class Dead:
    """One record of the dead letters."""

    execution_id: str
    digest: str
    attempts: int = ATTEMPTS
    code: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known after a run. `shown` maps (event key, process) to the status that the HTTP look-up gives."""

    sent: list[Sent]
    stored: list[Stored]
    executed: list[Executed]
    published: list[Published]
    dead: list[Dead]
    shown: dict[tuple[str, str], str] | None = None


@dataclass(slots=True)
class Findings:
    """What is wrong, by kind; `repeats` counts harmless repetitions (equal ids) by topic."""

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    repeats: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.wrong)

    def __str__(self) -> str:
        lines = [f"{kind}: {len(items)}, e.g. {', '.join(items[:3])}" for kind, items in sorted(self.wrong.items())]
        return "\n".join([*lines, f"repeats with equal ids: {dict(self.repeats)}"])

    def count(self, kinds: Iterable[str]) -> int:
        """Count what is wrong of these kinds."""
        return sum(len(self.wrong[kind]) for kind in kinds if kind in self.wrong)


LOST = (
    "lost event",
    "not exactly one final status",
    "missing result",
    "no dead letter with the original bytes",
)
PHANTOM = ("phantom event", "unexpected result", "dead letter of an event that did not fail")
DISORDER = ("stored out of order", "result out of order")


def account(facts: Facts) -> Findings:
    """Check every promise; an empty `wrong` means that all events are accounted for."""
    findings = Findings()
    keys = _check_events(facts, findings)
    _check_executions(facts, keys, findings)
    _check_repeats(facts, findings)
    for kind, event_id in misplaced(facts):
        findings.wrong[kind].append(event_id)
    return findings


def _check_events(facts: Facts, findings: Findings) -> dict[str, str]:
    """Accepted ⊆ stored ⊆ accepted ∪ unknown, bytes unchanged, one key per id. Returns id -> event key."""
    sent = {s.id: s for s in facts.sent}
    keys: dict[str, str] = {}
    for record in facts.stored:
        origin = sent.get(record.id)
        if origin is None or origin.verdict == "refused":
            findings.wrong["phantom event"].append(record.id)
            continue
        if record.digest != origin.digest:
            findings.wrong["bytes changed"].append(record.id)
        if keys.setdefault(record.id, record.key) != record.key:
            findings.wrong["two keys for one event"].append(record.id)
    for s in facts.sent:
        if s.verdict == "accepted" and s.id not in keys:
            findings.wrong["lost event"].append(s.id)
        if s.verdict == "accepted" and s.receipt and keys.get(s.id, s.receipt) != s.receipt:
            findings.wrong["receipt names another event"].append(s.id)
    return keys


def _check_executions(facts: Facts, keys: dict[str, str], findings: Findings) -> None:
    """Each stored event reaches exactly one final status of the right process, with its results or its dead letter."""
    finals: dict[tuple[str, str], set[str]] = defaultdict(set)
    of: dict[tuple[str, str], Executed] = {}
    for e in facts.executed:
        if e.status in FINAL:
            finals[e.event_key, e.process].add(e.status)
        of[e.event_key, e.process] = e
    published = {p.id for p in facts.published}
    per_execution = Counter(execution for execution, _ in {(p.execution_id, p.id) for p in facts.published})
    dead, letters = defaultdict(set), defaultdict(list)
    for letter in facts.dead:
        dead[letter.execution_id].add(letter.digest)
        letters[letter.execution_id].append(letter)
    for s in facts.sent:
        if s.id not in keys:
            continue
        at = (keys[s.id], s.process)
        if finals[at] != {s.status}:
            findings.wrong["not exactly one final status"].append(f"{s.id}: {sorted(finals[at])}, wanted {s.status}")
            continue
        execution = of[at]
        if len(execution.results) != s.results or not published.issuperset(execution.results):
            findings.wrong["missing result"].append(s.id)
        if per_execution[execution.execution_id] != s.results:
            findings.wrong["unexpected result"].append(s.id)
        if s.status == "failed" and dead[execution.execution_id] != {s.digest}:
            findings.wrong["no dead letter with the original bytes"].append(s.id)
        if any(letter.attempts != s.attempts for letter in letters[execution.execution_id]):
            findings.wrong["not the attempts of its policy"].append(s.id)
        if s.status != "failed" and dead[execution.execution_id]:
            findings.wrong["dead letter of an event that did not fail"].append(s.id)
        if facts.shown is not None and facts.shown.get(at) != s.status:
            findings.wrong["look-up disagrees with the topic"].append(f"{s.id}: {facts.shown.get(at)}")


def _check_repeats(facts: Facts, findings: Findings) -> None:
    """Repetitions are allowed after a crash, but only with equal ids and equal content."""
    content: dict[str, str] = {}
    for p in facts.published:
        if content.setdefault(p.id, p.digest) != p.digest:
            findings.wrong["one result id with two contents"].append(p.id)
    for topic, ids in (
        ("events", [s.key for s in facts.stored]),
        ("results", [p.id for p in facts.published]),
        ("executions", [e.execution_id for e in facts.executed if e.status in FINAL]),
    ):
        findings.repeats[topic] += len(ids) - len(set(ids))


def misplaced(facts: Facts) -> Iterator[tuple[str, str]]:
    """
    Name what lies behind a later one of its lane: events as they are stored, results as they are published.

    Only the first record of an id counts, since a delivery that is repeated after a crash repeats records. What was given up
    by its client is passed over, and what was tried again by a process that keeps no order: others may overtake it.
    """
    lanes = {s.id: s for s in facts.sent if s.lane and s.verdict == "accepted"}
    first = {s.key: s.id for s in reversed(facts.stored)}
    order = [lanes[id_] for id_ in dict.fromkeys(s.id for s in facts.stored) if id_ in lanes]
    for s in _behind([(s.lane, s.number, s.id) for s in order]):
        yield "stored out of order", s
    again = {e.execution_id for e in facts.executed if e.status == "pending"}
    events = {e.execution_id: first.get(e.event_key, "") for e in facts.executed}
    published = {p.id: p for p in reversed(facts.published)}
    results = [published[id_] for id_ in dict.fromkeys(p.id for p in facts.published)]
    told = [(p, lanes[events[p.execution_id]]) for p in results if p.number >= 0 and events.get(p.execution_id) in lanes]
    counted = [(p, s) for p, s in told if s.ordered or p.execution_id not in again]
    for s in _behind([(f"{s.process} {s.lane}", p.number, p.id) for p, s in counted]):
        yield "result out of order", s


def _behind(placed: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    """Give the ids whose number is smaller than one before it in its lane."""
    highest: dict[str, int] = {}
    for lane, number, id_ in placed:
        if number < highest.get(lane, -1):
            yield id_
        highest[lane] = max(number, highest.get(lane, -1))
