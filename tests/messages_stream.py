"""Answers of Anthropic Messages, read as the strictest of its clients do.

A stream is put together from its deltas alone, by the rules of https://platform.claude.com/docs/en/build-with-claude/streaming
that the clients hold it to: blocks have indexes without a gap and never overlap, each begins blank, takes deltas of its
own kind and ends; then come ``message_delta`` with the usage and ``message_stop``, or ``error`` at any point. Types are
those of the ``anthropic`` package, strictly; what its stream helper makes of the events must be the same message.
"""

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.conversation.wire import server_events

Json = Any

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_PING = {"type": "ping"}
# What a block begins with, by its type, and the deltas that it takes; those without deltas come whole.
_BLANK: dict[str, Json] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
    "server_tool_use": {"input": {}},
    "web_search_tool_result": {},
}
_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "web_search_tool_result": set(),
}
_ID_PREFIXES = {"server_tool_use": "srvtoolu_"}
# Errors of https://platform.claude.com/docs/en/api/errors that the SDK has no types for; it goes by the status.
_UNTYPED = ("request_too_large", "conflict_error")
_STOPS = ("end_turn", "max_tokens", "tool_use", "refusal")


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream told.

    :param events: all of them, pings too.
    :param message: as the deltas tell it, as far as it came.
    :param error: the error that ended it, or None.
    """

    events: list[Json]
    message: Json
    error: Json | None

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in self.events]

    def deltas(self, kind: str) -> list[Json]:
        """The deltas of one type."""
        return [event["delta"] for event in self.events if event.get("delta", {}).get("type") == kind]


def read(stream: bytes) -> Told:
    """The events of a stream, in the only order and form that all clients understand.

    :raises AssertionError: it has another one.
    """
    events = []
    for each in server_events(stream):
        event = json.loads(each.data)
        assert each.name == event["type"], "the name of an event is not its type"
        if event["type"] not in ("ping", "error"):
            _EVENT.validate_json(each.data, strict=True)
        events.append(event)
    assert all(event == _PING for event in events if event["type"] == "ping")
    told = [event for event in events if event["type"] != "ping"]
    reader = _Reader()
    for event in told:
        reader.add(event)
    assert reader.is_over, "neither message_stop nor an error"
    _check_sdk(told, reader)
    message = reader.message if reader.error else checked(reader.message)
    return Told(events, message, reader.error)


def checked(message: Json) -> Json:
    """A whole message, which must be one by the SDK's strict types, and whole in itself.

    :raises AssertionError: it contradicts itself.
    """
    Message.model_validate(copy.deepcopy(message), strict=True)
    assert message["type"] == "message"
    assert message["id"].startswith("msg_")
    assert message["stop_reason"] in _STOPS
    assert message["stop_sequence"] is None
    assert (message["stop_details"] is not None) == (message["stop_reason"] == "refusal")
    blocks = message["content"]
    ids = [block["id"] for block in blocks if "id" in block]
    assert len(set(ids)) == len(ids), f"ids stand twice: {ids}"
    for block in blocks:
        assert block["type"] in _BLANK
        assert block.get("id", "").startswith(_ID_PREFIXES.get(block["type"], ""))
        assert block.get("text") != "", "a text without words, which no API takes back"
        if block["type"] == "thinking":
            assert block["signature"], "clients drop thoughts without a signature"
        if block["type"] == "web_search_tool_result":
            assert block["tool_use_id"] in ids
    searches = [block for block in blocks if block["type"] == "server_tool_use"]
    usage = message["usage"]
    assert (usage["server_tool_use"] is not None) == bool(searches)
    assert usage["output_tokens_details"]["thinking_tokens"] <= usage["output_tokens"]
    return message


def checked_error(body: Json) -> Json:
    """The error object of a body or an event, which must be one by the SDK's types.

    :raises AssertionError: it is none.
    """
    if body["error"]["type"] not in _UNTYPED:
        ErrorResponse.model_validate({"request_id": None, **body})
    assert body["type"] == "error"
    assert body["error"]["message"]
    return body["error"]


def text_of(message: Json) -> str:
    """All text of a message."""
    return "".join(block["text"] for block in blocks_of(message, "text"))


def blocks_of(message: Json, *kinds: str) -> list[Json]:
    """Its blocks of these types."""
    return [block for block in message["content"] if block["type"] in kinds]


class _Reader:
    """The message as its events tell it.

    :ivar error: that of the event ``error``, or None.
    :ivar is_over: the last event has come.
    :ivar closed: how many blocks had ended by then.
    """

    def __init__(self) -> None:
        self.message: Json = None
        self.error: Json | None = None
        self.is_over = False
        self.closed = 0
        self._open: Json = None
        self._pieces: list[str] | None = None  # of the open block's input
        self._has_stopped = False

    def add(self, event: Json) -> None:
        """The next event."""
        assert not self.is_over, "an event after the end"
        kind = event["type"]
        if kind == "error":
            assert self.message is not None, "an error before message_start, which could have been a status"
            self.error = checked_error(event)
            self.is_over = True
            self.closed = len(self.message["content"])
            self.message["content"] += [self._open] if self._open is not None else []
            return
        assert (kind == "message_start") == (self.message is None)
        assert not self._has_stopped or kind == "message_stop", f"{kind} after message_delta"
        _STEPS[kind](self, event)

    def start(self, event: Json) -> None:
        self.message = copy.deepcopy(event["message"])
        assert self.message["content"] == []
        assert [self.message[name] for name in ("stop_reason", "stop_sequence", "stop_details")] == [None] * 3

    def open_block(self, event: Json) -> None:
        assert self._open is None, "blocks overlap"
        assert event["index"] == len(self.message["content"])
        block = copy.deepcopy(event["content_block"])
        blank = _BLANK[block["type"]]
        assert {name: block.get(name, ...) for name in blank} == blank
        assert "citations" not in block
        self._open = block
        self._pieces = None

    def delta(self, event: Json) -> None:
        block, delta = self._of(event), event["delta"]
        kind = delta["type"]
        assert kind in _DELTAS[block["type"]], f"{kind} in a block of {block['type']}"
        assert not block.get("signature"), "a delta after the signature"
        match kind:
            case "text_delta" | "thinking_delta":
                name = kind.removesuffix("_delta")
                assert delta[name], "an empty delta"
                block[name] += delta[name]
            case "signature_delta":
                assert delta["signature"]
                block["signature"] = delta["signature"]
            case "citations_delta":
                block.setdefault("citations", []).append(copy.deepcopy(delta["citation"]))
            case "input_json_delta":
                self._pieces = [*(self._pieces or ()), delta["partial_json"]]

    def close_block(self, event: Json) -> None:
        block = self._of(event)
        if self._pieces is not None:
            block["input"] = json.loads("".join(self._pieces))
            assert isinstance(block["input"], dict)
        self.message["content"].append(block)
        self._open = None

    def end(self, event: Json) -> None:
        assert self._open is None, "the message ends within a block"
        before = self.message["usage"]
        self.message |= event["delta"]
        self.message["usage"] = {**before, **event["usage"]}
        assert event["usage"]["output_tokens"] >= before["output_tokens"]
        assert event["usage"]["input_tokens"] >= before["input_tokens"]
        self._has_stopped = True

    def stop(self, event: Json) -> None:
        assert self._has_stopped, "message_stop without message_delta"
        self.is_over = True
        self.closed = len(self.message["content"])

    def _of(self, event: Json) -> Json:
        assert self._open is not None, f"{event['type']} without a block"
        assert event["index"] == len(self.message["content"])
        return self._open


_STEPS: dict[str, Callable[[_Reader, Json], None]] = {
    "message_start": _Reader.start,
    "content_block_start": _Reader.open_block,
    "content_block_delta": _Reader.delta,
    "content_block_stop": _Reader.close_block,
    "message_delta": _Reader.end,
    "message_stop": _Reader.stop,
}


def _check_sdk(events: Iterable[Json], reader: _Reader) -> None:
    """The stream helper of the ``anthropic`` package makes the same message of the events."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] != "error":
            snapshot = accumulate_event(
                event=_EVENT.validate_python(event), current_snapshot=snapshot, json_bufs=buffers
            )
    made = snapshot.to_dict(mode="json")
    whole = slice(reader.closed)  # the input of a call that broke off is whatever each makes of it
    assert _told(made.pop("content")[whole]) == _told(reader.message["content"][whole])
    assert _told(made) == _told({name: value for name, value in reader.message.items() if name != "content"})


def _told(value: Json) -> Json:
    """Without what is null, or known to one side only."""
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items() if each is not None and name not in _UNTOLD}
    return [_told(each) for each in value] if isinstance(value, list) else value


_UNTOLD = frozenset({"container", "parsed_output"})
