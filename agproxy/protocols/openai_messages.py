"""The ``messages`` of Chat Completions, and the same as items of Responses.

Wire: ``ChatCompletionMessageParam`` and ``ChatCompletionContentPartParam`` of the ``openai`` package. Parts as
Responses, OpenRouter and LiteLLM write them are understood too.
"""

import json
from collections.abc import Callable
from typing import Any

from agproxy.chat import (
    AttachmentPart,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.attachments import attachment
from agproxy.protocols.fields import Body, shown

_MAX_DEPTH = 40  # protobuf parsers stop at 100 levels, of which each level of arguments takes two
# What is read of a message, by its role.
_CONTENT = frozenset({"role", "content"})
_READ = {
    "system": _CONTENT,
    "developer": _CONTENT,
    "user": _CONTENT,
    "assistant": _CONTENT
    | {"reasoning_content", "refusal", "tool_calls", "function_call", "extra_content", "images", "annotations"},
    "tool": _CONTENT | {"tool_call_id", "name"},
    "function": _CONTENT | {"name"},
}
_ROLES = tuple(_READ)
# The Files API's own names are addresses too: https://ai.google.dev/gemini-api/docs/files
_GEMINI_FILES = "https://generativelanguage.googleapis.com/v1beta/"


def decode_messages(body: Body, ignored: list[str]) -> tuple[Message, ...]:
    """The conversation.

    :param ignored: what is not honoured is added to it.
    """
    values = fields.array(body, "messages", required=True)
    if not values:
        raise BadRequest("messages is empty; send at least one message", param="messages")
    messages = []
    for position, value in enumerate(values):
        path = f"messages[{position}]"
        messages.append(decode_message(fields.mapping(value, path), path, ignored))
    return tuple(messages)


def decode_message(
    message: Body, path: str, ignored: list[str], *, listed: str = "messages[]", harmless: frozenset[str] = frozenset()
) -> Message:
    """One message.

    :param path: where it stands, for errors; ``listed`` is the same for what is not honoured.
    :param harmless: what it may hold beside that, and which says nothing to a model.
    """
    role = message.get("role")
    if role not in _ROLES:
        raise BadRequest(f"{path}.role must be one of {', '.join(_ROLES)}, not {shown(role)}", param=f"{path}.role")
    read = _READ[role] | harmless
    ignored += [f"{listed}.{name}" for name, extra in message.items() if extra and name not in read]
    listed += ".content[]"
    match role:
        case "system" | "developer":
            return Message("system", tuple(_content(message, path, ("text",), ignored, listed)))
        case "user":
            return Message("user", tuple(_content(message, path, USER_PARTS, ignored, listed)))
        case "assistant":
            return Message("assistant", tuple(_assistant(message, path, ignored, listed)))
        case _:
            name = fields.string(message, "name", path=f"{path}.") or ""
            if role == "tool":
                call_id = fields.string(message, "tool_call_id", path=f"{path}.", required=True) or ""
            else:  # the "function" role, which "tool" replaced, knows its call by name only
                call_id = f"function_{name}"
            parts = _content(message, path, USER_PARTS, ignored, listed)
            return Message("tool", (ToolResultPart(call_id, name, tuple(parts)),))


def _assistant(message: Body, path: str, ignored: list[str], listed: str) -> list[Part]:
    parts: list[Part] = []
    reasoning = fields.string(message, "reasoning_content", path=f"{path}.")
    if reasoning:
        parts.append(ReasoningPart(reasoning))
    parts += _content(message, path, ("text", "refusal", "image_url"), ignored, listed)
    refusal = fields.string(message, "refusal", path=f"{path}.")
    if refusal:
        parts.append(TextPart(refusal))
    metadata = decode_metadata(message)
    if metadata:
        last = next((part for part in reversed(parts) if isinstance(part, TextPart)), None)
        if last is None:
            parts.append(TextPart("", metadata))
        else:
            last.provider_metadata = metadata
    for position, value in enumerate(fields.array(message, "images", path=f"{path}.")):  # as our own answers hold them
        where = f"{path}.images[{position}]"
        image = fields.mapping(value, where)
        part = _image(image, where, ignored)
        part.provider_metadata = decode_metadata(image)
        parts.append(part)
    for position, value in enumerate(fields.array(message, "tool_calls", path=f"{path}.")):
        parts.append(_tool_call(fields.mapping(value, f"{path}.tool_calls[{position}]"), path, position))
    older = message.get("function_call")
    if older is not None:
        call = fields.mapping(older, f"{path}.function_call")
        name = fields.string(call, "name", path=f"{path}.function_call.", required=True) or ""
        parts.append(ToolCallPart(f"function_{name}", name, decode_arguments(call.get("arguments"))))
    return parts


def _tool_call(call: Body, path: str, position: int) -> ToolCallPart:
    path = f"{path}.tool_calls[{position}]"
    kind = "custom" if call.get("type") == "custom" else "function"
    function = fields.mapping(call.get(kind), f"{path}.{kind}")
    name = fields.string(function, "name", path=f"{path}.{kind}.", required=True) or ""
    if not name:
        raise BadRequest(f"{path}.{kind}.name is empty", param=f"{path}.{kind}.name")
    if kind == "custom":
        arguments: dict[str, Any] = {"input": function.get("input") or ""}
    else:
        arguments = decode_arguments(function.get("arguments"))
    call_id = fields.string(call, "id", path=f"{path}.") or path
    return ToolCallPart(call_id, name, arguments, decode_metadata(call))


def decode_arguments(value: object) -> dict[str, Any]:
    """The arguments of a past call as an object, which Gemini demands, whatever the client kept of them.

    What is no JSON object, or none that a google.protobuf.Struct can hold, is kept as text under ``input``: models do
    send broken arguments, and the history must still be accepted (and tell the model what it did).
    """
    if isinstance(value, str):
        text = value
        if not text.strip():
            return {}
        try:
            value = json.loads(text)
            if isinstance(value, str):  # encoded twice
                value = json.loads(value)
            # NaN, Infinity and lone surrogates pass json.loads, but Gemini does not take them.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return {"input": text}
    else:
        text = ""
    if value is None:
        return {}
    if not _fits_struct(value, _MAX_DEPTH):
        return {"input": text or json.dumps(value)}
    return value if isinstance(value, dict) else {"input": value}


def _fits_struct(value: object, levels: int) -> bool:
    """Whether a Struct can hold ``value``: its numbers are doubles, and parsers bound how deep it may be nested."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_fits_struct(item, levels - 1) for item in inner)
    return not isinstance(value, int) or abs(value) < 2**1023


def decode_metadata(holder: Body) -> Metadata | None:
    """``extra_content`` as Google's OpenAI layer defines it, if it is well formed; anything else is not ours."""
    extra = holder.get("extra_content")
    if isinstance(extra, dict) and isinstance(google := extra.get("google"), dict):
        signature = google.get("thought_signature")
        if isinstance(signature, str) and signature:
            return {"google": {"thought_signature": signature}}
    return None


# Parts of a message's content.


def _content(message: Body, path: str, kinds: tuple[str, ...], ignored: list[str], listed: str) -> list[Any]:
    """The parts of ``message["content"]``: a string, null, or an array of parts of the given kinds."""
    content = message.get("content")
    if content is None:
        if message["role"] in ("system", "developer", "user"):
            raise fields.wrong_type(
                f"{path}.content", "a string or an array of parts", content, missing="content" not in message
            )
        return []
    return decode_parts(content, f"{path}.content", kinds, ignored, listed)


def decode_parts(
    content: object, path: str, kinds: tuple[str, ...], ignored: list[str], listed: str
) -> list[TextPart | AttachmentPart]:
    """The parts that a string is, or an array holds, each of one of the given kinds."""
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    if not isinstance(content, list):
        raise fields.wrong_type(path, "a string or an array of parts", content)
    parts: list[TextPart | AttachmentPart] = []
    for position, value in enumerate(content):
        where = f"{path}[{position}]"
        if isinstance(value, str):
            value = {"type": "text", "text": value}
        part = fields.mapping(value, where)
        kind = part.get("type")
        kind = SYNONYMS.get(kind, kind) if isinstance(kind, str) else kind
        if kind not in kinds:
            raise BadRequest(
                f"{where}.type must be one of {', '.join(kinds)} here, not {shown(part.get('type'))}",
                param=f"{where}.type",
            )
        ignored += [f"{listed}.{name}" for name, extra in part.items() if extra and name not in _PART_KEYS]
        if kind in _FILES:
            parts.append(_FILES[kind](part, where, ignored))
        else:
            text = fields.string(part, kind, path=f"{where}.", required=True)
            if text:
                parts.append(TextPart(text))
    return parts


_PART_KEYS = frozenset(
    {
        *("type", "text", "refusal", "annotations", "image_url", "video_url", "detail", "input_audio", "format"),
        *("file", "filename", "file_data", "file_url", "file_id", "logprobs"),
    }
)
# Of other APIs, or of Responses, for the kinds of parts above.
SYNONYMS = {
    "input_text": "text",
    "output_text": "text",  # Responses
    "input_image": "image_url",
    "input_file": "file",
    "input_video": "video_url",
}


def _image(part: Body, where: str, ignored: list[str]) -> AttachmentPart:
    return _addressed(part, where, ignored, kind="image_url", what="image")


def _video(part: Body, where: str, ignored: list[str]) -> AttachmentPart:
    """As OpenRouter, LiteLLM and vLLM have it; OpenAI has no video."""
    return _addressed(part, where, ignored, kind="video_url", what="video")


def _addressed(part: Body, where: str, ignored: list[str], *, kind: str, what: str) -> AttachmentPart:
    value = part.get(kind)
    param = f"{where}.{kind}.url"
    if isinstance(value, str):  # as Responses has it
        value, param = {"url": value}, f"{where}.{kind}"
    elif value is None and part.get("file_id"):
        raise _not_stored(f"{where}.file_id", kind)
    holder = fields.mapping(value, f"{where}.{kind}")
    url = fields.string(holder, "url", path=f"{where}.{kind}.", required=True) or ""
    if (holder.get("detail") or part.get("detail")) not in (None, "auto"):
        ignored.append(f"{kind}.detail")
    declared = holder.get("format", part.get("format"))  # LiteLLM's word for the media type
    return attachment(url, declared if isinstance(declared, str) else "", what=what, param=param)


def _audio(part: Body, where: str, ignored: list[str]) -> AttachmentPart:
    holder = fields.mapping(part.get("input_audio"), f"{where}.input_audio")
    path = f"{where}.input_audio."
    content = fields.string(holder, "data", path=path, required=True) or ""
    return attachment(
        content, fields.string(holder, "format", path=path) or "", what="audio", param=f"{where}.input_audio.data"
    )


def _file(part: Body, where: str, ignored: list[str]) -> AttachmentPart:
    """``file_data`` is a ``data:`` URL or base64; OpenRouter and LiteLLM have addresses there, or as ``file_id``."""
    held = part.get("file")
    holder, path = (part, f"{where}.") if held is None else (fields.mapping(held, f"{where}.file"), f"{where}.file.")
    name = fields.string(holder, "filename", path=path) or ""
    declared = fields.string(holder, "format", path=path) or ""
    for field in ("file_data", "file_url", "file_id"):
        source = fields.string(holder, field, path=path)
        if not source:
            continue
        if field == "file_id":
            if source.startswith("files/"):
                source = _GEMINI_FILES + source
            elif ":" not in source:
                raise _not_stored(f"{path}file_id", "file_data")
        return attachment(source, declared, what="file", param=f"{path}{field}", name=name)
    raise BadRequest(
        f"{path}file_data is missing; it must be a data: URL (data:application/pdf;base64,...)",
        param=f"{path}file_data",
        code="missing_required_parameter",
    )


def _not_stored(param: str, instead: str) -> BadRequest:
    example = {"file_data": "data:application/pdf;base64,..."}.get(instead, "data:image/png;base64,...")
    return BadRequest(
        f"{param} names a file that was uploaded elsewhere, and agproxy stores none; send its content as {instead}"
        f" ({example})",
        param=param,
    )


_FILES: dict[str, Callable[[Body, str, list[str]], AttachmentPart]] = {
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "video_url": _video,
}
USER_PARTS = ("text", *_FILES)
