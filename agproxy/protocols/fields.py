"""Reading the fields of a decoded body: each getter checks type and range, and its error names the field."""

from typing import Any

from agproxy.errors import BadRequest
from agproxy.jsonwire import json_type

Body = dict[str, Any]


def string(body: Body, name: str, *, path: str = "", required: bool = False) -> str | None:
    """The string ``name``, or None when it is missing or null."""
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise wrong_type(path + name, "a string", value, missing=name not in body)
    return value


def boolean(body: Body, name: str, *, path: str = "") -> bool:
    """The boolean ``name``; missing or null is False."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong_type(path + name, "a boolean", value)
    return value


def number(body: Body, name: str, *, low: float, high: float) -> float | None:
    """The number ``name`` within ``low`` and ``high``, or None."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number", value)
    if not low <= value <= high:
        raise BadRequest(f"{name} must be between {low:g} and {high:g}, not {shown(value)}", param=name)
    return value


def integer(body: Body, name: str, *, low: int, high: int, path: str = "") -> int | None:
    """The whole number ``name`` within ``low`` and ``high``, or None; ``5.0`` counts as 5."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(path + name, "a whole number", value)
    if not low <= value <= high:
        raise BadRequest(f"{path}{name} must be between {low} and {high}, not {shown(value)}", param=path + name)
    return value


def array(body: Body, name: str, *, path: str = "", required: bool = False) -> list[Any]:
    """The array ``name``; missing or null is empty."""
    value = body.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise wrong_type(path + name, "an array", value, missing=name not in body)
    return value


def mapping(value: object, path: str) -> Body:
    """``value``, which must be an object."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return value


def wrong_type(path: str, wanted: str, value: object, *, missing: bool = False) -> BadRequest:
    """The error of a field that is missing or of the wrong type."""
    if missing:
        return BadRequest(f"{path} is missing; it must be {wanted}", param=path, code="missing_required_parameter")
    return BadRequest(f"{path} must be {wanted}, not {json_type(value)}", param=path, code="invalid_type")


def shown(value: object) -> str:
    """A value from outside, short enough for a message."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
