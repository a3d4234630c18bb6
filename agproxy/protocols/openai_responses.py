"""OpenAI Responses: events to a body, a stream or an error. (``openai_responses_request`` reads the body.)

Wire: OpenAI API reference, "The response object" and "Streaming events"
(https://developers.openai.com/api/reference/resources/responses), the types of the ``openai`` package, and
https://www.openresponses.org/specification.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from agproxy import sse
from agproxy.chat import ChatRequest, Event, Failed, Finish, Ping, ReplyMeta, Usage
from agproxy.errors import GatewayError, UpstreamError
from agproxy.fold import Reply
from agproxy.jsonwire import encode_json
from agproxy.protocols import openai_chat, openai_chat_request, openai_responses_request
from agproxy.protocols.fields import Body
from agproxy.protocols.openai_responses_output import Output
from agproxy.protocols.openai_responses_request import Echo, input_items

__all__ = ["decode_request", "input_items", "encode_reply", "encode_stream", "encode_error", "encode_failure"]

NAME = "openai_responses"
ID_PREFIX = "resp_"
# The fields of this protocol for those that the hub and the upstreams speak of.
FIELD_NAMES = {
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "response_format.json_schema": "text.format.schema",
    "response_format.json_schema.schema": "text.format.schema",
}

# Status of the response, and why it is incomplete.
_ENDS = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "length": ("incomplete", {"reason": "max_output_tokens"}),
    "content_filter": ("incomplete", {"reason": "content_filter"}),
}
# ``ResponseError.code`` of the openai package; all others fail its strict types.
_CODES = {400: "invalid_prompt", 413: "invalid_prompt", 429: "rate_limit_exceeded"}
_LONG_S = 60.0
_PARAMS = {"max_completion_tokens": "max_output_tokens", "messages": "input"}  # their names here
# Codex counts only events as signs of life (stream_idle_timeout_ms, 300 s), not comments. One that is told again before
# the first item harms no client.
_PINGS_PER_EVENT = 6


def decode_request(body: Body, *, earlier: Iterable[Body] = ()) -> ChatRequest:
    """The request that ``body`` makes, which may be one of Chat Completions.

    :param earlier: the items of the conversation that ``previous_response_id`` continues.
    :raises BadRequest: naming the field at fault.
    :raises NotStored: the input refers to an item that is not there.
    """
    if not is_chat(body):
        return openai_responses_request.decode_request(body, earlier=earlier)
    chat = openai_chat_request.decode_request(body)
    return openai_responses_request.with_chat_echo(chat)


def is_chat(body: Body) -> bool:
    """Whether a body is one of Chat Completions."""
    return "messages" in body and "input" not in body


def encode_reply(reply: Reply, meta: ReplyMeta) -> Body:
    """The whole answer as the ``response`` object, and beside it ``choices``, as Chat Completions has them."""
    echo = _echo(meta)
    output = Output(meta, echo)
    for event in (*reply.parts, *reply.citations):
        for _ in output.add(event):
            pass
    for _ in output.finish(reply.finish):
        pass
    response = _finished(meta, echo, output, reply.finish)
    return {**response, "choices": [openai_chat.encode_choice(reply, 0, meta)]}


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the SSE bytes of one streamed answer.

    :param events: ending in one ``Finish`` or ``Failed``.
    """
    echo = _echo(meta)
    output = Output(meta, echo)
    writer = _Writer(is_chat=echo.is_chat)
    begun = _response(meta, echo, status="in_progress", output=[])
    in_progress = {"type": "response.in_progress", "response": begun}
    yield writer.write([{"type": "response.created", "response": begun}, in_progress])
    silences = 0
    for event in events:
        match event:
            case Ping():
                silences += 1
                if silences % _PINGS_PER_EVENT or output.items:
                    yield sse.PING
                else:
                    yield writer.write([in_progress])
            case Failed():
                output.cut()
                response = _failed(meta, echo, output, event.error)
                failed = {"type": "response.failed", "response": response}
                yield writer.write([_error_event(event.error), failed]) + sse.DONE
                return
            case Finish():
                ending = writer.write(output.finish(event))
                response = _finished(meta, echo, output, event)
                last = {"type": f"response.{response['status']}", "response": response}
                yield ending + writer.write([last]) + sse.DONE
            case _:
                if written := writer.write(output.add(event)):
                    yield written


def encode_error(error: Exception) -> Body:
    """The error object, as Chat Completions has it.

    For a quota that is used up for long it has the type and the field by which Codex CLI (0.169) gives up at once and
    says when to come back; else it would try six times, and lose the message. For a service that is overloaded it has
    the code by which Codex tries five times instead of thirty.
    """
    body = openai_chat.encode_error(error)
    told = _told(error)
    body["error"]["param"] = _PARAMS.get(told.param or "", told.param)
    if isinstance(told, UpstreamError) and told.status in (503, 529):
        body["error"]["code"] = "server_is_overloaded"
    if told.status == 429 and told.retry_at is not None and (told.retry_after_s or 0.0) > _LONG_S:
        body["error"] |= {"type": "usage_limit_reached", "resets_at": math.ceil(told.retry_at)}
    return body


