"""Anthropic Messages: answers, what a request would count, and what Claude Code says beside.

Wire: https://platform.claude.com/docs/en/api/messages and .../api/messages-count-tokens.
"""

from dataclasses import replace
from typing import Any

from werkzeug import Response

from agproxy.asks import COUNT
from agproxy.chat import ChatRequest, Event, Finish, ReplyMeta, TextDelta
from agproxy.errors import GatewayError
from agproxy.fold import fold
from agproxy.gateway import Gateway
from agproxy.handlers import chat
from agproxy.jsonwire import encode_json
from agproxy.models import BACKGROUND
from agproxy.protocols import anthropic_messages, claude_code, fields
from agproxy.request import Request

# Refusals that are about the request, and that a count of tokens must not hide.
_OF_THE_REQUEST = (400, 413, 422)


def create(gateway: Gateway, request: Request) -> Response:
    """One answer, whole or streamed."""
    body = chat.read(gateway, request)
    decoded = _decoded(request, body)
    if body.get("max_tokens") == 0:  # wants the prompt cached, and no answer; Gemini caches as it answers
        return _local(gateway, request, decoded, "", "max_tokens=0")
    if claude_code.is_ping(decoded) and (_is_claude_code(request) or claude_code.is_its_own(body)):
        return _local(gateway, request, decoded, "OK", "warm-up")
    if any(name == BACKGROUND for name, _ in gateway.config.models) and claude_code.is_background(decoded):
        request.mapped_model = gateway.resolve(BACKGROUND).model
    return chat.answer(gateway, request, decoded)


def count_tokens(gateway: Gateway, request: Request) -> Response:
    """How many tokens a request has, system, tools and files included; an estimate where upstream cannot say."""
    body = chat.read(gateway, request)
    decoded = replace(_decoded(request, body), stream=False)
    call = chat.call_for(gateway, request, decoded, ask=COUNT)
    headers = {}
    try:
        tokens = next(event.usage.input_tokens for event in call.events() if isinstance(event, Finish))
        chat.answered(request)
    except GatewayError as error:
        if error.status in _OF_THE_REQUEST:
            raise
        tokens = call.estimate()
        headers["X-Agproxy-Estimated"] = "input_tokens"
        request.error = error.code or type(error).__name__
    return Response(encode_json({"input_tokens": tokens}), headers=headers, mimetype="application/json")


def telemetry(gateway: Gateway, request: Request) -> Response:
    """What Claude Code tells its maker: taken, and thrown away unread."""
    request.is_quiet = True
    return Response(b"{}", mimetype="application/json")


def _is_claude_code(request: Request) -> bool:
    return "claude-cli" in request.headers.get("user-agent", "").lower()


def _decoded(request: Request, body: fields.Body) -> ChatRequest:
    with chat.nesting():
        return request.protocol.decode_request(body)  # type: ignore[no-any-return]


def _local(gateway: Gateway, request: Request, decoded: ChatRequest, text: str, reason: str) -> Response:
    """An answer of agproxy's own; a header says why."""
    request.ignored = decoded.ignored
    meta = ReplyMeta(f"{anthropic_messages.ID_PREFIX}{gateway.new_id()}", int(gateway.clock()), decoded.model)
    events: list[Event] = [TextDelta(text), Finish("stop")] if text else [Finish("length")]
    headers = {"X-Agproxy-Local": reason}
    body: Any
    if decoded.stream:
        body, mimetype = b"".join(anthropic_messages.encode_stream(events, meta)), "text/event-stream"
    else:
        body, mimetype = encode_json(anthropic_messages.encode_reply(fold(events), meta)), "application/json"
    return Response(body, headers=headers, mimetype=mimetype)
