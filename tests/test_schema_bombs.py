"""``agproxy.schema``: a small schema makes no great work and no great schema, and none that is too deep."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from agproxy.chat import ChatRequest, Message, TextPart, Tool
from agproxy.schema import MAX_DEPTH, clean, function_parameters
from agproxy.schema_refs import MAX_COPIED_CHARACTERS
from agproxy.upstreams.gemini_request import encode_request
from tests.fake_google import protojson
from tests.test_schema import assert_acceptable

CPU_BUDGET_S = 1.5  # generous, for machines under load: each takes less than 0.2 s


def users_of(target: dict[str, Any], count: int) -> dict[str, Any]:
    properties = {f"p{number}": {"$ref": "#/$defs/e"} for number in range(count)}
    return {"type": "object", "properties": properties, "$defs": {"e": target}}


def recursive(count: int, **keywords: Any) -> dict[str, Any]:
    return {"$ref": "#/$defs/e", "$defs": {"e": {**users_of({}, count), **keywords}}}


def doubled() -> dict[str, Any]:
    def following(number: int) -> dict[str, Any]:
        return {"$ref": f"#/$defs/d{number + 1}"}

    definitions: dict[str, Any] = {
        f"d{number}": {"properties": {"a": following(number), "b": following(number)}} for number in range(40)
    }
    return {"$defs": {**definitions, "d40": {"type": "string"}}, "$ref": "#/$defs/d0"}


def names(count: int) -> list[str]:
    return [f"v{number}" for number in range(count)]


BOMBS: dict[str, Callable[[], dict[str, Any]]] = {
    "allOf of types": lambda: users_of({"allOf": [{"type": "object"}] * 10_000}, 1_200),
    "allOf of nothing": lambda: users_of({"allOf": [{}] * 100_000}, 2_000),
    "description": lambda: users_of({"type": "string", "description": "x" * 100_000}, 2_000),
    "enum": lambda: users_of({"type": "string", "enum": names(5_000)}, 2_000),
    "enum of numbers": lambda: users_of({"enum": list(range(100_000))}, 4_000),
    "types": lambda: users_of({"type": ["string"] * 50_000}, 2_000),
    "required": lambda: users_of({"properties": {name: {} for name in names(5_000)}, "required": names(5_000)}, 2_000),
    "patternProperties": lambda: users_of({"patternProperties": {name: {} for name in names(20_000)}}, 4_000),
    "anyOf": lambda: users_of({"anyOf": [{"type": "string", "description": name} for name in names(9_000)]}, 2_000),
    "not": lambda: users_of({"type": "string", "not": {"enum": ["y" * 10_000] * 40}}, 2_000),
    "dependentRequired": lambda: users_of({"dependentRequired": dict.fromkeys(names(40), ["z" * 500] * 40)}, 2_000),
    "description of a recursive node": lambda: recursive(2_000, description="x" * 100_000),
    "types of a recursive node": lambda: recursive(2_000, type=["object"] * 10_000),
    "doubling": doubled,
    "enum beside anyOf": lambda: {"enum": names(20_000), "anyOf": [{"description": name} for name in names(20_000)]},
    "required beside anyOf": lambda: {
        "required": names(20_000),
        "anyOf": [{"properties": {name: {}}} for name in names(10_000)],
    },
    "enums without a common value": lambda: {"enum": names(40_000), "allOf": [{"enum": ["x"]}] * 20_000},
    "types without a common one": lambda: {"type": ["string"] * 50_000, "allOf": [{"type": "integer"}] * 20_000},
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("cleaner", [clean, function_parameters])
def test_work_and_size_stay_in_proportion(bomb: str, cleaner: Callable[[object], Any]) -> None:
    schema = BOMBS[bomb]()
    started = time.process_time()
    cleaned = cleaner(schema)
    assert time.process_time() - started < CPU_BUDGET_S
    assert len(json.dumps(cleaned)) < 2 * MAX_COPIED_CHARACTERS + 4 * len(json.dumps(schema))
    if cleaned is not None:
        assert_acceptable(cleaned)


def test_beyond_the_budget_references_become_open_nodes_of_their_type() -> None:
    cleaned = clean(users_of({"type": "integer", "description": "x" * 100_000}, 100))
    first, *_, last = cleaned["properties"].values()
    assert first == {"type": "integer", "description": "x" * 100_000}
    assert last == {"type": "integer"}


@pytest.mark.parametrize(
    "target",
    [
        {"allOf": [{"type": "object"}] * 10_000},
        {"allOf": [{"$ref": "#/$defs/e/extra"}] * 10_000, "extra": {"items": {}}},
    ],
    ids=["allOf", "allOf of references"],
)
def test_type_of_an_open_node_is_looked_up_a_few_steps_on(target: dict[str, Any]) -> None:
    last = clean(users_of(target, 1_200))["properties"]["p1199"]
    assert last in ({"type": "object"}, {"type": "array", "items": {}})


def test_what_stands_in_the_document_itself_is_kept_when_the_budget_is_spent() -> None:
    schema = users_of({"type": "string", "enum": names(5_000)}, 2_000)
    schema["properties"]["own"] = {"type": "object", "properties": {"a": {"type": "string", "description": "An a"}}}
    schema["properties"]["both"] = {"$ref": "#/$defs/e", "description": "Its own words", "minLength": 3}
    properties = clean(schema)["properties"]
    assert len(properties) == 2_002
    assert properties["own"] == schema["properties"]["own"]
    assert properties["both"] == {"type": "string", "description": "Its own words. Minimum length: 3."}


def test_many_ordinary_references_are_all_expanded() -> None:
    field = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Words that explain. " * 5, "title": "F"}
    target = {"type": "object", "properties": dict.fromkeys(names(8), field), "required": ["v0"], "title": "E"}
    schema = users_of(target, 180)
    cleaned = clean(schema)
    assert len({json.dumps(node) for node in cleaned["properties"].values()}) == 1
    assert cleaned["properties"]["p179"] == clean(target)


# --- depth

NESTING: dict[str, Callable[[Any], Any]] = {
    "properties": lambda inner: {"type": "object", "properties": {"a": inner}, "required": ["a"]},
    "items": lambda inner: {"type": "array", "items": inner},
    "prefixItems": lambda inner: {"type": "array", "prefixItems": [inner, {"type": "string"}]},
    "additionalProperties": lambda inner: {"type": "object", "additionalProperties": inner},
    "anyOf": lambda inner: {"anyOf": [{"type": "object", "properties": {"a": inner}}, {"enum": ["a"]}]},
    "null": lambda inner: {"type": ["object", "null"], "properties": {"a": inner}},
    "folded": lambda inner: {"properties": {"k": {}}, "anyOf": [{"properties": {"a": inner}}, {"required": ["k"]}]},
}
INNERMOST = {"type": ["string", "null"], "enum": ["a", None]}


def requests_with(schema: dict[str, Any], drop: frozenset[str]) -> list[dict[str, Any]]:
    parameters = function_parameters({"type": "object", "properties": {"top": schema}}, drop=drop)
    declaration = {"name": "f", "description": "F", "parametersJsonSchema": parameters}
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    config = {"responseMimeType": "application/json", "responseJsonSchema": clean(schema, drop=drop)}
    return [
        {"contents": contents, "tools": [{"functionDeclarations": [declaration]}]},
        {"contents": contents, "generationConfig": config},
    ]


@pytest.mark.parametrize("keyword", NESTING)
@pytest.mark.parametrize("drop", [(), ("prefixItems",)], ids=["", "without prefixItems"])
def test_google_parses_a_schema_of_any_depth(keyword: str, drop: tuple[str, ...]) -> None:
    for levels in (*range(MAX_DEPTH - 8, MAX_DEPTH + 4), 60):
        schema: Any = INNERMOST
        for _ in range(levels):
            schema = NESTING[keyword](schema)
        for request in requests_with(schema, frozenset(drop)):
            protojson.parse(json.dumps(request).encode())  # raises when it is too deep


def test_twenty_objects_in_each_other_are_kept() -> None:
    schema: Any = {"type": "string"}
    for _ in range(20):
        schema = {"type": "object", "properties": {"a": schema}}
    assert clean(schema) == schema
    assert function_parameters(schema) == schema


def test_many_tools_together_stay_in_proportion() -> None:
    tools = tuple(Tool(f"tool{number}", "d", doubled()) for number in range(500))
    chat = ChatRequest("m", (Message("user", (TextPart("Hi"),)),), tools=tools)
    started = time.process_time()
    encoded = encode_request(chat, model="gemini-flash-latest")
    assert time.process_time() - started < 4
    assert len(encoded.body) < 6_000_000


def test_schemas_of_many_ordinary_tools_are_whole() -> None:
    rows = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}
    schema = {"type": "object", "properties": {"a": rows}}
    tools = tuple(Tool(f"tool{number}", "d", schema) for number in range(500))
    chat = ChatRequest("m", (Message("user", (TextPart("Hi"),)),), tools=tools)
    body = json.loads(encode_request(chat, model="gemini-flash-latest").body)
    assert body["tools"][0]["functionDeclarations"][-1]["parametersJsonSchema"] == schema
