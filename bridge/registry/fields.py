# SPDX-License-Identifier: Apache-2.0
"""The forms of the members that objects of the registry have, each with its check."""

from __future__ import annotations

from typing import Annotated

import msgspec

TENANT_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
SOURCE_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"

Name = Annotated[str, msgspec.Meta(pattern=TENANT_NAME)]
ALL = "-"
"""Stands for every tenant, or every process; it is no name."""
NameOrAll = Annotated[str, msgspec.Meta(pattern=r"^(-|[a-z0-9][a-z0-9-]{0,62})$")]
Source = Annotated[str, msgspec.Meta(pattern=SOURCE_NAME)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Label = Annotated[str, msgspec.Meta(pattern=r"^\S(.{0,98}\S)?$")]
PairName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""Without dots: it is a part of names that dots separate."""
TypeName = Annotated[str, msgspec.Meta(pattern=r"^\S{0,255}$")]
Millis = Annotated[int, msgspec.Meta(ge=0)]
Weight = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Key = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Lower case and without dots: it is a part of event types."""
