"""``agproxy.schema``: what comes out is acceptable to Gemini, means the same, and comes out whatever goes in."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.schema import MAX_DEPTH, clean, function_parameters

DATA = Path(__file__).parent / "data"
TOOLS = [
    pytest.param(tool["parameters"], id=f"{path.stem}-{tool['name']}")
    for path in sorted((DATA / "schemas").glob("*.json"))
    for tool in json.loads(path.read_text())["tools"]
]
REWRITES = json.loads((DATA / "schema_rewrites.json").read_text())

# The list of generative_service.proto, GenerationConfig.response_json_schema, without references and oneOf.
KEYWORDS = {
    "any": {"description", "title"},
    "string": {"type", "format", "enum"},
    "integer": {"type", "format", "enum", "minimum", "maximum"},
    "number": {"type", "format", "enum", "minimum", "maximum"},
    "boolean": {"type"},
    "null": {"type"},
    "array": {"type", "items", "prefixItems", "minItems", "maxItems"},
    "object": {"type", "properties", "additionalProperties", "required", "propertyOrdering"},
}


def assert_acceptable(node: Any, path: str = "$") -> None:
    """Walk a cleaned schema and assert that every node is one that Gemini takes; shares no code with the cleaner."""
    assert type(node) is dict, path
    for key in ("title", "description"):
        assert isinstance(node.get(key, "x"), str), path
    if "anyOf" in node:
        assert node.keys() == {"anyOf"}, path
        assert len(node["anyOf"]) > 1, path
        for number, branch in enumerate(node["anyOf"]):
            assert "anyOf" not in branch, path
            assert_acceptable(branch, f"{path}|{number}")
        return
    kind = node.get("type", "any")
    if isinstance(kind, list):
        assert kind[1:] == ["null"], path
        assert "enum" not in node, path
        kind = kind[0]
    assert kind in KEYWORDS, path
    assert node.keys() <= KEYWORDS[kind] | KEYWORDS["any"], path
    if "enum" in node:
        wanted = {"string": (str,), "integer": (int,), "number": (int, float)}[kind]
        assert node["enum"], path
        assert all(type(value) in wanted and value != "" for value in node["enum"]), path
        assert len(set(node["enum"])) == len(node["enum"]), path
    for low, high in (("minimum", "maximum"), ("minItems", "maxItems")):
        for key in (low, high):
            assert type(node.get(key, 0)) in ((int,) if "Items" in key else (int, float)), path
            assert -(2**53) < node.get(key, 0) < 2**53, path
        assert node.get(low, -(2**53)) <= node.get(high, 2**53), path
    if kind == "array":
        assert "items" in node or node.get("prefixItems"), path
        assert node.get("minItems", 0) >= 0, path
        assert node.get("maxItems", 0) >= 0, path
        for number, item in enumerate(node.get("prefixItems", ())):
            assert_acceptable(item, f"{path}[{number}]")
        if "items" in node:
            assert_acceptable(node["items"], f"{path}[]")
    if kind == "object":
        properties = node.get("properties", {"": {}})
        assert properties, path
        for name, child in properties.items():
            assert_acceptable(child, f"{path}.{name}")
        for key in ("required", "propertyOrdering"):
            names = node.get(key, [""])
            assert names, path
            assert len(set(names)) == len(names), path
            assert key not in node or set(names) <= node.get("properties", {}).keys(), path
        if not isinstance(node.get("additionalProperties", True), bool):
            assert node["additionalProperties"], path
            assert_acceptable(node["additionalProperties"], f"{path}.*")


def depth_of(node: Any) -> int:
    children = [*node.get("anyOf", ()), *node.get("prefixItems", ()), *node.get("properties", {}).values()]
    children += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
    return 1 + max(map(depth_of, children), default=0)


# --- the schemas of real servers and clients


@pytest.mark.parametrize("schema", TOOLS)
def test_real_tool_is_acceptable_after_cleaning(schema: Any) -> None:
    before = copy.deepcopy(schema)
    cleaned = clean(schema)
    parameters = function_parameters(schema)
    assert_acceptable(cleaned)
    assert clean(cleaned) == cleaned
    if parameters is not None:
        assert_acceptable(parameters)
        assert parameters["type"] == "object"
        assert function_parameters(parameters) == parameters
    assert schema == before


# --- junk


NAMES = st.sampled_from(["a", "b", "title", "$ref", "type", "properties"])
KEYS = st.sampled_from(
    ["$id", "$anchor", "if", "else", "not", "uniqueItems", "examples", "dependentRequired", "format"]
)
POINTERS = [
    "#",
    "#/$defs/a",
    "#/definitions/b",
    "#/properties/a",
    "#a",
    "b",
    "http://x/y#/z",
    "#/anyOf/0",
    "#/$defs/a/items",
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        ["string", "integer", "number", "object", "array", "null", "boolean", "any", "int", "", "1", *POINTERS]
    ),
    st.sampled_from([0, 1, -1, 2, 2.5, 3.0, 1e308, float("inf"), 2**53, 10**400]),
)


def _maps(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, children, max_size=3)
    listed = st.lists(children, max_size=3)
    keyword = st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(
                st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "STRING", "int"]),
                st.lists(st.sampled_from(["object", "array", "string", "integer", "number", "null", "x"]), max_size=3),
            ),
            "properties": named,
            "$defs": named,
            "definitions": named,
            "anyOf": listed,
            "oneOf": listed,
            "allOf": listed,
            "items": st.one_of(children, listed),
            "additionalProperties": children,
            "required": st.one_of(st.booleans(), st.lists(NAMES, max_size=3)),
            "enum": st.lists(JUNK, max_size=4),
            "const": JUNK,
            "$ref": st.sampled_from(POINTERS),
            "prefixItems": listed,
            "patternProperties": named,
            "dependentSchemas": named,
            "not": children,
            "then": children,
            "title": JUNK,
            "propertyOrdering": st.lists(NAMES, max_size=2),
            "description": st.sampled_from(["", "Text", "Text."]),
            "minimum": JUNK,
            "maximum": JUNK,
            "exclusiveMinimum": JUNK,
            "minItems": JUNK,
            "default": JUNK,
            "pattern": JUNK,
            "nullable": JUNK,
        },
    )
    return st.one_of(keyword, keyword, st.dictionaries(KEYS, children, max_size=4), listed, named)


ANYTHING = st.recursive(JUNK, _maps, max_leaves=25)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ANYTHING)
def test_any_json_value_is_cleaned_into_an_acceptable_schema(schema: Any) -> None:
    before = copy.deepcopy(schema)
    cleaned = clean(schema)
    assert_acceptable(cleaned)
    assert clean(cleaned) == cleaned
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
    parameters = function_parameters(schema)
    if parameters is not None:
        assert_acceptable(parameters)
        assert parameters["type"] == "object"
    assert schema == before


@settings(max_examples=80, deadline=None, derandomize=True)
@given(ANYTHING, st.integers(min_value=0, max_value=4))
def test_depth_is_kept_and_cleaning_twice_is_cleaning_once(schema: Any, max_depth: int) -> None:
    cleaned = clean(schema, max_depth=max_depth)
    assert_acceptable(cleaned)
    assert depth_of(cleaned) <= max_depth + 2  # the open items of an array are one more
    assert clean(cleaned, max_depth=max_depth) == cleaned


@settings(max_examples=80, deadline=None, derandomize=True)
@given(ANYTHING, st.sets(st.sampled_from(["anyOf", "prefixItems", "additionalProperties", "enum", "description"])))
def test_dropped_keywords_are_nowhere(schema: Any, drop: set[str]) -> None:
    def keywords(node: dict[str, Any]) -> Iterator[str]:
        yield from node
        children = [*node.get("anyOf", ()), *node.get("prefixItems", ()), *node.get("properties", {}).values()]
        children += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
        for child in children:
            yield from keywords(child)

    assert drop.isdisjoint(keywords(clean(schema, drop=frozenset(drop))))


NESTING: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("items", "not", "if", "then", "additionalProperties", "const", "default"), lambda schema: schema),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems", "enum", "type", "required"), lambda schema: [schema]),
    **dict.fromkeys(("properties", "dependentSchemas", "patternProperties", "$defs"), lambda schema: {"a": schema}),
}


@pytest.mark.parametrize(("keyword", "levels"), [*((key, 10_000) for key in NESTING), ("properties", 100_000)])
def test_no_nesting_is_too_deep(keyword: str, levels: int) -> None:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"properties": {"x": {"type": "string"}}, keyword: NESTING[keyword](schema)}
    assert depth_of(clean(schema)) <= MAX_DEPTH + 2
    parameters = function_parameters(schema)
    assert parameters is None or parameters["type"] == "object"


def test_alternatives_do_not_multiply_what_stands_beside_them() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        schema = {"items": schema, "then": schema, "anyOf": [{"minItems": 1}, {"maxItems": 5}, {"type": "array"}]}
    assert len(json.dumps(clean({"type": "object", "properties": {"a": schema}}))) < 10_000


# --- one behaviour each


@pytest.mark.parametrize("case", REWRITES, ids=lambda case: case["name"])
def test_schema_is_rewritten(case: dict[str, Any]) -> None:
    assert clean(case["given"]) == case["cleaned"]
    assert clean(case["cleaned"]) == case["cleaned"]


def test_arguments_named_like_keywords_keep_name_and_schema() -> None:
    names = ["title", "format", "default", "const", "$ref", "type", "properties", "required", "enum", "anyOf", "not"]
    properties = {name: {"type": "string", "description": name} for name in names}
    schema = {"type": "object", "properties": properties, "required": names}
    assert clean(schema) == schema
    assert function_parameters(schema) == schema


def test_order_of_properties_is_kept() -> None:
    schema = {"properties": {"z": {}, "a": {}, "m": {}}, "allOf": [{"properties": {"k": {}, "a": {}}}]}
    assert list(clean(schema)["properties"]) == ["z", "a", "m", "k"]


# --- parameters of a function


@pytest.mark.parametrize(
    "schema",
    [
        *(None, {}, [], "x", True, False, 3),
        {"type": "object"},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"type": "string"},
        {"type": "array", "items": {}},
    ],
)
def test_function_without_parameters_has_no_schema(schema: Any) -> None:
    assert function_parameters(schema) is None


def test_parameters_have_no_titles() -> None:
    schema = {
        "title": "T",
        "type": "object",
        "properties": {"a": {"title": "A", "type": "string"}, "title": {"title": "X"}},
    }
    assert function_parameters(schema) == {"type": "object", "properties": {"a": {"type": "string"}, "title": {}}}


@pytest.mark.parametrize("kind", ["Object", ["object", "null"], None, "any", "string"])
def test_parameters_are_an_object_whatever_their_type_says(kind: Any) -> None:
    schema = {"type": kind, "properties": {"a": {"type": "string"}}}
    assert function_parameters(schema) == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_union_of_parameters_becomes_one_object() -> None:
    read = {
        "type": "object",
        "properties": {"op": {"const": "read"}, "path": {"type": "string"}},
        "required": ["op", "path"],
    }
    write = {
        "type": "object",
        "properties": {"op": {"const": "write"}, "text": {"type": "string"}},
        "required": ["op", "text"],
    }
    assert function_parameters({"anyOf": [read, write]}) == {
        "type": "object",
        "properties": {
            "op": {"type": "string", "enum": ["read", "write"]},
            "path": {"type": "string"},
            "text": {"type": "string"},
        },
        "required": ["op"],
        "description": "Needs one of: path | text.",
    }


def test_bare_map_of_properties_is_taken_as_properties() -> None:
    assert function_parameters({"query": {"type": "string"}, "title": {"type": "string"}}) == {
        "type": "object",
        "properties": {"query": {"type": "string"}, "title": {"type": "string"}},
    }


def test_free_form_parameters_stay_free() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    assert function_parameters(schema) == schema


# --- second attempts


def test_refused_keyword_is_left_out_of_schema_nodes_only() -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string", "title": "T"}, "format": {"type": "string", "format": "date"}},
        "additionalProperties": False,
        "propertyOrdering": ["title"],
    }
    assert clean(schema, drop=frozenset({"title", "format", "additionalProperties", "propertyOrdering"})) == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "format": {"type": "string"}},
    }


def test_refused_tuple_becomes_a_list_of_any_of_its_items() -> None:
    schema = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}
    assert clean(schema, drop=frozenset({"prefixItems"})) == {
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "maxItems": 2,
    }


def test_depth_can_be_lowered() -> None:
    schema = {"properties": {"a": {"properties": {"b": {"properties": {"c": {"type": "string"}}}}}}}
    assert clean(schema, max_depth=1) == {"type": "object", "properties": {"a": {"type": "object"}}}
