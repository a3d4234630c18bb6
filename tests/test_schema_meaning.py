"""``agproxy.schema`` only loosens: whatever a schema accepted, its cleaned form accepts, by the jsonschema library."""

import importlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.schema import clean, function_parameters
from agproxy.schema_refs import IMPLIED_TYPES
from tests.test_schema import TOOLS

jsonschema: Any = importlib.import_module("jsonschema")  # it has no types of its own

# Made-up types, references to nowhere and values instead of schemas mean nothing to a validator.
MEANINGLESS = (
    "wrong_types",
    "proto_style",
    "embedded_definitions",
    "draft3",
    "null",
    "boolean",
    "impossible_property",
    "string_enum_of_integer",
)


@pytest.mark.parametrize("schema", [tool for tool in TOOLS if str(tool.id).partition("-")[2] not in MEANINGLESS])
def test_arguments_that_were_valid_stay_valid(schema: Any) -> None:
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)
    cleaned = jsonschema.Draft202012Validator(clean(schema))
    parameters = jsonschema.Draft202012Validator(function_parameters(schema) or {"type": "object"})
    seen = 0
    for value in samples(schema):
        if validator.is_valid(value):
            seen += 1
            cleaned.validate(value)
            if isinstance(value, dict):
                parameters.validate(value)
    assert seen


def samples(schema: Any, count: int = 60) -> Iterator[Any]:
    """Values made to fit a schema, more or less."""
    dice = random.Random(0)  # noqa: S311

    def at(pointer: str) -> Any:
        target = schema
        for token in pointer.removeprefix("#").split("/")[1:]:
            target = target[token.replace("%7E", "~").replace("~1", "/").replace("~0", "~")]
        return target

    def value(node: Any, depth: int) -> Any:
        if not isinstance(node, dict):
            return dice.choice(["x", 1, None, {}])
        if "$ref" in node and isinstance(node["$ref"], str) and node["$ref"].startswith(("#/", "#")) and depth < 9:
            try:
                return value(at(node["$ref"]), depth + 1)
            except (KeyError, TypeError):
                return None
        for key in ("anyOf", "oneOf"):
            if key in node and not node.get("properties"):
                return value(dice.choice(node[key]), depth + 1)
        if "allOf" in node:
            parts = [value(part, depth + 1) for part in node["allOf"]]
            objects = [part for part in parts if isinstance(part, dict)]
            return {key: item for part in objects for key, item in part.items()} if objects else parts[0]
        if "const" in node:
            return node["const"]
        if node.get("enum"):
            return dice.choice(node["enum"])
        kinds = node.get("type")
        if not isinstance(kinds, str):
            implied = next((kind for key, kind in IMPLIED_TYPES.items() if key in node), None)
            kinds = dice.choice(kinds) if kinds else implied or dice.choice(["string", "number", "null", "boolean"])
        match kinds:
            case "object":
                required = node.get("required") or []
                made = {
                    name: value(child, depth + 1)
                    for name, child in node.get("properties", {}).items()
                    if name in required or (dice.random() < 0.4 and depth < 5)
                }
                made |= {name: "x" for name in required if name not in made}
                extra = node.get("additionalProperties")
                if isinstance(extra, dict) and dice.random() < 0.5:
                    made["x"] = value(extra, depth + 1)
                return made
            case "array":
                items = node.get("items", {})
                prefix = items if isinstance(items, list) else node.get("prefixItems", [])
                made_items = [value(item, depth + 1) for item in prefix]
                wanted = dice.choice([node.get("minItems", 0), node.get("minItems", 0) + 1]) if depth < 5 else 0
                while isinstance(items, dict) and len(made_items) < wanted:
                    made_items.append(value(items, depth + 1))
                return made_items
            case "integer" | "number":
                low = node.get("minimum", node.get("exclusiveMinimum", 0)) or 0
                return dice.choice([low, low + 1, node.get("maximum", 10), 1, 5, 10, 0.5])
            case "boolean":
                return dice.random() < 0.5
            case "null":
                return None
        return dice.choice(["a", "aa", "A-1", "12:30", "12.5", "", "https://example.com/a", "2030-01-01T00:00:00Z"])

    for _ in range(count):
        yield value(schema, 0)


