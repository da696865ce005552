# SPDX-License-Identifier: Apache-2.0
"""
The event types that every tenant has from the start, as the Event Ingress document lists them, and the processes that they name.

Data: they are in no tenant's registry and nobody changes or deletes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.registry.ingress import EventSubtype, EventType

CREATE, UPDATE = "createentity", "updateentity"

SHIPPED_PROCESSES: Final[Mapping[str, str]] = MappingProxyType({CREATE: "Create Entity", UPDATE: "Update Entity"})
"""The business processes that are always offered, with the names that people see."""


def _type(key: str, display_name: str, *subtypes: tuple[str, str, str]) -> EventType:
    made = tuple(EventSubtype(key=k, display_name=name, business_process=process) for k, name, process in subtypes)
    return EventType(tenant="", key=key, display_name=display_name, subtypes=made)


SYSTEM_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {
        "externaldata": _type(
            "externaldata",
            "External Data",
            ("createentity", "Create Entity", CREATE),
            ("offboarding", "Offboarding", UPDATE),
            ("updateentity", "Update Entity", UPDATE),
        ),
        "transactionmonitoring": _type(
            "transactionmonitoring",
            "Transaction Monitoring",
            ("confirmedalert", "Confirmed Alert", UPDATE),
            ("kycreview", "KYC Review", UPDATE),
        ),
    }
)
