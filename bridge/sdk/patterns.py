# SPDX-License-Identifier: Apache-2.0
"""Dotted patterns of event types, for processes whose options have some: `matches` and `fault`, as the router knows them."""

from bridge.domain.patterns import fault, matches

__all__ = ["fault", "matches"]
