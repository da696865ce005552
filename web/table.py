# SPDX-License-Identifier: Apache-2.0
"""All routes of all dialects, once: what the RSGI door answers on the loop and Flask registers as views."""

from __future__ import annotations

from bridge.settings import Settings
from web.dialects.buildable.routes import routes as buildable
from web.dialects.cloudevents.routes import ROUTES as CLOUDEVENTS
from web.dialects.eventingress.routes import ROUTES as EVENT_INGRESS
from web.dialects.flow.routes import ROUTES as FLOW
from web.dialects.fx.routes import ROUTES as FX
from web.http.table import Table


def table(settings: Settings) -> Table:
    """Give the table of every dialect's routes."""
    return Table((*CLOUDEVENTS, *FX, *EVENT_INGRESS, *FLOW, *buildable(settings.buildable_prefix)))
