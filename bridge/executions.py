# SPDX-License-Identifier: Apache-2.0
"""
Executions as JSON: the value of a record of `bridge.executions`, which the live view keeps byte for byte.

Used by the worker, the projection, the rebuild and every reader of a status.
"""

from __future__ import annotations

import msgspec

from bridge.domain.execution import Execution

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Execution)


def encode(execution: Execution) -> bytes:
    """Give an execution's JSON; equal executions give equal bytes."""
    return _ENCODER.encode(execution)


def decode(value: bytes) -> Execution:
    """Read an execution. Raises: ValueError where the bytes are not one; members that are not known are passed over."""
    return _DECODER.decode(value)
