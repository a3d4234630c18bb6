"""``fold``: the events of an answer become one reply. ``first_calls``: those of an answer with one call."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest

from agproxy.chat import (
    ChatRequest,
    Citation,
    Event,
    Failed,
    Finish,
    ImageDelta,
    OtherChoice,
    Ping,
    ReasoningDelta,
    Sampling,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    Usage,
)
from agproxy.errors import UpstreamCut
from agproxy.fold import Reply, ReplyCall, first_calls, fold

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


def test_citations_are_kept_in_order() -> None:
    pages = (Citation("https://b.co/", "B", 4, 9), Citation("https://a.co/", "A", 0, 3))
    assert folded(TextDelta("a"), pages[0], TextDelta("b"), pages[1], Finish("stop")).citations == pages


def test_log_probabilities_are_joined_in_order() -> None:
    a, b, c = TokenLogprob("a", -0.5, (TokenLogprob("x", -1.0),)), TokenLogprob("b", -0.1), TokenLogprob("c", 0.0)
    reply = folded(TextDelta("ab", logprobs=(a, b)), TextDelta("?"), TextDelta("", logprobs=(c,)), Finish("stop"))
    assert reply.logprobs == (a, b, c)


def test_other_answers_are_folded_by_themselves_in_the_order_of_their_numbers() -> None:
    page, token = Citation("https://a.co/", "A", 0, 1), TokenLogprob("N", -0.5)
    reply = folded(
        OtherChoice(2, ReasoningDelta("Hm")),
        TextDelta("Y"),
        OtherChoice(1, TextDelta("N", logprobs=(token,))),
        OtherChoice(2, ToolCallStart(0, "b", "look", SIGNED)),
        ToolCallStart(0, "a", "now"),
        OtherChoice(1, Ping()),
        OtherChoice(2, ToolCallDelta(0, '{"n":2}')),
        OtherChoice(2, Finish("tool_calls")),
        OtherChoice(1, TextDelta("o", SIGNED)),
        OtherChoice(1, page),
        OtherChoice(1, Finish("length")),
        TextDelta("es"),
        Finish("tool_calls", Usage(7, 5)),
    )
    assert (reply.text, reply.calls) == ("Yes", (ReplyCall("a", "now", "{}", None),))
    assert (reply.provider_metadata, reply.citations, reply.logprobs) == (None, (), ())
    assert reply.others == (
        Reply("No", "", (), (), Finish("length"), SIGNED, citations=(page,), logprobs=(token,)),
        Reply("", "Hm", (ReplyCall("b", "look", '{"n":2}', SIGNED),), (), Finish("tool_calls"), None),
    )


def test_failure_of_another_answer_is_raised() -> None:
    with pytest.raises(UpstreamCut):
        folded(OtherChoice(1, Failed(UpstreamCut("the answer stopped"))), Finish("stop"))


def test_other_answer_that_never_ends_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="without Finish or Failed"):
        folded(OtherChoice(1, TextDelta("Hel")), Finish("stop"))


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


def test_calls_after_the_first_are_left_out() -> None:
    kept: list[Event] = [
        TextDelta("a"),
        ToolCallStart(0, "a", "look"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        ImageDelta("image/png", "QQ=="),
        Ping(),
        Finish("tool_calls"),
    ]
    second: list[Event] = [ToolCallStart(1, "b", "look"), ToolCallDelta(1, "{}"), ToolCallStart(2, "c", "now")]
    assert list(first_calls([*kept[:3], *second, *kept[3:]])) == kept


def test_first_call_of_each_answer_stays() -> None:
    kept: list[Event] = [
        OtherChoice(1, ToolCallStart(0, "a", "look")),
        OtherChoice(1, ToolCallDelta(0, "{}")),
        OtherChoice(1, Finish("tool_calls")),
        Finish("stop"),
    ]
    second: list[Event] = [OtherChoice(1, ToolCallStart(1, "b", "look")), OtherChoice(1, ToolCallDelta(1, "{}"))]
    assert list(first_calls([*kept[:2], *second, *kept[2:]])) == kept


def test_first_call_does_not_wait_for_the_events_after_it() -> None:
    events: Iterator[Event] = iter([ToolCallStart(0, "a", "look"), Finish("tool_calls")])
    assert next(first_calls(events)) == ToolCallStart(0, "a", "look")
    assert next(events) == Finish("tool_calls")


def test_request_shared_by_attempts_cannot_be_changed() -> None:
    chat = ChatRequest("gpt-4o", ())
    assert (chat.tool_choice, chat.sampling) == (ToolChoice("auto"), Sampling())
    with pytest.raises(FrozenInstanceError):
        chat.model = "other"  # type: ignore[misc]


class TestParts:
    """``parts`` tells the whole answer once more, in order."""

    def test_runs_are_joined_and_calls_stand_where_they_began(self) -> None:
        logprob = TokenLogprob("b", -0.5)
        reply = folded(
            ReasoningDelta("H"),
            ReasoningDelta("m"),
            TextDelta("a"),
            Ping(),
            TextDelta("b", SIGNED, (logprob,)),
            ToolCallStart(0, "one", "look", OTHER),
            TextDelta("c"),
            ToolCallStart(1, "two", "look"),
            ToolCallDelta(0, '{"at":'),
            ToolCallDelta(0, "1}"),
            ImageDelta("image/png", "QQ=="),
            Citation("https://example.com/", "x", 0, 1),
            Searched(("q",), ()),
            Finish("stop"),
        )
        assert reply.parts == (
            ReasoningDelta("Hm"),
            TextDelta("ab", SIGNED, (logprob,)),
            ToolCallStart(0, "one", "look", OTHER),
            ToolCallDelta(0, '{"at":1}'),
            TextDelta("c"),
            ToolCallStart(1, "two", "look"),
            ToolCallDelta(1, "{}"),
            ImageDelta("image/png", "QQ=="),
            Searched(("q",), ()),
        )

    def test_empty_piece_belongs_to_what_came_before_it(self) -> None:
        call = ToolCallStart(0, "one", "look")
        reply = folded(
            TextDelta("a"), TextDelta("", SIGNED), call, TextDelta("", OTHER), TextDelta("b"), Finish("stop")
        )
        assert reply.parts == (
            TextDelta("a", SIGNED),
            call,
            ToolCallDelta(0, "{}"),
            TextDelta("", OTHER),
            TextDelta("b"),
        )
