# SPDX-License-Identifier: Apache-2.0
"""Signatures of what we send, against values that were worked out elsewhere, and by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from bridge.egress.signing import fenx, key_of, standard_webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_reference_vector_of_standard_webhooks() -> None:
    """The example that the specification's libraries are tested with."""
    headers = standard_webhooks(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", [SECRET, "a plain text ü", "whsec"])
@pytest.mark.parametrize("body", [b"", BODY, bytes(range(256))])
def test_the_signature_is_that_of_id_time_and_body(secret: str, body: bytes) -> None:
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.new(key, b"id-1.17." + body, hashlib.sha256).digest()
    assert standard_webhooks(secret, "id-1", 17, body)["webhook-signature"] == "v1," + base64.b64encode(signed).decode()


def test_what_cannot_be_signed_is_refused() -> None:
    with pytest.raises(ValueError, match="not base64") as caught:
        key_of("whsec_not base64!")
    assert "not base64!" not in str(caught.value)
    for empty in ("", "whsec_"):
        with pytest.raises(ValueError, match="no key"):
            key_of(empty)
    with pytest.raises(ValueError, match="full stop"):
        standard_webhooks(SECRET, "a.b", 1, b"")


def test_the_signature_of_fenergo_is_upper_case_hex_of_the_body() -> None:
    expected = hmac.new(b"It's a Secret to Everybody", b"Hello, World!", hashlib.sha256).hexdigest().upper()
    assert expected.startswith("757107EA0EB2509FC211221CCE984B8A")
    assert fenx("It's a Secret to Everybody", b"Hello, World!") == {"x-fenx-signature": f"sha256={expected}"}
