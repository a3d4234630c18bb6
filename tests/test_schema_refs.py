"""``agproxy.schema_refs``: references are followed wherever they point, and never for ever."""

import json
from typing import Any

import pytest

from agproxy.schema import clean
from agproxy.schema_refs import MAX_REFERENCED_NODES
from tests.test_schema import assert_acceptable


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("#/$defs/a", {"$defs": {"a": {"type": "integer"}}}),
        ("#/definitions/a", {"definitions": {"a": {"type": "integer"}}}),
        ("#/properties/other", {"properties": {"other": {"type": "integer"}}}),
        ("#/$defs/a~1b~0c%20d", {"$defs": {"a/b~c d": {"type": "integer"}}}),
        ("#/$defs/list/0", {"$defs": {"list": [{"type": "integer"}]}}),
        ("#here", {"$defs": {"a": {"$anchor": "here", "type": "integer"}}}),
        ("https://example.com/a", {"$defs": {"a": {"$id": "https://example.com/a", "type": "integer"}}}),
        ("https://example.com/r#/$defs/a", {"$id": "https://example.com/r", "$defs": {"a": {"type": "integer"}}}),
        ("#/$defs/a", {"properties": {"deep": {"$defs": {"a": {"type": "integer"}}}}}),
        ("#/$defs/b", {"$defs": {"b": {"$ref": "#/$defs/a"}, "a": {"type": "integer"}}}),
    ],
)
def test_reference_is_replaced_by_what_it_points_to(reference: str, place: dict[str, Any]) -> None:
    schema = {**place, "type": "object"}
    schema["properties"] = {**place.get("properties", {}), "x": {"$ref": reference, "description": "An x"}}
    assert clean(schema)["properties"]["x"] == {"type": "integer", "description": "An x"}


@pytest.mark.parametrize(
    "reference", ["#/$defs/none", "https://example.com/none.json", "#none", "#/a/b", "none", "#/$defs/a/9"]
)
def test_reference_to_nowhere_accepts_anything_and_keeps_its_description(reference: str) -> None:
    schema = {"$defs": {"a": []}, "properties": {"x": {"$ref": reference, "description": "An x"}}}
    assert clean(schema)["properties"]["x"] == {"description": "An x"}


def test_recursion_is_expanded_once_and_then_open() -> None:
    tree = {"type": "object", "properties": {"v": {"type": "string"}, "kids": {"items": {"$ref": "#/$defs/T"}}}}
    cleaned = clean({"$defs": {"T": tree}, "type": "object", "properties": {"tree": {"$ref": "#/$defs/T"}}})
    inner = {"type": "object", "description": "Of the same form as a schema around it."}
    assert cleaned["properties"]["tree"]["properties"] == {
        "v": {"type": "string"},
        "kids": {"type": "array", "items": inner},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$ref"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"allOf": [{"$ref": "#"}], "anyOf": [{"$ref": "#"}], "properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {}}, "anyOf": [{"$ref": "#/anyOf/0"}], "then": {"$ref": "#"}},
    ],
)
def test_circles_end(schema: Any) -> None:
    assert_acceptable(clean(schema))


@pytest.mark.parametrize("combine", ["properties", "anyOf", "allOf", "both"])
def test_references_that_double_at_each_step_stay_within_the_budget(combine: str) -> None:
    definitions: dict[str, Any] = {"d40": {"type": "string"}}
    for number in range(40):
        following = {"$ref": f"#/$defs/d{number + 1}"}
        definitions[f"d{number}"] = {
            "properties": {"type": "object", "properties": {"a": following, "b": following}},
            "anyOf": {"anyOf": [following, {"type": "array", "items": following}]},
            "allOf": {"allOf": [following, following]},
            "both": {"properties": {"a": following}, "anyOf": [{"properties": {"b": following}}]},
        }[combine]
    cleaned = clean({"$defs": definitions, "$ref": "#/$defs/d0"})
    assert_acceptable(cleaned)
    assert len(json.dumps(cleaned)) < 100 * MAX_REFERENCED_NODES
