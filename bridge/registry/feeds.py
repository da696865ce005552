# SPDX-License-Identifier: Apache-2.0
"""Where a tenant's feeds of notices are, as objects of the registry; moved by `bridge.notifications`."""

from __future__ import annotations

import msgspec

from bridge.registry.fields import Millis, Name


class FeedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The offset, in the partition of the tenant's notices, before which everything of a feed is completed."""

    tenant: Name
    feed: Name
    next: Millis = 0
