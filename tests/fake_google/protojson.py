"""A request body against Google's own protobuf messages, refused in the words of Google's JSON parser.

``canonical`` walks the message descriptors of the ``google-ai-generativelanguage`` package, so that every unknown field
and wrong type is found with its path, as the real service names it (``contents[0].parts[1]``, snake_case, map entries
as ``properties[2].value``); then protobuf's own ``ParseDict`` has the last word.

Google takes each name as camelCase or snake_case and each enum word in any case; null counts as absent.
Wire: https://protobuf.dev/programming-guides/json/

Google also reads a lone value as a list of one: ``"parts": {"text": "Hi"}`` stands in its own guides
(https://ai.google.dev/gemini-api/docs/text-generation, system instructions) and in clients
(PublicAffairs/openai-gemini, ``batchEmbedContents``). A native client's body may hold it; a gateway need not write it.
"""

import json
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.fake_google.newer_fields import NEWER_FIELDS, Shape
from tests.fake_google.refusal import JsonObject, Refusal, bad_request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.ai.generativelanguage_v1beta.types import (
        BatchEmbedContentsRequest,
        BatchEmbedContentsResponse,
        CountTokensRequest,
        CountTokensResponse,
        EmbedContentRequest,
        EmbedContentResponse,
        GenerateContentRequest,
        GenerateContentResponse,
        ListModelsResponse,
        Model,
    )
    from google.protobuf import json_format
    from google.protobuf.descriptor import FieldDescriptor