NAMES = st.sampled_from(["a", "b", "c"])
REQUIRED = st.lists(NAMES, max_size=2)


def _keywords(always: dict[str, Any], **sometimes: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            key: value if isinstance(value, st.SearchStrategy) else st.sampled_from(value)
            for key, value in always.items()
        },
        optional={
            key: value if isinstance(value, st.SearchStrategy) else st.sampled_from(value)
            for key, value in sometimes.items()
        },
    )


# Every node states its type, as the types that cleaning infers are the documented exception.
LEAVES = st.one_of(
    st.sampled_from([True, False, {}, {"type": "boolean"}, {"type": "null"}]),
    _keywords(
        {"type": ["string", ["string", "null"]]},
        enum=[["p", None], ["q", ""], ["p", "p"]],
        minLength=[1],
        pattern=["^a"],
    ),
    _keywords(
        {"type": ["integer", "number", ["number", "null"], ["integer", "string"]]},
        minimum=[0, 1, 0.5],
        exclusiveMinimum=[0, 1.5],
        maximum=[2, 3.0],
        exclusiveMaximum=[2, 2.5],
        enum=[[1, 2.0], [2.5, None]],
        multipleOf=[2],
    ),
    _keywords({"enum": st.lists(st.sampled_from([1, "p", True, None, 2.5, {}, []]), min_size=1, max_size=4)}),
    _keywords({"const": [1, "p", "", True, None, 2.5, {}]}),
)


def _nodes(children: st.SearchStrategy[Any], *, references: bool) -> st.SearchStrategy[Any]:
    named, listed = st.dictionaries(NAMES, children, max_size=3), st.lists(children, min_size=1, max_size=3)
    kinds = [
        _keywords(
            {"type": ["object", ["object", "null"]]},
            properties=named,
            required=REQUIRED,
            additionalProperties=st.one_of(st.booleans(), children),
            patternProperties=st.dictionaries(st.sampled_from(["^a", ".*"]), children, max_size=2),
            minProperties=[1],
        ),
        _keywords(
            {"type": ["array", ["array", "null"], ["array", "string"]]},
            items=children,
            prefixItems=listed,
            minItems=[0, 1],
            maxItems=[0, 3],
            uniqueItems=[True],
        ),
        _keywords({"anyOf": listed}, type=["string", "object", ["string", "null"]], description=["d"]),
        _keywords({"oneOf": listed}),
        _keywords({"allOf": listed}, type=["string", "integer", "object"]),
        _keywords({"type": ["object"], "properties": named, "allOf": listed}),
        _keywords(
            {"type": ["object"], "properties": named, "anyOf": st.lists(_keywords({}, required=REQUIRED), max_size=3)}
        ),
        _keywords({"not": children}),
    ]
    if references:
        kinds.append(_keywords({"$ref": ["#/$defs/x", "#/$defs/y"]}, description=["r"]))
    return st.one_of(kinds)


SCHEMA = st.recursive(LEAVES, lambda children: _nodes(children, references=True), max_leaves=10)
DEFINITION = st.recursive(LEAVES, lambda children: _nodes(children, references=False), max_leaves=6)
VALUE = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 2.5, 3, "", "a", "aa", "p", "q"]),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(NAMES, children, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SCHEMA, DEFINITION, DEFINITION, st.lists(VALUE, min_size=6, max_size=6))
def test_values_that_were_valid_stay_valid(schema: Any, x: Any, y: Any, values: list[Any]) -> None:
    document = {"type": "object", "properties": {"a": schema}, "$defs": {"x": x, "y": y}}
    before = jsonschema.Draft202012Validator(document)
    after = jsonschema.Draft202012Validator(clean(document))
    for value in values:
        if before.is_valid({"a": value}):
            after.validate({"a": value})
