"""JSON from anyone: what is not plain, finite UTF-8 JSON is a 400, never another exception."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.errors import BadRequest, GatewayError
from agproxy.jsonwire import decode_json, decode_object, encode_json, json_type

REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("only spaces", b" \r\n\t", "is empty"),
    ("only a byte order mark", b"\xef\xbb\xbf", "is empty"),
    ("no JSON", b"model=gpt-4o", "is not JSON"),
    ("half a document", b'{"model": "gpt', "is not JSON"),
    ("two documents", b"{} {}", "is not JSON"),
    ("trailing comma", b'{"a": 1,}', "is not JSON"),
    ("single quotes", b"{'a': 1}", "is not JSON"),
    ("raw line end in a string", b'{"a": "x\ny"}', "is not JSON"),
    ("NUL", b'{"a": 1}\x00', "is not JSON"),
    ("NaN", b'{"a": NaN}', "NaN is not JSON"),
    ("Infinity", b'{"a": [Infinity]}', "Infinity is not JSON"),
    ("-Infinity", b"-Infinity", "-Infinity is not JSON"),
    ("1e999", b'{"a": 1e999}', "1e999 is too large"),
    ("-1e999", b'{"a": {"b": -1e999}}', "-1e999 is too large"),
    ("a float of many digits", b"[" + b"9" * 5000 + b".5]", "is too large"),
    ("5,000-digit integer", b'{"a": ' + b"9" * 5000 + b"}", "number"),
    ("-5,000-digit integer", b'{"a": -' + b"9" * 5000 + b"}", "number"),
    ("arrays 100,000 deep", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ("objects 100,000 deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    ("arrays 201 deep", b"[" * 201 + b"]" * 201, "nested too deeply"),
    ("deep in a wide one", b'{"a":[' + b"{}," * 300 + b'{"b":' * 199 + b"1" + b"}" * 199 + b"]}", "nested too deeply"),
    ("arrays that never end", b"[" * 100_000, "nested too deeply"),
    ("invalid UTF-8", b'{"a": "\xff"}', "not UTF-8: byte 7"),
    ("UTF-8 cut in a character", b'"\xc3', "not UTF-8"),
    ("surrogates in UTF-8", b'"\xed\xa0\x80"', "not UTF-8"),
    ("Latin-1", '{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "not UTF-8"),
    ("UTF-16 without its mark", '{"a": 1}'.encode("utf-16-le"), "is not JSON"),
    ("UTF-32", '{"a": 1}'.encode("utf-32"), "not UTF-8"),
    ("lone high surrogate", rb'{"a": "\ud800"}', "surrogate"),
    ("lone high surrogate, upper case", rb'{"a": "\uD83D"}', "surrogate"),
    ("lone high surrogate, mixed case", rb'{"a": "\udBfF!"}', "surrogate"),
    ("lone low surrogate", rb'{"a": "x\udc00"}', "surrogate"),
    ("lone low surrogate, upper case", rb'["\uDFFF"]', "surrogate"),
    ("a pair the wrong way round", rb'"\udc00\ud800"', "surrogate"),
    ("a surrogate parted from its other half", rb'"\ud83d \ude00"', "surrogate"),
    ("lone surrogate in a key", rb'{"\ud800": 1}', "surrogate"),
    ("lone surrogate in a key far down", rb'{"a": [{"b": {"x\uDC00": null}}]}', "surrogate"),
    ("lone surrogate after an escaped backslash", rb'"\\\ud800"', "surrogate"),
]

TAKEN: list[tuple[str, bytes, Any]] = [
    ("an object", b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
    ("a byte order mark", b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ("blanks around it", b'\r\n {"a": 1}\t\n', {"a": 1}),
    ("UTF-8", '{"a": "é 日本 🦊"}'.encode(), {"a": "é 日本 🦊"}),
    ("a surrogate pair", rb'{"a": "\ud83e\udd8a"}', {"a": "🦊"}),
    ("a surrogate pair, upper case", rb'{"\uD83E\uDD8A": 1}', {"🦊": 1}),
    ("an escaped backslash before ud800", rb'{"a": "\\ud800"}', {"a": "\\ud800"}),
    ("an escaped backslash before uDC00", rb'{"\\uDC00": "C:\\users\\udd"}', {"\\uDC00": "C:\\users\\udd"}),
    ("other escapes", rb'"\u00e9\ue000\uffff\u0000"', "\xe9\ue000\uffff\0"),
    ("a large exponent", b"[1e308, -1e308, 1e-999]", [1e308, -1e308, 0.0]),
    ("a long integer", b"9" * 4000, int("9" * 4000)),
    ("many that are not deep", b"[" + b"[{}]," * 500 + b"0]", [[{}]] * 500 + [0]),
    ("nesting that is merely deep", b"[" * 200 + b"]" * 200, json.loads("[" * 200 + "]" * 200)),
    ("a key twice: the last one counts", b'{"a": 1, "a": 2}', {"a": 2}),
]


@pytest.mark.parametrize(("body", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_json_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_json(body)
    assert words in caught.value.message
    assert caught.value.code == "invalid_json"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(("body", "value"), [case[1:] for case in TAKEN], ids=[case[0] for case in TAKEN])
def test_good_json_is_taken(body: bytes, value: object) -> None:
    assert decode_json(body) == value


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[1]", "an array"),
        (b'"text"', "a string"),
        (b"7", "a number"),
        (b"7.5", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
    ],
)
def test_what_is_no_object_is_refused_by_its_type(body: bytes, kind: str) -> None:
    with pytest.raises(BadRequest, match=f"must be a JSON object, not {kind}") as caught:
        decode_object(body)
    assert caught.value.code == "invalid_json"


def test_object_is_given_as_a_dictionary() -> None:
    assert decode_object(b'{"a": {}}') == {"a": {}}


def test_error_says_where_the_json_is_wrong() -> None:
    with pytest.raises(BadRequest, match="at line 2, column 8"):
        decode_json(b'{\n  "a": tru\n}')


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    try:
        decode_json(body)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017 - most inputs are refused, some are not


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


@given(_JSON, st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_what_others_encode_is_decoded(value: object, ascii_only: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(_JSON)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_what_is_encoded_is_decoded_again(value: object) -> None:
    wire = encode_json(value)
    assert decode_json(wire) == value
    assert b"\n" not in wire  # it has to fit a line of server-sent events


def test_encoded_json_is_compact_utf8() -> None:
    assert encode_json({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()


def test_lone_surrogate_is_encoded_as_its_escape() -> None:
    wire = encode_json({"a": "é\ud800", "\udc00": 1})
    assert wire == rb'{"a":"\u00e9\ud800","\udc00":1}'
    assert json.loads(wire) == {"a": "é\ud800", "\udc00": 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_json_does_not_know_is_not_encoded(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"a": value})


def test_type_that_is_not_of_json_has_a_name_too() -> None:
    assert json_type(object()) == "something else"
