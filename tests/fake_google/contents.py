"""The rules for ``contents`` and ``systemInstruction`` taken one by one: roles, parts, names, media.

Sources: google/ai/generativelanguage/v1beta/content.proto; the guides on ai.google.dev for images, documents, audio and
video; the issues named beside each rule.
"""

import base64
import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.fake_google.families import Family
from tests.fake_google.refusal import JsonObject, Refusal, field_error

DATA_KINDS = (
    "text",
    "inline_data",
    "function_call",
    "function_response",
    "file_data",
    "executable_code",
    "code_execution_result",
    "tool_call",
    "tool_response",
)
CALL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
# ai.google.dev: image, document, audio and video understanding guides, "supported formats".
_SUBTYPES = {
    "image": ("png", "jpeg", "webp", "heic", "heif"),
    "application": ("pdf", "json", "x-javascript", "x-python", "rtf"),
    "audio": ("wav", "x-wav", "mp3", "mpeg", "aiff", "aac", "ogg", "flac", "m4a", "mp4", "opus", "webm", "l16", "pcm"),
    "video": ("mp4", "mpeg", "mov", "quicktime", "avi", "x-flv", "mpg", "webm", "wmv", "3gpp"),
}
MEDIA_TYPES = frozenset(f"{major}/{minor}" for major, minors in _SUBTYPES.items() for minor in minors)
# ai.google.dev/gemini-api/docs/function-calling, "Multimodal function responses".
RESULT_MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
# ai.google.dev/gemini-api/docs/file-input-methods#external-urls: no audio, no HEIC.
_EXTERNAL_SUBTYPES = {
    "text": ("html", "css", "plain", "xml", "csv", "rtf", "javascript"),
    "application": ("json", "pdf"),
    "image": ("bmp", "jpeg", "png", "webp"),
    "video": ("mp4", "mpeg", "quicktime", "avi", "x-flv", "mpg", "webm", "wmv", "3gpp"),
}
EXTERNAL_TYPES = frozenset(f"{major}/{minor}" for major, minors in _EXTERNAL_SUBTYPES.items() for minor in minors)
_FILES_API = ("https://generativelanguage.googleapis.com/v1beta/files/", "files/")
_YOUTUBE = ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
_MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "application/pdf": b"%PDF"}


def check_contents(contents: list[JsonObject], family: Family, *, native: bool = False) -> None:
    """Refuse contents that are wrong in themselves, each without looking at its neighbours.

    A lone content needs no role (Content in content.proto; snailyp/gemini-balance pull 172 has Google's own example).
    """
    if not contents:
        raise field_error("contents", "contents is not specified")
    for index, content in enumerate(contents):
        role = content.get("role", "")
        known = ("user", "model", "function") if native and family.takes_role_function else ("user", "model")
        if role not in known and (role or len(contents) > 1):
            raise _bad_role(role, index, family)
        check_parts(content, f"contents[{index}]")


def check_system_instruction(content: JsonObject, family: Family) -> None:
    """Text only (generative_service.proto, GenerateContentRequest.system_instruction), and not for Gemma.

    0xPlaygrounds/rig issue 788 has the words.
    """
    if family.is_gemma:
        raise Refusal(f"Developer instruction is not enabled for models/{family.model}")
    check_parts(content, "system_instruction")
    for part in content["parts"]:
        if "text" not in part:
            raise Refusal("System instruction only supports text parts.", why=str(sorted(part)))


def check_parts(content: JsonObject, path: str) -> None:
    """Refuse an empty list of parts and every part that is wrong in itself."""
    if not content.get("parts"):
        raise field_error(f"{path}.parts", "contents.parts must not be empty.")
    for index, part in enumerate(content["parts"]):
        check_part(part, f"{path}.parts[{index}]")


def check_part(part: JsonObject, path: str) -> None:
    """Refuse a part that is wrong in itself."""
    kind = next((kind for kind in DATA_KINDS if kind in part), None)  # never two: they are a oneof
    empty_text = kind == "text" and part["text"] == "" and not part.get("thought_signature")
    if kind is None or empty_text:
        raise field_error(
            f"{path}.data",
            "required oneof field 'data' must have one initialized field",
        )
    check = _PART_CHECKS.get(kind)
    if check is not None:
        check(part[kind], f"{path}.{kind}")


