"""What a client got, by the rules of its protocol alone: a whole answer, its error, or something that must not be.

Ends of streams: ``[DONE]`` for OpenAI (https://developers.openai.com/api/reference/resources/chat), for Responses after
``response.completed`` or ``response.failed``; ``message_stop`` or ``error`` for Anthropic
(https://platform.claude.com/docs/en/build-with-claude/streaming); for Gemini a ``finishReason`` or an ``error`` object,
in an array before its ``]``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from openai.types import Completion
from openai.types.chat import ChatCompletion

from tests import messages_stream, responses_stream
from tests.conversation import gemini
from tests.conversation.wire import server_events
from tests.protocols import answers, completion_answers
from tests.tongues import words_of

Json = Any
Kind = Literal["whole", "error", "broken", "cut", "empty", "false"]
Mode = Literal["whole", "stream", "array"]

# The words for a failure by its HTTP status, as the makers of the protocols document them:
# https://developers.openai.com/api/docs/guides/error-codes, https://platform.claude.com/docs/en/api/errors and
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_OPENAI = {429: "rate_limit_exceeded", 500: "server_error", 502: "server_error", 503: "server_error"}
_OPENAI |= {504: "server_error", 400: "invalid_request_error", 404: "invalid_request_error"}
_TYPES: Mapping[str, Mapping[int, str]] = {
    "chat": _OPENAI,
    "completions": _OPENAI,
    "responses": _OPENAI,
    "messages": {
        400: "invalid_request_error",
        404: "not_found_error",
        429: "rate_limit_error",
        500: "api_error",
        502: "api_error",
        503: "api_error",
        504: "timeout_error",
    },
    "gemini": {
        400: "INVALID_ARGUMENT",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    },
}


@dataclass(frozen=True, slots=True)
class Received:
    """What came to a client.

    :param is_broken_off: the connection ended before the HTTP message did.
    """

    status: int
    content_type: str
    body: bytes
    is_broken_off: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it amounts to.

    :param kind: ``whole`` answer; ``error`` with a status; ``broken``: an error in the stream, after its beginning. The
        others must not be: ``cut`` has no end, ``empty`` is a success that says nothing, ``false`` one that says
        something else than the model, or what no client of the protocol can read.
    :param status: the HTTP status of an ``error``, and the one that the protocol's word for a ``broken`` one stands for
        (0 where it stands for several).
    :param words: of the error, or what is wrong.
    """

    kind: Kind
    status: int = 200
    words: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.status}" if self.kind == "error" else self.kind


@dataclass(frozen=True, slots=True)
class _Read:
    """An answer as its protocol tells it.

    :param text: as far as it came.
    :param error: what ended it, or None.
    """

    text: str
    error: Json = None


def judge(protocol: str, mode: Mode, received: Received, *, text: str) -> Outcome:
    """The outcome for a client of ``protocol``.

    :param text: what the model said.
    """
    if received.is_broken_off:
        return Outcome("cut", received.status, "the connection broke off")
    try:
        if received.status != 200:
            return _refused(protocol, received)
        if received.content_type.partition(";")[0] != ("text/event-stream" if mode == "stream" else "application/json"):
            return Outcome("false", words=f"a success of the type {received.content_type!r}")
        if mode != "whole" and not _has_end(protocol, mode, received.body):
            return Outcome("cut", words=f"it ends in {received.body[-200:]!r}")
        read = _READERS[protocol, mode](received.body)
    except (AssertionError, LookupError, TypeError, ValueError) as error:  # pydantic's and json's are ValueErrors
        return Outcome("false", received.status, f"{type(error).__name__}: {error}; {received.body[:300]!r}")
    if read.error is not None:
        return Outcome("broken", _status_of(protocol, read.error), read.error["message"])
    if read.text == text:
        return Outcome("whole")
    return Outcome("false", words=f"the text is {read.text[:80]!r}") if read.text else Outcome("empty")


def _refused(protocol: str, received: Received) -> Outcome:
    assert received.content_type == "application/json"
    body = json.loads(received.body)
    told = body["error"]
    if protocol == "responses" and told["type"] == "usage_limit_reached":  # by which Codex knows a long wait
        assert isinstance(told.pop("resets_at"), int)
        told["type"] = "rate_limit_exceeded"
    words = words_of(protocol, body, received.status)
    assert words, "an error without words"
    kind = told["status" if protocol == "gemini" else "type"]
    assert kind == _TYPES[protocol][received.status], f"{kind} with HTTP {received.status}"
    return Outcome("error", received.status, words)


def _status_of(protocol: str, error: Json) -> int:
    """The status that the protocol's word for a failure in a stream stands for; 0 for several."""
    if protocol == "gemini":
        assert error["status"] == _TYPES[protocol][error["code"]]
        return int(error["code"])
    statuses = [status for status, kind in _TYPES[protocol].items() if kind == error["type"]]
    assert statuses, f"an error of the type {error['type']}"
    return statuses[0] if len(statuses) == 1 else 0


