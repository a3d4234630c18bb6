"""Anthropic Messages: events to a body, a stream or an error. (``anthropic_request`` reads the body.)

Wire: https://platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming and .../api/errors, and the
types of the ``anthropic`` package.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agproxy.chat import Counted, Event, Failed, Finish, Ping, ReplyMeta, Searched, TextDelta, Usage
from agproxy.errors import BadRequest, GatewayError
from agproxy.fold import Reply
from agproxy.jsonwire import encode_json
from agproxy.models import Listed
from agproxy.protocols import fields
from agproxy.protocols.anthropic_output import Output
from agproxy.protocols.anthropic_request import Echo, decode_request
from agproxy.protocols.fields import Body

__all__ = ["decode_request", "encode_reply", "encode_stream", "encode_error", "encode_failure", "encode_usage"]

NAME = "anthropic_messages"
ID_PREFIX = "msg_"
# Where the SDKs look for the id of a request; in errors it stands as a field, too.
REQUEST_ID_HEADER = "request-id"
# The fields of this protocol for those that the hub and the upstreams speak of.
FIELD_NAMES = {
    "reasoning_effort": "output_config.effort",
    "thinking_budget": "thinking.budget_tokens",
    "include_thoughts": "thinking",
    "response_format": "output_config.format",
    "response_format.json_schema": "output_config.format.schema",
    "response_format.json_schema.schema": "output_config.format.schema",
    "max_completion_tokens": "max_tokens",
}

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def encode_reply(reply: Reply, meta: ReplyMeta) -> Body:
    """The whole answer as the ``message`` object; what was searched for stands before what was found."""
    output = Output(meta.id, thinks=_thinks(meta))
    # In a stream a search is known only after the text.
    parts = sorted(reply.parts, key=lambda part: not isinstance(part, Searched))
    for event in (*parts, *reply.citations):
        for _ in output.add(event):
            pass
    for _ in output.finish():
        pass
    stop = _stop(reply.finish)
    return {**_message(meta, output.content), **stop, "usage": encode_usage(reply.finish.usage, output.searches)}


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the SSE bytes of one streamed answer.

    :param events: ending in one ``Finish`` or ``Failed``.
    """
    output = Output(meta.id, thinks=_thinks(meta))
    begun = False
    for event in events:
        if not begun:
            begun = True
            usage = event.usage if isinstance(event, Counted) else Usage()
            message = {**_message(meta, []), **_NO_STOP, "usage": encode_usage(usage)}
            yield _event({"type": "message_start", "message": message})
        match event:
            case TextDelta() if output.goes_on(event.text):
                yield _TEXT % len(output.content) + encode_json(event.text) + b"}}\n\n"
            case Ping():
                yield _PING
            case Failed():
                yield encode_failure(event.error)
                return
            case Finish():
                ending = [*output.finish()]
                usage_at_end = encode_usage(event.usage, output.searches)
                ending.append({"type": "message_delta", "delta": _stop(event), "usage": usage_at_end})
                ending.append({"type": "message_stop"})
                yield b"".join(map(_event, ending))
            case _:
                if written := b"".join(map(_event, output.add(event))):
                    yield written


def encode_failure(error: Exception) -> bytes:
    """An error in the middle of a stream, after which it ends."""
    return _event({**encode_error(error), "type": "error"})


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Codes that a client of Anthropic's knows, where it looks for them.
_CODES = ("thread_unsupported_request",)


def encode_error(error: Exception) -> Body:
    """The error object; other 4xx are ``invalid_request_error``, other 5xx ``api_error``."""
    if not isinstance(error, GatewayError):
        error = GatewayError("agproxy failed; its log says why")
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    message = error.message
    if error.param and not error.param.isidentifier() and error.param not in message:  # which has no field of its own
        message = f"{error.param}: {message}"
    words: Body = {"type": kind, "message": message}
    if error.code in _CODES:
        words["details"] = {"error_code": error.code}
    return {"type": "error", "error": words}


def encode_usage(usage: Usage, searches: int = 0) -> Body:
    """The usage object: what the cache gave is no part of ``input_tokens``, thoughts are one of ``output_tokens``.

    :param searches: how often the web was searched.
    """
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None,
        "service_tier": "standard",
    }


_CREATED = "2023-12-06T00:00:00Z"  # which is required, and not known: the day Gemini was announced
_PAGE = 20
_MAX_PAGE = 1000


def encode_models(listed: Iterable[Listed], query: Mapping[str, str]) -> Body:
    """A page of the list of models, Claude's names first: Claude Code takes no others from a gateway.

    Wire: https://platform.claude.com/docs/en/api/models/list.

    :param query: ``limit``, ``after_id`` and ``before_id``.
    :raises BadRequest: one of them is wrong.
    """
    models = sorted((model for model in listed if model.chats), key=lambda model: not model.name.startswith("claude"))
    asked = query.get("limit") or str(_PAGE)
    limit = int(asked) if asked.isdecimal() and len(asked) < 6 else 0
    if not 1 <= limit <= _MAX_PAGE:
        raise BadRequest(f"limit must be between 1 and {_MAX_PAGE}, not {fields.shown(asked)}", param="limit")
    names = [model.name for model in models]
    after, before = query.get("after_id"), query.get("before_id")
    for name, value in (("after_id", after), ("before_id", before)):
        if value and value not in names:
            raise BadRequest(f"{name} {fields.shown(value)} is none of the models that are listed", param=name)
    start = names.index(after) + 1 if after else 0
    end = names.index(before) if before else len(names)
    page = models[max(start, end - limit) : end] if before and not after else models[start:end][:limit]
    more = start + limit < end
    return {
        "data": [encode_model(model) for model in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def encode_model(model: Listed) -> Body:
    """The model object."""
    return {
        "type": "model",
        "id": model.name,
        "display_name": str(model.details.get("displayName") or model.target)
        if model.owner == "google"
        else model.name,
        "created_at": _CREATED,
        "lifecycle": "active",
        "max_input_tokens": model.details.get("inputTokenLimit"),
        "max_tokens": model.details.get("outputTokenLimit"),
    }


_NO_STOP = {"stop_reason": None, "stop_sequence": None, "stop_details": None}


def _message(meta: ReplyMeta, content: list[Body]) -> Body:
    return {"id": meta.id, "type": "message", "role": "assistant", "model": meta.model, "content": content}


def _stop(finish: Finish) -> Body:
    """Why it ended. Gemini does not say which stop sequence it met, if any, so that none is named."""
    details: Any = None
    if finish.reason == "content_filter":
        details = {"type": "refusal", "category": None, "explanation": finish.refusal or finish.note or None}
    return {"stop_reason": _STOP_REASONS[finish.reason], "stop_sequence": None, "stop_details": details}


def _thinks(meta: ReplyMeta) -> bool:
    return isinstance(meta.echo, Echo) and meta.echo.thinks


def _event(body: Body) -> bytes:
    kind: str = body["type"]
    return b"event: " + kind.encode() + b"\ndata: " + encode_json(body) + b"\n\n"
