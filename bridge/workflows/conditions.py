# SPDX-License-Identifier: Apache-2.0
"""A trigger's conditions: one value of what triggers, found by a JSONPath, compared with what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from bridge.workflows import paths
from bridge.workflows.limits import TEXT_CHARS
from bridge.workflows.patterns import full_match
from bridge.workflows.references import as_text
from bridge.workflows.shape import Shape

Value = Annotated[str, Field(max_length=TEXT_CHARS)]


class Condition(Shape):
    """`equals` and `matches` compare with `value` (a pattern for the whole of the text), `in` with each of `values`."""

    field: Value
    operation: Literal["equals", "matches", "in"]
    value: Value = ""
    values: Annotated[tuple[Value, ...], Field(max_length=100)] = ()
    _path: paths.Path = PrivateAttr(())
    _fits: Callable[[str], bool] = PrivateAttr(bool)

    @model_validator(mode="after")
    def _prepare(self) -> Condition:
        try:
            self._path = paths.parse(self.field)
        except ValueError as err:
            raise ValueError(f"field: {err}") from err
        if self.operation == "equals":
            self._fits = self.value.__eq__
        elif self.operation == "in":
            self._fits = frozenset(self.values).__contains__
        else:
            try:
                self._fits = full_match(self.value)
            except ValueError as err:
                raise ValueError(f"value: {err}") from err
        return self

    def holds(self, facts: Any) -> bool:
        """Say whether the condition holds; it does not where the place is missing, null, an object or a list."""
        found = paths.look_up(self._path, facts)
        if found is paths.MISSING or found is None or isinstance(found, (dict, list)):
            return False
        return self._fits(as_text(found))


def hold(conditions: Sequence[Condition], facts: Any) -> bool:
    """Say whether all conditions hold."""
    return all(condition.holds(facts) for condition in conditions)