MAX_DEPTH = 100  # nested JSON values; Google's parser stops there too
_PACKAGE = "google.ai.generativelanguage.v1beta."
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
}
_OPAQUE = {
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "value",
    "google.protobuf.Duration": "duration",
    "google.protobuf.Timestamp": "duration",
}
# The proto gives these two fields unusual JSON names: clients write `responseJsonSchema`, which is the "ordered" twin.
_RENAMED = {"response_json_schema_ordered": "response_json_schema"}
# method: (its request, its response)
_MESSAGES: dict[str, tuple[Any, Any]] = {
    "generateContent": (GenerateContentRequest, GenerateContentResponse),
    "streamGenerateContent": (GenerateContentRequest, GenerateContentResponse),
    "countTokens": (CountTokensRequest, CountTokensResponse),
    "embedContent": (EmbedContentRequest, EmbedContentResponse),
    "batchEmbedContents": (BatchEmbedContentsRequest, BatchEmbedContentsResponse),
    "listModels": (None, ListModelsResponse),
    "getModel": (None, Model),
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    type_name: str = ""
    values: frozenset[str] = frozenset()
    message: Any = None  # a protobuf Descriptor, or the fields of a newer message by name
    repeated: bool = False
    is_map: bool = False
    oneof: str = ""


def parse(body: bytes, *, native: bool = False) -> JsonObject:
    """``canonical`` of a generateContent body."""
    return canonical(strict_json(body), native=native)


def canonical(value: Any, *, method: str = "generateContent", native: bool = False) -> JsonObject:
    """The request as a dictionary with snake_case names, without nulls and with enum words in upper case.

    :param value: what ``strict_json`` gave.
    :param method: whose message it is.
    :param native: read a lone value as a list of one, as Google does.
    :raises Refusal: not of the message's form.
    """
    message = _MESSAGES[method][0].pb()()
    if not isinstance(value, dict):
        raise Refusal("Invalid JSON payload received. Root element must be a message.")
    reader = _Reader(native)
    request = reader.object(value, _fields(message.DESCRIPTOR), "")
    if reader.violations:
        raise bad_request(reader.violations)
    try:
        json_format.ParseDict(_for_protobuf(request, message.DESCRIPTOR), message, ignore_unknown_fields=False)
    except (json_format.ParseError, OverflowError) as error:
        raise Refusal(f"Invalid JSON payload received. {error}") from error
    return request


def check_response(body: bytes, *, method: str = "generateContent") -> None:
    """Fail unless the body is what the method answers; for tests of what the fake itself says.

    :raises Refusal: it is not.
    """
    reader = _Reader()
    reader.object(strict_json(body), _fields(_MESSAGES[method][1].pb().DESCRIPTOR), "")
    if reader.violations:
        raise bad_request(reader.violations)


def strict_json(body: bytes) -> Any:
    """The JSON value of a body.

    :raises Refusal: not UTF-8, not JSON, NaN or Infinity, half a surrogate pair, a doubled key, too deep.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("Invalid JSON payload received. Encountered non UTF-8 code points.", why=str(error)) from error
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_doubled_keys)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"Invalid JSON payload received. Unexpected token.\n{text[:60]}", why=str(error)) from error
    _check_text(value, 0)
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


def _no_doubled_keys(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError(f"a key stands twice among {[key for key, _ in pairs]}")
    return result


def _check_text(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refusal("Invalid JSON payload received. Message too deep. Max recursion depth reached.")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Refusal("Invalid JSON payload received. Illegal unicode escape.", why="half a surrogate") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, depth)
            _check_text(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, depth + 1)


@cache
def _fields(descriptor: Any) -> dict[str, _Field]:
    """Every JSON name of a message's fields (camelCase and snake_case) with what stands behind it."""
    names: dict[str, _Field] = {}
    for each in descriptor.fields:
        field = _field(each)
        names[field.name] = names[_camel(field.name)] = field
    for name, shape in NEWER_FIELDS.get(descriptor.full_name.removeprefix(_PACKAGE), {}).items():
        names[name] = names[_camel(name)] = _newer_field(name, shape)
    return names


def _field(each: Any) -> _Field:
    # The Python package appends "_" to names that are Python's own (`type_`); the wire has none.
    name = _RENAMED.get(each.name, each.name.removesuffix("_"))
    repeated = bool(each.is_repeated)
    oneof = each.containing_oneof.name if each.containing_oneof is not None else ""
    oneof = "" if oneof.startswith("_") else oneof  # those stand for `optional`
    if each.message_type is None:
        kind = _KINDS[each.type]
        if kind != "enum":
            return _Field(name, kind, "TYPE_" + kind.upper(), repeated=repeated, oneof=oneof)
        values = frozenset(value.name for value in each.enum_type.values)
        return _Field(name, kind, "type.googleapis.com/" + each.enum_type.full_name, values, repeated=repeated)
    full_name = each.message_type.full_name
    if each.message_type.GetOptions().map_entry:
        value_field = _field(each.message_type.fields_by_name["value"])
        return _Field(name, value_field.kind, value_field.type_name, message=value_field.message, is_map=True)
    kind = _OPAQUE.get(full_name, "message")
    type_name = "type.googleapis.com/" + full_name
    return _Field(name, kind, type_name, message=each.message_type, repeated=repeated, oneof=oneof)


def _newer_field(name: str, shape: Shape) -> _Field:
    return _Field(
        name,
        shape.kind,
        shape.type_name or "TYPE_" + shape.kind.upper(),
        frozenset(shape.values),
        dict(shape.fields) if shape.kind == "message" else None,
        repeated=shape.repeated,
        oneof=shape.oneof,
    )


def _message_fields(field: _Field) -> dict[str, _Field]:
    if isinstance(field.message, dict):
        return {key: _newer_field(name, shape) for name, shape in field.message.items() for key in (name, _camel(name))}
    return _fields(field.message)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


class _Reader:
    """Walks one body; notes what is wrong as (path, words) in ``violations``."""

    def __init__(self, native: bool = False) -> None:
        self.violations: list[tuple[str, str]] = []
        self._native = native

    def object(self, value: JsonObject, fields: dict[str, _Field], path: str) -> JsonObject:
        """The fields of one message, by their snake_case names."""
        result: JsonObject = {}
        oneofs: set[str] = set()
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                self._note(path, _unknown(key, path, "Cannot find field."))
                continue
            if field.name in result:
                self._note(path, f"Invalid value at '{path}' (oneof), field '{field.name}' is already set.")
                continue
            if item is None and field.kind != "value":
                continue
            if field.oneof and field.oneof in oneofs:
                words = f"oneof field '{field.oneof}' is already set. Cannot set '{key}'"
                self._note(path, f"Invalid value at '{path}' (oneof), {words}")
                continue
            oneofs.add(field.oneof)
            result[field.name] = self._field(item, field, f"{path}.{field.name}" if path else field.name)
        return result

    def _field(self, item: Any, field: _Field, path: str) -> Any:
        parent = path.rpartition(".")[0]
        if field.is_map:
            if not isinstance(item, dict):
                self._note(path, _invalid(path, "Map", item))
                return None
            entries = enumerate(item.items())
            return {key: self._single(inner, field, f"{path}[{index}].value") for index, (key, inner) in entries}
        if field.repeated:
            if not isinstance(item, list):
                if not self._native:
                    self._note(path, _invalid(path, field.type_name, item))
                    return None
                item = [item]
            return [self._single(inner, field, f"{path}[{index}]") for index, inner in enumerate(item)]
        if isinstance(item, list) and field.kind not in ("value",):
            words = _unknown(field.name, parent, "Proto field is not repeating, cannot start list.")
            self._note(parent, words)
            return None
        return self._single(item, field, path)

    def _single(self, item: Any, field: _Field, path: str) -> Any:
        if field.kind == "value":
            return item
        if field.kind == "message":
            if isinstance(item, dict):
                return self.object(item, _message_fields(field), path)
        elif field.kind == "enum":
            word = item.upper().replace("-", "_") if isinstance(item, str) else ""
            if word in field.values:
                return word
        elif _SCALARS[field.kind](item):
            return item
        self._note(path, _invalid(path, field.type_name, item))
        return None

    def _note(self, path: str, words: str) -> None:
        self.violations.append((path, words))


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _is_integer(item: Any, bits: int) -> bool:
    if isinstance(item, str) and re.fullmatch(r"-?\d{1,20}", item):
        item = int(item)
    return _is_number(item) and item == int(item) and -(2 ** (bits - 1)) <= item < 2 ** (bits - 1)


def is_base64(item: Any) -> bool:
    """Whether the text is base64, of the ordinary or the URL-safe alphabet, padded or not."""
    return isinstance(item, str) and bool(_BASE64.fullmatch(item)) and len(item.rstrip("=")) % 4 != 1


_SCALARS: dict[str, Callable[[Any], bool]] = {
    "string": lambda item: isinstance(item, str),
    "bytes": is_base64,
    "bool": lambda item: isinstance(item, bool),
    "int32": lambda item: _is_integer(item, 32),
    "int64": lambda item: _is_integer(item, 64),
    "float": _is_number,
    "double": _is_number,
    "struct": lambda item: isinstance(item, dict),
    "duration": lambda item: isinstance(item, str),
}


def _unknown(name: str, path: str, words: str) -> str:
    at = f" at '{path}'" if path else ""
    return f'Invalid JSON payload received. Unknown name "{name}"{at}: {words}'


def _invalid(path: str, type_name: str, item: Any) -> str:
    if type_name == "TYPE_BYTES" and isinstance(item, str):
        return f"Invalid value at '{path}' ({type_name}), Base64 decoding failed for \"{item[:40]}\""
    shown = json.dumps(item, ensure_ascii=False) if not isinstance(item, dict | list) else type(item).__name__
    return f"Invalid value at '{path}' ({type_name}), {shown}"


def _for_protobuf(value: JsonObject, descriptor: Any) -> JsonObject:
    """The canonical dictionary without newer fields, under the names the Python package uses."""
    newer = NEWER_FIELDS.get(descriptor.full_name.removeprefix(_PACKAGE), {})
    own = {name: field for field in descriptor.fields if (name := field.name.removesuffix("_")) not in newer}
    result: JsonObject = {}
    for name, item in value.items():
        field = own.get(name)
        if field is None:
            continue
        inner = field.message_type
        if inner is None or inner.full_name in _OPAQUE:
            result[field.name] = item
        elif inner.GetOptions().map_entry:
            target = inner.fields_by_name["value"].message_type
            result[field.name] = {key: _for_protobuf(each, target) if target else each for key, each in item.items()}
        elif field.is_repeated:
            result[field.name] = [_for_protobuf(each, inner) for each in item]
        else:
            result[field.name] = _for_protobuf(item, inner)
    return result
