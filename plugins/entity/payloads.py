# SPDX-License-Identifier: Apache-2.0
"""
The payloads of messages about entities, as the document has them; every fault of one is named together.

Members that are not known are passed over: callers are told to send bodies of the vendor's own API.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

PROPERTIES, ITEMS, LAYERS = 2000, 1000, 100
"""Most properties of an entity, items of a collection, and names in one access layer."""

Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class InvalidPayload(Exception):
    """A payload with faults; its text names all of them, each with its place."""


class Shape(BaseModel):
    """A part of a payload: named as in JSON, strict in its types."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True)


class Single(Shape):
    """A property with one value, of any kind."""

    type: Literal["Single"]
    value: Any = None


class Item(Shape):
    """One item of a collection."""

    properties: Annotated[dict[Key, Single], Field(max_length=PROPERTIES)]


class Collection(Shape):
    """A property with items, each under an id of its own."""

    type: Literal["Collection"]
    data_group_id: str | None = None
    collections: Annotated[dict[Key, Item], Field(max_length=ITEMS)] = {}


Property = Annotated[Single | Collection, Field(discriminator="type")]
Properties = Annotated[dict[Key, Property], Field(max_length=PROPERTIES)]


class AccessLayers(Shape):
    """Who may see an entity, by business and by place."""

    business_related: Annotated[list[Text], Field(max_length=LAYERS)] = []
    geographic: Annotated[list[Text], Field(max_length=LAYERS)] = []


class Create(Shape):
    """A new entity."""

    type: Text
    properties: Properties
    access_layers: AccessLayers = AccessLayers()
    target_entity: Text | None = None
    alternate_id: Text | None = None


class Update(Shape):
    """A change of an entity; its type may be called `entityType` or `type`, and need not be given."""

    entity_type: Text | None = None
    properties: Properties
    version: Annotated[int, Field(ge=0)] | None = None
    target_entity: Text | None = None
    access_layers: AccessLayers | None = None

    @model_validator(mode="before")
    @classmethod
    def _either_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("entityType") is None and "type" in given:
            return {**given, "entityType": given["type"]}
        return given


PayloadT = TypeVar("PayloadT", bound=Shape)


def read(model: type[PayloadT], payload: Any) -> PayloadT:
    """Read a payload. Raises: InvalidPayload."""
    try:
        return model.model_validate(payload)
    except ValidationError as err:
        faults = [f"payload{''.join(f'.{part}' for part in e['loc'])}: {e['msg']}" for e in err.errors(include_input=False)]
        raise InvalidPayload("; ".join(faults)) from err
