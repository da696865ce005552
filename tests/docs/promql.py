# SPDX-License-Identifier: Apache-2.0
"""Reads PromQL as roughly as it takes to know which metrics an expression names, and which labels it selects or groups by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.metrics import described

OURS = re.compile(r"\bevb_\w+")
SELECTED = re.compile(r"\b(evb_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
CALLED = re.compile(r"\b([a-z_]+)\s*\(")
SCRAPED = frozenset({"instance", "job"})
"""Labels that Prometheus puts on everything."""

FUNCTIONS = frozenset({"sum", "max", "min", "count", "rate", "increase", "deriv", "absent", "histogram_quantile", "vector"})
WORDS = frozenset({"by", "on", "ignoring", "without", "or", "and", "unless"})


@dataclass(frozen=True, slots=True)
class Named:
    """What an expression names."""

    metrics: frozenset[str]
    labels: frozenset[str]
    functions: frozenset[str]


def known() -> Mapping[str, frozenset[str]]:
    """Every name that Prometheus shows of the catalogue, with its labels."""
    found = {}
    for metric in described():
        labels = frozenset(metric.labels)
        found[metric.name] = labels
        if metric.kind == "histogram":
            found |= {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
    return found


def named(expression: str) -> Named:
    """Give what an expression names."""
    labels = {label for _, inside in SELECTED.findall(expression) for label in MATCHER.findall(inside)}
    bare = re.sub(r'"[^"]*"|\{[^}]*\}', "", expression)
    labels |= {label.strip() for inside in GROUPED.findall(bare) for label in inside.split(",") if label.strip()}
    return Named(frozenset(OURS.findall(bare)), frozenset(labels), frozenset(CALLED.findall(bare)))


def faults(expression: str) -> list[str]:
    """Say what is wrong with an expression: names that the catalogue does not have, brackets that do not match."""
    found, catalogue = named(expression), known()
    wrong = [f"{name} is no metric" for name in sorted(found.metrics - catalogue.keys())]
    labels = frozenset().union(*(catalogue.get(name, frozenset()) for name in found.metrics)) | SCRAPED
    wrong += [f"{label} is no label of {', '.join(sorted(found.metrics))}" for label in sorted(found.labels - labels)]
    wrong += [f"{name}() is not known here" for name in sorted(found.functions - FUNCTIONS - WORDS)]
    if not found.metrics:
        wrong.append("it names no metric of ours")
    wrong += [f"{a}{b} do not match" for a, b in ("()", "[]", "{}") if expression.count(a) != expression.count(b)]
    return wrong
