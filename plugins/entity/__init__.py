# SPDX-License-Identifier: Apache-2.0
"""
Entities: made and changed by messages of Event Ingress, each change on a draft that a journey verifies.

`processes` is what the worker runs, `payloads` what a message may hold, `changes` what becomes of an entity.
"""

from plugins.entity.processes import bridge_processes

__all__ = ["bridge_processes"]
