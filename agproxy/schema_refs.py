"""Merge the references and the ``allOf`` of a JSON Schema node into one plain node.

JSON Schema: https://json-schema.org/draft/2020-12/json-schema-core, sections 8.2 (references) and 10.2.1.1 (allOf);
JSON pointers: RFC 6901. ``definitions``, ``id`` and keywords beside ``$ref`` are read as the older drafts and the
authors of tool schemas mean them. Nothing is fetched: a remote reference accepts everything.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard
from urllib.parse import unquote

Schema = dict[str, Any]

MAX_REFERENCED_NODES = 5_000  # nodes reached through references, in one document
MAX_COPIED_CHARACTERS = 500_000  # of keywords merged or reached through references, besides twice the document's size

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
IMPLIED_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("properties", "additionalProperties", "patternProperties", "propertyNames"), "object"),
    **dict.fromkeys(("minProperties", "maxProperties", "dependentRequired"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("pattern", "minLength", "maxLength", "contentEncoding"), "string"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
}
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

_TYPE_NAMES: Mapping[str, str] = {  # what schemas that were written by hand call the types
    **{name: name for name in TYPES},
    **dict.fromkeys(("str", "text", "char", "file", "binary", "bytes", "date", "datetime", "date-time"), "string"),
    **dict.fromkeys(("url", "uri", "uuid", "email", "enum", "password"), "string"),
    **dict.fromkeys(("int", "int32", "int64", "long", "short"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "numeric"), "number"),
    **dict.fromkeys(("dict", "map", "hash", "record", "struct"), "object"),
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **dict.fromkeys(("none", "nil", "undefined"), "null"),
    "bool": "boolean",
}
_MISSING = object()
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})  # maps whose values are nodes
_SAID = frozenset({"not", "propertyNames", "dependentRequired"})  # told in the description with what is inside
_KEYWORD = 16  # what a keyword, and what a list item that is no string, count for
_MAX_TYPES = len(TYPES) + 1  # in an outline
_MAX_HOPS = 8  # from a node that is not followed to one that says its type


def types_of(declared: object) -> list[str]:
    """The JSON types that a ``type`` names, each once; none when it is missing, "any" or unknown."""
    types: list[str] = []
    for name in declared if isinstance(declared, list) else [declared]:
        kind = _TYPE_NAMES.get(name.lower()) if isinstance(name, str) else None
        if kind is None:
            return []
        if kind not in types:
            types.append(kind)
    return [kind for kind in types if kind != "integer"] if "number" in types else types


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a number that fits a double, as everything on Google's wire must."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1.7e308


class References:
    """The references of one document, followed within budgets that no schema can exceed.

    :param root: the document that ``#`` stands for.
    """

    __slots__ = ("_characters", "_names", "_root", "_targets", "budget")

    def __init__(self, root: object) -> None:
        self.budget = MAX_REFERENCED_NODES  # whoever visits a node below a reference takes one
        self._characters = MAX_COPIED_CHARACTERS + 2 * _extent(root)
        self._root = root
        self._targets: dict[str, object] = {}
        self._names: dict[str, object] | None = None

    def flatten(self, raw: Schema, active: frozenset[int]) -> tuple[Schema | None, frozenset[int]]:
        """``raw`` with its references and ``allOf`` merged in; what stands further out wins.

        :param active: identities of the targets that are being expanded around this node. One that is met again is
            not followed, only its type and description are taken.
        :returns: the merged node, None if no value can fit it; and ``active`` for the nodes below it.
        """
        merged: Schema = {}
        here: set[int] = set()
        parts: list[object] = [raw]
        while parts:
            part = parts.pop()
            if part is False:
                return None, active
            if not isinstance(part, dict):
                continue
            if not self.affords(part, merged) and part is not raw:
                _merge(merged, self.outline(part))
                break  # without the rest of an ``allOf`` the node is looser, not wrong
            _merge(merged, part)
            if isinstance(part.get("allOf"), list):
                parts.extend(reversed(part["allOf"]))
            for key in REFERENCES:
                if isinstance(part.get(key), str):
                    target = self._resolve(part[key])
                    if not isinstance(target, dict):
                        parts.append(target)
                    elif id(target) in active:
                        _merge(merged, self._described(target, "Of the same form as a schema around it."))
                    elif self.budget < 0:
                        _merge(merged, self._described(target))
                    elif id(target) not in here:
                        self.budget -= 1
                        here.add(id(target))
                        parts.append(target)
        if here:
            self._spend(len(active) + len(here))
            active |= here
        return merged, active

    def affords(self, node: Schema, merged: Schema | None = None) -> bool:
        """Charge for a node that is reached through a reference, or merged into another; False beyond the budget."""
        return self._characters >= 0 and self._spend(_size(node) + (_held(merged, node) if merged else 0))

    def outline(self, node: Schema) -> Schema:
        """The basic type of a node that cannot be afforded; it says so itself, or what it refers to does."""
        for _ in range(_MAX_HOPS):
            if outline := _basic_type(node):
                return outline
            reference, parts = node.get("$ref"), node.get("allOf")
            following = self._resolve(reference) if isinstance(reference, str) else parts
            if isinstance(following, list) and following:
                following = following[0]
            if not isinstance(following, dict):
                break
            node = following
        return {}

    def _spend(self, characters: int) -> bool:
        self._characters -= characters
        return self._characters >= 0

    def _described(self, target: Schema, description: str = "") -> Schema:
        """The basic type and the description of a target that is not followed."""
        outline = _basic_type(target) | ({"description": description} if description else {})
        if isinstance(target.get("description"), str) and self._spend(len(target["description"])):
            outline["description"] = target["description"]
        return outline

    def _resolve(self, reference: str) -> object:
        """What a reference points to; True, which accepts everything, when it is not in this document."""
        if reference not in self._targets:
            base, _, fragment = reference.partition("#")
            target = self._named(base) if base else self._root
            if fragment.startswith("/"):
                tokens = [unquote(token).replace("~1", "/").replace("~0", "~") for token in fragment[1:].split("/")]
                target = _at(target, tokens)
                if target is _MISSING and len(tokens) > 1 and tokens[-2] in ("$defs", "definitions"):
                    target = self._named(tokens[-1])  # a schema that was embedded together with its definitions
            elif fragment:
                target = self._named("#" + fragment)
            self._targets[reference] = True if target is _MISSING else target
        return self._targets[reference]

    def _named(self, name: str) -> object:
        """The first node with this ``$id``, anchor (with its ``#``) or name among definitions."""
        if self._names is None:
            names: dict[str, object] = {}
            parts: list[object] = [self._root]
            while parts:
                part = parts.pop()
                if isinstance(part, dict):
                    for key, mark in (("$id", ""), ("id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")):
                        if isinstance(part.get(key), str):
                            names.setdefault(mark + part[key], part)
                    for key in ("$defs", "definitions"):
                        if isinstance(part.get(key), dict):
                            for definition, node in part[key].items():
                                names.setdefault(definition, node)
                    parts.extend(part.values())
                elif isinstance(part, list):
                    parts.extend(part)
            self._names = names
        return self._names.get(name, _MISSING)


def _at(target: object, tokens: list[str]) -> object:
    for token in tokens:
        if isinstance(target, dict):
            target = target.get(token, _MISSING)
        elif isinstance(target, list) and re.fullmatch("[0-9]{1,6}", token) and int(token) < len(target):
            target = target[int(token)]
        else:
            return _MISSING
    return target


def _basic_type(node: Schema) -> Schema:
    kind = node.get("type")
    if isinstance(kind, str) or (isinstance(kind, list) and len(kind) <= _MAX_TYPES):
        return {"type": kind}
    return next(({"type": implied} for key, implied in IMPLIED_TYPES.items() if key in node), {})


def _size(node: Schema) -> int:
    """About how many characters the node's own keywords make; of the nodes inside only the names count."""
    size = _KEYWORD
    for key, value in node.items():
        size += _KEYWORD + len(key)
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, list):
            size += _length(value)
        elif isinstance(value, dict):
            if key in _NAMED:
                size += _length(value)
            elif key in _SAID:
                size += _length(value) + sum(
                    len(inner) if isinstance(inner, str) else _length(inner)
                    for inner in value.values()
                    if isinstance(inner, (str, list))
                )
    return size


