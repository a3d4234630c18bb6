"""Say in the description of a schema node what its keywords mean that Gemini does not honour.

The sentences are short and bounded: a schema may carry a pattern of many kilobytes.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from agproxy.schema_refs import is_number

MAX_HINTS = 400  # characters added to one description, half of it by one hint
MAX_LISTED = 40  # enum values in one hint
MAX_EXAMPLES = 3


def hints(raw: Mapping[str, object], text: str, cleaned: Mapping[str, Any]) -> str:
    """What the keywords of ``raw`` say that are not in ``cleaned``, nor in its description ``text``, as sentences."""
    nodes = cleaned.get("anyOf", (cleaned,))
    said = ""
    for key, value in raw.items():
        if key not in HINTS:
            continue
        about, template, words_of = HINTS[key]
        words = words_of(value)
        if not words or (about and not any(about in _types(node) for node in nodes)):
            continue
        if key in ("enum", "const", "format") and any(
            ("format" if key == "format" else "enum") in node for node in nodes
        ):
            continue
        if (key == "default" and "default" in text.lower()) or (key == "format" and words.lower() in text.lower()):
            continue
        hint = template.format(words)
        if len(hint) <= MAX_HINTS // 2 and len(said) + len(hint) < MAX_HINTS:
            said = joined(said, hint)
    return said


def scalar(value: object, quote: str = "") -> str:
    """A string, number or boolean as text; nothing for other values."""
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if is_number(value) else ""


def joined(text: str, more: str) -> str:
    """Two texts as sentences, one after the other."""
    if not text or not more:
        return text or more
    return f"{text}{' ' if text[-1] in '.!?:;,' else '. '}{more}"


def _types(node: Mapping[str, Any]) -> list[str]:
    kind = node.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _quoted(value: object) -> str:
    return scalar(value, quote='"')


def _listed(values: Iterable[object]) -> str:
    return ", ".join(words for value in values if (words := _quoted(value)))


def _flag(value: object) -> str:
    return "yes" if value is True else ""


def _length(value: object) -> str:
    return str(value) if is_number(value) and value > 0 else ""


def _number(value: object) -> str:
    return str(value) if is_number(value) else ""


def _name(value: object) -> str:
    return value if isinstance(value, str) and value != "enum" else ""


def _values(value: object) -> str:
    words = _listed(value) if isinstance(value, list) and len(value) <= MAX_LISTED else ""
    return "" if words == "true, false" else words


def _examples(value: object) -> str:
    return _listed(islice(value, MAX_EXAMPLES)) if isinstance(value, list) else ""


def _of_subschema(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    return _values(value.get("enum")) or _quoted(value.get("const")) or _name(value.get("pattern"))


def _needs(value: object) -> str:
    pairs = islice(value.items(), MAX_LISTED) if isinstance(value, dict) else ()
    needs = ((name, _listed(islice(names, MAX_LISTED))) for name, names in pairs if isinstance(names, list))
    return "; ".join(f'"{name}" with {names}' for name, names in needs if names)


# keyword -> the type it is about, or any; what is said; how its value is put into words, none when it makes no sense
HINTS: Mapping[str, tuple[str, str, Callable[[object], str]]] = {
    "enum": ("", "One of: {}.", _values),
    "const": ("", "Must be {}.", _quoted),
    "format": ("string", "Format: {}.", _name),
    "pattern": ("string", "Must match the pattern {}.", _name),
    "minLength": ("string", "Minimum length: {}.", _length),
    "maxLength": ("string", "Maximum length: {}.", _length),
    "contentEncoding": ("string", "Encoded as {}.", _name),
    "exclusiveMinimum": ("number", "Must be greater than {}.", _number),
    "exclusiveMaximum": ("number", "Must be less than {}.", _number),
    "multipleOf": ("", "Must be a multiple of {}.", _number),
    "uniqueItems": ("array", "Items must be unique.", _flag),
    "minProperties": ("object", "Minimum number of properties: {}.", _length),
    "maxProperties": ("object", "Maximum number of properties: {}.", _length),
    "propertyNames": ("object", "Property names: {}.", _of_subschema),
    "dependentRequired": ("object", "Required together: {}.", _needs),
    "not": ("", "Must not be {}.", _of_subschema),
    "default": ("", "Default: {}.", _quoted),
    "example": ("", "Example: {}.", _quoted),
    "examples": ("", "Examples: {}.", _examples),
    "deprecated": ("", "Deprecated.", _flag),
}
