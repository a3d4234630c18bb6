"""Reads an answer of any protocol, strictly, and says whether it is the one that the request had to get.

An answer is right when it tells every byte of what the upstream said, in the order and with the end that its protocol
wants, or when it is that protocol's error. Everything else is wrong: a text that is cut, or differs, or a success
without one. Nothing of agproxy is used to find out.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import soak_script
from soak_script import Plan

Protocol = Literal["chat", "completions", "responses", "messages", "gemini", "array"]  # the last: Gemini without SSE
Body = dict[str, Any]
Events = Iterator[tuple[str, bytes]]  # the name, or "", and the data

# Why an answer may end, and whether it holds a call then; Gemini and Responses have one word for both.
_ENDS = {"stop": (False,), "tool_calls": (True,), "end_turn": (False,), "tool_use": (True,)}
_ENDS |= {"STOP": (False, True), "completed": (False, True)}


class Wrong(Exception):
    """An answer that its protocol, or what was asked, does not allow."""


@dataclass(slots=True)
class Told:
    """What an answer has told so far.

    :ivar calls: (name, arguments as JSON).
    :ivar end: why it ended, in words of its protocol's; empty = it has not.
    :ivar error: what the error in its place, or at its end, is called; None when there is none.
    :ivar is_whole: all that its protocol wants to come has come.
    :ivar id: of the answer; the same wherever it stands.
    """

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    end: str = ""
    error: str | None = None
    is_whole: bool = False
    id: str = ""

    def named(self, id_: str) -> None:
        """See the answer's id."""
        if not id_ or (self.id and self.id != id_):
            raise Wrong(f"the id is {id_!r}, and was {self.id!r}")
        self.id = id_

    def ended(self, reason: str) -> None:
        """See why it ended, which is told once."""
        if self.end:
            raise Wrong(f"it ended twice, by {self.end!r} and {reason!r}")
        self.end = reason

    def failed(self, name: object) -> None:
        """See an error in the answer, after which none of it may come."""
        if self.end or self.error is not None:
            raise Wrong(f"an error ({name}) after the end")
        self.error = str(name)


