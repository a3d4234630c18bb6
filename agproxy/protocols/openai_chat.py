"""OpenAI Chat Completions: events to a body, a stream or an error. (``openai_chat_request`` reads the body.)

Wire: OpenAI API reference, "The chat completion object" and "The chat completion chunk object"
(https://developers.openai.com/api/reference/resources/chat), and the types of the ``openai`` package.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from agproxy import sse
from agproxy.chat import (
    Event,
    Failed,
    Finish,
    ImageDelta,
    Metadata,
    Ping,
    ReasoningDelta,
    Reply,
    ReplyMeta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import GatewayError
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_chat_request import decode_request

__all__ = ["decode_request", "encode_reply", "encode_stream", "encode_error", "encode_failure"]

NAME = "openai_chat"
ID_PREFIX = "chatcmpl-"


def encode_reply(reply: Reply, meta: ReplyMeta) -> dict[str, Any]:
    """The whole answer as the ``chat.completion`` object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.finish.refusal}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [
            _call(call.id, call.name, call.arguments, call.provider_metadata, meta) for call in reply.calls
        ]
    if reply.images:
        message["images"] = [_image(image, index) for index, image in enumerate(reply.images)]
    if not (reply.text or reply.calls or reply.finish.refusal):
        message["content"] = ""
    if reply.provider_metadata:
        message["extra_content"] = reply.provider_metadata
    return {
        "id": meta.id,
        "object": "chat.completion",
        "created": meta.created,
        "model": meta.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish.reason}],
        "usage": _usage(reply.finish.usage),
    }


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the SSE bytes of one streamed answer.

    :param events: ending in one ``Finish`` or ``Failed``.
    """
    head = encode_json({"id": meta.id, "object": "chat.completion.chunk", "created": meta.created, "model": meta.model})
    before = b"data: " + head[:-1] + b',"choices":[{"index":0,"delta":'
    usage = b',"usage":null' if meta.include_usage else b""
    after = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
    inputs: dict[int, list[str]] = {}  # the pieces of freeform calls, whose text is known only at their end
    images = 0
    yield before + b'{"role":"assistant","content":"","refusal":null}' + after
    for event in events:
        if isinstance(event, TextDelta):
            yield before + _delta({"content": event.text}, event.provider_metadata) + after
        elif isinstance(event, ReasoningDelta):
            yield before + _delta({"reasoning_content": event.text}, None) + after
        elif isinstance(event, ToolCallStart):
            call = _call(event.id, event.name, "", event.provider_metadata, meta)
            if event.name in meta.freeform:
                inputs[event.index] = []
            yield before + encode_json({"tool_calls": [{"index": event.index, **call}]}) + after
        elif isinstance(event, ToolCallDelta):
            if event.index in inputs:
                inputs[event.index].append(event.arguments)
                continue
            call = {"index": event.index, "function": {"arguments": event.arguments}}
            yield before + encode_json({"tool_calls": [call]}) + after
        elif isinstance(event, ImageDelta):
            yield before + encode_json({"images": [_image(event, images)]}) + after
            images += 1
        elif isinstance(event, Ping):
            yield sse.PING
        elif isinstance(event, Failed):
            yield encode_failure(event.error)
            return
        elif isinstance(event, Finish):
            for index, pieces in inputs.items():
                call = {"index": index, "custom": {"input": _freeform_input("".join(pieces))}}
                yield before + encode_json({"tool_calls": [call]}) + after
            if event.refusal:
                yield before + encode_json({"refusal": event.refusal}) + after
            yield before + b'{},"logprobs":null,"finish_reason":' + encode_json(event.reason) + b"}]" + usage + b"}\n\n"
            if meta.include_usage:
                yield b"data: " + head[:-1] + b',"choices":[],"usage":' + encode_json(_usage(event.usage)) + b"}\n\n"
            yield sse.DONE


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


def _delta(delta: dict[str, Any], metadata: Metadata | None) -> bytes:
    if metadata:
        delta["extra_content"] = metadata
    return encode_json(delta)


def _call(id_: str, name: str, arguments: str, metadata: Metadata | None, meta: ReplyMeta) -> dict[str, Any]:
    call: dict[str, Any]
    if name in meta.freeform:
        call = {"id": id_, "type": "custom", "custom": {"name": name, "input": _freeform_input(arguments)}}
    else:
        call = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    if metadata:
        call["extra_content"] = metadata
    return call


def _freeform_input(arguments: str) -> str:
    """The plain text of a freeform call, whose arguments are ``{"input": text}``."""
    value = json.loads(arguments or "{}").get("input", "")
    return value if isinstance(value, str) else json.dumps(value)


def _image(image: ImageDelta, index: int) -> dict[str, Any]:
    """As OpenRouter and LiteLLM give images of a chat answer; OpenAI's own chat has none."""
    return {
        "type": "image_url",
        "index": index,
        "image_url": {"url": f"data:{image.media_type};base64,{image.base64}"},
    }


def _usage(usage: Usage) -> dict[str, Any]:
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
