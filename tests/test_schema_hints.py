"""``agproxy.schema_hints``: short sentences about what Gemini does not honour."""

import pytest

from agproxy.schema_hints import MAX_HINTS, hints

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("pattern", "^a{2}$", "Must match the pattern ^a{2}$."),
        ("minLength", 2, "Minimum length: 2."),
        ("minLength", 0, ""),
        ("maxLength", "2", ""),
        ("format", "uuid", "Format: uuid."),
        ("format", "enum", ""),
        ("default", "x", 'Default: "x".'),
        ("default", False, "Default: false."),
        ("default", None, ""),
        ("default", ["x"], ""),
        ("examples", ["a", "b", "c", "d"], 'Examples: "a", "b", "c".'),
        ("examples", [["a"]], ""),
        ("not", {"enum": ["x", 1]}, 'Must not be "x", 1.'),
        ("not", {"required": ["x"]}, ""),
        ("deprecated", True, "Deprecated."),
        ("deprecated", "no", ""),
        ("uniqueItems", True, ""),
        ("x-anything", "x", ""),
    ],
)
def test_hint_for_a_string(keyword: str, value: object, said: str) -> None:
    assert hints({keyword: value}, "", TEXT) == said


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("minProperties", 1, "Minimum number of properties: 1."),
        ("propertyNames", {"pattern": "^x"}, "Property names: ^x."),
        ("propertyNames", {"enum": ["a", "b"]}, 'Property names: "a", "b".'),
        ("propertyNames", {"type": "string"}, ""),
        ("dependentRequired", {"card": ["zip", "name"]}, 'Required together: "card" with "zip", "name".'),
        ("dependentRequired", {"card": "zip", "zip": []}, ""),
        ("pattern", "^x", ""),
    ],
)
def test_hint_for_an_object(keyword: str, value: object, said: str) -> None:
    assert hints({keyword: value}, "", {"type": ["object", "null"]}) == said


def test_hints_are_bounded_together() -> None:
    raw = {"pattern": "p" * 150, "contentEncoding": "c" * 150, "format": "f" * 150, "default": "d" * 150}
    said = hints(raw, "", TEXT)
    assert "ppp" in said
    assert "ccc" in said
    assert "ddd" not in said
    assert len(said) <= MAX_HINTS


def test_what_the_description_says_is_not_said_again() -> None:
    assert hints({"default": 5, "format": "uri"}, "A URI. By default the home page.", TEXT) == ""
