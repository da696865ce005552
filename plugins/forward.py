# SPDX-License-Identifier: Apache-2.0
"""
Posts a tenant's events to a URL, as CloudEvents in binary mode, signed. Off until a tenant is given a URL.

The log of deliveries is that of executions, and whatever could not be delivered is a dead letter: both can be replayed.
"""

from __future__ import annotations

import re
import time
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from bridge.sdk import Completed, Context, Event, Outcome, Process, Rejected, RetryLater, Skipped, hookimpl
from bridge.sdk.patterns import fault, matches
from bridge.sdk.webhooks import EgressError, Reply, cloudevents_headers, key_of, post, standard_webhooks, url_fault

T = TypeVar("T")

ANSWER_S: Final = 4.5
"""A little less than the deadline, so that the reason says which host was silent."""

SECRET_CHARS: Final = range(8, 257)
NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?")
OURS: Final = re.compile(
    r"(?i)(ce-|content-|webhook-|proxy-).*|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect"
)
"""Headers that the request has already, or that belong to the connection."""

HOPELESS: Final = frozenset({"address-not-allowed", "invalid-url"})
"""What another attempt will not cure."""


class Forwarding(BaseModel):
    """What an operator sets for a tenant."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(description="Where events are posted, http or https.")
    secret: SecretStr | None = Field(None, description="Signs each request by Standard Webhooks: whsec_… or any text.")
    types: tuple[str, ...] = Field(("*",), min_length=1, max_length=50, description="Patterns of the event types to forward.")
    headers: dict[str, SecretStr] = Field({}, max_length=20, description="More headers, such as Authorization; kept secret.")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        return _sound(url, url_fault(url))

    @field_validator("secret")
    @classmethod
    def _secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            key_of(secret.get_secret_value())
            if len(secret.get_secret_value()) not in SECRET_CHARS:
                raise ValueError(f"a secret has {SECRET_CHARS[0]} to {SECRET_CHARS[-1]} characters")
        return secret

    @field_validator("types")
    @classmethod
    def _types(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return _sound(types, *map(fault, types))

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        return _sound(headers, *(_header_fault(name, value.get_secret_value()) for name, value in headers.items()))


class Forward(Process[Forwarding]):
    """Post each event to the tenant's URL, until it is taken."""

    name, version, events = "forward", "1.0.0", ("*",)
    default_enabled = False
    Config = Forwarding

    async def run(self, event: Event, context: Context[Forwarding]) -> Outcome:
        """Post the event once. The id of the message is the event's, at every attempt and replay."""
        config = context.config
        if not any(matches(pattern, event.type) for pattern in config.types):
            return Skipped(f"only {', '.join(config.types)} is forwarded")
        headers = {name: value.get_secret_value() for name, value in config.headers.items()} | cloudevents_headers(event)
        if config.secret is not None:
            headers |= standard_webhooks(config.secret.get_secret_value(), event.key, int(time.time()), event.data)
        try:
            reply = await post(context.http, config.url, event.data, headers, ANSWER_S)
        except EgressError as err:
            return Rejected(err.code, err.reason) if err.code in HOPELESS else RetryLater(str(err))
        return _outcome(reply, context.attempt)


def _outcome(reply: Reply, attempt: int) -> Outcome:
    said = f"{reply.host} answered {reply.status}"
    if 200 <= reply.status < 300:
        return Completed({"host": reply.host, "status": reply.status, "ms": reply.ms, "attempt": attempt})
    if reply.status == 410:
        return Rejected("gone", said)
    return RetryLater(said, reply.retry_after_s if reply.status in (429, 503) else None)


def _sound(value: T, *faults: str) -> T:
    if wrong := [one for one in faults if one]:
        raise ValueError("; ".join(wrong))
    return value


def _header_fault(name: str, value: str) -> str:
    if not NAME.fullmatch(name):
        return f"{name!r:.80} is no name of a header"
    if OURS.fullmatch(name):
        return f"the header {name} is not yours to set"
    return "" if VALUE.fullmatch(value) else f"the header {name} needs a value of 1 to 1024 printable ASCII characters"


@hookimpl
def bridge_processes() -> list[Forward]:
    """Contribute the process `forward`."""
    return [Forward()]
