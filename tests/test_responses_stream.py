"""The strict reader of Responses' streams: it takes what agproxy says, and nothing that lacks an event of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agproxy.chat import (
    Citation,
    Event,
    Failed,
    Finish,
    ReasoningDelta,
    ReplyMeta,
    Searched,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import UpstreamCut
from agproxy.protocols.openai_responses import decode_request, encode_stream
from tests.conversation.wire import server_events
from tests.responses_stream import Told, items_of, read, summary_of, text_of

SIGNED = {"google": {"thought_signature": "QUJD"}}
TOOLS = [{"type": "function", "name": "look"}, {"type": "custom", "name": "run"}, {"type": "web_search"}]
ASKED: dict[str, Any] = {
    "model": "gpt-5",
    "input": "Hi",
    "tools": TOOLS,
    "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
}
BEGINNING: list[Event] = [
    ReasoningDelta("Hm. "),
    ReasoningDelta("Well."),
    TextDelta("Two "),
    TextDelta("words."),
    Citation("https://example.com/", "Example", 0, 3),
    ToolCallStart(0, "call_1", "look", SIGNED),
    ToolCallDelta(0, '{"at":'),
    ToolCallDelta(0, '"sky"}'),
    ToolCallStart(1, "call_2", "run"),
    ToolCallDelta(1, '{"input":"ls"}'),
    Searched(("sky",), ("https://example.com/",)),
]
ENDS: dict[str, Event] = {
    "whole": Finish("tool_calls", Usage(5, 7)),
    "refused": Finish("content_filter", Usage(5, 7), refusal="No."),
    "failed": Failed(UpstreamCut("It broke off.")),
}


def pieces(end: str) -> list[bytes]:
    """The events of one stream, each with its lines."""
    ended = {"completed_at": 2}
    meta = ReplyMeta(
        id="resp_1",
        created=1,
        model="gpt-5",
        freeform=frozenset({"run"}),
        echo=decode_request(ASKED).echo,
        conclude=lambda response: response.update(ended) if response["status"] == "completed" else None,
    )
    stream = b"".join(encode_stream([*BEGINNING, ENDS[end]], meta))
    return [piece + b"\n\n" for piece in stream.split(b"\n\n")[:-1]]


def renumbered(stream: list[bytes]) -> bytes:
    """The stream with numbers as if nothing were missing."""
    numbers = iter(range(len(stream)))

    def lines() -> Iterator[bytes]:
        for piece in stream:
            (event,) = server_events(piece)
            if not event.name:
                yield piece
                continue
            body = {**json.loads(event.data), "sequence_number": next(numbers)}
            yield f"event: {event.name}\ndata: {json.dumps(body)}\n\n".encode()

    return b"".join(lines())


def told(end: str) -> Told:
    return read(b"".join(pieces(end)))


@pytest.mark.parametrize("end", ENDS)
def test_what_was_said_is_heard(end: str) -> None:
    response = told(end).response
    assert (summary_of(response), text_of(response)) == ("Hm. Well.", "Two words.")
    assert [call["arguments"] for call in items_of(response, "function_call")] == ['{"at":"sky"}']


# Neighbours of which either may come first.
FREE = [
    {"response.output_text.done", "response.output_text.annotation.added"},
    {"response.output_item.done", "response.output_item.added"},  # where the first of the two items is a call
]


def is_read(stream: list[bytes]) -> bool:
    try:
        read(renumbered(stream))
    except (AssertionError, KeyError, IndexError, ValueError):
        return False
    return True


def name_of(piece: bytes) -> str:
    return piece.partition(b"\n")[0].decode().removeprefix("event: ")


@pytest.mark.parametrize("end", ENDS)
def test_no_event_can_be_left_out(end: str) -> None:
    whole = pieces(end)
    assert is_read(whole)
    needless = [whole[place] for place in range(len(whole)) if is_read(whole[:place] + whole[place + 1 :])]
    assert [name_of(piece) for piece in needless] == ([] if end == "failed" else ["response.web_search_call.completed"])


@pytest.mark.parametrize("end", ENDS)
def test_no_two_events_can_change_places(end: str) -> None:
    whole = pieces(end)
    for place in range(len(whole) - 1):
        pair = whole[place : place + 2]
        swapped = [*whole[:place], *reversed(pair), *whole[place + 2 :]]
        assert not is_read(swapped) or {name_of(piece) for piece in pair} in FREE


def test_numbers_have_no_gap() -> None:
    whole = pieces("whole")
    with pytest.raises(AssertionError):
        read(b"".join(whole).replace(b'"sequence_number":7,', b'"sequence_number":8,'))