def _bad_role(role: str, index: int, family: Family) -> Refusal:
    """Models from 3.6 on name the role and many others (blakeblackshear/frigate pull 24013), older ones only two."""
    words = "Please use a valid role: user, model."
    if role and not family.takes_role_function:
        words = (
            f"Role '{role}' is not supported. Please use a valid role: SYSTEM, SYSTEM_1, USER, ASSISTANT, DEVELOPER, "
            "CONTEXT, USER_CONTEXT, MODEL, USER."
        )
    return Refusal(words, why=f"contents[{index}].role is {role!r}")


def _check_blob(blob: JsonObject, path: str) -> None:
    mime_type = blob.get("mime_type", "")
    essence = mime_type.partition(";")[0].strip().lower()
    if not essence:
        raise field_error(f"{path}.mime_type", "must not be empty.")
    if essence not in MEDIA_TYPES and not essence.startswith("text/"):
        raise Refusal(f"Unsupported MIME type: {mime_type}")
    if not blob.get("data"):
        raise field_error(f"{path}.data", "must not be empty.")
    plain = blob["data"].rstrip("=").replace("-", "+").replace("_", "/")
    raw = base64.b64decode(plain + "=" * (-len(plain) % 4))
    if not raw.startswith(_MAGIC.get(essence, b"")):
        if essence == "application/pdf":
            raise Refusal("The document has no pages.")
        raise Refusal(
            "Unable to process input image. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting"
        )


def _check_file(file: JsonObject, path: str) -> None:
    """A file by its address: of the Files API, of YouTube, or any public one, which Google fetches itself.

    ai.google.dev/gemini-api/docs/file-input-methods: "Unsupported types will result in an error"; the type may be left
    out (req_llm pull 442). The words about addresses that cannot be fetched: maximhq/bifrost pull 1989.
    """
    uri, mime_type = file.get("file_uri", ""), file.get("mime_type", "").lower()
    if not uri:
        raise field_error(f"{path}.file_uri", "must not be empty.")
    if uri.startswith(("gs://", *_FILES_API)):
        known = not mime_type or mime_type in MEDIA_TYPES or mime_type.startswith("text/")
    elif not uri.startswith("https://"):
        raise Refusal(f"Invalid or unsupported file uri: {uri}")
    elif (host := urlsplit(uri).hostname or "") in _YOUTUBE:
        known = not mime_type or mime_type.startswith("video/")
    elif not _is_public(host):
        raise Refusal("Cannot fetch content from the provided URL.", why=f"{host!r} is no public host")
    else:
        known = not mime_type or mime_type in EXTERNAL_TYPES
    if not known:
        raise Refusal(f"Unsupported MIME type: {mime_type}", why=f"of {uri}")


def _is_public(host: str) -> bool:
    """Whether this is a name with a dot, and no IP address in any notation."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.rstrip(".").rpartition(".")[2].isdigit() and not host.endswith(".localhost")
    return False


def _check_call(call: JsonObject, path: str) -> None:
    _check_call_name(call.get("name", ""), path)


def _check_response(response: JsonObject, path: str) -> None:
    _check_call_name(response.get("name", ""), path)
    if "response" not in response:
        raise field_error(f"{path}.response", "required field is not set.")
    shown = [part.get("inline_data", {}).get("display_name") for part in response.get("parts", ())]
    for key, value in _pairs(response["response"]):
        # Read as references to media parts: vercel/ai issue 14369, googleapis/python-genai issue 2792.
        if key == "$defs" or (key == "$ref" and value not in shown):
            raise Refusal(
                f"The referenced name `{value if isinstance(value, str) else key}` in function_response.response does "
                "not match to a display_name in the function_response.parts.",
                why=f"{key} inside {path}.response",
            )
    for index, part in enumerate(response.get("parts", ())):
        if "inline_data" not in part:
            raise field_error(
                f"{path}.parts[{index}].data", "required oneof field 'data' must have one initialized field"
            )
        _check_blob(part["inline_data"], f"{path}.parts[{index}].inline_data")
        if part["inline_data"]["mime_type"] not in RESULT_MEDIA_TYPES:
            raise Refusal(f"Unsupported MIME type: {part['inline_data']['mime_type']}", why=f"in {path}.parts[{index}]")


def _check_call_name(name: str, path: str) -> None:
    if not name:
        raise field_error(f"{path}.name", "Name cannot be empty.")
    if not CALL_NAME.fullmatch(name):
        raise field_error(
            f"{path}.name",
            "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), "
            "underscores (_) or dashes (-), with a maximum length of 64.",
        )


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _pairs(item)


_PART_CHECKS = {
    "inline_data": _check_blob,
    "file_data": _check_file,
    "function_call": _check_call,
    "function_response": _check_response,
}
