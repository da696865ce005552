# SPDX-License-Identifier: Apache-2.0
"""What counts as JSON at the doors: a table of texts, the bounds of time and depth, and another parser as a second opinion."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cloudevents import jsontext
from bridge.domain.limits import JSON_DEPTH
from tests.timing import quickest

GOOD = [
    *(b"[]", b"{}", b"[ ]", b"{ }", b" [] ", b"\t[]\r\n", b"[[],[[]]]", b'{"a":{"b":[]}}', b"[{}]", b'{"":0}'),
    *(b"null", b"true", b"false", b'""', b'"a"', b"0", b"-0", b"1", b"-1", b"10", b"123456789012345678901234567890"),
    *(b"0.1", b"-0.0", b"1.0", b"1e1", b"1E1", b"1e+1", b"1e-1", b"0e0", b"1.5e300", b"1e400", b"-1e-400", b"[1e99999]"),
    *(b'"\\""', b'"\\\\"', b'"\\/"', b'"\\b\\f\\n\\r\\t"', b'"\\u0000"', b'"\\u00e4"', b'"\\u00E4"', b'"\\uD83D\\uDE00"'),
    *(b'"\x7f"', b'"\xc3\xa4"', b'"\xf0\x9f\x98\x80"', b'"\xef\xbf\xbf"', b'"\\uFFFF"', b'"\\u2028"', b'"\xe2\x80\xa8"'),
    *(b'{"a":1,"a":2}', b'{"a":[1,2,{"b":null}]}', b"[1 , 2 ]", b'{"a" : 1}', b'["\\\\\\""]', b'{"\\u0061":1}', b'["\\\\"]'),
    *(b"[" * JSON_DEPTH + b"]" * JSON_DEPTH, b'{"a":' * JSON_DEPTH + b"1" + b"}" * JSON_DEPTH, b"[" + b"[]," * 999 + b"[]]"),
    *(b'["' + b"[" * 2000 + b'"]', b'["\\"' + b"[{" * 2000 + b'"]', b'["\\\\",' + b"[" * 10 + b"]" * 10 + b"]"),
]
BAD = [
    *(b"", b" ", b"\n", b"[", b"]", b"{", b"}", b"[}", b"{]", b"[1", b"[1,", b"[,1]", b"[1,]", b"[,]", b"[1,,2]", b"[1 2]"),
    *(
        b"[]]",
        b"[][]",
        b"{}{}",
        b"{},",
        b"[]x",
        b"[]\x00",
        b"1 2",
        b"nul",
        b"nulll",
        b"True",
        b"FALSE",
        b"tru",
        b"t",
        b"undefined",
    ),
    *(b"NaN", b"-NaN", b"[NaN]", b"Infinity", b"-Infinity", b"[Inf]", b"+1", b"++1", b"--1", b"- 1", b"-", b"01", b"-01", b"00"),
    *(
        b".5",
        b"-.5",
        b"1.",
        b"1.e1",
        b"1e",
        b"1e+",
        b"1e1.5",
        b"1ee1",
        b"0x1",
        b"1_000",
        b"1,000",
        b"0b1",
        b"1a",
        b"\xef\xbc\x91",
    ),
    *(
        b'"',
        b'"a',
        b'a"',
        b"'a'",
        b'"\\"',
        b'"\\x61"',
        b'"\\a"',
        b'"\\u"',
        b'"\\u12"',
        b'"\\u12G4"',
        b'"\\U00e4"',
        b'"\\ "',
        b'"\\\n"',
    ),
    *(b'"\x00"', b'"\x1f"', b'"\n"', b'"\t"', b'["a\x00a"]', b'"\\\xc3\xa4"', b'"\\u\xc3\xa4"'),
    *(b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\ud800\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800x"', b'{"\\ud800":1}'),
    *(b'"\xff"', b'"\xc0\x80"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe0\x80\xaf"', b'"\x80"', b'{"\xff":1}'),
    *(
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf",
        b"\xff\xfe[\x00]\x00",
        b"\xfe\xff\x00[\x00]",
        b"[\x00]\x00",
        b"\xc2\xa0[]",
        b"\xe2\x81\xa0[]",
    ),
    *(b"{1:1}", b"{a:1}", b"{null:1}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}', b'{"a"::1}', b'{"a":1 "b":2}'),
    *(b"{'a':1}", b'{"a":1', b'{"a', b'{"a":"', b'{"a":1;}', b"{[]:1}", b'{"a":1}}', b'["a":1]', b'{"a","b"}', b"{{}}"),
    *(
        b"//\n1",
        b"/**/1",
        b"[1]//",
        b"# 1",
        b"[\x0b1]",
        b"\x0c1",
        b"[\x85]",
        b"*",
        b"<a/>",
        b"[1\xe2\x80\xa8]",
        b"[-]",
        b"[-a]",
        b"[1-2]",
    ),
    *(b"[" * (JSON_DEPTH + 1) + b"]" * (JSON_DEPTH + 1), b'{"a":' * (JSON_DEPTH + 1) + b"1" + b"}" * (JSON_DEPTH + 1)),
    b"[" + (b"[" * JSON_DEPTH + b"]" * JSON_DEPTH + b",") * 20 + b"0]",
]


def test_the_table_is_long_enough() -> None:
    assert len(set(GOOD + BAD)) >= 190


@pytest.mark.parametrize("text", GOOD, ids=lambda text: repr(text[:24]))
def test_json_is_let_through(text: bytes) -> None:
    assert jsontext.fault(text) == ""


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:24]))
def test_what_is_not_json_is_named(text: bytes) -> None:
    assert jsontext.fault(text)


def test_the_fault_says_where() -> None:
    assert jsontext.fault(b'{"a": NaN}').endswith("at byte 6")
    assert jsontext.fault(b'["\xff"]') == "is not UTF-8 at byte 2"
    assert jsontext.fault(b'{"a": 1') == "is not JSON: it ends too early, at byte 7"
    assert jsontext.fault(b"[" * 100_000) == f"is nested more than {JSON_DEPTH} deep"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(1_000_000)) + b"}",
        b"[" + b",".join([b"[" * 490 + b"]" * 490] * 1000) + b"]",
        b'["' + b'\\"' * 500_000 + b'"]',
    ],
    ids=["deep", "deep and open", "deep objects", "a million keys", "a comb", "escapes"],
)
def test_hostile_texts_cost_little(text: bytes) -> None:
    """50 ms is the promise."""
    assert quickest(lambda: jsontext.fault(text), 0.05) < 0.05


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=30), st.text(alphabet='[]{}",:\\u0dD8eE+-.19 \ntruefalsn', max_size=20).map(str.encode)))
def test_a_second_parser_agrees(text: bytes) -> None:
    assert (jsontext.fault(text) == "") == _python_reads(text)


def _python_reads(text: bytes) -> bool:
    """Ask Python's parser, made strict where it is lax: NaN, lone surrogates, byte order marks, other encodings."""
    try:
        json.dumps(json.loads(text.decode(), parse_constant=_refuse), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)
