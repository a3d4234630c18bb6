"""The rules of ``parametersJsonSchema`` and ``responseJsonSchema``.

The proto says which JSON Schema keywords are honoured, that a node with ``$ref`` holds nothing else but ``$`` keywords,
and that references may be cyclic only below properties that are not required
(google/ai/generativelanguage/v1beta/generative_service.proto, GenerationConfig.response_json_schema).

The real service ignores most other keywords, and takes types in upper case, as Gemini CLI 0.61 writes them
(``responseJsonSchema`` of its router). A gateway should not rely on that, so both are refused here unless the caller
says ``native``: native clients send whatever their tools declare, and a gateway passes it on.
"""

from collections.abc import Iterator
from typing import Any

from tests.fake_google.refusal import FieldErrors, JsonObject

MAX_DEPTH = 32
TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_REFERENCES = ("$id", "$defs", "$ref", "$anchor")
_WORDS = ("type", "format", "title", "description", "enum", "minItems", "maxItems", "minimum", "maximum")
_NESTING = ("items", "prefixItems", "anyOf", "oneOf", "properties", "additionalProperties", "required")
KEYWORDS = frozenset((*_REFERENCES, *_WORDS, *_NESTING, "propertyOrdering"))
_COUNTS = ("minItems", "maxItems")
_NUMBERS = ("minimum", "maximum")
_TEXTS = ("$id", "$anchor", "$ref", "format", "title", "description")


def check_json_schema(root: Any, path: str, errors: FieldErrors, *, native: bool = False) -> None:
    """Note everything wrong with a schema document.

    :param native: let keywords pass that Google ignores, and types in upper case.
    """
    checker = _Checker(root, errors, native)
    checker.node(root, path, 1)
    checker.cycles(root, path)


def check_parameters(root: Any, path: str, errors: FieldErrors, *, native: bool = False) -> None:
    """``check_json_schema`` for a function's parameters, whose root must describe an object."""
    kind = root.get("type") if isinstance(root, dict) else None
    if (kind.lower() if native and isinstance(kind, str) else kind) != "object":
        errors.add(path, "parameters schema should be of type OBJECT")
        return
    check_json_schema(root, path, errors, native=native)


