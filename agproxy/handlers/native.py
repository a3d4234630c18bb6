"""What clients of Gemini ask in Gemini's own words: passed on as it is, and the answer passed back as it comes.

Wire: https://ai.google.dev/api/generate-content, .../api/tokens and .../api/embeddings.
"""

from dataclasses import replace

from werkzeug import Response

from agproxy.asks import Relaying
from agproxy.chat import Relayed, ReplyMeta
from agproxy.gateway import Gateway
from agproxy.handlers import chat
from agproxy.jsonwire import decode_object
from agproxy.protocols import gemini
from agproxy.request import Request
from agproxy.upstreams.gemini_native import Native

_CHATTING = ("generateContent", "streamGenerateContent", "countTokens")
_QUERY = ("alt", "$alt", "key")  # what is read of the query string
_JSON = "application/json; charset=UTF-8"  # as Google writes it


def relay(gateway: Gateway, request: Request, model: str, method: str) -> Response:
    """The answer of one method of a model."""
    resolve = gateway.resolve if method in _CHATTING else gateway.resolve_any
    request.mapped_model = resolve(model).model
    raw = request.body()
    stream = method == "streamGenerateContent"
    with chat.nesting():
        body = decode_object(raw)
        asked = gemini.decode_request(body, model=model, stream=stream)
    query = request.query()
    asked = replace(asked, ignored=tuple(name for name in query if name not in _QUERY))
    native = Native(
        method,
        request.mapped_model,
        is_mapped=request.mapped_model != model.rpartition("/")[2],
        raw=raw,
        body=body,
    )
    call = chat.call_for(gateway, request, asked, ask=Relaying(native))
    if stream:
        is_sse = "sse" in (query.get("alt"), query.get("$alt"))
        meta = ReplyMeta("", int(gateway.clock()), model, echo="sse" if is_sse else "array")
        return chat.streamed(gateway, request, call, meta, content_type="text/event-stream" if is_sse else _JSON)
    payload = b"".join(event.payload for event in call.events() if isinstance(event, Relayed))
    chat.answered(request)
    return Response(payload, content_type=_JSON)


def count(gateway: Gateway, request: Request, model: str) -> Response:
    """``countTokens`` after a slash, as some clients write it."""
    return relay(gateway, request, model, "countTokens")
