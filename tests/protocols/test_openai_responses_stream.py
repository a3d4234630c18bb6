"""Responses streams: the order of events, pings, failures, and that they amount to the body of the same answer."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response

from agproxy import sse
from agproxy.chat import (
    Citation,
    Event,
    Finish,
    ImageDelta,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
)
from agproxy.protocols.openai_responses import encode_stream
from tests.protocols.answers import CALL, USAGE, answers
from tests.protocols.response_answers import (
    EVENT,
    META,
    SEALING,
    Json,
    accumulated,
    alike,
    decoded,
    in_order,
    of_a_namespace,
    reply,
    stream,
)

PAGE = Citation("https://a.co/", "Sky", 0, 4)
H = TokenLogprob("H", -0.5)


def names(*events: Event, meta: ReplyMeta = META) -> list[str]:
    """The types of the events of a stream, but for those at its beginning and its end."""
    created, in_progress, *middle, last = [event["type"] for event in stream(*events, Finish("stop"), meta=meta)]
    assert (created, in_progress, last) == ("response.created", "response.in_progress", "response.completed")
    return [name.removeprefix("response.") for name in middle]


# The order of events.


def test_stream_of_a_text_byte_for_byte() -> None:
    created, text, end = encode_stream([TextDelta("Grüße"), Finish("stop", USAGE)], META)
    response = reply(TextDelta("Grüße"), Finish("stop", USAGE))
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    place = '"item_id":"msg_1_0","output_index":0,"content_index":0'
    written = json.dumps(response, ensure_ascii=False, separators=(",", ":"))
    begins = json.dumps(begun, ensure_ascii=False, separators=(",", ":"))
    part = '{"type":"output_text","text":"%s","annotations":[],"logprobs":[]}'
    item = '{"type":"message","id":"msg_1_0","status":"%s","role":"assistant","content":[%s]}'
    whole = part % "Grüße"
    assert created.decode() == (
        "event: response.created\n"
        f'data: {{"type":"response.created","sequence_number":0,"response":{begins}}}\n\n'
        "event: response.in_progress\n"
        f'data: {{"type":"response.in_progress","sequence_number":1,"response":{begins}}}\n\n'
    )
    assert text.decode() == (
        'event: response.output_item.added\ndata: {"type":"response.output_item.added","sequence_number":2,'
        f'"output_index":0,"item":{item % ("in_progress", "")}}}\n\n'
        'event: response.content_part.added\ndata: {"type":"response.content_part.added","sequence_number":3,'
        f'{place},"part":{part % ""}}}\n\n'
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
        f'{place},"delta":"Grüße","logprobs":[]}}\n\n'
    )
    assert end.decode() == (
        'event: response.output_text.done\ndata: {"type":"response.output_text.done","sequence_number":5,'
        f'{place},"text":"Grüße","logprobs":[]}}\n\n'
        'event: response.content_part.done\ndata: {"type":"response.content_part.done","sequence_number":6,'
        f'{place},"part":{whole}}}\n\n'
        'event: response.output_item.done\ndata: {"type":"response.output_item.done","sequence_number":7,'
        f'"output_index":0,"item":{item % ("completed", whole)}}}\n\n'
        'event: response.completed\ndata: {"type":"response.completed","sequence_number":8,'
        f'"response":{written}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_first_events_do_not_wait_for_the_first_of_the_answer() -> None:
    def silent() -> Iterable[Event]:
        raise AssertionError("was read")
        yield

    assert b"response.created" in next(iter(encode_stream(silent(), META)))


def test_each_piece_of_a_text_is_told_at_once() -> None:
    def events() -> Iterable[Event]:
        yield TextDelta("a")
        yield TextDelta("b")
        raise AssertionError("was read before the second piece was told")

    pieces = iter(encode_stream(events(), META))
    assert [b'"delta":' in next(pieces) for _ in range(3)] == [False, True, True]


def test_event_that_tells_nothing_is_no_piece() -> None:
    def events() -> Iterable[Event]:
        yield PAGE
        yield Searched(("q",), ())
        yield TextDelta("")
        yield ReasoningDelta("")
        raise AssertionError("was read before the next event")

    pieces = iter(encode_stream(events(), META))
    assert next(pieces)
    with pytest.raises(AssertionError, match="was read"):
        next(pieces)


TEXT = ["output_item.added", "content_part.added", "output_text.delta"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]
ARGUMENTS = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"]
ARGUMENTS_END = ["function_call_arguments.done", "output_item.done"]


def test_events_of_a_text() -> None:
    assert names(TextDelta("a"), TextDelta("b"), PAGE) == [
        *(*TEXT, "output_text.delta", TEXT_END[0], "output_text.annotation.added", *TEXT_END[1:]),
    ]


def test_events_of_thoughts() -> None:
    assert names(ReasoningDelta("H"), ReasoningDelta("m")) == [
        *("output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
    ]


def test_events_of_a_call() -> None:
    assert names(*CALL) == [*ARGUMENTS, *ARGUMENTS_END]
    without = names(ToolCallStart(0, "c", "look"))
    assert without == ["output_item.added", "function_call_arguments.delta", *ARGUMENTS_END]


def test_events_of_a_custom_tools_call_come_whole_at_its_end() -> None:
    call: list[Event] = [
        ToolCallStart(0, "c", "patch"),
        ToolCallDelta(0, '{"input":"*** '),
        ToolCallDelta(0, 'Begin"}'),
    ]
    assert names(*call) == [
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done"),
    ]
    delta = stream(*call, Finish("stop"))[3]
    assert delta["delta"] == "*** Begin"


def test_events_of_a_refusal() -> None:
    assert [event["type"] for event in stream(Finish("content_filter", refusal="No."))[2:]] == [
        *("response.output_item.added", "response.content_part.added", "response.refusal.delta"),
        *("response.refusal.done", "response.content_part.done", "response.output_item.done", "response.incomplete"),
    ]


def test_events_of_images_and_searches() -> None:
    assert names(ImageDelta("image/png", "QQ==")) == ["output_item.added", "output_item.done"]
    assert names(Searched(("q",), ())) == ["output_item.added", "web_search_call.completed", "output_item.done"]


def test_item_ends_before_the_next_begins() -> None:
    assert names(TextDelta("a"), *CALL, TextDelta("b")) == [
        *TEXT,
        *TEXT_END,
        *ARGUMENTS,
        *ARGUMENTS_END,
        *TEXT,
        *TEXT_END,
    ]


def test_call_whose_arguments_are_not_whole_stays_open() -> None:
    start, piece, rest = CALL
    assert names(start, piece, TextDelta("a"), rest) == [
        *(*ARGUMENTS[:2], *TEXT, ARGUMENTS[2], *ARGUMENTS_END, *TEXT_END),
    ]


def test_what_is_told_of_a_signature_comes_with_the_end_of_the_item() -> None:
    added, done = [event["item"] for event in stream(*CALL, Finish("stop"), meta=SEALING) if "item" in event][:2]
    assert (added["type"], done["type"]) == ("reasoning", "reasoning")
    assert ("encrypted_content" in added, "encrypted_content" in done) == (False, True)


def test_citation_of_a_text_that_has_ended_is_told_all_the_same() -> None:
    events = names(TextDelta("Rain"), *CALL, PAGE)
    assert events[-1] == "output_text.annotation.added"


def test_log_probabilities_stand_in_the_delta_of_their_text() -> None:
    deltas = [event for event in stream(TextDelta("H", logprobs=(H,)), Finish("stop")) if "delta" in event]
    assert [delta["logprobs"] for delta in deltas] == [
        [{"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": []}]
    ]


def test_chunks_are_whole_events() -> None:
    events: list[Event] = [TextDelta("a\r\nb\u2028c\ud800"), ReasoningDelta("\n\n"), Ping(), *CALL, Finish("stop")]
    for piece in encode_stream(events, META):
        assert piece.endswith(b"\n\n")
        assert b"\r" not in piece
        for event in piece.removesuffix(b"\n\n").split(b"\n\n"):
            assert event.count(b"\n") in (0, 1)


def test_end_is_shown_before_it_goes_out() -> None:
    shown: list[Json] = []

    def conclude(response: Json) -> None:
        shown.append(response["status"])
        response["completed_at"] = 7

    pieces = encode_stream([TextDelta("a"), Finish("stop")], replace(META, conclude=conclude))
    told = []
    for piece in pieces:
        told.append((b"response.completed" in piece, list(shown)))
        last = piece
    assert told == [(False, []), (False, []), (True, ["completed"])]
    assert b'"completed_at":7' in last


# Pings.


def test_ping_is_a_comment_and_every_sixth_says_that_the_response_is_in_progress() -> None:
    pieces = list(encode_stream([*[Ping()] * 13, TextDelta("a"), Finish("stop")], META))
    assert [number for number, piece in enumerate(pieces[1:14], 1) if piece != sse.PING] == [6, 12]
    events = decoded(pieces)
    assert [event["type"] for event in events[:5]] == [
        *("response.created", *["response.in_progress"] * 3, "response.output_item.added"),
    ]
    assert accumulated(events) == alike(TextDelta("a"), Finish("stop"))


def test_ping_is_a_comment_only_once_there_is_an_item() -> None:
    pieces = list(encode_stream([TextDelta("a"), *[Ping()] * 13, Finish("stop")], META))
    assert pieces[2:15] == [sse.PING] * 13


# What a client puts together from a stream is the body that it would have got without one.


@given(answers(freeform=True), st.sampled_from([META, SEALING]))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_accumulated_stream_equals_the_body(events: list[Event], meta: ReplyMeta) -> None:
    alike(*events, meta=of_a_namespace(meta))


@given(answers(freeform=True))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_stream_accumulated_by_the_sdk_equals_the_body(events: list[Event]) -> None:
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    fired = [each for event in stream(*events) for each in state.handle_event(EVENT.validate_python(event))]
    body = reply(*events)
    texts = {each.output_index: each.snapshot for each in fired if each.type == "response.output_text.delta"}
    arguments = {
        each.output_index: each.snapshot for each in fired if each.type == "response.function_call_arguments.delta"
    }
    assert texts == {
        index: part["text"]
        for index, item in enumerate(body["output"])
        for part in item.get("content", ())
        if part["type"] == "output_text"
    }
    assert arguments == {
        index: item["arguments"] for index, item in enumerate(body["output"]) if item["type"] == "function_call"
    }
    last = fired[-1]
    assert last.type in ("response.completed", "response.incomplete")
    whole = _without_parsed(last.response.to_dict(mode="json", warnings=False))
    assert in_order(whole) == in_order(Response.model_validate(body).to_dict(mode="json"))


def _without_parsed(value: Json) -> Json:
    """Without the fields that the SDK adds."""
    if isinstance(value, dict):
        added = ("parsed", "parsed_arguments")
        return {key: _without_parsed(inner) for key, inner in value.items() if key not in added}
    return [_without_parsed(inner) for inner in value] if isinstance(value, list) else value
