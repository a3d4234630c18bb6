"""Answers of a model, for every protocol: decode, ask, encode."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from werkzeug import Response

from agproxy.chat import ChatRequest, Event, Ping, ReplyMeta
from agproxy.errors import BadRequest
from agproxy.fold import fold
from agproxy.gateway import Call, Gateway
from agproxy.jsonwire import encode_json
from agproxy.protocols import fields
from agproxy.relay import Relay
from agproxy.request import Request

# Where clients that have no field for it name their conversation.
_SESSION_HEADERS = ("X-Session-Id", "Session-Id")


def complete(gateway: Gateway, request: Request) -> Response:
    """One answer, whole or streamed, in the protocol of the route."""
    body = request.json_object()
    # The model first, so that answers to bad requests name the mapped model too.
    request.mapped_model = gateway.resolve(fields.string(body, "model", required=True) or "").model
    try:
        chat = request.protocol.decode_request(body)
        request.ignored = chat.ignored
        request.call = call = Call(gateway, _with_session(chat, request), model=request.mapped_model)
        call.check()
        request.ignored = call.ignored
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from error
    meta = ReplyMeta(
        id=f"{request.protocol.ID_PREFIX}{gateway.new_id()}",
        created=int(gateway.clock()),
        model=chat.model,
        include_usage=chat.include_usage,
        freeform=frozenset(tool.name for tool in chat.tools if tool.freeform),
        older_calls=chat.older_calls,
        echo=chat.echo,
    )
    if chat.stream:
        return _streamed(gateway, request, call, meta)
    reply = fold(call.events())
    _answered(request)
    return Response(encode_json(request.protocol.encode_reply(reply, meta)), mimetype="application/json")


def _streamed(gateway: Gateway, request: Request, call: Call, meta: ReplyMeta) -> Response:
    relay = Relay(call.events, call.cancel, ping_s=gateway.config.upstream.ping_s)
    if relay.start():
        _answered(request)
    stream = request.protocol.encode_stream(_timed(relay.events(), request), meta)
    response = Response(stream, mimetype="text/event-stream")
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


def _answered(request: Request) -> None:
    """Upstream has begun to answer: now it is known who does."""
    request.first_event_s = time.monotonic() - request.started
    if request.call is not None and request.call.account is not None:
        request.account = request.call.account.email or request.call.account.name
        request.ignored = request.call.ignored


def _timed(events: Iterable[Event], request: Request) -> Iterator[Event]:
    for event in events:
        if request.first_event_s is None and not isinstance(event, Ping):
            _answered(request)
        yield event
