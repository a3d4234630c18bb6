"""``fold``: the events of an answer become one reply."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest

from agproxy.chat import (
    ChatRequest,
    Event,
    Failed,
    Finish,
    ImageDelta,
    Ping,
    ReasoningDelta,
    Reply,
    ReplyCall,
    Sampling,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    Usage,
    fold,
)
from agproxy.errors import UpstreamCut

SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}


def folded(*events: Event) -> Reply:
    return fold(iter(events))


def test_text_is_joined_in_order() -> None:
    reply = folded(TextDelta("Hel"), TextDelta(""), TextDelta("lo"), Finish("stop"))
    assert reply == Reply("Hello", "", (), (), Finish("stop"), None)


def test_answer_without_any_delta_is_empty() -> None:
    assert folded(Finish("stop")) == Reply("", "", (), (), Finish("stop"), None)


def test_reasoning_is_kept_apart_from_text() -> None:
    reply = folded(ReasoningDelta("Hm"), TextDelta("Yes"), ReasoningDelta("m."), TextDelta("."), Finish("stop"))
    assert (reply.text, reply.reasoning) == ("Yes.", "Hmm.")


def test_pings_leave_no_trace() -> None:
    assert folded(Ping(), TextDelta("a"), Ping(), Finish("stop")) == folded(TextDelta("a"), Finish("stop"))


def test_call_is_put_together_from_its_deltas() -> None:
    reply = folded(
        ToolCallStart(0, "call_1", "look", SIGNED),
        ToolCallDelta(0, '{"x'),
        ToolCallDelta(0, '":1}'),
        Finish("tool_calls"),
    )
    assert reply.calls == (ReplyCall("call_1", "look", '{"x":1}', SIGNED),)


def test_interleaved_calls_are_told_apart_by_index() -> None:
    reply = folded(
        ToolCallStart(0, "a", "look"),
        ToolCallStart(1, "b", "look"),
        ToolCallDelta(1, '{"n":'),
        ToolCallDelta(0, '{"n":0}'),
        ToolCallDelta(1, "1}"),
        Finish("tool_calls"),
    )
    assert [(call.id, call.arguments) for call in reply.calls] == [("a", '{"n":0}'), ("b", '{"n":1}')]


def test_identical_parallel_calls_both_stay() -> None:
    same: list[Event] = [
        event
        for index in (0, 1)
        for event in (ToolCallStart(index, f"call_{index}", "look"), ToolCallDelta(index, "{}"))
    ]
    assert len(folded(*same, Finish("tool_calls")).calls) == 2


def test_call_without_arguments_gets_an_empty_object() -> None:
    reply = folded(ToolCallStart(0, "a", "now"), Finish("tool_calls"))
    assert reply.calls[0].arguments == "{}"


def test_last_metadata_of_the_text_stays() -> None:
    reply = folded(TextDelta("a", OTHER), TextDelta("b"), TextDelta("", SIGNED), TextDelta("c"), Finish("stop"))
    assert (reply.text, reply.provider_metadata) == ("abc", SIGNED)


def test_metadata_of_reasoning_and_calls_is_not_taken_for_that_of_the_text() -> None:
    reply = folded(ReasoningDelta("hm", OTHER), TextDelta("a"), ToolCallStart(0, "a", "b", OTHER), Finish("tool_calls"))
    assert reply.provider_metadata is None


def test_images_are_kept_in_order() -> None:
    images = (ImageDelta("image/png", "QQ=="), ImageDelta("image/jpeg", "Qg=="))
    assert folded(images[0], TextDelta("and"), images[1], Finish("stop")).images == images


def test_finish_comes_with_usage_and_refusal() -> None:
    finish = Finish("content_filter", Usage(7, 5, 3, 2), "No.")
    assert folded(finish).finish is finish


def test_failure_is_raised_as_the_error_it_holds() -> None:
    error = UpstreamCut("the answer stopped")
    with pytest.raises(UpstreamCut) as caught:
        folded(TextDelta("Hel"), Failed(error))
    assert caught.value is error


def test_events_that_never_end_are_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="without Finish or Failed"):
        folded(TextDelta("Hel"))


def test_nothing_is_read_beyond_the_end() -> None:
    events: Iterator[Event] = iter([Finish("stop"), TextDelta("late")])
    assert fold(events).text == ""
    assert next(events) == TextDelta("late")


def test_request_shared_by_attempts_cannot_be_changed() -> None:
    chat = ChatRequest("gpt-4o", ())
    assert (chat.tool_choice, chat.sampling) == (ToolChoice("auto"), Sampling())
    with pytest.raises(FrozenInstanceError):
        chat.model = "other"  # type: ignore[misc]
