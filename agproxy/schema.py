"""Clean JSON Schema into the subset that Gemini honours in ``parametersJsonSchema`` and ``responseJsonSchema``.

What is honoured: googleapis ``google/ai/generativelanguage/v1beta/generative_service.proto``, comment of
``GenerationConfig.response_json_schema``. Everything else is rewritten, told in the node's ``description``, or dropped.
Only schema nodes are touched: an argument that is *named* ``title``, ``format`` or ``$ref`` keeps its name and schema.

Cleaning loosens: a value that was valid stays valid. The exceptions follow the author's evident intention:

- a type is inferred from ``properties``, ``items``, ``minimum`` and the like; ``required: true`` inside a property
  (draft 3) makes that property required;
- enum values that neither fit the declared type nor convert to it are left out; of keywords that ``allOf`` states twice
  the first stays, where they cannot be merged;
- properties of ``then``, ``else``, dependent schemas, and of alternatives beside ``properties``, become plain optional
  properties.

Decisions, with what they rest on:

- No ``$ref`` and ``$defs`` in the output: "reference to undefined schema" (google-gemini/gemini-cli#13326). References
  are inlined. A recursive one is expanded once on each path, then becomes an open node of its basic type: a cycle may
  stand in optional properties only (proto), and levels are limited (google-gemini/gemini-cli#5923,
  BerriAI/litellm#21014).
- One type or null is ``type: [X, "null"]``, as in Google's guide (ai.google.dev/gemini-api/docs/structured-output); it
  saves a level. ``anyOf`` says what this form cannot: several types, or an enum and null (an enum without null forbids
  null, one with null is not "strings and numbers"). It stands alone, its description goes to the first branch: "When
  using any_of, it must be the only field set" (Vertex AI). ``oneOf`` means the same (proto) and becomes ``anyOf``.
- The open schema is ``{}``, for ``true``, unknown types and missing ``items``: Gemini CLI sends untyped nodes
  (google-gemini/gemini-cli#9574); ``true`` is refused where ``{}`` is not (github/copilot-cli#4623).
- ``enum`` needs a type beside it (pydantic/pydantic-ai#3610) and holds strings or numbers (proto). An empty string
  among them is refused (BerriAI/litellm#14155): the enum becomes a hint. Bounds from 2**53-1 on are zod's ``int()``.
- ``title`` is left out of function parameters: it makes Gemini 2.5 Flash answer MALFORMED_FUNCTION_CALL
  (googleapis/python-genai#1732, PrefectHQ/fastmcp#3861). In a response schema it does no harm and stays.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from agproxy.schema_hints import HINTS, MAX_HINTS, hints, joined
from agproxy.schema_refs import IMPLIED_TYPES, REFERENCES, TYPES, References, Schema, types_of
from agproxy.schema_values import SAFE_INTEGER, count_of, set_bounds, variants_of

# Schema nodes on one path. Both fields are a google.protobuf.Value, in which an object or a list makes two messages, so
# that a node and the keyword it stands in make four; protobuf's parsers stop at 100: 23 would be the last to pass.
MAX_DEPTH = 22

_SCALARS = TYPES - {"object", "array", "null"}
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "string": ("date-time", "date", "time"),
    "integer": ("int32", "int64"),
    "number": ("float", "double"),
}
_MERGED = frozenset({*REFERENCES, "allOf"})
_ALTERNATIVES = ("anyOf", "oneOf")
_CONDITIONALS = ("then", "else", "dependentSchemas", "dependencies")
_COMPOSED = frozenset({*_MERGED, *_ALTERNATIVES, *_CONDITIONALS, "not"})
_STRUCTURE = ("properties", "items", "prefixItems", "patternProperties", "additionalProperties")
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "example", "deprecated"})
_PUSHED = frozenset({*IMPLIED_TYPES, "type", "enum", "const", "format", "required"})  # from beside anyOf into branches
_MAPS = frozenset({*_STRUCTURE, *_COMPOSED, "$defs", "definitions", "if"})  # keywords with an object as value
_ANY_NAME = frozenset({"", ".*", "^.*$", "^(.*)$", ".+", "^.+$"})


def clean(schema: object, *, drop: frozenset[str] = frozenset(), max_depth: int = MAX_DEPTH) -> Schema:
    """``schema`` rewritten into what Gemini honours; any JSON value is taken, and ``{}`` means that anything goes.

    :param drop: schema keywords that the upstream refused by name, to be left out.
    :param max_depth: nodes on one path, deeper ones become open; for a second attempt after "exceeds the maximum
        allowed nesting depth".
    """
    cleaned = (
        _Cleaner(schema, max_depth=_depth(max_depth, drop), titled="title" not in drop).node(schema, 0, frozenset())
        or {}
    )
    return _without(cleaned, drop) if drop else cleaned


def function_parameters(
    schema: object, *, drop: frozenset[str] = frozenset(), max_depth: int = MAX_DEPTH
) -> Schema | None:
    """The ``parametersJsonSchema`` of one function: an object schema, or None when it takes no parameters.

    With None the field is left out: reports about empty object schemas conflict. A bare map of properties, as some MCP
    servers publish it, counts as ``properties``.
    """
    raw = schema
    if isinstance(raw, dict) and raw.get("type") != "object":
        if isinstance(raw.get("properties"), dict):
            raw = {**raw, "type": "object"}
        elif raw and _MAPS.isdisjoint(raw) and all(isinstance(value, dict) for value in raw.values()):
            raw = {"type": "object", "properties": raw}
    cleaned = _Cleaner(schema, max_depth=_depth(max_depth, drop), titled=False).node(raw, 0, frozenset()) or {}
    if "anyOf" in cleaned:
        cleaned = _fold({"type": "object"}, [(branch, branch.get("required")) for branch in cleaned["anyOf"]])
    elif cleaned.get("type") == ["object", "null"]:
        cleaned["type"] = "object"
    elif cleaned.get("type") != "object":
        return None
    if drop:
        cleaned = _without(cleaned, drop)
    return cleaned if cleaned.get("properties") or cleaned.get("additionalProperties") else None


class _Cleaner:
    """One walk over one document. Depth is bounded, and with it the recursion through ``node``."""

    __slots__ = ("_max_depth", "_references", "_root", "_titled")

    def __init__(self, root: object, *, max_depth: int, titled: bool) -> None:
        self._root = root
        self._max_depth = max_depth
        self._titled = titled
        self._references: References | None = None  # made when the first one is met

    def node(self, raw: object, depth: int, active: frozenset[int]) -> Schema | None:
        """One cleaned node, or None for one that no value can fit.

        :param active: identities of the reference targets that are being expanded around this node.
        """
        if not isinstance(raw, dict):
            if not isinstance(raw, str):
                return None if raw is False else {}
            raw = {"type": raw}  # {"path": "string"}, a shorthand
        if active and self._references is not None:
            self._references.budget -= 1
            if not self._references.affords(raw):
                raw = self._references.outline(raw)
        kind = raw.get("type")
        if len(raw) == 2 and type(kind) is str and kind in _SCALARS and type(raw.get("description")) is str:
            return {"type": kind, "description": raw["description"]}
        return self._typed(raw, depth, active) if _COMPOSED.isdisjoint(raw) else self._composed(raw, depth, active)

    def _composed(self, raw: Schema, depth: int, active: frozenset[int]) -> Schema | None:
        """A node with references, ``allOf``, alternatives, conditions or a negation."""
        if not _MERGED.isdisjoint(raw):
            if self._references is None:
                self._references = References(self._root)
            flat, active = self._references.flatten(raw, active)
            if flat is None:
                return None
            raw = flat
        if raw.get("not") == {} or raw.get("not") is True:  # how zod-to-json-schema writes undefined and never
            return None
        if depth >= self._max_depth:
            return self._typed(raw, depth, active)
        branches: list[object] = next(
            (raw[key] for key in _ALTERNATIVES if raw.get(key) and isinstance(raw[key], list)), []
        )
        structure = {key: raw[key] for key in _STRUCTURE if raw.get(key) and isinstance(raw[key], (dict, list))}
        if branches and (not structure or _is_one_of_several(raw, structure, branches)):
            return self._alternatives(raw, branches, structure, depth, active)
        cleaned = self._typed(raw, depth, active)
        if cleaned.get("type") in ("object", ["object", "null"]):
            conditionals = [raw[key] for key in ("then", "else") if key in raw]
            for key in ("dependentSchemas", "dependencies"):
                if isinstance(raw.get(key), dict):
                    conditionals += [value for value in raw[key].values() if isinstance(value, dict)]
            cleaned = _fold(cleaned, self._branches(branches, depth + 1, active))
            cleaned = _fold(cleaned, [(node, None) for node, _ in self._branches(conditionals, depth + 1, active)])
        return cleaned

    def _branches(self, branches: Iterable[object], depth: int, active: frozenset[int]) -> list[tuple[Schema, object]]:
        """Cleaned branches, each with the names it requires, be they defined in it or beside it."""
        pairs: list[tuple[Schema, object]] = []
        for branch in branches:
            node = self.node(branch, depth, active)
            if node is not None:
                required = branch.get("required") if isinstance(branch, dict) else None
                pairs.append((node, [*node.get("required", ()), *(required if isinstance(required, list) else ())]))
        return pairs

    def _alternatives(
        self, raw: Schema, branches: list[object], structure: Schema, depth: int, active: frozenset[int]
    ) -> Schema | None:
        """``anyOf`` of the branches, with the constraints that stood beside it pushed into them.

        :param structure: the constraints that hold schemas. They go into one branch, as copies would multiply.
        """
        beside = {key: value for key, value in raw.items() if key in _PUSHED and key not in structure}
        nodes = []
        for branch in branches:
            pushed = [beside] if beside else []
            if structure and not _is_one_of_several({}, structure, [branch]):
                pushed, structure = [*pushed, structure], {}
            node = self.node({"allOf": [branch, *pushed]} if pushed else branch, depth + 1, active)
            if node is not None:
                nodes.append(node)
        if not nodes:
            return None
        if raw.get("nullable") is True:
            nodes.append({"type": "null"})
        return self._annotate(_union(nodes), {key: value for key, value in raw.items() if key in _ANNOTATIONS})

    def _typed(self, raw: Schema, depth: int, active: frozenset[int]) -> Schema:
        """A node whose meaning lies in ``type``, ``enum`` and the keywords of its type."""
        kind, values = raw.get("type"), raw.get("enum")
        if type(kind) is str and kind in TYPES and "const" not in raw and "nullable" not in raw:
            if values is None:
                return self._annotate(self._of_type(raw, kind, depth, active), raw)
            if kind == "string" and type(values) is list and set(map(type, values)) == {str} and "" not in values:
                cleaned = self._of_type(raw, kind, depth, active)
                cleaned["enum"] = list(dict.fromkeys(values))
                return self._annotate(cleaned, raw)
        variants, nullable = variants_of(raw)
        if depth >= self._max_depth and (nullable or len(variants) > 1):  # no level left for anyOf
            variants = dict.fromkeys(variants) if len(variants) == 1 else {}
        nodes = []
        for kind, enum in variants.items():
            node = self._of_type(raw, kind, depth + 1 if len(variants) > 1 else depth, active)
            nodes.append(node if enum is None else {**node, "enum": enum})
        if nullable and variants:
            nodes.append({"type": "null"})
        return self._annotate(_union(nodes), raw)

    def _of_type(self, raw: Schema, kind: str, depth: int, active: frozenset[int]) -> Schema:
        """The keywords that belong to one type."""
        cleaned: Schema = {"type": kind}
        if kind == "object":
            if depth < self._max_depth:
                self._object(cleaned, raw, depth + 1, active)
        elif kind == "array":
            self._array(cleaned, raw, depth + 1, active)
        else:
            if kind in ("integer", "number"):
                set_bounds(cleaned, raw)
            if "format" in raw and raw["format"] in _FORMATS.get(kind, ()):
                cleaned["format"] = raw["format"]
        return cleaned

    def _object(self, cleaned: Schema, raw: Schema, depth: int, active: frozenset[int]) -> None:
        given, required = raw.get("properties"), raw.get("required")
        names = list(required) if isinstance(required, list) else []
        properties: Schema = {}
        if isinstance(given, dict):
            for name, value in given.items():
                node = self.node(value, depth, active)
                if node is not None:
                    properties[name] = node
                    if type(value) is dict and value.get("required") is True:
                        names.append(name)
        if properties:
            cleaned["properties"] = properties
            for key, listed in (("required", names), ("propertyOrdering", raw.get("propertyOrdering"))):
                if listed and (known := _known(listed, properties)):
                    cleaned[key] = known
        additional, patterns = raw.get("additionalProperties"), raw.get("patternProperties")
        if isinstance(patterns, dict) and patterns:
            if isinstance(additional, dict):
                additional = {"anyOf": [additional, *patterns.values()]}
            elif additional is False or patterns.keys() <= _ANY_NAME:
                additional = additional or {"anyOf": list(patterns.values())}
        if isinstance(additional, dict):
            node = self.node(additional, depth, active)
            additional = False if node is None else node or True
        if isinstance(additional, (dict, bool)):
            cleaned["additionalProperties"] = additional

    def _array(self, cleaned: Schema, raw: Schema, depth: int, active: frozenset[int]) -> None:
        prefix, rest = raw.get("prefixItems"), raw.get("items")
        if isinstance(rest, list):  # a tuple, as drafts before 2020-12 write it
            prefix, rest = rest, raw.get("additionalItems")
        if depth > self._max_depth:
            prefix = rest = None
        if isinstance(prefix, list) and prefix:
            cleaned["prefixItems"] = [self.node(item, depth, active) or {} for item in prefix]
        if "prefixItems" not in cleaned or isinstance(rest, dict):
            cleaned["items"] = self.node(rest, depth, active) or {}
        low, high = count_of(raw.get("minItems")), count_of(raw.get("maxItems"))
        if rest is False:
            high = min(len(cleaned.get("prefixItems", ())), SAFE_INTEGER if high is None else high)
        if low is None or high is None or low <= high:
            cleaned.update({key: value for key, value in (("minItems", low), ("maxItems", high)) if value is not None})

    def _annotate(self, cleaned: Schema, raw: Schema) -> Schema:
        """Add title, description, and hints for what could not be kept; an only branch brings a text of its own."""
        text = raw.get("description")
        if not isinstance(text, str):
            text = ""
        where = cleaned["anyOf"][0] if "anyOf" in cleaned else cleaned
        if "description" in where and where["description"] not in text:
            text = joined(text, where["description"])
        if not HINTS.keys().isdisjoint(raw):
            text = joined(text, hints(raw, text, cleaned))
        if text:
            where["description"] = text
        if self._titled and where is cleaned and isinstance(raw.get("title"), str):
            cleaned["title"] = raw["title"]
        return cleaned


def _is_one_of_several(raw: Schema, structure: Schema, branches: list[object]) -> bool:
    """Whether the structure beside alternatives is about one of their types: ``items``, beside a string or an array."""
    kind = IMPLIED_TYPES[next(iter(structure))]
    types = [types_of(branch.get("type")) or [kind] for branch in branches if isinstance(branch, dict)]
    return not types_of(raw.get("type")) and any(kind not in listed for listed in types)


def _union(nodes: list[Schema]) -> Schema:
    """Cleaned alternatives as one node: null into the type, enums of one type together, doubles once."""
    kept: list[Schema] = []
    enums: dict[str, dict[Any, None]] = {}
    nullable = False
    for node in nodes:
        for item in node.get("anyOf", (node,)):
            if item.get("type") == "null":
                nullable = True
            elif item.keys() == {"type", "enum"}:
                if item["type"] not in enums:
                    enums[item["type"]] = {}
                    kept.append({"type": item["type"], "enum": []})
                enums[item["type"]].update(dict.fromkeys(item["enum"]))
            elif len(kept) > 64 or item not in kept:  # the search is quadratic
                kept.append(item)
    for item in kept:
        if item.keys() == {"type", "enum"}:
            item["enum"] = list(enums[item["type"]])
    if nullable and all(isinstance(item.get("type"), str) for item in kept):
        if len(kept) == 1 and "enum" not in kept[0]:
            kept = [{**kept[0], "type": [kept[0]["type"], "null"]}]
        else:
            kept.append({"type": "null"})
    if len(kept) > 1:
        return {"anyOf": kept}
    return kept[0] if kept else {}


def _fold(cleaned: Schema, branches: list[tuple[Schema, object]]) -> Schema:
    """Add the properties of alternatives to one object schema; what all of them require is required.

    :param branches: cleaned alternatives, each with the names it requires.
    """
    found: dict[str, list[Schema]] = {}
    for branch, _ in branches:
        for item in branch.get("anyOf", (branch,)):
            for name, node in item.get("properties", {}).items():
                found.setdefault(name, []).append(node)
    held = cleaned.get("properties", {})
    properties = held | {name: _union(nodes) for name, nodes in found.items() if name not in held}
    if properties:
        cleaned["properties"] = properties
    demands = [_known(required, properties) for _, required in branches]
    if demands and all(demands):
        common = set(demands[0]).intersection(*demands[1:])
        always = [name for name in demands[0] if name in common]
        if required := _known([*cleaned.get("required", ()), *always], properties):
            cleaned["required"] = required
        choices = dict.fromkeys(", ".join(name for name in demand if name not in common) for demand in demands)
        hint = f"Needs one of: {' | '.join(choices)}."
        if len(choices) > 1 and "" not in choices and len(hint) <= MAX_HINTS:
            cleaned["description"] = joined(cleaned.get("description", ""), hint)
    return cleaned


def _without(cleaned: Schema, drop: frozenset[str]) -> Schema:
    """A cleaned schema without some keywords; a tuple becomes a list of any of its items."""
    if "prefixItems" in drop and "prefixItems" in cleaned:
        prefix = cleaned["prefixItems"]
        rest = [cleaned.get("items", {})] if cleaned.get("maxItems", len(prefix) + 1) > len(prefix) else []
        cleaned = {**cleaned, "items": _union([*prefix, *rest])}
    left = {key: value for key, value in cleaned.items() if key not in drop}
    for key in ("items", "additionalProperties"):
        if isinstance(left.get(key), dict):
            left[key] = _without(left[key], drop)
    for key in ("prefixItems", "anyOf"):
        if key in left:
            left[key] = [_without(node, drop) for node in left[key]]
    if "properties" in left:
        left["properties"] = {name: _without(node, drop) for name, node in left["properties"].items()}
    return left


def _depth(max_depth: int, drop: frozenset[str]) -> int:
    """The nodes on one path before ``_without``, which makes of ``prefixItems`` the deeper ``items`` with ``anyOf``."""
    return max_depth * 2 // 3 if "prefixItems" in drop else max_depth


def _known(names: object, properties: Schema) -> list[str]:
    listed = names if isinstance(names, list) else []
    return list(dict.fromkeys(name for name in listed if isinstance(name, str) and name in properties))
