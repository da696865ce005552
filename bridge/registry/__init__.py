# SPDX-License-Identifier: Apache-2.0
"""
Tenants, credentials, signing secrets, clients, event types, process settings and the announcements of live workers.

Every process holds all of it in memory (`Registry`), read from Kafka, so that it works without Redis; every change is a
decision (`bridge.decisions`) made by the use cases in `changes`.
"""

from bridge.registry.objects import (
    AnnouncedProcess,
    Announcement,
    Credential,
    ProcessSetting,
    SecretPair,
    SigningSecret,
    Tenant,
)
from bridge.registry.registry import Registry
from bridge.registry.signing_index import KeyedSecret
from bridge.registry.view import View

__all__ = [
    "AnnouncedProcess",
    "Announcement",
    "Credential",
    "KeyedSecret",
    "ProcessSetting",
    "Registry",
    "SecretPair",
    "SigningSecret",
    "Tenant",
    "View",
]
