# SPDX-License-Identifier: Apache-2.0
"""
What each kind of problem means to a caller: answered at `/problems/<code>`, and the table of docs/reference/errors.md.

One entry for each error that an answer can name; a test compares them with the tree.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.domain import errors
from web.http import faults

MEANING: dict[type[errors.BridgeError], str] = {
    errors.InvalidEvent: "The request is not an event; `errors` names every fault with its place.",
    errors.InvalidWorkflow: "The document is no workflow; `errors` names every fault with its place.",
    errors.InvalidValue: "A value of a management request is wrong; `detail` names it and says what is wanted.",
    faults.InvalidRequest: "A query parameter, a header or a member of a management request is wrong; `errors` names every one.",
    faults.MalformedRequest: "The path, a header or the Content-Length cannot be read, or there is a body where none belongs.",
    errors.NotAuthenticated: "There is no valid credential: missing, wrong, revoked, expired, or two that are not of one tenant.",
    errors.NotAllowed: "The credential is valid and lacks the scope that `detail` names.",
    errors.NotFound: "There is nothing of this name, or it is another tenant's: the two cannot be told apart.",
    faults.MethodNotAllowed: "The resource does not know this method; the header `Allow` names those that it knows.",
    faults.BodyTimeout: "The body did not arrive within EVB_READ_TIMEOUT_S.",
    errors.Conflict: "This source and id were used for an event with other content, or the thing was changed meanwhile.",
    errors.LengthRequired: "Send a Content-Length: bodies of unknown length (chunked) are not read.",
    errors.TooLarge: "The body is longer than EVB_MAX_BODY_BYTES; nothing of it was read.",
    errors.TreeTooLarge: "A correlation id ties more together than one look-up shows. Look single events up, or read the topic.",
    errors.UnsupportedMedia: "The content type, its charset or the content encoding is none that this resource reads.",
    errors.TooManyRequests: "A rate window of the tenant is full; nothing was stored. Send again after `Retry-After` seconds.",
    errors.BridgeError: "A fault of ours. The log has the rest under the request's id.",
    errors.Unavailable: "The server cannot serve now, perhaps because it is starting. Send again after `Retry-After` seconds.",
    errors.BrokerUnavailable: "Kafka did not confirm the event in time. It may be stored: send it again with the same id.",
    errors.ViewUnavailable: "Redis is away, or its view is being rebuilt from Kafka. Ask again; events are accepted meanwhile.",
}


def by_status() -> list[tuple[type[errors.BridgeError], str]]:
    """Give every problem with its meaning, ordered by status and code."""
    return sorted(MEANING.items(), key=lambda item: (item[0].status, item[0].code))


def every_error(root: type[errors.BridgeError] = errors.BridgeError) -> Iterator[type[errors.BridgeError]]:
    """Give every class of the tree that has been imported, each after its parent."""
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)
