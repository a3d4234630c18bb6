"""Getters of a body's fields: the value when it fits, else a 400 that names the field."""

from collections.abc import Callable

import pytest

from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body


@pytest.mark.parametrize("body", [{}, {"a": None}])
def test_field_that_is_missing_or_null_has_its_default(body: Body) -> None:
    assert fields.string(body, "a") is None
    assert fields.boolean(body, "a") is False
    assert fields.number(body, "a", low=0, high=1) is None
    assert fields.integer(body, "a", low=0, high=1) is None
    assert fields.array(body, "a") == []


def test_field_of_the_right_type_is_given() -> None:
    body: Body = {"s": "", "t": True, "f": False, "n": 0.5, "i": 2, "l": [None]}
    assert fields.string(body, "s", required=True) == ""
    assert fields.boolean(body, "t") is True
    assert fields.boolean(body, "f") is False
    assert fields.number(body, "n", low=0, high=1) == 0.5
    assert fields.number(body, "i", low=2, high=2) == 2
    assert fields.integer(body, "i", low=2, high=2) == 2
    assert fields.array(body, "l", required=True) == [None]


def test_whole_number_may_be_written_as_a_float() -> None:
    value = fields.integer({"a": 5.0}, "a", low=0, high=9)
    assert value == 5
    assert type(value) is int


GETTERS: dict[str, tuple[Callable[[Body], object], str, list[object]]] = {
    "string": (lambda body: fields.string(body, "a"), "a string", [1, 1.5, True, [], {}]),
    "boolean": (lambda body: fields.boolean(body, "a"), "a boolean", [0, 1, "true", "", [], {}]),
    "number": (lambda body: fields.number(body, "a", low=0, high=2), "a number", ["1", True, False, [], {}]),
    "integer": (lambda body: fields.integer(body, "a", low=0, high=2), "a whole number", ["1", 1.5, True, [1], {}]),
    "array": (lambda body: fields.array(body, "a"), "an array", ["", "a", 0, False, {}]),
    "mapping": (lambda body: fields.mapping(body.get("a"), "a"), "an object", [None, "", 0, False, []]),
}
WRONG_TYPES = [
    pytest.param(getter, wanted, value, id=f"{name}-{value!r}")
    for name, (getter, wanted, values) in GETTERS.items()
    for value in values
]


@pytest.mark.parametrize(("getter", "wanted", "value"), WRONG_TYPES)
def test_field_of_the_wrong_type_is_refused(getter: Callable[[Body], object], wanted: str, value: object) -> None:
    with pytest.raises(BadRequest, match=f"^a must be {wanted}, not ") as caught:
        getter({"a": value})
    assert (caught.value.param, caught.value.code) == ("a", "invalid_type")


def test_required_field_that_is_missing_is_told_from_one_that_is_null() -> None:
    with pytest.raises(BadRequest, match="a is missing; it must be a string") as caught:
        fields.string({}, "a", required=True)
    assert (caught.value.param, caught.value.code) == ("a", "missing_required_parameter")
    with pytest.raises(BadRequest, match="a must be an array, not null") as caught:
        fields.array({"a": None}, "a", required=True)
    assert (caught.value.param, caught.value.code) == ("a", "invalid_type")


def test_error_names_the_whole_path() -> None:
    with pytest.raises(BadRequest, match=r"^messages\[0\]\.name must") as caught:
        fields.string({"name": 1}, "name", path="messages[0].")
    assert caught.value.param == "messages[0].name"


@pytest.mark.parametrize("value", [-0.001, 2.001, -1, 3, 1e308, -(10**400), 10**400])
def test_number_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(BadRequest, match="a must be between 0 and 2, not ") as caught:
        fields.number({"a": value}, "a", low=0, high=2)
    assert caught.value.param == "a"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", [0, 10, -1, 1e300, 10**4000])
def test_whole_number_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(BadRequest, match="a must be between 1 and 9, not ") as caught:
        fields.integer({"a": value}, "a", low=1, high=9)
    assert caught.value.param == "a"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", ["x" * 1000, ["x"] * 1000, 10**1000, {"a": "x" * 1000}])
def test_value_in_a_message_is_kept_short(value: object) -> None:
    assert len(fields.shown(value)) == 80
    assert fields.shown(value).endswith("...")


def test_text_in_a_message_cannot_break_its_line() -> None:
    assert fields.shown("a\r\nb") == "'a\\r\\nb'"
