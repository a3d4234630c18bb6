"""Completions answers: whole bodies and streams, judged by the types of the ``openai`` package."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import sse
from agproxy.chat import (
    Citation,
    Event,
    Failed,
    Finish,
    FinishReason,
    ImageDelta,
    OtherChoice,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    Searched,
    TextDelta,
    TokenLogprob,
    Usage,
)
from agproxy.errors import BadRequest, UpstreamCut
from agproxy.protocols import openai_chat, openai_completions
from agproxy.protocols.openai_completions import encode_stream
from tests.protocols.answers import CALL, SIGNED, USAGE, several_answers
from tests.protocols.answers import reply as chat_reply
from tests.protocols.completion_answers import META, WITH_USAGE, Json, accumulated, echoing, reply, stream

HE = TokenLogprob("He", -0.5, (TokenLogprob("He", -0.5), TokenLogprob("Ju", -2.0)))
Y = TokenLogprob("y", -3.0, (TokenLogprob("llo", -1.0), TokenLogprob("llo", -1.5)))
WAVE = TokenLogprob("👋", -9999.0)
# The second answer to each of two prompts, by their numbers, and all ends.
FOUR: list[Event] = [
    TextDelta("a"),
    OtherChoice(2, TextDelta("c")),
    OtherChoice(1, TextDelta("b")),
    OtherChoice(3, Finish("content_filter", refusal="No.")),
    OtherChoice(1, Finish("length", Usage(1, 1))),
    TextDelta("A"),
    OtherChoice(2, Finish("stop")),
    Finish("stop", USAGE),
]


def choice(*events: Event, meta: ReplyMeta = META) -> Json:
    """The only choice of an answer, which is the same whole and streamed."""
    (whole,) = reply(*events, meta=meta)["choices"]
    assert accumulated(stream(*events, meta=meta)) == [whole]
    return whole


# Whole and streamed.


def test_body_of_a_text() -> None:
    assert reply(TextDelta("Hel"), TextDelta("lo"), Finish("stop", USAGE)) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 4,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


@pytest.mark.parametrize("usage", [Usage(), USAGE, Usage(5, 0, 5, 0), Usage(0, 7, 0, 7)])
def test_usage_is_that_of_chat_completions(usage: Usage) -> None:
    events = TextDelta("x"), Finish("stop", usage)
    assert reply(*events)["usage"] == chat_reply(*events)["usage"]


@pytest.mark.parametrize("reason", get_args(FinishReason))
def test_finish_reasons_are_those_of_the_sdk(reason: FinishReason) -> None:
    told = choice(TextDelta("x"), Finish(reason))["finish_reason"]
    assert told == ("stop" if reason == "tool_calls" else reason)


def test_refusal_stands_beside_an_empty_text() -> None:
    assert choice(Finish("content_filter", refusal="Gemini refused the prompt (SAFETY).")) == {
        "text": "",
        "index": 0,
        "logprobs": None,
        "finish_reason": "content_filter",
        "refusal": "Gemini refused the prompt (SAFETY).",
    }


def test_thoughts_are_no_part_of_the_text() -> None:
    told = choice(ReasoningDelta("H"), ReasoningDelta("m"), TextDelta("Yes"), Finish("stop"), meta=echoing("Is it? "))
    assert (told["text"], told["reasoning_content"]) == ("Is it? Yes", "Hm")


def test_pictures_stand_beside_the_text() -> None:
    told = choice(ImageDelta("image/png", "QQ=="), TextDelta("and"), ImageDelta("image/jpeg", "Qg=="), Finish("stop"))
    assert told["text"] == "and"
    urls = [(image["index"], image["image_url"]["url"]) for image in told["images"]]
    assert urls == [(0, "data:image/png;base64,QQ=="), (1, "data:image/jpeg;base64,Qg==")]


def test_what_has_no_place_is_left_out() -> None:
    plain = choice(TextDelta("x"), Finish("tool_calls"))
    page = Citation("https://a.co/", "A", 0, 1)
    assert plain == choice(
        TextDelta("", SIGNED), *CALL, TextDelta("x"), page, Searched(("q",), ()), Finish("tool_calls")
    )
    assert plain.keys() == {"text", "index", "logprobs", "finish_reason"}


# The prompt before the text, several prompts, several answers.


@pytest.mark.parametrize("prompt", ["Once", "", 'a"\n\u2028🦊'])
def test_prompt_comes_before_the_text(prompt: str) -> None:
    assert choice(TextDelta(" upon"), Finish("stop"), meta=echoing(prompt))["text"] == f"{prompt} upon"


def test_prompt_is_there_without_an_answer_too() -> None:
    told = choice(Finish("content_filter", refusal="No."), meta=echoing("Bad"))
    assert (told["text"], told["refusal"]) == ("Bad", "No.")


def test_answers_are_numbered_prompt_by_prompt() -> None:
    meta = echoing("P ", "Q ", choices=2)
    body = reply(*FOUR, meta=meta)
    told = [(each["index"], each["text"], each["finish_reason"]) for each in body["choices"]]
    assert told == [(0, "P aA", "stop"), (1, "P b", "length"), (2, "Q c", "stop"), (3, "Q ", "content_filter")]
    assert body["choices"][3]["refusal"] == "No."
    assert body["usage"]["total_tokens"] == 29
    assert accumulated(stream(*FOUR, meta=meta)) == body["choices"]


def test_prompts_are_not_repeated_unless_that_is_asked_for() -> None:
    assert [each["text"] for each in reply(*FOUR)["choices"]] == ["aA", "b", "c", ""]


# Log probabilities.


def test_log_probabilities_are_arrays_side_by_side() -> None:
    told = choice(TextDelta("Hey", logprobs=(HE, Y)), TextDelta("👋", logprobs=(WAVE,)), Finish("stop"))
    assert told["logprobs"] == {
        "tokens": ["He", "y", "👋"],
        "token_logprobs": [-0.5, -3.0, -9999.0],
        "top_logprobs": [{"He": -0.5, "Ju": -2.0}, {"y": -3.0, "llo": -1.0}, {"👋": -9999.0}],
        "text_offset": [0, 2, 3],
    }


def test_offsets_count_the_characters_of_the_prompt_too() -> None:
    events: list[Event] = [TextDelta("Hey", logprobs=(HE, Y)), TextDelta("👋", logprobs=(WAVE,)), Finish("stop")]
    told = choice(*events, meta=echoing("🦊: "))
    assert told["logprobs"]["tokens"] == ["He", "y", "👋"]
    assert told["logprobs"]["text_offset"] == [3, 5, 6]
    for token, offset in zip(told["logprobs"]["tokens"], told["logprobs"]["text_offset"], strict=True):
        assert told["text"][offset:].startswith(token)


def test_log_probabilities_may_come_after_their_text() -> None:
    chunks = stream(TextDelta("Hey"), TextDelta("", logprobs=(HE, Y)), Finish("stop"))
    told = [(chunk["choices"][0]["text"], chunk["choices"][0]["logprobs"]) for chunk in chunks]
    assert told[0] == ("Hey", None)
    assert (told[1][0], told[1][1]["text_offset"]) == ("", [0, 2])


# Streams.


def test_stream_byte_for_byte() -> None:
    wire = b"".join(encode_stream([TextDelta("Grüße"), Finish("stop")], echoing("Sag ")))
    head = '{"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"gpt-3.5-turbo-instruct","choices":'
    assert wire.decode() == (
        f'data: {head}[{{"text":"Sag ","index":0,"logprobs":null,"finish_reason":null}}]}}\n\n'
        f'data: {head}[{{"text":"Grüße","index":0,"logprobs":null,"finish_reason":null}}]}}\n\n'
        f'data: {head}[{{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


def test_each_event_is_a_chunk_of_its_own_and_nothing_is_none() -> None:
    events: list[Event] = [ReasoningDelta("Hm"), TextDelta(""), TextDelta("a"), ReasoningDelta(""), TextDelta("b")]
    told = [chunk["choices"][0] for chunk in stream(*events, Finish("stop"))]
    assert [each["text"] for each in told] == ["", "a", "b", ""]
    assert [each["finish_reason"] for each in told] == [None, None, None, "stop"]


def test_prompt_does_not_wait_for_the_first_event() -> None:
    def silent() -> Iterable[Event]:
        raise AssertionError("was read")
        yield

    assert b'"text":"Once"' in next(iter(encode_stream(silent(), echoing("Once"))))


def test_each_choice_begins_with_its_prompt() -> None:
    told = [chunk["choices"][0] for chunk in stream(*FOUR, meta=echoing("P", "Q", choices=2))]
    assert [(each["index"], each["text"]) for each in told] == [
        *((0, "P"), (0, "a"), (1, "P"), (2, "Q"), (2, "c"), (1, "b"), (3, "Q"), (3, ""), (1, ""), (0, "A")),
        *((2, ""), (0, "")),
    ]


def test_chunk_has_one_choice_of_which_only_the_last_tells_the_end() -> None:
    chunks = stream(*FOUR)
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    ends = [(each["index"], each["finish_reason"]) for chunk in chunks for each in chunk["choices"]]
    assert [end for end in ends if end[1]] == [(3, "content_filter"), (1, "length"), (2, "stop"), (0, "stop")]


def test_usage_is_left_out_unless_asked_for() -> None:
    assert all("usage" not in chunk for chunk in stream(*FOUR))


def test_usage_asked_for_is_null_until_a_last_chunk_without_choices() -> None:
    events: list[Event] = [ReasoningDelta("Hm"), TextDelta("Hey", logprobs=(HE, Y)), *FOUR]
    *chunks, last = stream(*events, meta=replace(echoing("P", "Q", choices=2), include_usage=True))
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], reply(*events)["usage"])


def test_ping_is_a_comment_that_begins_no_choice() -> None:
    meta = echoing("P", "Q")
    pings: list[Event] = [Ping(), OtherChoice(1, Ping())]
    events: list[Event] = [TextDelta("a"), OtherChoice(1, Finish("stop")), Finish("stop")]
    assert stream(*pings, *events, meta=meta) == stream(*events, meta=meta)
    assert list(encode_stream([*pings, *events], meta)).count(sse.PING) == 2


@pytest.mark.parametrize("number", [0, 1])
def test_failure_in_the_middle_is_an_error_and_the_end(number: int) -> None:
    read: list[str] = []

    def events() -> Iterable[Event]:
        yield TextDelta("Hel")
        failed = Failed(UpstreamCut("the answer stopped"))
        yield OtherChoice(number, failed) if number else failed
        read.append("beyond the failure")
        yield Finish("stop")

    *payloads, last = sse.decode(encode_stream(events(), WITH_USAGE))
    error = {"message": "the answer stopped", "type": "server_error", "param": None, "code": "upstream_cut"}
    assert json.loads(last) == {"error": error}
    assert [json.loads(chunk)["choices"][0]["finish_reason"] for chunk in payloads] == [None]
    assert read == []


def test_first_choice_that_is_whole_does_not_hide_that_another_failed() -> None:
    failed = Failed(UpstreamCut("the other one broke off"))
    wire = b"".join(encode_stream([TextDelta("a"), OtherChoice(0, Finish("stop")), failed], META))
    _, end, error = [json.loads(payload) for payload in sse.decode([wire])]
    assert (end["choices"][0]["index"], end["choices"][0]["finish_reason"]) == (0, "stop")
    assert error["error"]["message"] == "the other one broke off"


def test_chunks_are_whole_events() -> None:
    events: list[Event] = [TextDelta("a\r\nb\u2028c\ud800"), Ping(), ReasoningDelta("\n\n"), Finish("stop", USAGE)]
    for piece in encode_stream(events, replace(echoing("\r\n\n"), include_usage=True)):
        assert piece.endswith(b"\n\n")
        assert b"\n" not in piece.removesuffix(b"\n\n")
        assert b"\r" not in piece


def test_errors_are_those_of_chat_completions() -> None:
    error = BadRequest("no", param="prompt")
    assert openai_completions.encode_error(error) == openai_chat.encode_error(error)
    assert openai_completions.encode_failure(error) == openai_chat.encode_failure(error)


# What a client puts together from a stream is the body it would have got without one.


@given(several_answers(), st.sampled_from([META, echoing("Once", "", "upon"), echoing("a", "🦊", choices=2)]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_accumulated_stream_equals_the_body(events: list[Event], meta: ReplyMeta) -> None:
    body = reply(*events, meta=meta)
    chunks = stream(*events, meta=replace(meta, include_usage=True))
    assert accumulated(chunks) == body["choices"]
    assert [chunk["usage"] for chunk in chunks if chunk["usage"]] == [body["usage"]]
    heads = [{name: whole[name] for name in ("id", "object", "created", "model")} for whole in (body, *chunks)]
    assert all(head == heads[0] for head in heads)