class _Checker:
    def __init__(self, root: Any, errors: FieldErrors, native: bool) -> None:
        self._root = root
        self._errors = errors
        self._native = native

    def node(self, schema: Any, path: str, depth: int) -> None:
        """Check one schema node and those inside it."""
        add = self._errors.add
        if not isinstance(schema, dict):
            add(path, f"a schema must be an object, not {schema!r}")
            return
        if depth > MAX_DEPTH:
            add(path, f"schema is nested deeper than {MAX_DEPTH} levels.")
            return
        if not self._native:
            for key in schema.keys() - KEYWORDS:
                add(path, f"unsupported JSON Schema keyword '{key}'")
        if "$ref" in schema:
            self._reference(schema, path)
        self._values(schema, path)
        for child, child_path, _ in _children(schema, path):
            if not (isinstance(child, bool) and child_path.endswith(".additionalProperties")):
                self.node(child, child_path, depth + 1)

    def _reference(self, schema: JsonObject, path: str) -> None:
        beside = sorted(key for key in schema if not key.startswith("$"))
        if beside:
            self._errors.add(
                path,
                f"$ref '{schema['$ref']}' was set alongside unsupported fields: {', '.join(beside)}. If $ref is set on "
                "a sub-schema, no other properties, except for those starting with a $, may be set.",
            )
        if self._target(schema["$ref"]) is None:
            self._errors.add(path, f"$ref '{schema['$ref']}' does not resolve")

    def _target(self, reference: Any) -> Any:
        """The node that a reference names, or None."""
        if not isinstance(reference, str):
            return None
        name, _, pointer = reference.partition("#")
        if name and name != (self._root.get("$id") if isinstance(self._root, dict) else None):
            return None
        if pointer and not pointer.startswith("/"):
            return next((node for node in _nodes(self._root) if node.get("$anchor") == pointer), None)
        found = self._root
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, dict) and step in found:
                found = found[step]
            else:
                return None
        return found if isinstance(found, dict) else None

    def _values(self, schema: JsonObject, path: str) -> None:
        add = self._errors.add
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if self._native:
            kinds = [kind.lower() if isinstance(kind, str) else kind for kind in kinds]
        if "type" in schema and (not kinds or any(not isinstance(kind, str) or kind not in TYPES for kind in kinds)):
            add(f"{path}.type", f"not a JSON Schema type: {schema['type']!r}")
        for name in _TEXTS:
            if not isinstance(schema.get(name, ""), str):
                add(f"{path}.{name}", "must be a string")
        for name in _COUNTS:
            if not _is_whole(schema.get(name, 0)):
                add(f"{path}.{name}", "must be a non-negative integer")
        for name in _NUMBERS:
            if not _is_number(schema.get(name, 0)):
                add(f"{path}.{name}", "must be a number")
        if "enum" in schema:
            words = schema["enum"]
            if not isinstance(words, list) or not words or not all(isinstance(w, str) or _is_number(w) for w in words):
                add(f"{path}.enum", "must be a non-empty list of strings and numbers")
        self._containers(schema, path)
        self._names(schema, path)

    def _containers(self, schema: JsonObject, path: str) -> None:
        for name in ("properties", "$defs"):
            if not isinstance(schema.get(name, {}), dict):
                self._errors.add(f"{path}.{name}", "must be an object")
        for name in ("anyOf", "oneOf", "prefixItems"):
            if name in schema and not (isinstance(schema[name], list) and schema[name]):
                self._errors.add(f"{path}.{name}", "must be a non-empty list")

    def _names(self, schema: JsonObject, path: str) -> None:
        defined = schema.get("properties")
        defined = defined if isinstance(defined, dict) else {}
        for field in ("required", "propertyOrdering"):
            names = schema.get(field, [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                self._errors.add(f"{path}.{field}", "must be a list of strings")
                continue
            if len(set(names)) != len(names):
                self._errors.add(f"{path}.{field}", "names must be unique")
            for index, name in enumerate(names):
                if name not in defined:
                    self._errors.add(f"{path}.{field}[{index}]", "property is not defined")

    def cycles(self, root: Any, path: str) -> None:
        """Refuse references that lead back to where they stand without passing a property that is not required."""
        finished: set[int] = set()
        starts = [root]

        def visit(node: Any, under: list[int]) -> None:
            if not isinstance(node, dict) or id(node) in finished:
                return
            if id(node) in under:
                self._errors.add(path, "cyclic references may only be used within non-required properties")
                return
            below = [*under, id(node)]
            if (target := self._target(node.get("$ref"))) is not None:
                visit(target, below)
            for child, _, optional in _children(node, ""):
                if optional:
                    starts.append(child)
                else:
                    visit(child, below)
            finished.add(id(node))

        while starts:
            visit(starts.pop(), [])


def _children(schema: JsonObject, path: str) -> Iterator[tuple[Any, str, bool]]:
    """(schema, path, whether an instance may lack it) of every sub-schema, never of what only looks like one."""
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    for name in ("properties", "$defs"):
        inner = schema.get(name)
        for key, child in inner.items() if isinstance(inner, dict) else ():
            yield child, f"{path}.{name}[{key}]", name == "$defs" or key not in required
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield schema[name], f"{path}.{name}", False
    for name in ("anyOf", "oneOf", "prefixItems"):
        branches = schema.get(name)
        for index, child in enumerate(branches if isinstance(branches, list) else ()):
            yield child, f"{path}.{name}[{index}]", False


def _nodes(schema: Any) -> Iterator[JsonObject]:
    if isinstance(schema, dict):
        yield schema
        for child, _, _ in _children(schema, ""):
            yield from _nodes(child)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and value == int(value) and value >= 0