def _length(names: Iterable[object]) -> int:
    return sum(4 + len(name) if isinstance(name, str) else _KEYWORD for name in names)


def _extent(document: object) -> int:
    """About how many characters the document has as JSON."""
    extent = 0
    parts = [document]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            extent += _length(part)
            parts.extend(part.values())
        elif isinstance(part, list):
            extent += 2
            parts.extend(part)
        else:
            extent += 4 + len(part) if isinstance(part, str) else 4
    return extent


def _held(merged: Schema, part: Schema) -> int:
    """How much of what was merged must be looked through again to merge ``part``."""
    return sum(_KEYWORD * len(merged[key]) for key in ("enum", "type") if key in part and type(merged.get(key)) is list)


def _merge(merged: Schema, part: Schema) -> None:
    """Add the keywords of ``part`` to ``merged``, which owns its ``properties`` and ``required``."""
    for key, value in part.items():
        held = merged.get(key, _MISSING)
        if key == "allOf" or key in REFERENCES:
            continue
        if held is _MISSING:
            merged[key] = (
                value.copy() if key in ("properties", "required") and isinstance(value, (dict, list)) else value
            )
        elif key == "properties" and isinstance(held, dict) and isinstance(value, dict):
            for name, node in value.items():
                held[name] = {"allOf": [held[name], node]} if name in held else node
        elif key == "required" and isinstance(held, list) and isinstance(value, list):
            held.extend(value)
        elif key in _COMBINED:
            merged[key] = _COMBINED[key](held, value)


def _tighter(choose: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda held, value: choose(held, value) if is_number(held) and is_number(value) else held


def _both_types(held: object, value: object) -> object:
    left, right = types_of(held), types_of(value)
    if not left:
        return value
    both = [kind for kind in left if kind in right or (kind == "integer" and "number" in right)]
    return both + (["integer"] if "number" in left and "integer" in right else []) or held


def _both_enums(held: object, value: object) -> object:
    if not isinstance(held, list) or not isinstance(value, list):
        return held
    allowed = {(type(item), item) for item in value if not isinstance(item, (dict, list))}
    return [item for item in held if not isinstance(item, (dict, list)) and (type(item), item) in allowed] or held


def _both_schemas(held: object, value: object) -> object:
    return {"allOf": [held, value]} if isinstance(held, dict) and isinstance(value, dict) else held


_COMBINED: Mapping[str, Callable[[Any, Any], Any]] = {  # of any other keyword that is stated twice the first stays
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minItems"), _tighter(max)),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxItems"), _tighter(min)),
    **dict.fromkeys(("items", "then", "else", "additionalProperties"), _both_schemas),
    "type": _both_types,
    "enum": _both_enums,
    "description": lambda held, value: held if isinstance(held, str) else value,
}
