"""What clients of Gemini ask in Gemini's own words: passed on as it is, and the answer passed back as it comes.

Wire: https://ai.google.dev/api/generate-content, .../api/tokens and .../api/embeddings.
"""

from dataclasses import replace

from werkzeug import Response

from agproxy.asks import Relaying
from agproxy.chat import Relayed, ReplyMeta
from agproxy.errors import BadRequest, ModelNotFound
from agproxy.gateway import Gateway
from agproxy.handlers import chat
from agproxy.jsonwire import decode_object
from agproxy.protocols import fields, gemini
from agproxy.request import Request
from agproxy.upstreams.gemini_native import Native

_CHATTING = ("generateContent", "streamGenerateContent", "countTokens")
_QUERY = ("alt", "$alt", "key")  # what is read of the query string
_JSON = "application/json; charset=UTF-8"  # as Google writes it


def relay(gateway: Gateway, request: Request, model: str, method: str) -> Response:
    """The answer of one method of a model."""
    embeds = method not in _CHATTING
    request.mapped_model = _embedding_model(gateway, model) if embeds else gateway.resolve(model).model
    raw = request.body()
    stream = method == "streamGenerateContent"
    with chat.nesting():
        body = decode_object(raw)
        asked = gemini.decode_request(body, model=model, stream=stream)
    query = request.query()
    is_sse = _is_sse(query.get("alt") or query.get("$alt") or "json")
    asked = replace(asked, ignored=tuple(name for name in query if name not in _QUERY))
    native = Native(
        method,
        request.mapped_model,
        is_mapped=request.mapped_model != model.rpartition("/")[2],
        raw=raw,
        body=body,
    )
    # Embeddings are no conversation, which would stay with one account.
    call = chat.call_for(gateway, request, asked, ask=Relaying(native), session="" if embeds else None)
    if stream:
        meta = ReplyMeta("", int(gateway.clock()), model, echo="sse" if is_sse else "array")
        return chat.streamed(gateway, request, call, meta, content_type="text/event-stream" if is_sse else _JSON)
    payload = b"".join(event.payload for event in call.events() if isinstance(event, Relayed))
    chat.answered(request)
    return Response(payload, content_type=_JSON)


def _is_sse(alt: str) -> bool:
    """Whether a stream is to be events, and not one array (https://cloud.google.com/apis/docs/system-parameters)."""
    if alt not in ("sse", "json"):
        raise BadRequest(f"alt must be sse or json, not {fields.shown(alt)}", param="alt")
    return alt == "sse"


def _embedding_model(gateway: Gateway, model: str) -> str:
    """The model that is asked to embed: one that a rule, Google's names or upstream's list knows, and no stand-in."""
    try:
        found = gateway.resolve_any(model)
    except ModelNotFound:
        found = None
    if found is None or found.is_guessed:
        raise ModelNotFound(
            f"'{model}' is no embedding model of Gemini's. Name one, such as gemini-embedding-001, or add a rule to"
            f" [models] of the INI: {model} = gemini-embedding-001.",
            param="model",
        )
    return found.model


def count(gateway: Gateway, request: Request, model: str) -> Response:
    """``countTokens`` after a slash, as some clients write it."""
    return relay(gateway, request, model, "countTokens")
