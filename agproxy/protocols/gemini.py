"""Native Gemini: bodies that pass as they are, what agproxy has to know of them, and the framing of answers.

Wire: https://ai.google.dev/api/generate-content ("streamGenerateContent" is one JSON array, or SSE with ``alt=sse``)
and https://google.aip.dev/193 (google.rpc.Status in an ``error`` object); the key ``error`` comes first, for the Python
SDK looks for it at the start of a stream's data.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agproxy.chat import AttachmentPart, ChatRequest, Event, Failed, Message, Ping, Relayed, ReplyMeta, TextPart, Tool
from agproxy.errors import BadRequest, GatewayError, UpstreamRefusal
from agproxy.jsonwire import encode_json
from agproxy.models import Listed
from agproxy.protocols import fields
from agproxy.protocols.fields import Body

NAME = "gemini"
ID_PREFIX = ""

# google.rpc.Code names by HTTP status: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# A blank line. Google's SDKs fail on comments (google-genai 3.4, and @google/genai 1.30 in the Gemini CLI 0.61); in an
# array it is white space between two elements.
_PING = b"\r\n"


def decode_request(body: Body, *, model: str, stream: bool) -> ChatRequest:
    """What agproxy has to know of a body that passes as it is: what tells its conversation, and its functions.

    :param model: the name that the client asked for.
    """
    request = body
    for name in ("generateContentRequest", "generate_content_request"):
        if isinstance(body.get(name), dict):
            request = body[name]
    messages = []
    for name in ("systemInstruction", "system_instruction"):
        if said := _texts(request.get(name)):
            messages.append(Message("system", said))
    contents = request.get("contents")
    first = contents[0] if isinstance(contents, list) and contents else contents
    messages.append(Message("user", (*_texts(first), *_files(first))))
    if any(content.get("role") == "model" for content in _objects(contents)):
        messages.append(Message("assistant", ()))  # answered before; what was said does not matter here
    holders = request.get("tools")
    declared = [_declared(holder) for holder in holders] if isinstance(holders, list) else []
    tools = tuple(Tool(str(each.get("name")), "", _schema(each)) for functions in declared for each in functions)
    groups = tuple(len(functions) for functions in declared)
    is_grouped = len([size for size in groups if size]) > 1
    return ChatRequest(model, tuple(messages), tools=tools, tool_groups=groups if is_grouped else (), stream=stream)


def _texts(content: object) -> tuple[TextPart, ...]:
    return tuple(TextPart(part["text"]) for part in _parts(content) if isinstance(part.get("text"), str))


def _files(content: object) -> tuple[AttachmentPart, ...]:
    """The files, as far as they tell one conversation from others."""
    found = []
    for part in _parts(content):
        for name in ("inlineData", "inline_data", "fileData", "file_data"):
            holder = part.get(name)
            if isinstance(holder, dict):
                held = [value for field in _HELD if isinstance(value := holder.get(field), str)]
                found += [AttachmentPart("", base64=value) for value in held]
    return tuple(found)


_HELD = ("data", "fileUri", "file_uri")


def _parts(content: object) -> list[Body]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return _objects([parts] if isinstance(parts, dict) else parts)


def _objects(value: object) -> list[Body]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _declared(tool: object) -> list[Body]:
    """The functions in one element of ``tools``, which may hold something else."""
    if not isinstance(tool, dict):
        return []
    return _objects(tool.get("functionDeclarations", tool.get("function_declarations")))


def _schema(function: Body) -> object:
    names = ("parameters", "parametersJsonSchema", "parameters_json_schema")
    return next((function[name] for name in names if name in function), None)


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the bytes of one streamed answer: each piece as it came, as SSE or as an element of an array.

    :param events: ending in one ``Finish`` or ``Failed``.
    :param meta: its ``echo`` tells whether the client wants an array.
    """
    frame = _Array() if meta.echo == "array" else _Events()
    yield from frame.begin()
    for event in events:
        match event:
            case Relayed():
                yield frame.write(event.payload)
            case Ping():
                yield _PING
            case Failed():
                yield frame.write(encode_json(encode_error(event.error)))
    yield from frame.end()


class _Events:
    def begin(self) -> Iterator[bytes]:
        yield from ()

    def write(self, payload: bytes) -> bytes:
        if b"\n" in payload:
            payload = payload.replace(b"\n", b"\r\ndata: ")
        return b"data: " + payload + b"\r\n\r\n"

    def end(self) -> Iterator[bytes]:
        yield from ()


class _Array:
    def __init__(self) -> None:
        self._is_first = True

    def begin(self) -> Iterator[bytes]:
        yield b"["

    def write(self, payload: bytes) -> bytes:
        separator, self._is_first = b"" if self._is_first else b",\r\n", False
        return separator + payload

    def end(self) -> Iterator[bytes]:
        yield b"]"


def encode_failure(error: Exception) -> bytes:
    """An error in the middle of a stream of events, after which it ends."""
    return _Events().write(encode_json(encode_error(error)))


def encode_error(error: Exception) -> dict[str, Any]:
    """The error object, with the google.rpc word for the status, and Google's own details where it gave some."""
    if not isinstance(error, GatewayError):
        error = GatewayError("agproxy failed; its log says why")
    status = _STATUSES.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    details: tuple[Mapping[str, Any], ...] = ()
    if isinstance(error, UpstreamRefusal):
        status, details = error.reason or status, error.details
    if not details and error.retry_after_s is not None and error.status in (429, 503):
        delay = f"{max(error.retry_after_s, 0.001):.3f}s"
        details = ({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},)
    words: Body = {"code": error.status, "message": error.message, "status": status}
    if details:
        words["details"] = [*details]
    return {"error": words}


_PAGE = 50
_MAX_PAGE = 1000


def encode_models(listed: Iterable[Listed], query: Mapping[str, str]) -> Body:
    """A page of the list of models (https://ai.google.dev/api/models).

    :param query: ``pageSize`` and ``pageToken``.
    :raises BadRequest: one of them is wrong.
    """
    models = list(listed)
    size = min(_number(query, "pageSize") or _PAGE, _MAX_PAGE)
    start = _number(query, "pageToken")
    page: Body = {"models": [encode_model(model) for model in models[start : start + size]]}
    if start + size < len(models):
        page["nextPageToken"] = str(start + size)
    return page


def encode_model(model: Listed) -> Body:
    """The model object: Gemini's own, under the name that was asked for."""
    own = {"displayName": model.name, "description": f"Answered by {model.target}."} if model.owner != "google" else {}
    methods = {"supportedGenerationMethods": list(model.methods)}
    return {"name": f"models/{model.name}", "version": "001", **methods, **_unnamed(model.details), **own}


def _unnamed(details: Mapping[str, Any]) -> Body:
    return {name: value for name, value in details.items() if name != "name"}


def _number(query: Mapping[str, str], name: str) -> int:
    value = query.get(name, "")
    if value and not (value.isdecimal() and len(value) < 10):
        raise BadRequest(f"{name} must be a whole number, not {fields.shown(value)}", param=name)
    return int(value or 0)
