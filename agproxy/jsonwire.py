"""JSON as it may come from anyone, and as it goes out."""

import json
import math
from typing import Any

from agproxy.errors import BadRequest

_MAX_DEPTH = 200  # Google's own parsers stop at 100


def decode_json(body: bytes) -> Any:
    """The value that ``body`` holds.

    Stricter than :func:`json.loads`: UTF-8 only, no NaN or Infinity (nor numbers that overflow to it), and no lone
    surrogates, none of which Gemini takes (RFC 8259, sections 8.1, 6 and 8.2).

    :raises BadRequest: with a message for the one who sent it.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start} is wrong", code="invalid_json") from error
    if not text.strip():
        raise BadRequest("the body is empty; send a JSON object", code="invalid_json")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", code="invalid_json"
        ) from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from error
    except ValueError as error:  # ours below, and integers of more than 4,300 digits
        raise BadRequest(
            f"the body holds a number that JSON or agproxy cannot take: {error}", code="invalid_json"
        ) from error
    if text.count("{") + text.count("[") > _MAX_DEPTH and _is_deep(value):
        raise BadRequest("the body is nested too deeply", code="invalid_json")
    # Only an escape can bring a lone surrogate, for the bytes were valid UTF-8.
    if "\\u" in text and ("\\ud" in text or "\\uD" in text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadRequest(
                "the body holds half of a surrogate pair (\\ud800 to \\udfff)", code="invalid_json"
            ) from error
        except RecursionError as error:
            raise BadRequest("the body is nested too deeply", code="invalid_json") from error
    return value


def _is_deep(value: object) -> bool:
    """Whether something is nested so deeply that it may be read, but not written again by those who call deeper."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[object] = []
        for holder in level:
            if isinstance(holder, dict):
                inner += [each for each in holder.values() if isinstance(each, dict | list)]
            elif isinstance(holder, list):
                inner += [each for each in holder if isinstance(each, dict | list)]
        if not inner:
            return False
        level = inner
    return True


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that ``body`` holds.

    :raises BadRequest: when it is no JSON, or no object.
    """
    value = decode_json(body)
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be a JSON object, not {json_type(value)}", code="invalid_json")
    return value


def encode_json(value: object) -> bytes:
    """Compact UTF-8; a lone surrogate, which UTF-8 cannot hold, stays the escape it came as."""
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def json_type(value: object) -> str:
    """The name of a value's JSON type, for messages."""
    return _TYPES.get(type(value), "something else")


_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is too large")
    return value


# Made once: json.loads and json.dumps would make one for each call.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