# Ends.


def _has_end(protocol: str, mode: Mode, body: bytes) -> bool:
    """Whether the stream has an end by which its client knows that nothing is missing; both kinds of end count."""
    if mode == "array":
        return body.rstrip().endswith(b"]")
    events = body.replace(b"\r\n", b"\n").split(b"\n\n")
    if events.pop():
        return False  # within an event
    told = [event.split(b"data: ", 1)[1] for event in events if b"data: " in event]
    return bool(told) and _is_last(protocol, told)


def _is_last(protocol: str, told: list[bytes]) -> bool:
    if told[-1] == b"[DONE]":
        return protocol in ("chat", "completions", "responses")
    try:
        last = json.loads(told[-1])
    except ValueError:
        return False
    match protocol:
        case "chat" | "completions":
            return "error" in last
        case "responses":
            return False
        case "messages":
            return last["type"] in ("message_stop", "error")
    said = [json.loads(each).get("candidates", ()) for each in told]
    # One that says nothing at all is empty; what is missing of it nobody knows.
    return "error" in last or not any(said) or any("finishReason" in each for each in said[-1])


# Readers: strict about all that they read.


def _chat(body: bytes) -> _Read:
    whole = json.loads(body)
    ChatCompletion.model_validate(whole, strict=True)
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "stop"
    return _Read(choice["message"]["content"])


def _chat_stream(body: bytes) -> _Read:
    chunks, error = _openai_events(body)
    for chunk in chunks:
        answers.validated(chunk)
    choice = answers.accumulated(chunks).get(0, {"message": {}, "finish_reason": None})
    assert choice["finish_reason"] == (None if error else "stop")
    return _Read(choice["message"].get("content", ""), error)


def _completion(body: bytes) -> _Read:
    whole = json.loads(body)
    Completion.model_validate(whole, strict=True)
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "stop"
    return _Read(choice["text"])


def _completion_stream(body: bytes) -> _Read:
    chunks, error = _openai_events(body)
    for chunk in chunks:
        completion_answers.validated(chunk)
    choices = completion_answers.accumulated(chunks) or [{"text": "", "finish_reason": None}]
    assert choices[0]["finish_reason"] == (None if error else "stop")
    return _Read(choices[0]["text"], error)


def _openai_events(body: bytes) -> tuple[list[Json], Json]:
    """The chunks, and the error that ends them, if one does; after one the SDKs read no further."""
    events = server_events(body)
    assert not any(event.name for event in events)
    *told, last = [event.data for event in events]
    chunks = [json.loads(each) for each in told]
    assert not any("error" in chunk for chunk in chunks), "something comes after the error"
    return chunks, None if last == "[DONE]" else json.loads(last)["error"]


def _response(body: bytes) -> _Read:
    whole = responses_stream.checked(json.loads(body))
    return _Read(responses_stream.text_of(whole), whole["error"])


def _response_stream(body: bytes) -> _Read:
    whole = responses_stream.read(body).response
    return _Read(responses_stream.text_of(whole), whole["error"])


def _message(body: bytes) -> _Read:
    whole = messages_stream.checked(json.loads(body))
    assert whole["stop_reason"] == "end_turn"
    return _Read(messages_stream.text_of(whole))


def _message_stream(body: bytes) -> _Read:
    told = messages_stream.read(body)
    return _Read(messages_stream.text_of(told.message), told.error)


def _gemini(body: bytes) -> _Read:
    return _gemini_chunks([json.loads(body)])


def _gemini_stream(body: bytes) -> _Read:
    return _gemini_chunks(gemini.events(body))


def _gemini_array(body: bytes) -> _Read:
    chunks = json.loads(body)
    assert isinstance(chunks, list)
    return _gemini_chunks(chunks)


def _gemini_chunks(chunks: list[Json]) -> _Read:
    error = chunks.pop()["error"] if "error" in chunks[-1] else None
    assert not any("error" in chunk for chunk in chunks), "something comes after the error"
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", ())]
    reasons = [candidate["finishReason"] for candidate in candidates if "finishReason" in candidate]
    parts = [part for candidate in candidates for part in candidate["content"].get("parts", ())]
    text = "".join(part["text"] for part in parts)
    assert reasons == ["STOP"] or (not reasons and (error or not text))
    return _Read(text, error)


_READERS: Mapping[tuple[str, Mode], Callable[[bytes], _Read]] = {
    ("chat", "whole"): _chat,
    ("chat", "stream"): _chat_stream,
    ("completions", "whole"): _completion,
    ("completions", "stream"): _completion_stream,
    ("responses", "whole"): _response,
    ("responses", "stream"): _response_stream,
    ("messages", "whole"): _message,
    ("messages", "stream"): _message_stream,
    ("gemini", "whole"): _gemini,
    ("gemini", "stream"): _gemini_stream,
    ("gemini", "array"): _gemini_array,
}
WAYS: tuple[tuple[str, Mode], ...] = tuple(_READERS)
