"""The rules of ``parameters``, ``response`` and ``responseSchema``: the OpenAPI-like ``Schema`` message.

Field names and types were checked against the protobuf message before; here are the rules that Google checks on top,
in its words. Sources: google/ai/generativelanguage/v1beta/content.proto (Schema); the words as seen in
browser-use/browser-use issue 7, anomalyco/opencode issue 11889, and the AI SDK's page on Gemini's schema limitations
("type: must be specified").
"""

from tests.fake_google.refusal import FieldErrors, JsonObject

MAX_DEPTH = 32
_FORMATS = {
    "STRING": ("enum", "date-time"),
    "NUMBER": ("float", "double"),
    "INTEGER": ("int32", "int64"),
}
# Fields that belong to one type only.
_ONLY_FOR = {
    "properties": ("OBJECT",),
    "required": ("OBJECT",),
    "items": ("ARRAY",),
    "enum": ("STRING",),
}


def check_schema(schema: JsonObject, path: str, errors: FieldErrors, depth: int = 1, *, native: bool = False) -> None:
    """Note everything wrong with a schema and those inside it.

    :param schema: with snake_case names and types in upper case, as ``protojson.parse`` leaves them.
    :param path: as Google writes it: ``tools[0].function_declarations[0].parameters``.
    :param native: let empty ``properties`` pass; Google refused them once (agno-agi/agno issue 2112), and now does not
        (iBUHub/AIStudioToAPI issue 154, bug-ops/zeph issue 1641).
    """
    if depth > MAX_DEPTH:
        errors.add(path, f"schema is nested deeper than {MAX_DEPTH} levels.")
        return
    kind = schema.get("type", "TYPE_UNSPECIFIED")
    if kind == "TYPE_UNSPECIFIED":
        if not schema.get("any_of"):
            errors.add(f"{path}.type", "must be specified")
    else:
        for name, kinds in _ONLY_FOR.items():
            if schema.get(name) and kind not in kinds:
                errors.add(f"{path}.{name}", f"only allowed for {' or '.join(kinds)} type")
        _check_format(schema, kind, path, errors)
    if kind == "ARRAY" and "items" not in schema:
        errors.add(f"{path}.items", "missing field.")
    if kind == "OBJECT" and not schema.get("properties") and not native:
        errors.add(f"{path}.properties", "should be non-empty for OBJECT type")
    for index, word in enumerate(schema.get("enum", ())):
        if word == "":
            errors.add(f"{path}.enum[{index}]", "cannot be empty")
    _check_names(schema, path, errors)
    for child, child_path in _children(schema, path):
        check_schema(child, child_path, errors, depth + 1, native=native)


def _check_format(schema: JsonObject, kind: str, path: str, errors: FieldErrors) -> None:
    if "format" not in schema:
        return
    allowed = _FORMATS.get(kind, ())
    if not allowed:
        errors.add(f"{path}.format", f"not allowed for {kind} type")
    elif schema["format"] not in allowed:
        errors.add(f"{path}.format", f"only '{allowed[0]}' and '{allowed[1]}' are supported for {kind} type")


def _check_names(schema: JsonObject, path: str, errors: FieldErrors) -> None:
    defined = schema.get("properties", {})
    for field in ("required", "property_ordering"):
        names = schema.get(field, ())
        for index, name in enumerate(names):
            if name not in defined:
                errors.add(f"{path}.{field}[{index}]", "property is not defined")
        if len(set(names)) != len(names):
            errors.add(f"{path}.{field}", "names must be unique")


def _children(schema: JsonObject, path: str) -> list[tuple[JsonObject, str]]:
    found = [(child, f"{path}.properties[{name}]") for name, child in schema.get("properties", {}).items()]
    if "items" in schema:
        found.append((schema["items"], f"{path}.items"))
    found += [(child, f"{path}.any_of[{index}]") for index, child in enumerate(schema.get("any_of", ()))]
    return found