def encode_failure(error: Exception) -> bytes:
    """An error in the middle of a stream, after which it ends."""
    return _Writer().write([_error_event(error)]) + sse.DONE


class _Writer:
    """Numbers the events of a stream, and writes them down.

    :param is_chat: the client sent a body of Chat Completions: beside what is said, ``choices`` say it in its words.
    """

    def __init__(self, *, is_chat: bool = False) -> None:
        self._is_chat = is_chat
        self._number = 0
        self._calls = 0

    def write(self, bodies: Iterable[Body]) -> bytes:
        """The bytes of these events, each whole."""
        return b"".join(map(self._event, bodies))

    def _event(self, body: Body) -> bytes:
        kind: str = body["type"]
        whole = {"type": kind, "sequence_number": self._number, **body}
        self._number += 1
        if self._is_chat and (choice := self._choice(kind, body)):
            whole["choices"] = [{"index": 0, "finish_reason": None, **choice}]
        return b"event: " + kind.encode() + b"\ndata: " + encode_json(whole) + b"\n\n"

    def _choice(self, kind: str, body: Body) -> Body | None:
        match kind:
            case "response.output_text.delta":
                return {"delta": {"content": body["delta"]}}
            case "response.reasoning_summary_text.delta":
                return {"delta": {"reasoning_content": body["delta"]}}
            case "response.refusal.delta":
                return {"delta": {"refusal": body["delta"]}}
            case "response.output_item.done" if "call_id" in body["item"]:
                self._calls += 1
                return {"delta": {"tool_calls": [_chat_call(self._calls - 1, body["item"])]}}
            case "response.completed":
                return {"delta": {}, "finish_reason": "tool_calls" if self._calls else "stop"}
            case "response.incomplete":
                is_cut = body["response"]["incomplete_details"]["reason"] == "max_output_tokens"
                return {"delta": {}, "finish_reason": "length" if is_cut else "content_filter"}
        return None


def _chat_call(index: int, item: Body) -> Body:
    call = {"index": index, "id": item["call_id"]}
    if item["type"] == "custom_tool_call":
        return {**call, "type": "custom", "custom": {"name": item["name"], "input": item["input"]}}
    return {**call, "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}


# The response object.


def _echo(meta: ReplyMeta) -> Echo:
    assert isinstance(meta.echo, Echo)  # noqa: S101 (decode_request made it)
    return meta.echo


def _response(meta: ReplyMeta, echo: Echo, *, status: str, output: list[Body], **more: Any) -> Body:
    """All fields, as the Open Responses specification wants them: those that may be null are there."""
    return {
        "id": meta.id,
        "object": "response",
        "created_at": meta.created,
        "status": status,
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "max_tool_calls": None,
        "model": meta.model,
        "output": output,
        "prompt_cache_key": None,
        "safety_identifier": None,
        "service_tier": "default",
        "truncation": "disabled",
        "usage": None,
        **echo.fields,
        **more,
    }


def _finished(meta: ReplyMeta, echo: Echo, output: Output, finish: Finish) -> Body:
    status, details = _ENDS[finish.reason]
    usage = encode_usage(finish.usage)
    return _concluded(
        _response(meta, echo, status=status, output=output.items, incomplete_details=details, usage=usage), meta
    )


def _failed(meta: ReplyMeta, echo: Echo, output: Output, error: Exception) -> Body:
    told = _told(error)
    code = _CODES.get(told.status, "server_error")
    words = {"code": code, "message": told.message, "type": encode_error(told)["error"]["type"]}
    return _concluded(_response(meta, echo, status="failed", output=output.items, error=words), meta)


def _concluded(response: Body, meta: ReplyMeta) -> Body:
    if meta.conclude is not None:
        meta.conclude(response)
    return response


def encode_usage(usage: Usage) -> Body:
    """The usage object, of whose details none may be missing (``ResponseUsage`` of the ``openai`` package)."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _told(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    return GatewayError("agproxy failed; its log says why", code="internal_error")


def _error_event(error: Exception) -> Body:
    """Flat, as the types of the ``openai`` package have it, and nested, as Open Responses has it.

    The nested form is what makes OpenAI's SDKs raise the error with its words (``_streaming.py``).
    """
    told = _told(error)
    words = encode_error(told)["error"]
    code = words["code"] or _CODES.get(told.status, "server_error")
    flat = {"code": code, "message": words["message"], "param": words["param"]}
    return {"type": "error", **flat, "error": {"type": words["type"], **flat}}
