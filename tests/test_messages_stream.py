"""The strict reader of Messages' streams: it takes what agproxy says, and nothing that lacks an event of it."""

import json
from typing import Any

import pytest

from agproxy.chat import (
    Citation,
    Counted,
    Event,
    Failed,
    Finish,
    Ping,
    ReasoningDelta,
    Searched,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import UpstreamCut
from agproxy.protocols.anthropic_messages import encode_stream
from tests.messages_stream import blocks_of, checked, read, text_of
from tests.protocols.message_answers import THINKING, reply

SIGNED = {"google": {"thought_signature": "QUJD"}}
BEGINNING: list[Event] = [
    Counted(Usage(5)),
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
# A stream without one of these, or with one more, is the stream of another answer.
PIECES = {"content_block_delta"}


def pieces(end: str) -> list[bytes]:
    """The events of one stream, each with its lines."""
    stream = b"".join(encode_stream([*BEGINNING, ENDS[end]], THINKING))
    return [piece + b"\n\n" for piece in stream.split(b"\n\n")[:-1]]


def name_of(piece: bytes) -> str:
    return piece.partition(b"\n")[0].decode().removeprefix("event: ")


def is_read(*stream: bytes) -> bool:
    try:
        read(b"".join(stream))
    except (AssertionError, KeyError, ValueError):
        return False
    return True


@pytest.mark.parametrize("end", ENDS)
def test_what_was_said_is_heard(end: str) -> None:
    message = read(b"".join(pieces(end))).message
    assert text_of(message) == "Two words."
    assert [block["thinking"] for block in blocks_of(message, "thinking")] == ["Hm. Well.", ""]
    assert [call["input"] for call in blocks_of(message, "tool_use")] == [{"at": "sky"}, {"input": "ls"}]


@pytest.mark.parametrize("end", ENDS)
def test_no_event_can_be_left_out(end: str) -> None:
    whole = pieces(end)
    assert is_read(*whole)
    needless = {name_of(whole[n]) for n in range(len(whole)) if is_read(*whole[:n], *whole[n + 1 :])}
    assert needless == (PIECES if end != "failed" else {*PIECES, "content_block_stop"})


@pytest.mark.parametrize("end", ENDS)
def test_no_event_can_come_twice_but_a_piece(end: str) -> None:
    whole = pieces(end)
    repeated = {name_of(whole[n]) for n in range(len(whole)) if is_read(*whole[: n + 1], *whole[n:])}
    assert repeated == PIECES


@pytest.mark.parametrize("end", ENDS)
def test_no_two_events_can_change_places_but_pieces(end: str) -> None:
    whole = pieces(end)
    for n in range(len(whole) - 1):
        if is_read(*whole[:n], whole[n + 1], whole[n], *whole[n + 2 :]):
            assert {name_of(whole[n]), name_of(whole[n + 1])} == PIECES


def test_ping_may_come_anywhere() -> None:
    whole = pieces("whole")
    (ping,) = [piece for piece in encode_stream([Ping(), Finish("stop")], THINKING) if b"ping" in piece]
    for n in range(len(whole) + 1):
        assert is_read(*whole[:n], ping, *whole[n:])
    assert not is_read(*whole, b"event: ping\ndata: {}\n\n")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"event: message_stop", b"event: message_end"),
        (b"event: content_block_stop\n", b""),
        (b'"index":3', b'"index":4'),
        (b'"type":"signature_delta","signature":"', b'"type":"text_delta","text":"'),
        (b'"type":"thinking","thinking":"","signature":""', b'"type":"thinking","thinking":"Hm","signature":""'),
        (b'"stop_reason":"tool_use"', b'"stop_reason":"stop"'),
        (b'"output_tokens":7', b'"output_tokens":"7"'),
        (b'"partial_json":"\\"sky\\"}"', b'"partial_json":"\\"sky\\""'),
        (b'"text":"Two "', b'"text":""'),
        (b'"citations_delta"', b'"citation_delta"'),
        (b'"server_tool_use":{"web_search_requests":1,"web_fetch_requests":0}', b'"server_tool_use":null'),
    ],
)
def test_change_of_a_word_is_noticed(good: bytes, bad: bytes) -> None:
    whole = b"".join(pieces("whole"))
    assert whole.count(good) >= 1
    assert not is_read(whole.replace(good, bad))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "resp_1"},
        {"type": "error"},
        {"stop_reason": None},
        {"stop_reason": "refusal"},
        {"stop_sequence": "x"},
        {"stop_details": {"type": "refusal", "category": None, "explanation": None}},
        {"content": [{"type": "text", "text": ""}]},
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}]},
        {"content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}] * 2},
        {"content": [{"type": "telescope"}]},
        {"usage": {"input_tokens": 1, "output_tokens": 1}},
    ],
)
def test_message_that_is_none_is_noticed(change: Any) -> None:
    good = reply(TextDelta("Hi."), Finish("stop"))
    assert checked(json.loads(json.dumps(good))) == good
    with pytest.raises((AssertionError, KeyError, ValueError)):
        checked({**good, **change})
