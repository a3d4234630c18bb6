"""Several answers in one: candidates told apart by their numbers, and each ended for itself."""

import json
from typing import Any

import pytest

from agproxy.chat import (
    Citation,
    Event,
    Finish,
    FinishReason,
    OtherChoice,
    TextDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import UnusableAnswer, UpstreamCut, UpstreamTimeout
from tests.upstreams.replies import answer, broken_by, decoded, told


class TestSeveralCandidates:
    @staticmethod
    def of(index: int | None, *parts: Any, reason: str | None = None, **more: Any) -> bytes:
        return answer(reason, *parts, **({} if index is None else {"index": index}), **more)

    def test_that_were_not_asked_for_are_left_out(self) -> None:
        two = json.loads(answer("STOP", {"text": "Yes."}))
        two["candidates"].append({"content": {"parts": [{"text": "No."}]}, "finishReason": "STOP", "index": 1})
        assert told([json.dumps(two).encode()], choices=1) == [TextDelta("Yes."), Finish("stop", Usage())]

    @pytest.mark.parametrize("index", [-1, 2, 99])
    def test_of_a_number_beyond_those_asked_for_are_left_out(self, index: int) -> None:
        chunks = [self.of(index, {"text": "No."}), self.of(0, {"text": "Yes."}, reason="STOP")]
        assert told(chunks, choices=2) == [TextDelta("Yes."), Finish("stop", Usage())]

    def test_without_numbers_count_by_their_place(self) -> None:
        both = {
            "candidates": [json.loads(self.of(None, {"text": word}, reason="STOP"))["candidates"][0] for word in "ab"]
        }
        assert told([json.dumps(both).encode()], choices=2) == [
            TextDelta("a"),
            OtherChoice(1, TextDelta("b")),
            OtherChoice(1, Finish("stop", Usage())),
            Finish("stop", Usage()),
        ]

    def test_may_be_fewer_than_were_asked_for(self) -> None:
        assert told([self.of(0, {"text": "Yes."}, reason="STOP")], choices=4) == [
            TextDelta("Yes."),
            Finish("stop", Usage()),
        ]

    def test_that_is_cut_is_a_cut_of_the_whole(self) -> None:
        chunks = [self.of(1, {"text": "Y"}), self.of(0, {"text": "No."}, reason="STOP")]
        assert told(chunks, choices=2)[-1] is UpstreamCut

    @pytest.mark.parametrize("error", [UpstreamTimeout("silent"), UpstreamCut("cut")], ids=["silence", "cut"])
    def test_loss_of_those_that_have_not_begun_is_no_end(self, error: Exception) -> None:
        chunks = broken_by(error, self.of(0, {"text": "Yes."}, reason="STOP"))
        with pytest.raises(type(error)):
            list(decoded(chunks, choices=2))

    def test_end_is_told_once_all_have_finished(self) -> None:
        ends: list[int] = []
        seen: list[Event] = []
        chunks = [
            self.of(0, {"text": "a"}, reason="STOP"),
            self.of(1, {"text": "b"}),
            self.of(1, {"text": "c"}, reason="STOP"),
        ]
        for event in decoded(chunks, choices=2, on_finished=lambda: ends.append(len(seen))):
            seen.append(event)
        assert ends == [3]

    def test_one_that_was_withheld_says_so(self) -> None:
        chunks = [self.of(0, {"text": "Yes."}, reason="STOP"), self.of(1, reason="SAFETY")]
        assert OtherChoice(1, Finish("content_filter", Usage(), "Gemini withheld the answer (SAFETY).")) in told(
            chunks, choices=2
        )

    def test_count_their_calls_and_citations_apart(self) -> None:
        call = {"functionCall": {"name": "now", "args": {}}}
        found = {"groundingChunks": [{"web": {"uri": "u"}}]}
        chunks = [
            self.of(0, {"text": "ab"}, call, reason="STOP"),
            self.of(1, {"text": "cde"}, call, reason="STOP", groundingMetadata=found),
        ]
        events = told(chunks, choices=2)
        assert OtherChoice(1, ToolCallStart(0, "new_2", "now")) in events
        assert OtherChoice(1, Citation("u", "u", 3, 3)) in events
        assert not any(isinstance(event, Citation) for event in events)


class TestOneWithoutAnAnswer:
    of = staticmethod(TestSeveralCandidates.of)

    @pytest.mark.parametrize(
        ("reason", "finish"),
        [
            ("MAX_TOKENS", "length"),
            ("CONTINUATION", "length"),
            ("STOP", "stop"),
            ("OTHER", "stop"),
            ("IMAGE_OTHER", "stop"),
        ],
    )
    def test_ends_by_itself(self, reason: str, finish: FinishReason) -> None:
        chunks = [
            self.of(0, {"text": "x"}, reason="STOP"),
            self.of(1, reason=reason),
            self.of(2, {"text": "z"}, reason="STOP"),
        ]
        assert told(chunks, choices=3) == [
            TextDelta("x"),
            OtherChoice(2, TextDelta("z")),
            OtherChoice(1, Finish(finish, Usage())),
            OtherChoice(2, Finish("stop", Usage())),
            Finish("stop", Usage()),
        ]

    def test_that_is_the_first_ends_by_itself_too(self) -> None:
        chunks = [self.of(0, reason="MAX_TOKENS"), self.of(1, {"text": "y"}, reason="STOP")]
        assert told(chunks, choices=2) == [
            OtherChoice(1, TextDelta("y")),
            OtherChoice(1, Finish("stop", Usage())),
            Finish("length", Usage()),
        ]

    def test_whose_call_is_broken_ends_by_itself(self) -> None:
        chunks = [self.of(0, {"text": "x"}, reason="STOP"), self.of(1, reason="MALFORMED_FUNCTION_CALL")]
        assert told(chunks, choices=2)[1:] == [OtherChoice(1, Finish("stop", Usage())), Finish("stop", Usage())]

    @pytest.mark.parametrize(
        ("reason", "words"),
        [("STOP", "is empty (STOP)"), ("MAX_TOKENS", "used up by thinking"), ("MALFORMED_RESPONSE", "cannot be used")],
    )
    def test_leaves_a_note_for_the_log(self, reason: str, words: str) -> None:
        chunks = [self.of(0, {"text": "x"}, reason="STOP"), self.of(1, reason=reason)]
        _, other, first = decoded(chunks, choices=2)
        assert isinstance(other, OtherChoice)
        assert isinstance(other.event, Finish)
        assert isinstance(first, Finish)
        assert words in other.event.note
        assert first.note == ""

    def test_beside_one_that_was_withheld_ends_by_itself(self) -> None:
        chunks = [self.of(0, reason="STOP"), self.of(1, reason="SAFETY")]
        assert told(chunks, choices=2) == [
            OtherChoice(1, Finish("content_filter", Usage(), "Gemini withheld the answer (SAFETY).")),
            Finish("stop", Usage()),
        ]

    @pytest.mark.parametrize(("first", "other"), [("MAX_TOKENS", "STOP"), ("STOP", "MAX_TOKENS")])
    def test_among_others_without_one_is_an_error(self, first: str, other: str) -> None:
        with pytest.raises(UnusableAnswer) as caught:
            list(decoded([self.of(0, reason=first), self.of(1, reason=other)], choices=2))
        assert caught.value.finish_reason == first


class TestRefusedPrompt:
    BLOCKED = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}'

    def test_is_refused_to_each_answer(self) -> None:
        refusal = "Gemini refused the prompt (SAFETY)."
        assert told([self.BLOCKED], choices=3) == [
            OtherChoice(1, Finish("content_filter", Usage(), refusal)),
            OtherChoice(2, Finish("content_filter", Usage(), refusal)),
            Finish("content_filter", Usage(4), refusal),
        ]

    def test_is_noted_once(self) -> None:
        events = [
            event.event if isinstance(event, OtherChoice) else event for event in decoded([self.BLOCKED], choices=3)
        ]
        assert [event.note for event in events if isinstance(event, Finish)] == ["", "", "prompt: SAFETY"]


