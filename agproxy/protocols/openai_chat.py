"""OpenAI Chat Completions: events to a body, a stream or an error. (``openai_chat_request`` reads the body.)

Wire: OpenAI API reference, "The chat completion object" and "The chat completion chunk object"
(https://developers.openai.com/api/reference/resources/chat), and the types of the ``openai`` package.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agproxy import sse
from agproxy.chat import (
    ChatRequest,
    Citation,
    Event,
    Failed,
    Finish,
    ImageDelta,
    Metadata,
    OtherChoice,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, GatewayError
from agproxy.fold import Reply
from agproxy.jsonwire import encode_json
from agproxy.models import Listed
from agproxy.protocols import openai_chat_request, openai_responses_request
from agproxy.protocols.fields import Body

__all__ = ["decode_request", "encode_reply", "encode_stream", "encode_error", "encode_failure"]

NAME = "openai_chat"
ID_PREFIX = "chatcmpl-"


def decode_request(body: Body) -> ChatRequest:
    """The request that ``body`` makes, which may be one of Responses, as some clients send here.

    :raises BadRequest: naming the field at fault.
    """
    if "prompt" in body and not body.keys() & {"messages", "input", "instructions"}:
        raise BadRequest("prompt goes with POST /v1/completions; here, send messages", param="prompt")
    if "messages" in body or not ("input" in body or "instructions" in body):
        return openai_chat_request.decode_request(body)
    if body.get("previous_response_id"):
        raise BadRequest(
            "previous_response_id goes with POST /v1/responses; here, send the whole conversation as messages",
            param="previous_response_id",
        )
    chat = openai_responses_request.decode_request(body)
    unserved = [name for name in ("store", "metadata") if body.get(name)]  # which are served there only
    return replace(chat, ignored=(*chat.ignored, *unserved))


def encode_reply(reply: Reply, meta: ReplyMeta) -> dict[str, Any]:
    """The whole answer as the ``chat.completion`` object."""
    return {
        "id": meta.id,
        "object": "chat.completion",
        "created": meta.created,
        "model": meta.model,
        "choices": [encode_choice(each, index, meta) for index, each in enumerate((reply, *reply.others))],
        "usage": encode_usage(reply.finish.usage),
    }


def encode_choice(reply: Reply, index: int, meta: ReplyMeta) -> dict[str, Any]:
    """One of the choices of a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.finish.refusal}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls and meta.older_calls:
        message["function_call"] = {"name": reply.calls[0].name, "arguments": reply.calls[0].arguments}
    elif reply.calls:
        message["tool_calls"] = [
            _call(call.id, call.name, call.arguments, call.provider_metadata, meta) for call in reply.calls
        ]
    if reply.images:
        message["images"] = [encode_image(image, index) for index, image in enumerate(reply.images)]
    if reply.citations:
        message["annotations"] = [_annotation(citation) for citation in reply.citations]
    if not (reply.text or reply.calls or reply.finish.refusal):
        message["content"] = ""
    if reply.provider_metadata:
        message["extra_content"] = reply.provider_metadata
    logprobs = _logprobs(reply.logprobs) if reply.logprobs else None
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _finish_reason(reply.finish.reason, meta),
    }


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the SSE bytes of one streamed answer.

    :param events: ending in one ``Finish`` or ``Failed``.
    """
    head = encode_json({"id": meta.id, "object": "chat.completion.chunk", "created": meta.created, "model": meta.model})
    choices = [_Choice(0, head, meta)]
    yield choices[0].begin()
    for each in events:
        number, event = (each.number, each.event) if isinstance(each, OtherChoice) else (0, each)
        if isinstance(event, Ping):
            yield sse.PING
            continue
        if isinstance(event, Failed):
            yield encode_failure(event.error)
            return
        for begun in range(len(choices), number + 1):  # in order: OpenAI's SDK keeps them in a list
            choices.append(_Choice(begun, head, meta))
            yield choices[begun].begin()
        if chunks := choices[number].encode(event):
            yield chunks
        if isinstance(each, Finish):
            if meta.include_usage:
                usage = encode_json(encode_usage(each.usage))
                yield b"data: " + head[:-1] + b',"choices":[],"usage":' + usage + b"}\n\n"
            yield sse.DONE


class _Choice:
    """The chunks of one choice. Most of a chunk never changes, so it is encoded once."""

    def __init__(self, index: int, head: bytes, meta: ReplyMeta) -> None:
        self._meta = meta
        self._before = b"data: " + head[:-1] + b',"choices":[{"index":%d,"delta":' % index
        self._usage = b',"usage":null' if meta.include_usage else b""
        self._after = b',"logprobs":null,"finish_reason":null}]' + self._usage + b"}\n\n"
        self._inputs: dict[int, list[str]] = {}  # pieces of freeform calls, whose text is known only at their end
        self._images = 0
        self._citations: list[Citation] = []

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def encode(self, event: Event) -> bytes:
        """The chunks of one event; an event may make none, or several."""
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._chunk({"reasoning_content": event.text})
            case ToolCallStart():
                if self._meta.older_calls:
                    return self._chunk({"function_call": {"name": event.name, "arguments": ""}})
                if event.name in self._meta.freeform:
                    self._inputs[event.index] = []
                call = _call(event.id, event.name, "", event.provider_metadata, self._meta)
                return self._chunk({"tool_calls": [{"index": event.index, **call}]})
            case ToolCallDelta():
                if self._meta.older_calls:
                    return self._chunk({"function_call": {"arguments": event.arguments}})
                if event.index in self._inputs:
                    self._inputs[event.index].append(event.arguments)
                    return b""
                call = {"index": event.index, "function": {"arguments": event.arguments}}
                return self._chunk({"tool_calls": [call]})
            case ImageDelta():
                self._images += 1
                return self._chunk({"images": [encode_image(event, self._images - 1)]})
            case Citation():
                self._citations.append(event)
            case Finish():
                return self._end(event)
        return b""

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._before + encode_json(delta) + self._after

    def _text(self, event: TextDelta) -> bytes:
        if not event.provider_metadata and not event.logprobs:  # nearly all events of nearly all streams
            return self._before + b'{"content":' + encode_json(event.text) + b"}" + self._after
        delta: dict[str, Any] = {"content": event.text}
        if event.provider_metadata:
            delta["extra_content"] = event.provider_metadata
        if not event.logprobs:
            return self._chunk(delta)
        scored = b',"logprobs":' + encode_json(_logprobs(event.logprobs))
        return self._before + encode_json(delta) + scored + b',"finish_reason":null}]' + self._usage + b"}\n\n"

    def _end(self, finish: Finish) -> bytes:
        chunks = [
            self._chunk({"tool_calls": [{"index": index, "custom": {"input": freeform_input("".join(pieces))}}]})
            for index, pieces in self._inputs.items()
        ]
        if self._citations:  # once, after the text, as OpenAI streams them
            chunks.append(self._chunk({"annotations": [_annotation(citation) for citation in self._citations]}))
        if finish.refusal:
            chunks.append(self._chunk({"refusal": finish.refusal}))
        reason = encode_json(_finish_reason(finish.reason, self._meta))
        chunks.append(self._before + b'{},"logprobs":null,"finish_reason":' + reason + b"}]" + self._usage + b"}\n\n")
        return b"".join(chunks)


# The model object's creation time is required, and nobody knows it: the day Gemini was announced.
_CREATED = 1701820800


def encode_models(listed: Iterable[Listed], query: Mapping[str, str]) -> dict[str, Any]:
    """The list of models (https://developers.openai.com/api/reference/resources/models)."""
    return {"object": "list", "data": [encode_model(model) for model in listed if model.chats]}


def encode_model(model: Listed) -> dict[str, Any]:
    """The model object."""
    return {"id": model.name, "object": "model", "created": _CREATED, "owned_by": model.owner}


def encode_failure(error: Exception) -> bytes:
    """An error in the middle of a stream, after which it ends."""
    return sse.encode(encode_json(encode_error(error)))


# The class that an SDK raises goes by the status; ``type`` is for people and for clients that read it.
_TYPES = {429: "rate_limit_exceeded"}


def encode_error(error: Exception) -> dict[str, Any]:
    """The error object, which also stands in a stream's data after its first event.

    Wire: ``openai`` package, ``_streaming.py``: a truthy top-level ``error`` makes the SDK raise.
    """
    if not isinstance(error, GatewayError):
        error = GatewayError("agproxy failed; its log says why", code="internal_error")
    kind = _TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def _finish_reason(reason: str, meta: ReplyMeta) -> str:
    return "function_call" if reason == "tool_calls" and meta.older_calls else reason


def _annotation(citation: Citation) -> dict[str, Any]:
    """Indexes count characters, ``end_index`` is the first behind them."""
    cited = {"start_index": citation.start, "end_index": citation.end, "title": citation.title, "url": citation.url}
    return {"type": "url_citation", "url_citation": cited}


def _logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    content = [{**encode_token(token), "top_logprobs": [encode_token(each) for each in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def encode_token(token: TokenLogprob) -> dict[str, Any]:
    """One token, without its alternatives."""
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.token.encode())}


def _call(id_: str, name: str, arguments: str, metadata: Metadata | None, meta: ReplyMeta) -> dict[str, Any]:
    call: dict[str, Any]
    if name in meta.freeform:
        call = {"id": id_, "type": "custom", "custom": {"name": name, "input": freeform_input(arguments)}}
    else:
        call = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    if metadata:
        call["extra_content"] = metadata
    return call


def freeform_input(arguments: str) -> str:
    """The plain text of a freeform call, whose arguments are ``{"input": text}``; models may put it elsewhere."""
    try:
        written = json.loads(arguments or "{}")
    except ValueError:  # cut short
        return arguments
    value = written
    if isinstance(written, dict):
        texts = [each for each in written.values() if isinstance(each, str)]
        value = written["input"] if "input" in written else texts[0] if texts else written or ""
    return value if isinstance(value, str) else json.dumps(value)


def encode_image(image: ImageDelta, index: int) -> dict[str, Any]:
    """As OpenRouter and LiteLLM give images of a chat answer; OpenAI's own chat has none."""
    encoded: dict[str, Any] = {
        "type": "image_url",
        "index": index,
        "image_url": {"url": f"data:{image.media_type};base64,{image.base64}"},
    }
    if image.provider_metadata:
        encoded["extra_content"] = image.provider_metadata
    return encoded


def encode_usage(usage: Usage) -> dict[str, Any]:
    """The usage object; that of Completions is the same (``CompletionUsage`` of the ``openai`` package)."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
