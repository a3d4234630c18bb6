"""OpenAI Completions: events to a body, a stream or an error. (``openai_completions_request`` reads the body.)

Wire: OpenAI API reference, "The completion object"
(https://developers.openai.com/api/reference/resources/completions), and ``Completion`` and ``CompletionChoice`` of the
``openai`` package; a stream is made of the same object. That has a place for text only, so what else may come stands
beside it, by the names that it has in the messages of Chat Completions: ``reasoning_content``, ``refusal``, ``images``.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from agproxy import sse
from agproxy.chat import (
    Event,
    Failed,
    Finish,
    ImageDelta,
    OtherChoice,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    TextDelta,
    TokenLogprob,
)
from agproxy.fold import Reply
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_chat import encode_error, encode_failure, encode_image, encode_usage
from agproxy.protocols.openai_completions_request import Asked, decode_request

__all__ = ["decode_request", "encode_reply", "encode_stream", "encode_error", "encode_failure"]

NAME = "openai_completions"
ID_PREFIX = "cmpl-"

_FINISH_REASONS = {"tool_calls": "stop"}  # no tools can be sent; all other reasons have the same name here


def encode_reply(reply: Reply, meta: ReplyMeta) -> dict[str, Any]:
    """The whole answer as the ``text_completion`` object."""
    asked = _asked(meta)
    return {
        "id": meta.id,
        "object": "text_completion",
        "created": meta.created,
        "model": meta.model,
        "choices": [_choice(each, index, asked.before(index)) for index, each in enumerate((reply, *reply.others))],
        "usage": encode_usage(reply.finish.usage),
    }


def _choice(reply: Reply, index: int, prompt: str) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "text": prompt + reply.text,
        "index": index,
        "logprobs": _logprobs(reply.logprobs, len(prompt)) if reply.logprobs else None,
        "finish_reason": _finish_reason(reply.finish),
    }
    if reply.reasoning:
        choice["reasoning_content"] = reply.reasoning
    if reply.images:
        choice["images"] = [encode_image(image, number) for number, image in enumerate(reply.images)]
    if reply.finish.refusal:
        choice["refusal"] = reply.finish.refusal
    return choice


def encode_stream(events: Iterable[Event], meta: ReplyMeta) -> Iterator[bytes]:
    """Yield the SSE bytes of one streamed answer.

    :param events: ending in one ``Finish`` or ``Failed``.
    """
    asked = _asked(meta)
    head = encode_json({"id": meta.id, "object": "text_completion", "created": meta.created, "model": meta.model})
    choices = [_Choice(0, head, meta, asked.before(0))]
    if chunk := choices[0].begin():
        yield chunk
    for each in events:
        number, event = (each.number, each.event) if isinstance(each, OtherChoice) else (0, each)
        if isinstance(event, Ping):
            yield sse.PING
            continue
        if isinstance(event, Failed):
            yield encode_failure(event.error)
            return
        for begun in range(len(choices), number + 1):
            choices.append(_Choice(begun, head, meta, asked.before(begun)))
            if chunk := choices[begun].begin():
                yield chunk
        if chunk := choices[number].encode(event):
            yield chunk
        if isinstance(each, Finish):
            if meta.include_usage:
                usage = encode_json(encode_usage(each.usage))
                yield b"data: " + head[:-1] + b',"choices":[],"usage":' + usage + b"}\n\n"
            yield sse.DONE


class _Choice:
    """The chunks of one choice. Most of a chunk never changes, so it is encoded once.

    :param prompt: what comes before its text.
    """

    def __init__(self, index: int, head: bytes, meta: ReplyMeta, prompt: str) -> None:
        usage = b',"usage":null' if meta.include_usage else b""
        self._before = b"data: " + head[:-1] + b',"choices":[{"text":'
        self._index = b',"index":%d,' % index
        self._end = b"]" + usage + b"}\n\n"
        self._after = self._index + b'"logprobs":null,"finish_reason":null}' + self._end
        self._prompt = prompt
        self._offset = len(prompt)
        self._images = 0

    def begin(self) -> bytes:
        """The chunk of the prompt, if that comes before the text."""
        return self._text(self._prompt)

    def encode(self, event: Event) -> bytes:
        """The chunk of one event; there is none for what has no place here."""
        match event:
            case TextDelta(logprobs=()):  # nearly all events of nearly all streams
                return self._text(event.text)
            case TextDelta():
                logprobs = _logprobs(event.logprobs, self._offset)
                self._offset += sum(map(len, logprobs["tokens"]))
                return self._chunk(event.text, {"logprobs": logprobs})
            case ReasoningDelta():
                return self._chunk("", {"reasoning_content": event.text}) if event.text else b""
            case ImageDelta():
                self._images += 1
                return self._chunk("", {"images": [encode_image(event, self._images - 1)]})
            case Finish():
                end = {"finish_reason": _finish_reason(event)}
                return self._chunk("", {**end, "refusal": event.refusal} if event.refusal else end)
        return b""

    def _text(self, text: str) -> bytes:
        return self._before + encode_json(text) + self._after if text else b""

    def _chunk(self, text: str, others: dict[str, Any]) -> bytes:
        """A chunk with other fields beside its text than nulls."""
        rest = encode_json({"logprobs": None, "finish_reason": None, **others})
        return self._before + encode_json(text) + self._index + rest[1:] + self._end


def _asked(meta: ReplyMeta) -> Asked:
    return meta.echo if isinstance(meta.echo, Asked) else Asked()


def _finish_reason(finish: Finish) -> str:
    return _FINISH_REASONS.get(finish.reason, finish.reason)


def _logprobs(tokens: Iterable[TokenLogprob], offset: int) -> dict[str, Any]:
    """Arrays side by side; the token itself is always among the likeliest.

    :param offset: where the first token begins, in characters of the choice's text. The tokens of a prompt that comes
        before it are not there, for Gemini does not tell them.
    """
    told: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for token in tokens:
        top = {token.token: token.logprob}
        for other in token.top:
            top.setdefault(other.token, other.logprob)
        told["tokens"].append(token.token)
        told["token_logprobs"].append(token.logprob)
        told["top_logprobs"].append(top)
        told["text_offset"].append(offset)
        offset += len(token.token)
    return told
