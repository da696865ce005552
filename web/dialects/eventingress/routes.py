# SPDX-License-Identifier: Apache-2.0
"""The operations of the Event Ingress document, and the tokens that open them."""

from __future__ import annotations

from typing import Final

from web.dialects.eventingress import token
from web.http.messages import Route

DIALECT: Final = "eventingress"

ROUTES = (
    Route(
        "POST", "/connect/token", token.give_token, DIALECT, reads_body=True, max_body=token.BODY_BYTES, failure=token.answer_of
    ),
)
