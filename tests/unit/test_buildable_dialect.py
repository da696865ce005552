# SPDX-License-Identifier: Apache-2.0
"""How the Buildable dialect reads members and writes models; nothing here needs Kafka or Redis."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.claims.lists import Listed
from bridge.claims.rows import Row
from bridge.claims.state import LEASE, Change, Claim, State
from bridge.domain.errors import InvalidEvent, NotAuthenticated, TooLarge
from web.dialects.buildable import failures, requests, translate, wire

KEY = "0123456789abcdef0123456789abcdef"
DASHED = "01234567-89ab-cdef-0123-456789abcdef"
ROW = Row("live", "custom", "shop", "user.created", 1000)
ONE = "0123456789ab"


def listed(**claims: Claim) -> Listed:
    return Listed(DASHED, ROW, b'{"n":1}', {name: (claim, 1) for name, claim in claims.items()})


def faults(body: bytes, into: Callable[[wire.Reader], object]) -> dict[str, str]:
    with pytest.raises(InvalidEvent) as caught:
        wire.read(body, into)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b"{", b'{"a":NaN}', b"\xff"])
def test_only_an_object_is_a_request(body: bytes) -> None:
    assert list(faults(body, requests.emit)) == [""]


def test_empty_texts_and_nulls_are_left_out_members() -> None:
    found = wire.read(
        b'{"eventName":"e","txKey":"t","since":null,"platform":"","label":null,"txState":"","page":null}', requests.query
    )
    assert found == requests.Query(requests.Name("e", "", ""), "t", 0, State.NONE, 1, 10)


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        ('"since":"1"', "must be a whole number"),
        ('"since":1.5', "must be a whole number"),
        ('"since":true', "must be a whole number"),
        ('"page":0', "must be 1 to 1000000000"),
        ('"pageSize":101', "must be 1 to 100"),
        ('"label":"a.b"', "must not have dots: they separate it from the other parts of a full name"),
        ('"txState":"done"', "must be one of does-not-exist, created, processing, finished, failed"),
        ('"platform":"a\\u0000"', "has a control character"),
    ],
)
def test_what_is_wrong_with_a_member_is_said(member: str, fault: str) -> None:
    name = json.loads("{" + member + "}").popitem()[0]
    found = faults(f'{{"eventName":"e","txKey":"t",{member}}}'.encode(), requests.query)
    assert list(found) == [f"/{name}"]
    assert fault.split()[0] in found[f"/{name}"]


def test_whole_numbers_may_be_written_as_decimals() -> None:
    assert wire.read(b'{"eventName":"e","txKey":"t","since":1700000000000.0}', requests.query).since_ms == 1_700_000_000_000


def test_the_payload_is_the_slice_that_was_sent() -> None:
    assert wire.read(b'{ "event" : "e", "payload" :  {"big" : 123456789012345678901234567890 } }', requests.emit).payload == (
        b'{"big" : 123456789012345678901234567890 }'
    )


@pytest.mark.parametrize(("given_", "kept"), [("null", None), ('""', ""), ('"\\u00e9"', "é"), ('"{}"', "{}")])
def test_an_output_is_any_text(given_: str, kept: str | None) -> None:
    found = wire.read(f'{{"key":"k","txKey":"t","state":"finished","output":{given_}}}'.encode(), requests.transact)
    assert found.output == kept


OPERATIONS = (requests.emit, requests.query, requests.init, requests.update, requests.transact, requests.full_name)
MEMBERS = ["event", "payload", "eventName", "txKey", "since", "platform", "label", "txState", "page", "pageSize", "key"]
MEMBERS += ["state", "output"]
ODD = [None, True, 0, -1, 2**70, 1.5, 1e300, "", " ", "a.b", "\0", "\ud800", "x" * 300, [], {}, [1], {"a": 1}, *State]


def known_faults(body: bytes, operation: Callable[[wire.Reader], object]) -> list[str]:
    """Read a body; gives the pointers of its faults, none where it was read."""
    try:
        wire.read(body, operation)
    except InvalidEvent as err:
        return [fault.pointer for fault in err.faults]
    return []


@given(st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(ODD)), st.sampled_from(OPERATIONS))
def test_whatever_is_sent_is_read_or_its_faults_are_named(
    members: dict[str, object], operation: Callable[[wire.Reader], object]
) -> None:
    found = known_faults(json.dumps(members).encode(), operation)
    assert len(found) == len(set(found))
    assert {pointer.removeprefix("/") for pointer in found} <= {*MEMBERS, ""}


@given(st.binary(), st.sampled_from(OPERATIONS))
def test_any_bytes_are_read_or_refused(body: bytes, operation: Callable[[wire.Reader], object]) -> None:
    assert known_faults(body, operation)


@given(st.uuids())
def test_keys_lose_their_dashes_and_get_them_again(key: object) -> None:
    assert translate.event_key(translate.key_of(str(key))) == str(key)


@pytest.mark.parametrize("key", ["", "x" * 32, KEY.upper(), KEY + "0", DASHED])
def test_another_form_is_no_key(key: str) -> None:
    assert translate.event_key(key) is None


@pytest.mark.parametrize(
    ("name", "full"),
    [
        (("a.b", "", ""), "custom.shop.a.b"),
        (("custom.shop.a.b", "", ""), "custom.shop.a.b"),
        (("a.b", "stripe", ""), "stripe.shop.a.b"),
        (("stripe.main.a.b", "stripe", "main"), "stripe.main.a.b"),
        (("custom.other.a.b", "", ""), "custom.shop.custom.other.a.b"),
    ],
)
def test_a_name_is_made_full_with_the_callers_own_parts(name: tuple[str, str, str], full: str) -> None:
    assert translate.full_name(requests.Name(*name), "shop") == full


def test_the_full_name_of_another_secret_key_of_the_tenant_is_full() -> None:
    given = "custom.orders.order.paid"
    assert translate.full_name(requests.Name(given, "", ""), "shop", ["orders"]) == given
    assert translate.full_name(requests.Name(given, "", "main"), "shop", ["orders"]) == f"custom.main.{given}"


def test_an_event_is_shown_as_one_transaction_key_sees_it() -> None:
    mine = Claim((Change(State.CREATED, 5, ONE), Change(State.FINISHED, 7, ONE)))
    theirs = Claim((Change(State.CREATED, 6, ONE),), 900)
    found = listed(mine=mine, theirs=theirs)
    shown = translate.event(found, "acme", "mine", 50, {ONE: "shop"}.__getitem__)
    assert (shown["state"], shown["ttl"], shown["v"]) == ("finished", 1050, 3)
    assert shown["history"][0] == {"enterState": "created", "exitState": "does-not-exist", "timestamp": 5, "updatedBy": "shop"}
    assert shown["processing"] == {
        "hasTransactions": True,
        "totalTransactions": 2,
        "hasFutureTransactions": True,
        "isCompleted": False,
    }
    other = translate.event(found, "acme", "nobody", 50, str)
    assert (other["state"], other["history"]) == ("does-not-exist", [])


def test_what_was_given_back_is_no_transaction_and_a_new_holder_has_another() -> None:
    gone = Claim((Change(State.CREATED, 5, ONE), Change(State.NONE, 9, LEASE)))
    assert translate.event(listed(t=gone), "acme", "t", 50, str)["processing"]["totalTransactions"] == 0
    again = Claim((*gone.changes, Change(State.CREATED, 20, ONE)), 900)
    first, second = (translate.transaction(listed(t=one), "t", 50, str) for one in (gone, again))
    assert first["_id"] != second["_id"]
    assert second["startedAt"] == 20
    assert second["history"][1]["updatedBy"] == "lease"
    assert "endedAt" not in second


def test_errors_have_the_dialects_form_and_keep_their_headers() -> None:
    answer = failures.answer_of(NotAuthenticated(), "r1")
    assert json.loads(answer.body) == {"status": "error", "name": "invalid-secret", "message": "Invalid secret", "code": 401}
    assert dict(answer.headers)["content-type"] == "application/json"
    assert json.loads(failures.answer_of(TooLarge(5), "r1").body)["name"] == "too-large"
