# SPDX-License-Identifier: Apache-2.0
"""
Sign what we send, in the ways that receivers know: the headers that go with a body. Pure.

Called by whoever posts: a retried body keeps its id, and is signed again with the time of the attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """Give the key of a Standard Webhooks secret: base64 behind `whsec_`, else the text itself. Raises: ValueError."""
    try:
        prefixed = secret.startswith(PREFIX)
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if prefixed else secret.encode()
    except binascii.Error:
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not key:
        raise ValueError("the secret has no key in it")
    return key


def standard_webhooks(secret: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """
    Give the headers of a Standard Webhooks message.

    Shape:  `message_id` is the same for every attempt, `at_s` is the time of this one.
    Raises: ValueError for a secret that cannot be read, or an id with a full stop, which separates the signed parts.
    """
    if "." in message_id:
        raise ValueError("the id of a message has no full stop")
    mac = hmac.digest(key_of(secret), f"{message_id}.{at_s}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def fenx(secret: str, body: bytes) -> dict[str, str]:
    """Give the header `x-fenx-signature`: the HMAC-SHA256 of the body alone, as upper-case hex."""
    return {"x-fenx-signature": f"sha256={hmac.digest(secret.encode(), body, hashlib.sha256).hex().upper()}"}
