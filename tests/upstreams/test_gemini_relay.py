"""Answers in Gemini's own words: they pass as they come, and what agproxy makes of them beside."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import Event, Finish, Relayed, Usage
from agproxy.errors import UnusableAnswer, UpstreamCut, UpstreamError, UpstreamRefusal, UpstreamTimeout
from agproxy.upstreams.gemini_native import relay_stream, relay_whole
from tests.upstreams.replies import RECORDED, answer, broken_by, payloads

Json = Any
TEXT, THOUGHT = {"text": "Hi"}, {"text": "Hm.", "thought": True}
CALL = {"functionCall": {"name": "f"}}
both = pytest.mark.parametrize("stream", [False, True])


def relayed(chunks: Iterable[bytes], *, stream: bool = True, **options: Any) -> list[Event]:
    return list(relay_stream(chunks, stream=stream, **options))


def finish(chunks: Iterable[bytes], **options: Any) -> Finish:
    last = relayed(chunks, **options)[-1]
    assert isinstance(last, Finish)
    return last


def failure(chunks: Iterable[bytes], **options: Any) -> tuple[list[bytes], UpstreamError]:
    """What was passed on before the answer failed, and how it did."""
    told: list[bytes] = []
    try:
        for event in relay_stream(chunks, **options):
            assert isinstance(event, Relayed)
            told.append(event.payload)
    except UpstreamError as error:
        return told, error
    raise AssertionError("it did not fail")


# What passes.


@both
@pytest.mark.parametrize(
    "name",
    [
        *("text.sse", "text_lf.sse", "text.json", "thoughts.sse", "call_with_id.sse", "parallel_calls.sse"),
        *("grounding.sse", "inline_image.sse", "two_candidates.sse", "usage_after_finish.sse", "continuation.sse"),
        *("blocked_prompt.sse", "blocked_prompt.json", "no_usage.sse", "logprobs.sse", "safety_after_text.sse"),
    ],
)
def test_recorded_answer_passes_byte_for_byte(name: str, stream: bool) -> None:
    *told, last = relayed(payloads(name), stream=stream)
    assert [event.payload for event in told if isinstance(event, Relayed)] == list(payloads(name))
    assert isinstance(last, Finish)


def test_every_recording_passes_or_fails_as_a_whole() -> None:
    for path in sorted(RECORDED.iterdir()):
        try:
            *_, last = relayed(payloads(path.name))
        except UpstreamError:
            continue
        assert isinstance(last, Finish), path.name


def test_odd_writing_passes_as_it_is() -> None:
    odd = b'{ "candidates":[\n{"finishReason":"STOP","content":{"parts":[{"text":"\\u00e9"}]}} ] ,"new":{"field":1.0}}'
    assert relayed([odd])[0] == Relayed(odd, True)


@pytest.mark.parametrize(
    ("part", "is_seen"),
    [
        (TEXT, True),
        (THOUGHT, True),
        (CALL, True),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, True),
        ({"executableCode": {"code": "1"}}, True),
        ({"someNewKind": {}}, True),
        ({"text": ""}, False),
        ({"text": "", "thought": True}, False),
        ({"text": "", "thoughtSignature": "QQ=="}, False),
        ({"thoughtSignature": "QQ=="}, False),
        ({}, False),
    ],
)
def test_piece_is_seen_when_it_says_something(part: Json, is_seen: bool) -> None:
    first, second, *_ = relayed([answer(None, part), answer("STOP", TEXT)])
    assert isinstance(first, Relayed)
    assert isinstance(second, Relayed)
    assert (first.is_seen, second.is_seen) == (is_seen, True)


def test_what_was_seen_once_stays_so() -> None:
    *told, _ = relayed([answer(None, TEXT), answer("STOP")])
    assert [event.is_seen for event in told if isinstance(event, Relayed)] == [True, True]


# How it ends.


@pytest.mark.parametrize(
    ("reason", "kind", "note"),
    [
        ("STOP", "stop", ""),
        ("MAX_TOKENS", "length", ""),
        ("CONTINUATION", "length", "CONTINUATION"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("PROHIBITED_CONTENT", "content_filter", "PROHIBITED_CONTENT"),
        ("SOMETHING_NEW", "stop", "SOMETHING_NEW"),
    ],
)
@both
def test_end_is_told_by_its_reason(reason: str, kind: str, note: str, stream: bool) -> None:
    end = finish([answer(reason, TEXT)], stream=stream)
    assert (end.reason, end.note) == (kind, note)


def test_tokens_are_counted() -> None:
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "cachedContentTokenCount": 4}
    running = json.dumps({"usageMetadata": {"promptTokenCount": 7}}).encode()
    end = finish([running, answer("STOP", TEXT), json.dumps({"usageMetadata": counts}).encode()])
    assert end.usage == Usage(input_tokens=7, output_tokens=5, cached_tokens=4, reasoning_tokens=2)


@both
def test_blocked_prompt_is_an_answer(stream: bool) -> None:
    for reason in ("SAFETY", "SOMETHING_NEW"):
        feedback = {"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 3}}
        blocked = json.dumps(feedback).encode()
        *told, end = relayed([blocked], stream=stream)
        assert told == [Relayed(blocked, False)]
        assert end == Finish("content_filter", Usage(input_tokens=3), note=reason)


@both
@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY", "RECITATION", "CONTINUATION"])
def test_answer_without_content_counts_where_its_reason_explains_it(reason: str, stream: bool) -> None:
    assert finish([answer(reason)], stream=stream).reason in ("length", "content_filter")


# What is no answer, unless it is the last.


@both
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (answer("STOP"), "STOP"),
        (answer("STOP", {"text": ""}), "STOP"),
        (answer("STOP", {"thoughtSignature": "QQ==", "text": ""}), "STOP"),
        (answer("OTHER_NEW"), "OTHER_NEW"),
    ],
)
def test_empty_answer_is_a_fault(chunk: bytes, reason: str, stream: bool, is_last: bool) -> None:
    told, error = failure([chunk], stream=stream, is_last=is_last)
    assert told == [chunk]
    assert isinstance(error, UnusableAnswer)
    assert error.finish_reason == reason
    assert reason in error.message


@both
@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (answer("MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
        (answer("UNEXPECTED_TOOL_CALL"), "UNEXPECTED_TOOL_CALL"),
        (answer("MISSING_THOUGHT_SIGNATURE"), "MISSING_THOUGHT_SIGNATURE"),
    ],
)
def test_broken_answer_is_a_fault_but_counts_as_the_last(chunk: bytes, reason: str, stream: bool) -> None:
    told, error = failure([chunk], stream=stream)
    assert told == [chunk]
    assert isinstance(error, UnusableAnswer)
    assert error.finish_reason == reason
    assert reason in error.message
    assert finish([chunk], stream=stream, is_last=True).note == reason


def test_thoughts_alone_are_a_fault_unless_the_client_has_seen_them() -> None:
    chunk = answer("STOP", THOUGHT)
    assert isinstance(failure([chunk], stream=False)[1], UnusableAnswer)
    assert finish([chunk], stream=False, is_last=True).reason == "stop"
    assert finish([chunk], stream=True).reason == "stop"


def test_call_that_turns_out_broken_is_a_fault_unless_the_client_has_seen_of_it() -> None:
    chunks = [answer(None, TEXT), answer("MALFORMED_FUNCTION_CALL")]
    assert isinstance(failure(chunks, stream=False)[1], UnusableAnswer)
    assert finish(chunks, stream=True).note == "MALFORMED_FUNCTION_CALL"


# What is cut.


@both
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [answer(None, TEXT)],
        [answer(None, TEXT), answer(None, TEXT)],
        [answer("", TEXT)],
        [answer(None, TEXT), b'{"cand'],
        [b""],
        [b"[]"],
        [b'"Hi"'],
        [b"null"],
        [b"[DONE]"],
    ],
)
def test_answer_without_an_end_is_cut(chunks: list[bytes], is_last: bool, stream: bool) -> None:
    told, error = failure(chunks, stream=stream, is_last=is_last)
    assert isinstance(error, UpstreamCut)
    assert told == [chunk for chunk in chunks if chunk.startswith(b'{"candidates"')]


@both
@pytest.mark.parametrize(
    "chunks", [[b"{}"], [b'{"candidates":[]}'], [b'{"usageMetadata":{"promptTokenCount":1}}', b"{}"]]
)
@pytest.mark.parametrize("is_last", [False, True])
def test_answer_that_says_nothing_is_cut(chunks: list[bytes], stream: bool, is_last: bool) -> None:
    told, error = failure(chunks, stream=stream, is_last=is_last)
    assert (told, type(error)) == (chunks, UpstreamCut)


@pytest.mark.parametrize("chunk", [answer("STOP", TEXT), b'{"promptFeedback":{"blockReason":"SAFETY"}}'])
def test_what_goes_wrong_after_the_end_is_of_no_interest(chunk: bytes) -> None:
    for rest in ([b"{"], [b"[DONE]"], [b'{"error":{"code":500}}']):
        assert relayed([chunk, *rest])[0] == Relayed(chunk, b"Hi" in chunk)
    *told, end = relayed(broken_by(UpstreamTimeout("silent"), chunk))
    assert [isinstance(event, Relayed) for event in told] == [True]
    assert isinstance(end, Finish)


def test_what_goes_wrong_before_the_end_is_told() -> None:
    told, error = failure(broken_by(UpstreamTimeout("silent"), answer(None, TEXT)), stream=True, is_last=True)
    assert (told, type(error)) == ([answer(None, TEXT)], UpstreamTimeout)


def test_fault_of_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        relayed(broken_by(ZeroDivisionError(), answer("STOP", TEXT)))


@both
@pytest.mark.parametrize("wrap", ["%s", "[%s]"])
def test_error_object_in_place_of_an_answer_is_a_refusal(wrap: str, stream: bool) -> None:
    holder = {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE", "details": [{"@type": "x", "a": 1}]}
    event = (wrap % json.dumps({"error": holder})).encode()
    told, error = failure([answer(None, TEXT), event], stream=stream)
    assert told == [answer(None, TEXT)]
    assert isinstance(error, UpstreamRefusal)
    assert (error.status, error.reason, error.message) == (503, "UNAVAILABLE", "Overloaded")
    assert error.details == ({"@type": "x", "a": 1},)


# When it is whole.


def whole_after(chunks: list[bytes], **options: Any) -> list[int]:
    """After how many of the chunks the answer was said to be whole."""
    given: list[bytes] = []
    found: list[int] = []

    def counted() -> Iterator[bytes]:
        for chunk in chunks:
            given.append(chunk)
            yield chunk

    relayed(counted(), on_finished=lambda: found.append(len(given)), **options)
    return found


def test_end_is_told_at_once() -> None:
    usage = b'{"usageMetadata":{"promptTokenCount":1}}'
    assert whole_after([answer(None, TEXT), answer("STOP", TEXT), usage])[0] == 2
    assert whole_after([b'{"promptFeedback":{"blockReason":"OTHER"}}', usage])[0] == 1


def test_what_ended_once_has_ended() -> None:
    assert finish([answer("MAX_TOKENS", TEXT), answer(None)]).reason == "length"
    assert finish([answer("STOP", TEXT, index=1), answer(None, index=1), answer("STOP", index=0)]).reason == "stop"


def test_all_answers_have_to_end() -> None:
    first, second = answer("STOP", TEXT, index=0), answer(None, TEXT, index=1)
    end = answer("MAX_TOKENS", index=1)
    assert whole_after([first, second, end], choices=2) == [3]
    told, error = failure([first, second], stream=True, choices=2)
    assert (told, type(error)) == ([first, second], UpstreamCut)
    assert finish([first, second, end], choices=2).reason == "stop"


def test_answer_that_is_still_to_come_is_waited_for() -> None:
    first, second = answer("STOP", TEXT, index=0), answer("STOP", TEXT, index=1)
    assert whole_after([first, second], choices=2) == [2]
    told, error = failure(broken_by(UpstreamTimeout("silent"), first), stream=True, choices=2)
    assert (told, type(error)) == ([first], UpstreamTimeout)
    assert finish([first], choices=2).reason == "stop"  # there may be fewer


def test_candidates_without_an_index_are_told_by_their_place() -> None:
    content = {"content": {"parts": [TEXT]}}
    pair: Json = {"candidates": [{"finishReason": "STOP", **content}, content]}
    with pytest.raises(UpstreamCut):
        relayed([json.dumps(pair).encode()])
    pair = {"candidates": [{"finishReason": "STOP", **content}] * 2}
    assert finish([json.dumps(pair).encode()]).reason == "stop"


def test_one_answer_of_several_is_enough() -> None:
    assert finish([answer("STOP", index=0), answer("STOP", TEXT, index=1)], stream=False, choices=2).reason == "stop"


# Whatever the answer.

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "STOP", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("candidates", "content", "parts", "text", "thought", "finishReason", "index", "error"),
                    *(
                        "usageMetadata",
                        "promptTokenCount",
                        "promptFeedback",
                        "blockReason",
                        "code",
                        "message",
                        "details",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(ANY, max_size=3), st.booleans(), st.booleans())
@settings(max_examples=600, deadline=None, derandomize=True)
def test_any_answer_ends_or_fails_in_a_known_way(values: list[Any], stream: bool, is_last: bool) -> None:
    chunks = [json.dumps(value).encode() for value in values]
    for asked in (chunks, [json.dumps({"candidates": [value]}).encode() for value in values]):
        try:
            *told, last = relayed(asked, stream=stream, is_last=is_last)
        except UpstreamError:
            continue
        assert isinstance(last, Finish)
        assert [event.payload for event in told if isinstance(event, Relayed)] == asked[: len(told)]
    for chunk in chunks:
        try:
            assert len(list(relay_whole(chunk))) == 2
        except UpstreamError:
            continue


@pytest.mark.parametrize("odd", [1, "x", True, [1], [{}], {"parts": 5}, {"parts": {"text": "x"}}, {"parts": [None, 5]}])
def test_odd_pieces_of_an_answer_are_no_fault_of_ours(odd: Json) -> None:
    for response in ({"promptFeedback": odd}, {"candidates": odd}, {"usageMetadata": odd}):
        assert isinstance(failure([json.dumps(response).encode()], stream=True)[1], UpstreamError)
    odd_content = json.dumps({"candidates": [{"content": odd, "finishReason": "STOP"}]}).encode()
    assert isinstance(failure([odd_content], stream=True, is_last=True)[1], UnusableAnswer)


# Answers that are none of generateContent.


@pytest.mark.parametrize("payload", [b'{"totalTokens":3}', b'{ "embedding" : {"values":[0.10]}}\n', b"{}"])
def test_other_answer_passes_as_it_is(payload: bytes) -> None:
    assert list(relay_whole(payload)) == [Relayed(payload, True), Finish("stop")]


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"5", b"<html>"])
def test_other_answer_that_is_no_object_is_cut(payload: bytes) -> None:
    with pytest.raises(UpstreamCut):
        list(relay_whole(payload))
