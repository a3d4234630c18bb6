"""Answers of a model, for every protocol: decode, ask, encode."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from werkzeug import Response

from agproxy.asks import ANSWER, Ask
from agproxy.call import Call
from agproxy.chat import ChatRequest, Event, Failed, Ping, ReplyMeta
from agproxy.errors import BadRequest
from agproxy.fold import fold
from agproxy.gateway import Gateway
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields
from agproxy.relay import Relay
from agproxy.request import Request

# Where clients that have no field for it name their conversation.
_SESSION_HEADERS = ("X-Session-Id", "Session-Id", "X-Claude-Code-Session-Id")
_EVENTS = "text/event-stream; charset=utf-8"


def complete(gateway: Gateway, request: Request) -> Response:
    """One answer, whole or streamed, in the protocol of the route."""
    body = read(gateway, request)
    with nesting():
        chat = request.protocol.decode_request(body)
    return answer(gateway, request, chat)


def read(gateway: Gateway, request: Request) -> fields.Body:
    """The body of a request for a model. The model first, so that answers to bad requests name the mapped one too."""
    body = request.json_object()
    request.mapped_model = gateway.resolve(fields.string(body, "model", required=True) or "").model
    return body


@contextlib.contextmanager
def nesting() -> Iterator[None]:
    """Within it, what is nested too deeply is the client's fault."""
    try:
        yield
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from error


def call_for(
    gateway: Gateway, request: Request, chat: ChatRequest, *, session: str | None = None, ask: Ask = ANSWER
) -> Call:
    """The call that a request makes; see :class:`~agproxy.gateway.Call`."""
    request.ignored = chat.ignored
    with nesting():
        chat = _with_session(chat, request)
        request.call = call = Call(gateway, chat, model=request.mapped_model, session=session, ask=ask)
        call.check()
    request.ignored = _ignored(request, call)
    return call


def answer(
    gateway: Gateway,
    request: Request,
    chat: ChatRequest,
    *,
    id_: str = "",
    session: str | None = None,
    conclude: Callable[[Call, dict[str, Any]], None] | None = None,
) -> Response:
    """The answer to a decoded request.

    :param id_: the id of the answer; empty = a new one.
    :param session: the conversation's key; None = the one that ``conversations`` finds.
    :param conclude: see :class:`~agproxy.chat.ReplyMeta`; it is given the call, too.
    """
    call = call_for(gateway, request, chat, session=session)
    meta = ReplyMeta(
        id=id_ or f"{request.protocol.ID_PREFIX}{gateway.new_id()}",
        created=int(gateway.clock()),
        model=chat.model,
        include_usage=chat.include_usage,
        freeform=frozenset(tool.name for tool in chat.tools if tool.freeform),
        older_calls=chat.older_calls,
        echo=chat.echo,
        conclude=None if conclude is None else lambda whole: conclude(call, whole),
    )
    if chat.stream:
        return streamed(gateway, request, call, meta)
    reply = fold(call.events())
    answered(request)
    return Response(encode_json(request.protocol.encode_reply(reply, meta)), mimetype="application/json")


def streamed(
    gateway: Gateway, request: Request, call: Call, meta: ReplyMeta, *, content_type: str = _EVENTS
) -> Response:
    """The answer of a call as it comes, with pings in between."""
    upstream = gateway.config.upstream
    relay = Relay(call.events, call.cancel, ping_s=upstream.ping_s, stall_s=upstream.silence_timeout_s)
    if relay.start():
        answered(request)
    stream = request.protocol.encode_stream(_timed(relay.events(), request), meta)
    response = Response(stream, content_type=content_type)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold the events back
    # Not the generator's "finally": one that never started does not run it.
    response.call_on_close(relay.close)
    return response


def _with_session(chat: ChatRequest, request: Request) -> ChatRequest:
    if chat.session is None:
        for header in _SESSION_HEADERS:
            if session := request.headers.get(header):
                return replace(chat, session=session)
    return chat


def _ignored(request: Request, call: Call) -> tuple[str, ...]:
    """The request fields that are not honoured, by the names that they have in the client's protocol."""
    if not call.unhonoured:
        return call.unread
    names = getattr(request.protocol, "FIELD_NAMES", {})
    return tuple(dict.fromkeys((*call.unread, *(names.get(name, name) for name in call.unhonoured))))


def answered(request: Request) -> None:
    """Upstream has begun to answer: now it is known who does."""
    request.first_event_s = time.monotonic() - request.started
    if request.call is not None and request.call.account is not None:
        request.account = request.call.account.email or request.call.account.name
        request.mapped_model = request.call.model
        request.ignored = _ignored(request, request.call)


def _timed(events: Iterable[Event], request: Request) -> Iterator[Event]:
    for event in events:
        if request.first_event_s is None and not isinstance(event, Ping):
            answered(request)
        if isinstance(event, Failed):
            request.error = getattr(event.error, "code", None) or type(event.error).__name__
        yield event
