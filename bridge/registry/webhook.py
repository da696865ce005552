# SPDX-License-Identifier: Apache-2.0
"""A webhook of a tenant as an object of the registry; changed by the use cases of `webhooks`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bridge.registry.fields import Id, Millis, Name

Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
ALL = "*"
"""Stands for every type of notices."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a tenant's notices of some types are posted to, and how they are signed (the secret is encrypted).

    `disabled` says why the bridge itself has stopped posting; empty: it has not.
    """

    id: Id
    tenant: Name
    name: Text
    url: Url
    ciphertext: str
    types: tuple[str, ...]
    enabled: bool = True
    addresses: tuple[str, ...] = ()
    batch: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    state: Literal["active", "deleted"] = "active"
    disabled: str = ""
    created_ms: Millis = 0

    @property
    def live(self) -> bool:
        """Whether notices are posted to it."""
        return self.state == "active" and self.enabled and not self.disabled

    def wants(self, type_: str) -> bool:
        """Say whether it is told of notices of a type."""
        return ALL in self.types or type_ in self.types
