"""Gemini's answers as events, however their bytes are cut."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agproxy import sse
from agproxy.chat import (
    Citation,
    Event,
    Finish,
    ImageDelta,
    Metadata,
    OtherChoice,
    ReasoningDelta,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import UnusableAnswer, UpstreamCut, UpstreamRefusal, UpstreamTimeout
from tests.upstreams.replies import RECORDED, answer, broken_by, decoded, failure, payloads, told

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def signed(signature: str) -> Metadata:
    return {"google": {"thought_signature": signature}}


GREETING: list[Event | type[Exception]] = [
    TextDelta("Grüß"),
    TextDelta(" Gott,\n\n世界"),
    TextDelta(" 🎉"),
    Finish("stop", Usage(12, 9)),
]

_REDIRECT = "https://vertexaisearch.cloud.google.com/grounding-api-redirect/"
CITED: list[Event | type[Exception]] = [
    TextDelta("Zürich: 🌧"),
    TextDelta("\ufe0f 12 °C."),
    Citation(f"{_REDIRECT}AUZ", "meteoschweiz.ch", 0, 6),
    Citation(f"{_REDIRECT}AUZ", "meteoschweiz.ch", 11, 16),
    Citation(f"{_REDIRECT}BVA", "srf.ch", 11, 16),
]

SEARCHED = Searched(("Wetter Zürich",), (f"{_REDIRECT}AUZ", f"{_REDIRECT}BVA"), ("meteoschweiz.ch", "srf.ch"))

# What each recorded answer tells; last the class of the error it ends in, if it does.
ANSWERS: dict[str, list[Event | type[Exception]]] = {
    "text.sse": [*GREETING],
    "text_lf.sse": [*GREETING],
    "text.json": [TextDelta("Grüß Gott,\n\n世界 🎉"), Finish("stop", Usage(12, 9))],
    "two_text_parts.sse": [TextDelta("One. "), TextDelta("Two."), Finish("stop", Usage(5, 4))],
    "thoughts.sse": [
        ReasoningDelta("**Counting**\n\nOne, two."),
        ReasoningDelta(" Three."),
        TextDelta("Three"),
        TextDelta("."),
        Finish("stop", Usage(20, 33, reasoning_tokens=31)),
    ],
    "thought_signature.sse": [
        TextDelta("Three."),
        TextDelta("", signed("EjQKMgFyZXNwb25zZS1zaWduYXR1cmU=")),
        Finish("stop", Usage(20, 33, reasoning_tokens=31)),
    ],
    "signed_thought.sse": [
        ReasoningDelta("Hm.", signed("EjQKMgF0aG91Z2h0")),
        TextDelta("Three.", signed("EjQKMgF0ZXh0")),
        Finish("stop", Usage(20, 5, reasoning_tokens=3)),
    ],
    "call.json": [
        ToolCallStart(0, "new_1", "get_weather"),
        ToolCallDelta(0, '{"city":"Zürich"}'),
        Finish("tool_calls", Usage(57, 16)),
    ],
    "call_with_id.sse": [
        ToolCallStart(0, "8gqfnobe", "get_weather", signed("EjQKMgFjYWxsLXNpZ25hdHVyZQ==")),
        ToolCallDelta(0, '{"city":"Zürich","days":2}'),
        Finish("tool_calls", Usage(57, 104, reasoning_tokens=88)),
    ],
    "call_without_id.sse": [
        ToolCallStart(0, "new_1", "get_weather"),
        ToolCallDelta(0, '{"city":"Zürich"}'),
        Finish("tool_calls", Usage(57, 16)),
    ],
    "call_without_args.sse": [
        ToolCallStart(0, "new_1", "now"),
        ToolCallDelta(0, "{}"),
        Finish("tool_calls", Usage(57, 4)),
    ],
    "parallel_calls.sse": [  # two of them equal, which is no reason to drop one
        ToolCallStart(0, "aa11", "get_weather", signed("EjQKMgFmaXJzdA==")),
        ToolCallDelta(0, '{"city":"Bern"}'),
        ToolCallStart(1, "bb22", "get_weather"),
        ToolCallDelta(1, '{"city":"Bern"}'),
        ToolCallStart(2, "cc33", "now"),
        ToolCallDelta(2, "{}"),
        Finish("tool_calls", Usage(57, 126, reasoning_tokens=88)),
    ],
    "text_then_call.sse": [
        TextDelta("I will look."),
        ToolCallStart(0, "new_1", "now"),
        ToolCallDelta(0, "{}"),
        Finish("tool_calls", Usage(57, 9)),
    ],
    "inline_image.sse": [TextDelta("Here: "), ImageDelta("image/png", PNG), Finish("stop", Usage(9, 1292))],
    "blocked_prompt.sse": [Finish("content_filter", Usage(9), "Gemini refused the prompt (PROHIBITED_CONTENT).")],
    "blocked_prompt.json": [Finish("content_filter", Usage(9), "Gemini refused the prompt (SAFETY).")],
    "safety_after_text.sse": [TextDelta("Once upon"), Finish("content_filter", Usage(9, 2))],
    "running_usage.sse": [
        TextDelta("a"),
        TextDelta("b"),
        TextDelta("c"),
        Finish("stop", Usage(107, 19, cached_tokens=64, reasoning_tokens=10)),
    ],
    "usage_without_candidates.sse": [TextDelta("Yes."), Finish("stop", Usage(11, 203, reasoning_tokens=203))],
    "usage_after_finish.sse": [TextDelta("Yes."), Finish("stop", Usage(11, 7, reasoning_tokens=5))],
    "no_usage.sse": [TextDelta("Yes."), Finish("stop", Usage())],
    "error_first.sse": [UpstreamRefusal],
    "error_in_stream.sse": [GREETING[0], UpstreamRefusal],
    "error_in_stream_wrapped.sse": [GREETING[0], UpstreamRefusal],
    "no_finish.sse": [*GREETING[:2], UpstreamCut],
    "truncated.sse": [GREETING[0], UpstreamCut],
    "not_an_object.sse": [GREETING[0], UpstreamCut],
    "cut_after_finish.sse": [*GREETING],
    "error_after_finish.sse": [*GREETING],
    "done_mark_after_finish.sse": [*GREETING],
    "thoughts_only.sse": [ReasoningDelta("Hm."), UnusableAnswer],
    "malformed_call.sse": [TextDelta("Let me"), UnusableAnswer],
    "continuation.sse": [TextDelta("Kapitel 1"), TextDelta(" und"), Finish("length", Usage(5, 9))],
    "two_candidates.sse": [
        TextDelta("Ja"),
        OtherChoice(1, TextDelta("Ne")),
        TextDelta("."),
        OtherChoice(1, TextDelta("in")),
        OtherChoice(1, TextDelta("!")),
        OtherChoice(1, Finish("length", Usage())),
        Finish("stop", Usage(5, 5)),
    ],
    "logprobs.sse": [
        TextDelta(
            "Grüß",
            logprobs=(
                TokenLogprob("Grü", -0.25, (TokenLogprob("Grü", -0.25), TokenLogprob("Hal", -1.5))),
                TokenLogprob("ß", -0.5, (TokenLogprob("ß", -0.5),)),
            ),
        ),
        TextDelta(" Gott", logprobs=(TokenLogprob(" Gott", -0.125),)),
        Finish("stop", Usage(5, 2)),
    ],
    "logprobs_without_alternatives.json": [
        TextDelta("Ja.", logprobs=(TokenLogprob("Ja", -0.125), TokenLogprob(".", 0.0))),
        Finish("stop", Usage(5, 2)),
    ],
    "grounding.sse": [*CITED, SEARCHED, Finish("stop", Usage(5, 9))],
    "grounding_apart.sse": [*CITED, SEARCHED, Finish("stop", Usage(45, 9))],
    "tokens_used_up_by_thinking.json": [UnusableAnswer],
}


def choices_of(name: str) -> int:
    """How many answers the request of a recorded answer asked for."""
    return 2 if name.startswith("two_candidates") else 1


def test_every_recorded_answer_is_tested() -> None:
    assert {path.name for path in RECORDED.iterdir()} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_recorded_answer(name: str) -> None:
    assert told(payloads(name), choices=choices_of(name)) == ANSWERS[name]


@pytest.mark.parametrize("name", [name for name in ANSWERS if name.endswith(".sse")])
def test_recorded_answer_cut_at_every_byte(name: str) -> None:
    wire = RECORDED.joinpath(name).read_bytes()
    for cut in range(len(wire) + 1):
        assert told(sse.decode([wire[:cut], wire[cut:]]), choices=choices_of(name)) == ANSWERS[name], cut
    assert told(sse.decode(wire[i : i + 1] for i in range(len(wire))), choices=choices_of(name)) == ANSWERS[name]


def test_line_ends_are_recorded_as_google_sends_them() -> None:
    assert RECORDED.joinpath("text.sse").read_bytes().count(b"\r\n\r\n") == 3
    assert b"\r" not in RECORDED.joinpath("text_lf.sse").read_bytes()


def test_events_come_as_soon_as_their_chunk_is_there() -> None:
    def arriving() -> Iterator[bytes]:
        yield answer(None, {"text": "a"})
        pytest.fail("read on before the first event was handed out")

    assert next(decoded(arriving())) == TextDelta("a")


def test_line_of_a_megabyte() -> None:
    image = "QUJD" * 350_000
    wire = sse.encode(answer("STOP", {"inlineData": {"mimeType": "image/png", "data": image}}))
    chunks = [wire[start : start + 8192] for start in range(0, len(wire), 8192)]
    assert told(sse.decode(chunks)) == [ImageDelta("image/png", image), Finish("stop", Usage())]


def test_renamed_tools_get_their_names_back() -> None:
    part = {"functionCall": {"name": "a_b", "args": {"name": "a_b"}}}
    events = list(decoded([answer("STOP", part)], {"a_b": "a.b"}))
    assert events[:2] == [ToolCallStart(0, "new_1", "a.b"), ToolCallDelta(0, '{"name":"a_b"}')]


def test_calls_without_ids_get_an_id_each() -> None:
    part = {"functionCall": {"name": "now", "args": {}}}
    starts = [event for event in decoded([answer("STOP", part, part)]) if isinstance(event, ToolCallStart)]
    assert [start.id for start in starts] == ["new_1", "new_2"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("ESCALATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        *((reason, "content_filter") for reason in ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "SPII")),
        *((reason, "content_filter") for reason in ("PROHIBITED_CONTENT", "IMAGE_SAFETY", "IMAGE_RECITATION")),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        *((reason, "stop") for reason in ("OTHER", "FINISH_REASON_UNSPECIFIED", "TOO_MANY_TOOL_CALLS", "NO_IMAGE")),
        *((reason, "stop") for reason in ("IMAGE_OTHER", "PUP_LIMITED_DISABLED", "A_REASON_OF_2031")),
    ],
)
def test_finish_reason_after_text(reason: str, finish: str) -> None:
    *_, last = decoded([answer(reason, {"text": "Yes."})])
    assert isinstance(last, Finish)
    assert (last.reason, last.refusal) == (finish, None)


def test_cut_short_after_a_call_is_length() -> None:
    *_, last = decoded([answer("CONTINUATION", {"functionCall": {"name": "now"}})])
    assert isinstance(last, Finish)
    assert last.reason == "length"


@pytest.mark.parametrize("reason", ["STOP", "OTHER", "TOO_MANY_TOOL_CALLS", "A_REASON_OF_2031"])
def test_finish_reason_after_a_call(reason: str) -> None:
    *_, last = decoded([answer(reason, {"functionCall": {"name": "now"}})])
    assert isinstance(last, Finish)
    assert last.reason == "tool_calls"


@pytest.mark.parametrize(
    "reason",
    [
        "STOP",
        "OTHER",
        "FINISH_REASON_UNSPECIFIED",
        "TOO_MANY_TOOL_CALLS",
        "NO_IMAGE",
        "IMAGE_OTHER",
        "CONTINUATION",
        "A_REASON_OF_2031",
    ],
)
@pytest.mark.parametrize("part", [None, {"text": ""}, {"text": "Hm.", "thought": True}])
def test_finish_without_an_answer_is_an_error(reason: str, part: dict[str, Any] | None) -> None:
    error = failure([answer(reason, *([part] if part else []), finishMessage="because")])
    assert isinstance(error, UnusableAnswer)
    assert error.finish_reason == reason
    assert error.message == f"Gemini's answer is empty ({reason}: because)"


def test_tokens_used_up_by_thinking_says_so() -> None:
    error = failure(payloads("tokens_used_up_by_thinking.json"))
    assert error.finish_reason == "MAX_TOKENS"
    assert "used up by thinking" in error.message


@pytest.mark.parametrize(
    "reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"]
)
@pytest.mark.parametrize("part", [{"text": "Let me"}, {"functionCall": {"name": "now"}}])
def test_broken_call_is_an_error_whatever_came_with_it(reason: str, part: dict[str, Any]) -> None:
    error = failure([answer(reason, part)])
    assert isinstance(error, UnusableAnswer)
    assert error.finish_reason == reason


def test_withheld_answer_says_why() -> None:
    assert list(decoded([answer("RECITATION", finishMessage="too close to a book")])) == [
        Finish("content_filter", Usage(), "Gemini withheld the answer (RECITATION: too close to a book).")
    ]


@pytest.mark.parametrize(
    "chunk",
    [
        b'{"candidates":null,"promptFeedback":null,"usageMetadata":null}',
        b'{"candidates":[{"content":null}]}',
        b'{"candidates":[{"content":{"role":"model","parts":null}}]}',
        b'{"candidates":[{"content":{"role":"model"}}]}',
        b"{}",
    ],
)
def test_chunk_that_says_nothing(chunk: bytes) -> None:
    assert told([chunk, answer("STOP", {"text": "Yes."}), chunk]) == [TextDelta("Yes."), Finish("stop", Usage())]


@pytest.mark.parametrize("wire", [b"", b"\r\n\r\n", b": comment\n\n", b"event: ping\n\n"])
def test_empty_stream_is_a_cut(wire: bytes) -> None:
    assert told(sse.decode([wire])) == [UpstreamCut]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"candidates":[{"content":', b'"text"', b"null", b"\xff\xfe"])
def test_answer_that_is_no_json_object_is_a_cut(body: bytes) -> None:
    assert told([body]) == [UpstreamCut]


@pytest.mark.parametrize(
    "chunk",
    [
        {"candidates": ["x"]},
        {"candidates": {"a": 1}},
        {"candidates": 5},
        {"candidates": [{"content": "x"}]},
        {"candidates": [{"content": {"parts": ["x"]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": "f"}]}}]},
        {"candidates": [{"content": {"parts": [{"inlineData": "x"}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}, "finishReason": "STOP"}]},
        {
            "candidates": [
                {"content": {"parts": [{"functionCall": {"name": "f", "args": "x"}}]}, "finishReason": "STOP"}
            ]
        },
        {"candidates": [{"content": {"parts": [{"text": 5}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": ["STOP"]}]},
        {"usageMetadata": "x", "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
        {"promptFeedback": "x"},
    ],
)
def test_answer_of_another_form_is_a_cut(chunk: Any) -> None:
    assert told([json.dumps(chunk).encode()]) == [UpstreamCut]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"candidates": [', "a piece that is not whole"),
        (b' [{"candidates"', "a piece that is not whole"),
        (b"", "a piece that is no JSON; is base_url right"),
        (b"<html>", "a piece that is no JSON; is base_url right"),
        (b"data: {}\r\n\r\n", "a piece that is no JSON; is base_url right"),
        (b"[]", "a piece that is no object"),
        (b'[{"candidates": []}]', "a piece that is no object"),
        (b'[{"candidates": []}, {}]', "a piece that is no object"),
    ],
)
def test_what_is_no_answer_is_told_as_what_it_is(payload: bytes, words: str) -> None:
    with pytest.raises(UpstreamCut, match=words):
        list(decoded([payload]))


def test_connection_lost_before_the_finish() -> None:
    with pytest.raises(UpstreamTimeout):
        list(decoded(broken_by(UpstreamTimeout("silent"), answer(None, {"text": "Yes."}))))


@pytest.mark.parametrize("error", [UpstreamTimeout("silent"), UpstreamCut("cut")], ids=["silence", "cut"])
def test_connection_lost_after_the_finish_is_harmless(error: Exception) -> None:
    events = list(decoded(broken_by(error, answer("STOP", {"text": "Yes."}))))
    assert events == [TextDelta("Yes."), Finish("stop", Usage())]


@pytest.mark.parametrize(
    ("name", "status", "reason", "retry_after_s"),
    [
        ("error_first.sse", 429, "RESOURCE_EXHAUSTED", 7.0),
        ("error_in_stream.sse", 503, "UNAVAILABLE", None),
        ("error_in_stream_wrapped.sse", 503, "UNAVAILABLE", None),
    ],
)
def test_error_in_a_stream_keeps_its_code(name: str, status: int, reason: str, retry_after_s: float | None) -> None:
    error = failure(payloads(name))
    assert (error.status, error.reason, error.retry_after_s) == (status, reason, retry_after_s)


@pytest.mark.parametrize("code", [None, 0, 200, 700, "503"])
def test_error_in_a_stream_without_a_usable_code_is_502(code: object) -> None:
    assert failure([json.dumps({"error": {"code": code, "message": "x"}}).encode()]).status == 502


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, Usage()),
        ({"promptTokenCount": 20, "candidatesTokenCount": 198, "thoughtsTokenCount": 405}, Usage(20, 603, 0, 405)),
        ({"promptTokenCount": 20, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 5}, Usage(50, 5)),
        ({"promptTokenCount": 20, "cachedContentTokenCount": 16}, Usage(20, 0, 16)),
        ({"promptTokenCount": 20, "cachedContentTokenCount": 99}, Usage(20, 0, 20)),
        ({"promptTokenCount": None, "candidatesTokenCount": "5", "thoughtsTokenCount": -1}, Usage()),
    ],
)
def test_usage_adds_up(counts: dict[str, Any], usage: Usage) -> None:
    chunk = {**json.loads(answer("STOP", {"text": "Yes."})), "usageMetadata": counts}
    *_, last = decoded([json.dumps(chunk).encode()])
    assert isinstance(last, Finish)
    assert last.usage == usage
