"""Reading the fields of a decoded body: each getter checks type and range, and its error names the field."""

import binascii
from typing import Any

from agproxy.chat import AttachmentPart
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


def integer(body: Body, name: str, *, low: int, high: int) -> int | None:
    """The whole number ``name`` within ``low`` and ``high``, or None; ``5.0`` counts as 5."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "a whole number", value)
    if not low <= value <= high:
        raise BadRequest(f"{name} must be between {low} and {high}, not {shown(value)}", param=name)
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


# First bytes of the kinds of file that are told apart by them.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
# https://ai.google.dev/gemini-api/docs/image-understanding, "Supported image formats".
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})


def image(media_type: str, base64: str, *, param: str) -> AttachmentPart:
    """An inline image; its type is read from its bytes where they tell it, for clients often name a wrong one.

    :raises BadRequest: when it is not base64, empty, or of a kind that Gemini refuses.
    """
    text = "".join(base64.split()).rstrip("=")
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    text += "=" * (-len(text) % 4)
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the image is not valid base64: {error}", param=param, code="invalid_image") from error
    if not content:
        raise BadRequest("the image is empty", param=param, code="invalid_image")
    media_type = _sniffed(content) or media_type.lower()
    if media_type == "image/jpg":
        media_type = "image/jpeg"
    if media_type not in _IMAGE_TYPES:
        raise BadRequest(
            f"Gemini does not take images of type {shown(media_type)}; send PNG, JPEG, WebP, HEIC or HEIF",
            param=param,
            code="invalid_image",
        )
    return AttachmentPart(media_type, text)


def _sniffed(content: bytes) -> str | None:
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "image/heic"
    return None
