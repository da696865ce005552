# SPDX-License-Identifier: Apache-2.0
"""What the routes of dead letters are asked, in queries and in JSON bodies; every fault at once, each with its place."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from bridge.cloudevents import jsontext, syntax
from bridge.deadletters.index import Wanted
from bridge.deadletters.read import place_of
from bridge.domain import patterns
from bridge.domain.errors import Fault, UnsupportedMedia
from bridge.domain.moments import moment_ms
from bridge.kafka.paced import DEFAULT_RATE
from web.http.faults import InvalidRequest
from web.http.messages import Request

MOST = 500
"""Letters of one page, and of one bulk call."""
FIELDS = 16

ModelT = TypeVar("ModelT", bound=BaseModel)


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a time as text, such as 2026-01-31T12:00:00Z")
    return moment_ms(value)


def _pattern(value: str) -> str:
    if wrong := patterns.fault(value):
        raise ValueError(wrong)
    return value


Moment = Annotated[int, BeforeValidator(_moment)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Cursor = Annotated[tuple[int, str], BeforeValidator(place_of)]


class Filters(BaseModel):
    """Which letters; each filter that is given must hold."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[Text, AfterValidator(_pattern)] | None = None
    process: Text | None = None
    reason: Text | None = None
    since: Moment = 0
    until: Moment = 0

    def wanted(self, tenant: str, keys: list[str] | None = None) -> Wanted:
        """Give the tenant's letters that are meant."""
        named = None if keys is None else frozenset(keys)
        return Wanted(tenant, self.type or "", self.process or "", self.reason or "", self.since, self.until, named)


class Listing(Filters):
    """The query of a list; `cursor` is where an earlier page ended."""

    limit: int = Field(50, ge=1, le=MOST)
    cursor: Cursor | None = None


class Bulk(Filters):
    """The body of a purge; with `keys` only those of them that the filters let through. `rate` is per second."""

    keys: Annotated[list[Text], Field(min_length=1, max_length=MOST)] | None = None
    dry_run: bool = False
    rate: float = Field(DEFAULT_RATE, ge=1, le=10_000)
    limit: int = Field(MOST, ge=1, le=MOST)


class Replay(Bulk):
    """The body of a replay; what was replayed before the time `again` is replayed once more."""

    again: Moment = 0


def read_query(raw: str) -> Listing:
    """Read the query of a list. Raises: InvalidRequest with every fault."""
    try:
        fields = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except UnicodeDecodeError:
        raise InvalidRequest(Fault("query:", "is not percent-encoded UTF-8")) from None
    except ValueError:
        raise InvalidRequest(Fault("query:", f"has more than {FIELDS} parameters")) from None
    names = [name for name, _ in fields]
    twice = [Fault(f"query:{name}", "is given twice") for name in dict.fromkeys(names) if names.count(name) > 1]
    return _read(Listing, dict(fields), "query:", twice, strict=False)


def read_body(request: Request, model: type[ModelT]) -> ModelT:
    """Read a JSON body. Raises: InvalidRequest with every fault, UnsupportedMedia."""
    content_type = request.headers.get("content-type", "application/json")
    if syntax.media_type(content_type) != "application/json":
        raise UnsupportedMedia("Send the body as application/json.")
    if wrong := jsontext.fault(request.body):
        raise InvalidRequest(Fault("", wrong))
    given = orjson.loads(request.body)
    if not isinstance(given, dict):
        raise InvalidRequest(Fault("", "must be an object"))
    return _read(model, given, "/", [], strict=True)


def _read(model: type[ModelT], given: dict[str, Any], prefix: str, faults: list[Fault], *, strict: bool) -> ModelT:
    try:
        found = model.model_validate(given, strict=strict)
    except ValidationError as err:
        faults = [*faults, *(Fault(prefix + _place(one["loc"]), _said(one)) for one in err.errors())]
    if faults:
        raise InvalidRequest(*faults)
    return found


def _place(loc: tuple[int | str, ...]) -> str:
    return "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in loc)


def _said(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "is not known here"
    text: str = error["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
