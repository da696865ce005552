# SPDX-License-Identifier: Apache-2.0
"""Rate windows as data, and every size and time bound of the system in one table."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
BODY_BYTES = 1 * MIB  # default of the setting; what a door reads at most
MOST_BODY_BYTES = 5 * MIB  # what the setting may be at most, and what the Buildable dialect reads
RESULT_BYTES = MOST_BODY_BYTES  # the data of one result: whatever a door takes can be published whole
STATE_BYTES = 1 * MIB  # what a process keeps of one key
DATA_BYTES = 64 * 1024  # the JSON that a process keeps with an execution
OUTPUTS = 1000  # results and emitted events of one execution
ANSWER_BYTES = 8 * MIB  # an outcome with all its results, as it leaves a child process
RECORD_BYTES = 8 * MIB  # topics, producers and fetches, so that a dead letter of the largest event always fits
REASON_BYTES = 4096  # the text of a reason
BATCH_EVENTS = 100  # events of one CloudEvents batch
ATTRIBUTES = 64  # context attributes of one event
ATTRIBUTE_CHARS = 8192  # the value of one attribute
JSON_DEPTH = 500  # arrays and objects within one another; Python's own parsers stop before 1000
LOOP_BYTES = 64 * 1024  # larger bodies are parsed off the event loop: orjson holds the GIL
CORRELATION_CHARS = 256  # a correlation id that a caller may choose
TREE_MEMBERS = 20_000  # events and executions that the look-up of a correlation id shows
CONFIRM_S = 4.0  # how long a produce may wait for the broker's report
ANSWER_S = 5.0  # how long any accepting request may take


@dataclass(frozen=True, slots=True)
class Window:
    """At most `quota` events in any span of `seconds`."""

    quota: int
    seconds: int


INGRESS_WINDOWS = (Window(2, 1), Window(25, 60), Window(150, 3600))
"""How often a tenant may ask the Event Ingress dialect where its registry entry names no windows for it."""

DEFAULT_WINDOWS = (Window(10_000, 10),)
"""What a tenant may send where its registry entry names no windows."""