class TestNumbers:
    @staticmethod
    def of(index: object) -> bytes:
        candidates = [
            {"content": {"parts": [{"text": text}]}, "finishReason": "STOP", "index": number}
            for text, number in (("a", 0), ("b", index))
        ]
        return json.dumps({"candidates": candidates}).encode()

    @pytest.mark.parametrize("index", [1, 1.0, None])
    def test_that_are_whole(self, index: object) -> None:
        events = told([self.of(index)], choices=2)
        assert OtherChoice(1, TextDelta("b")) in events
        assert all(type(event.number) is int for event in events if isinstance(event, OtherChoice))

    @pytest.mark.parametrize("index", [1.5, -0.5, "1", "x", [], {}, [1]])
    def test_that_are_none_are_a_cut(self, index: object) -> None:
        assert told([self.of(index)], choices=2) == [UpstreamCut]

    def test_infinite_is_a_cut(self) -> None:
        assert told([self.of(7).replace(b"7", b"1e999")], choices=2) == [UpstreamCut]

    def test_with_a_gap_stay_as_they_are(self) -> None:
        events = told([self.of(2)], choices=3)
        assert events == [
            TextDelta("a"),
            OtherChoice(2, TextDelta("b")),
            OtherChoice(2, Finish("stop", Usage())),
            Finish("stop", Usage()),
        ]
