"""What Gemini tells beside its text: log probabilities, and where it found what it says."""

import json
from typing import Any

import pytest

from agproxy.chat import (
    Citation,
    Counted,
    Event,
    Finish,
    TextDelta,
    TokenLogprob,
    Usage,
)
from agproxy.errors import UnusableAnswer, UpstreamCut
from tests.upstreams.replies import answer, decoded, told


class TestLogprobs:
    @staticmethod
    def of(result: Any, *parts: Any) -> list[Event | type[Exception]]:
        return told([answer("STOP", *(parts or ({"text": "a"},)), logprobsResult=result)])

    @pytest.mark.parametrize("result", [None, {}, {"chosenCandidates": []}, {"chosenCandidates": None}])
    def test_that_are_not_there(self, result: Any) -> None:
        assert self.of(result) == [TextDelta("a"), Finish("stop", Usage())]

    @pytest.mark.parametrize("top", [[], [{}], [{"candidates": None}], [{"candidates": []}]])
    def test_without_alternatives(self, top: list[Any]) -> None:
        chosen = [{"token": "a", "logProbability": -0.5}, {"token": "b", "logProbability": -1}]
        (text, _) = self.of({"chosenCandidates": chosen, "topCandidates": top})
        assert text == TextDelta("a", logprobs=(TokenLogprob("a", -0.5), TokenLogprob("b", -1.0)))

    def test_of_a_chunk_of_several_texts_come_once(self) -> None:
        result = {"chosenCandidates": [{"token": "ab", "logProbability": -0.5}]}
        first, second, _ = self.of(result, {"text": "a"}, {"text": "b"})
        assert (first, second) == (TextDelta("a", logprobs=(TokenLogprob("ab", -0.5),)), TextDelta("b"))

    def test_beside_a_call_alone_are_not_lost(self) -> None:
        result = {"chosenCandidates": [{"token": "{", "logProbability": -0.5}]}
        events = self.of(result, {"functionCall": {"name": "now", "args": {}}})
        assert TextDelta("", logprobs=(TokenLogprob("{", -0.5),)) in events

    @pytest.mark.parametrize("result", ["x", [1], {"chosenCandidates": ["x"]}, {"chosenCandidates": [{"token": 5}]}])
    def test_of_another_form_are_a_cut(self, result: Any) -> None:
        assert self.of(result) == [UpstreamCut]


class TestGrounding:
    @pytest.mark.parametrize("metadata", [None, {}, "x", [1], {"groundingChunks": "x"}])
    def test_nonsense_does_no_harm(self, metadata: Any) -> None:
        assert told([answer("STOP", {"text": "a"}, groundingMetadata=metadata)]) == [
            TextDelta("a"),
            Finish("stop", Usage()),
        ]

    def test_the_last_that_came_counts(self) -> None:
        chunks = [
            answer(None, {"text": "ab"}, groundingMetadata={"groundingChunks": [{"web": {"uri": "old"}}]}),
            answer(None, {"text": "cd"}, groundingMetadata={"groundingChunks": [{"web": {"uri": "new"}}]}),
            answer("STOP", groundingMetadata={}),
        ]
        assert [event for event in told(chunks) if isinstance(event, Citation)] == [Citation("new", "new", 4, 4)]

    def test_thoughts_are_not_counted(self) -> None:
        parts = ({"text": "Hmmm.", "thought": True}, {"text": "It is 5."})
        segment = {"partIndex": 1, "startIndex": 6, "endIndex": 7, "text": "5"}
        metadata = {
            "groundingChunks": [{"web": {"uri": "u"}}],
            "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
        }
        assert Citation("u", "u", 6, 7) in told([answer("STOP", *parts, groundingMetadata=metadata)])


class TestTokensOfTheRequest:
    CHUNKS = (
        json.dumps({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 7}}),
        json.dumps({"candidates": [{"content": {"parts": [{"text": "b"}]}}], "usageMetadata": {"promptTokenCount": 9}}),
        json.dumps({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 9}}),
    )

    def test_are_told_first_and_once_when_that_is_asked_for(self) -> None:
        events = list(decoded(map(str.encode, self.CHUNKS), count_first=True))
        assert events == [Counted(Usage(7)), TextDelta("a"), TextDelta("b"), Finish("stop", Usage(9))]

    def test_are_told_at_the_end_only_else(self) -> None:
        events = list(decoded(map(str.encode, self.CHUNKS)))
        assert events == [TextDelta("a"), TextDelta("b"), Finish("stop", Usage(9))]

    def test_come_as_soon_as_they_are_known(self) -> None:
        chunks = (self.CHUNKS[0].replace("promptTokenCount", "else"), *self.CHUNKS[1:])
        events = list(decoded(map(str.encode, chunks), count_first=True))
        assert events[:3] == [TextDelta("a"), Counted(Usage(9)), TextDelta("b")]


class TestEmptyAnswerAtTheLimitOfTokens:
    @pytest.mark.parametrize("parts", [(), ({"text": "Hm.", "thought": True},)])
    def test_is_one_where_that_may_be(self, parts: tuple[Any, ...]) -> None:
        events = list(decoded([answer("MAX_TOKENS", *parts)], may_be_cut_empty=True))
        assert events[-1] == Finish("length", Usage())

    @pytest.mark.parametrize("reason", ["STOP", "OTHER", "MALFORMED_FUNCTION_CALL"])
    def test_is_none_for_another_reason(self, reason: str) -> None:
        with pytest.raises(UnusableAnswer):
            list(decoded([answer(reason)], may_be_cut_empty=True))


def test_count_that_the_last_chunk_leaves_out_is_the_one_before() -> None:
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 7}},
        {
            "candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"candidatesTokenCount": 2, "thoughtsTokenCount": True},
        },
    ]
    events = list(decoded(json.dumps(chunk).encode() for chunk in chunks))
    assert events[-1] == Finish("stop", Usage(7, 2))