def events(pieces: Iterable[bytes]) -> Events:
    """The events of a stream, without comments; none may be left over at its end."""
    unfinished = b""
    for piece in pieces:
        *whole, unfinished = (unfinished + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in whole:
            name, data = "", []
            for line in block.split(b"\n"):
                if line.startswith(b"data: "):
                    data.append(line[6:])
                elif line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line and not line.startswith(b":"):
                    raise Wrong(f"a line is none of an event's: {line[:100]!r}")
            if data:
                yield name, b"\n".join(data)
    if unfinished.strip():
        raise Wrong(f"the last event is cut: {unfinished[-100:]!r}")


def read(protocol: Protocol, pieces: Iterable[bytes], told: Told, *, stream: bool) -> None:
    """Read the body of an answer of status 200 into ``told``.

    :raises Wrong: it is not of its protocol's form.
    """
    try:
        if stream and protocol != "array":
            _STREAMS[protocol](events(pieces), told)
            return
        value = json.loads(b"".join(pieces))
        for chunk in value if protocol == "array" else [value]:
            _WHOLE[protocol](chunk, told)
        told.is_whole = bool(told.end)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Wrong(f"not of the protocol's form: {error!r}") from error


def refusal(protocol: Protocol, status: int, body: bytes) -> str:
    """What an answer of another status than 200 calls its error.

    :raises Wrong: it is not of its protocol's form.
    """
    try:
        value = json.loads(body)
        error = value["error"]
        match protocol:
            case "messages":
                is_right = value["type"] == "error" and error.keys() == {"type", "message"} and value["request_id"]
                name = error["type"]
            case "gemini" | "array":
                is_right = value.keys() == {"error"} and error["code"] == status and error["message"]
                name = error["status"]
            case _:
                is_right = value.keys() == {"error"} and error["message"] and error.keys() >= {"type", "param"}
                name = error["code"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Wrong(f"status {status}, and no error of the protocol: {body[:200]!r}") from error
    if not is_right:
        raise Wrong(f"status {status}, and no error of the protocol: {body[:200]!r}")
    return str(name)


def check(told: Told, plan: Plan, *, has_left: bool = False) -> None:
    """Compare what was told with what the upstream said.

    :param has_left: the client has gone before the end.
    :raises Wrong: it differs, or is neither whole nor an error.
    """
    text, wanted = "".join(told.text), plan.text
    if told.error is not None or has_left:
        if not wanted.startswith(text):
            raise Wrong(f"before the end another text: {_difference(text, wanted)}")
        return
    if not told.is_whole and wanted.startswith(text):
        raise Wrong(f"the end is missing, and there is no error, after {len(text)} characters of {len(wanted)}")
    if text != wanted:
        raise Wrong(f"another text: {_difference(text, wanted)}")
    if (thoughts := "".join(told.thoughts)) != plan.thoughts:
        raise Wrong(f"other thoughts: {_difference(thoughts, plan.thoughts)}")
    try:
        calls = [(name, json.loads(arguments)) for name, arguments in told.calls]
    except ValueError as error:
        raise Wrong(f"the arguments of a call are no JSON: {told.calls}") from error
    if calls != ([(soak_script.TOOL, plan.arguments)] if plan.calls else []):
        raise Wrong(f"other calls: {told.calls}")
    if plan.calls not in _ENDS.get(told.end, ()):
        raise Wrong(f"it ended by {told.end!r}")


def _difference(text: str, wanted: str) -> str:
    at = next((index for index, (a, b) in enumerate(zip(text, wanted, strict=False)) if a != b), None)
    if at is None:
        return f"{len(text)} characters instead of {len(wanted)}"
    near = slice(max(0, at - 20), at + 20)
    return f"at {at}, {text[near]!r} instead of {wanted[near]!r}"


# Chat Completions and Completions.


def _openai(events: Events, told: Told, choice_of: Callable[[Body, Told], None]) -> None:
    for _, data in events:
        if told.is_whole or told.error is not None:
            raise Wrong(f"something after the end: {data[:100]!r}")
        if data == b"[DONE]":
            if not told.end:
                raise Wrong("[DONE] without a finish_reason")
            told.is_whole = True
            continue
        chunk = json.loads(data)
        if error := chunk.get("error"):
            told.failed(error["code"])
            continue
        choice_of(chunk, told)


def _choice(chunk: Body, told: Told) -> Body:
    told.named(chunk["id"])
    [choice] = chunk["choices"]
    if choice["finish_reason"]:
        told.ended(choice["finish_reason"])
    body: Body = choice
    return body


def _chat(chunk: Body, told: Told) -> None:
    is_first = not told.id
    choice = _choice(chunk, told)
    said = choice.get("message") or choice["delta"]
    if said.get("role") != ("assistant" if is_first else None):
        raise Wrong(f"the role is told first, and once: {chunk}")
    told.text.append(said.get("content") or "")
    told.thoughts.append(said.get("reasoning_content") or "")
    for index, call in enumerate(said.get("tool_calls") or ()):
        function = call["function"]
        if "name" in function:
            told.calls.append([function["name"], ""])
        told.calls[call.get("index", index)][1] += function["arguments"]


def _completion(chunk: Body, told: Told) -> None:
    choice = _choice(chunk, told)
    told.text.append(choice["text"])
    told.thoughts.append(choice.get("reasoning_content") or "")


# Responses.


def _responses(events: Events, told: Told) -> None:
    expected = 0
    has_failed = False
    for name, data in events:
        if told.is_whole:
            raise Wrong(f"something after the end: {data[:100]!r}")
        if data == b"[DONE]":
            if not (told.end or has_failed):
                raise Wrong("[DONE] without the last event")
            told.is_whole = True
            continue
        event = json.loads(data)
        if event["type"] != name or event["sequence_number"] != expected or told.end or has_failed:
            raise Wrong(f"event {expected} is not in its place: {data[:100]!r}")
        if expected == 0 and name != "response.created":
            raise Wrong(f"it begins with {name}")
        expected += 1
        has_failed = has_failed or name == "response.failed"
        _response_event(name, event, told)
    if not told.is_whole:
        raise Wrong("it has no [DONE]")
    if (told.error is not None) != has_failed:
        raise Wrong("an error is told by an event and by response.failed")


def _response_event(name: str, event: Body, told: Told) -> None:
    match name:
        case "response.created":
            told.named(event["response"]["id"])
        case "response.output_text.delta":
            told.text.append(event["delta"])
        case "response.output_text.done":
            if event["text"] != "".join(told.text):
                raise Wrong("the text that is done is not that of its deltas")
        case "response.reasoning_summary_text.delta":
            told.thoughts.append(event["delta"])
        case "response.output_item.added" if event["item"]["type"] == "function_call":
            told.calls.append([event["item"]["name"], ""])
        case "response.function_call_arguments.delta":
            told.calls[-1][1] += event["delta"]
        case "error":
            told.failed(event["code"])
        case "response.completed" | "response.failed":
            whole = Told()
            _response(event["response"], whole)
            if "".join(whole.text) != "".join(told.text) or whole.id != told.id:
                raise Wrong("the whole response is not that of its events")
            if name == "response.completed":
                if whole.calls != told.calls:
                    raise Wrong("the calls of the whole response are not those of its events")
                told.ended(whole.end)


def _response(response: Body, told: Told) -> None:
    told.named(response["id"])
    for item in response["output"]:
        match item["type"]:
            case "message":
                told.text += [part["text"] for part in item["content"]]
            case "reasoning":
                told.thoughts += [part["text"] for part in item["summary"]]
            case "function_call":
                told.calls.append([item["name"], item["arguments"]])
    if response["status"] == "completed":
        told.ended("completed")


# Messages.


def _messages(events: Events, told: Told) -> None:
    kind = ""  # of the open block
    blocks = 0
    for name, data in events:
        event = json.loads(data)
        if event["type"] != name or told.is_whole or told.error is not None:
            raise Wrong(f"an event is not in its place: {data[:100]!r}")
        match name:
            case "ping":
                continue
            case "error":
                told.failed(event["error"]["type"])
            case "message_start" if not told.id:
                told.named(event["message"]["id"])
            case "content_block_start" if not kind and event["index"] == blocks:
                kind = event["content_block"]["type"]
                if kind == "tool_use":
                    told.calls.append([event["content_block"]["name"], ""])
            case "content_block_delta" if kind and event["index"] == blocks:
                _delta(event["delta"], told)
            case "content_block_stop" if kind and event["index"] == blocks:
                kind = ""
                blocks += 1
            case "message_delta" if not kind and told.id:
                told.ended(event["delta"]["stop_reason"])
            case "message_stop" if told.end:
                told.is_whole = True
            case _:
                raise Wrong(f"an event is not in its place: {data[:100]!r}")


def _delta(delta: Body, told: Told) -> None:
    match delta["type"]:
        case "text_delta":
            told.text.append(delta["text"])
        case "thinking_delta":
            told.thoughts.append(delta["thinking"])
        case "input_json_delta":
            told.calls[-1][1] += delta["partial_json"]


def _message(message: Body, told: Told) -> None:
    told.named(message["id"])
    for block in message["content"]:
        match block["type"]:
            case "text":
                told.text.append(block["text"])
            case "thinking":
                told.thoughts.append(block["thinking"])
            case "tool_use":
                told.calls.append([block["name"], json.dumps(block["input"])])
    told.ended(message["stop_reason"])


# Gemini's own.


def _gemini_stream(events: Events, told: Told) -> None:
    for _, data in events:
        _gemini(json.loads(data), told)
    told.is_whole = bool(told.end)


def _gemini(chunk: Body, told: Told) -> None:
    if told.end or told.error is not None:
        raise Wrong("something after the end")
    if error := chunk.get("error"):
        told.failed(error["status"])
        return
    told.named(chunk["responseId"])
    [candidate] = chunk["candidates"]
    for part in candidate["content"]["parts"]:
        if call := part.get("functionCall"):
            told.calls.append([call["name"], json.dumps(call["args"])])
        else:
            (told.thoughts if part.get("thought") else told.text).append(part["text"])
    if reason := candidate.get("finishReason"):
        told.ended(reason)


_STREAMS: dict[str, Callable[[Events, Told], None]] = {
    "chat": lambda events, told: _openai(events, told, _chat),
    "completions": lambda events, told: _openai(events, told, _completion),
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini_stream,
}
_WHOLE: dict[str, Callable[[Body, Told], None]] = {
    "chat": _chat,
    "completions": _completion,
    "responses": _response,
    "messages": _message,
    "gemini": _gemini,
    "array": _gemini,
}
