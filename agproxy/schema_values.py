"""Read the types, enums, bounds and counts of one JSON Schema node, without looking into the nodes below it."""

from collections.abc import Mapping
from math import ceil, floor
from re import fullmatch
from typing import Any

from agproxy.schema_hints import scalar
from agproxy.schema_refs import IMPLIED_TYPES, Schema, is_number, types_of

SAFE_INTEGER = 2**53 - 1

_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_NATURAL_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def variants_of(raw: Schema) -> tuple[dict[str, list[Any] | None], bool]:
    """The types of a node besides null, each with its enum or None for any value; and whether null fits as well."""
    types = types_of(raw.get("type"))
    nullable = raw.get("nullable") is True or (len(types) > 1 and "null" in types)
    values = [raw["const"]] if "const" in raw else raw.get("enum")
    groups: dict[str, list[Any]] = {}
    for value in values if isinstance(values, list) else ():
        kind, fitted = _fitted(value, types)
        if kind:
            groups.setdefault(kind, []).append(fitted)
    if "number" in groups and "integer" in groups:
        groups["number"] = [*groups.pop("integer"), *groups["number"]]
    kinds = list(groups) or types or next(([kind] for key, kind in IMPLIED_TYPES.items() if key in raw), [])
    if kinds == ["null"]:
        return {"null": None}, False
    variants: dict[str, list[Any] | None] = {}
    for kind in kinds:
        listed = groups.get(kind, [])
        if kind != "null":
            keep = kind in ("string", "integer", "number") and listed and "" not in listed
            variants[kind] = list(dict.fromkeys(listed)) if keep else None
    return variants, nullable or "null" in kinds


def set_bounds(cleaned: Schema, raw: Schema) -> None:
    """``minimum`` and ``maximum`` of a number; exclusive ones, draft 4's booleans too, become inclusive."""
    if _BOUNDS.isdisjoint(raw):
        return
    bounds: dict[str, float] = {}
    whole = cleaned["type"] == "integer"
    for key, exclusive, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        bound, beyond = raw.get(key), raw.get(exclusive)
        found = []
        if is_number(bound):
            found.append(ceil(bound * sign) if whole else bound * sign)
            beyond = bound if beyond is True else beyond
        if is_number(beyond):
            found.append(floor(beyond * sign) + 1 if whole else beyond * sign)
        if found and abs(max(found)) < SAFE_INTEGER:
            bounds[key] = max(found) * sign
    if len(bounds) < 2 or bounds["minimum"] <= bounds["maximum"]:
        cleaned.update(bounds)


def count_of(value: object) -> int | None:
    """A number of items that fits the wire and makes sense, or None."""
    return int(value) if is_number(value) and 0 <= value < 2**31 and value == int(value) else None


def _fitted(value: object, types: list[str]) -> tuple[str, object]:
    """The type of one enum value and the value, converted if the declared types want that; no type if it cannot fit."""
    if isinstance(value, float) and is_number(value) and value.is_integer() and abs(value) <= SAFE_INTEGER:
        value = int(value)
    kind = _NATURAL_TYPES.get(type(value), "")
    if kind in ("integer", "number") and not is_number(value):
        return "", value
    if not types or kind in types or kind == "null":
        return kind, value
    if kind == "integer" and "number" in types:
        return "number", value
    if "string" in types and kind in ("integer", "number", "boolean"):
        return "string", scalar(value)
    if kind == "string" and fullmatch("-?[0-9]{1,15}", str(value)) and ("integer" in types or "number" in types):
        return "integer" if "integer" in types else "number", int(str(value))
    return "", value
