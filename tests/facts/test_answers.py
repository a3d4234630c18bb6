"""What Gemini answers and a client of Chat Completions hears: finish reasons, usage, the shape of a stream.

The numbers are those of ``test_protocol_facts``.
"""

import json
import logging
import threading
import time

import pytest

from agproxy import sse
from tests.fake_google import (
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    blocked,
    calls,
    chunk,
    empty,
    error,
    error_event,
    finished,
    grounded,
    text,
    thoughts,
)
from tests.whole_app import Json, WholeApp

LOOK: Json = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {}}}}}
FILTERED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
)
BROKEN = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE")
OTHERS = (
    *("OTHER", "FINISH_REASON_UNSPECIFIED", "TOO_MANY_TOOL_CALLS", "NO_IMAGE", "IMAGE_OTHER"),
    *("PUP_LIMITED_DISABLED", "A_REASON_OF_2031"),
)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class TestFinishReasons:
    """F35 and the table of section 5."""

    @both
    @pytest.mark.parametrize(
        ("reason", "finish_reason"),
        [
            *(("STOP", "stop"), ("MAX_TOKENS", "length"), ("CONTINUATION", "length")),
            *((reason, "content_filter") for reason in FILTERED),
            *((reason, "stop") for reason in OTHERS),
        ],
    )
    def test_after_text(self, app: WholeApp, google: FakeGoogle, reason: str, finish_reason: str, stream: bool) -> None:
        google.enqueue(text("One. ", "Two.", finish=reason))
        answer = app.answer(stream=stream)
        assert (answer["message"]["content"], answer["finish_reason"]) == ("One. Two.", finish_reason)
        assert len(google.requests) == 1

    @both
    @pytest.mark.parametrize(
        ("reason", "finish_reason"), [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("OTHER", "tool_calls")]
    )
    def test_after_a_call(
        self, app: WholeApp, google: FakeGoogle, reason: str, finish_reason: str, stream: bool
    ) -> None:
        google.enqueue(text("Let me see.") + calls(("look", {}), finish=reason))
        answer = app.answer(stream=stream, tools=[LOOK])
        assert len(answer["message"]["tool_calls"]) == 1
        assert answer["finish_reason"] == finish_reason

    @both
    @pytest.mark.parametrize("reason", FILTERED)
    def test_withheld_answer_is_a_refusal_and_no_failure(
        self, app: WholeApp, google: FakeGoogle, reason: str, stream: bool
    ) -> None:
        google.enqueue(finished(reason, "because"))
        answer = app.answer(stream=stream)
        assert answer["finish_reason"] == "content_filter"
        assert f"{reason}: because" in answer["message"]["refusal"]
        assert not answer["message"].get("content")
        assert len(google.requests) == 1

    @both
    @pytest.mark.parametrize("reason", BROKEN)
    def test_broken_call_is_asked_for_once_more(
        self, app: WholeApp, google: FakeGoogle, reason: str, stream: bool
    ) -> None:
        google.enqueue(finished(reason), text("Better."))
        assert app.answer(stream=stream)["message"]["content"] == "Better."
        assert len(google.requests) == 2

    @both
    @pytest.mark.parametrize("reason", [*BROKEN, *OTHERS, "STOP", "CONTINUATION"])
    def test_nothing_twice_is_an_error_that_names_the_reason(
        self, app: WholeApp, google: FakeGoogle, reason: str, stream: bool
    ) -> None:
        google.enqueue(finished(reason), finished(reason))
        failure = app.error(stream=stream)
        assert (failure["status"], failure["code"]) == (502, "upstream_unusable_answer")
        assert reason in failure["message"]
        assert len(google.requests) == 2

    @pytest.mark.parametrize("reason", BROKEN)
    def test_broken_call_after_forwarded_text_is_told_in_the_stream(
        self, app: WholeApp, google: FakeGoogle, reason: str
    ) -> None:
        google.enqueue(text("Let me", finish=reason))
        chunks, failure = app.broken()
        assert chunks[1]["choices"][0]["delta"] == {"content": "Let me"}
        assert all(each["choices"][0]["finish_reason"] is None for each in chunks)
        assert reason in failure["message"]
        assert len(google.requests) == 1


class TestBlockedPrompt:
    """F36"""

    @both
    @pytest.mark.parametrize("tail", [False, True], ids=["alone", "before other chunks"])
    def test_is_a_refusal_and_no_empty_success(
        self, app: WholeApp, google: FakeGoogle, tail: bool, stream: bool
    ) -> None:
        first = blocked("PROHIBITED_CONTENT")
        google.enqueue(first + empty("no_candidates") if tail else first)
        answer = app.answer(stream=stream)
        assert answer["finish_reason"] == "content_filter"
        assert "PROHIBITED_CONTENT" in answer["message"]["refusal"]
        assert len(google.requests) == 1


class TestEmptyAnswers:
    """F37"""

    @pytest.mark.parametrize(
        "nothing",
        [text(""), text("", sign=True), chunk({"text": " ", "thought": True}, finish="STOP")],
        ids=["empty text", "a signature alone", "thoughts alone"],
    )
    def test_whole_one_is_asked_for_once_more(self, app: WholeApp, google: FakeGoogle, nothing: Answer) -> None:
        google.enqueue(nothing, text("Better."))
        assert app.answer(stream=False)["message"]["content"] == "Better."
        assert len(google.requests) == 2

    @pytest.mark.parametrize("nothing", [text(""), text("", sign=True)], ids=["empty text", "a signature alone"])
    def test_streamed_one_is_asked_for_once_more_while_nothing_was_forwarded(
        self, app: WholeApp, google: FakeGoogle, nothing: Answer
    ) -> None:
        google.enqueue(nothing, text("Better."))
        assert app.answer(stream=True)["message"] == {"role": "assistant", "content": "Better."}
        assert len(google.requests) == 2

    def test_thoughts_that_were_forwarded_are_not_followed_by_another_answer(
        self, app: WholeApp, google: FakeGoogle
    ) -> None:
        google.enqueue(thoughts("Hm."))
        chunks, failure = app.broken()
        assert chunks[1]["choices"][0]["delta"] == {"reasoning_content": "Hm."}
        assert failure["code"] == "upstream_unusable_answer"
        assert len(google.requests) == 1

    @both
    def test_limit_used_up_by_thinking_says_so(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(finished("MAX_TOKENS", usage=Usage(thoughts=50)))
        failure = app.error(stream=stream, max_tokens=50)
        assert (failure["status"], failure["code"]) == (400, "max_tokens_too_low")
        assert "used up by thinking" in failure["message"]
        assert len(google.requests) == 1

    def test_limit_used_up_by_forwarded_thoughts_says_so_in_the_stream(self, app: WholeApp, google: FakeGoogle) -> None:
        google.enqueue(thoughts("Hm.", finish="MAX_TOKENS"))
        _, failure = app.broken()
        assert "used up by thinking" in failure["message"]

    def test_stream_without_a_finish_reason_is_no_success(self, app: WholeApp, google: FakeGoogle) -> None:
        google.enqueue(text("Half an", finish=None))
        chunks, failure = app.broken()
        assert all(each["choices"][0]["finish_reason"] is None for each in chunks)
        assert failure["type"] == "server_error"


@both
def test_finish_message_of_a_failed_attempt_is_in_the_log(
    app: WholeApp, google: FakeGoogle, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    """F38"""
    google.enqueue(finished("MALFORMED_FUNCTION_CALL", "print(look())"), text("Better."))
    with caplog.at_level(logging.INFO, logger="agproxy"):
        app.answer(stream=stream)
    assert "MALFORMED_FUNCTION_CALL: print(look())" in caplog.text


class TestUsage:
    @both
    @pytest.mark.parametrize(
        ("counts", "prompt", "completion", "cached", "reasoning"),
        [
            (Usage(prompt=20, candidates=198, thoughts=405), 20, 603, 0, 405),
            (Usage(prompt=100, candidates=5, cached=40), 100, 5, 40, 0),
            (Usage(prompt=100, candidates=5, tool_use=30), 130, 5, 0, 0),
            (Usage(prompt=100, candidates=0, thoughts=50), 100, 50, 0, 50),
            (Usage(prompt=100, candidates=5, thoughts=7, cached=40, tool_use=30), 130, 12, 40, 7),
        ],
        ids=[
            "F39-thoughts are part of the answer",
            "F40-cached tokens are part of the prompt",
            "F40-tool use is part of the prompt",
            "F42-candidates are not counted",
            "F39-all at once",
        ],
    )
    def test_adds_up(
        self,
        app: WholeApp,
        google: FakeGoogle,
        counts: Usage,
        prompt: int,
        completion: int,
        cached: int,
        reasoning: int,
        stream: bool,
    ) -> None:
        google.enqueue(text("One, ", "two.", usage=counts))
        usage = app.answer(stream=stream)["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (prompt, completion)
        assert usage["prompt_tokens_details"]["cached_tokens"] == cached
        assert usage["completion_tokens_details"]["reasoning_tokens"] == reasoning
        sent = google.requests[0].sent
        last = (sent[-1] if stream else sent)["usageMetadata"]
        assert usage["total_tokens"] == last["totalTokenCount"]
        assert ("candidatesTokenCount" in last) == (counts.candidates != 0)

    def test_of_a_stream_is_that_of_its_last_chunk(self, app: WholeApp, google: FakeGoogle) -> None:
        """F42: each chunk of the fake's streams carries a running count."""
        google.enqueue(text("a", "b", "c", usage=Usage(prompt=7, candidates=30)))
        assert app.answer(stream=True)["usage"]["completion_tokens"] == 30
        running = [each["usageMetadata"]["candidatesTokenCount"] for each in google.requests[0].sent]
        assert running == sorted(running)
        assert running[0] < 30


class TestStreamShape:
    """F43"""

    @staticmethod
    def chunks(app: WholeApp, google: FakeGoogle, **body: Json) -> list[Json]:
        google.enqueue(text("Let ", "me see.") + calls(("look", {"at": "a"}), ("look", {"at": "b"}), split=True))
        return app.chunks(tools=[LOOK], **body)

    def test_all_chunks_belong_to_one_answer_of_now(self, app: WholeApp, google: FakeGoogle) -> None:
        chunks = self.chunks(app, google, stream_options={"include_usage": True})
        ((_, created, model),) = {(each["id"], each["created"], each["model"]) for each in chunks}
        assert {each["object"] for each in chunks} == {"chat.completion.chunk"}
        assert model == "gemini-3-flash-preview"
        assert abs(created - time.time()) < 60

    def test_role_comes_first_and_the_end_alone(self, app: WholeApp, google: FakeGoogle) -> None:
        choices = [each["choices"][0] for each in self.chunks(app, google)]
        assert [choice["delta"].get("role") for choice in choices] == ["assistant", *[None] * (len(choices) - 1)]
        assert [choice["finish_reason"] for choice in choices] == [*[None] * (len(choices) - 1), "tool_calls"]
        assert choices[-1]["delta"] == {}

    def test_calls_are_numbered_and_begin_with_id_and_name(self, app: WholeApp, google: FakeGoogle) -> None:
        deltas = [each["choices"][0]["delta"] for each in self.chunks(app, google)]
        pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
        assert [piece["index"] for piece in pieces] == [0, 0, 1, 1]
        starts, arguments = pieces[::2], pieces[1::2]
        assert all(start["id"] and start["type"] == "function" for start in starts)
        assert [start["function"] for start in starts] == [{"name": "look", "arguments": ""}] * 2
        assert [json.loads(piece["function"]["arguments"]) for piece in arguments] == [{"at": "a"}, {"at": "b"}]

    def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(
        self, app: WholeApp, google: FakeGoogle
    ) -> None:
        *chunks, last = self.chunks(app, google, stream_options={"include_usage": True})
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] > 0
        assert all(each["usage"] is None for each in chunks)
        assert all("usage" not in each for each in self.chunks(app, google))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(text("Half", finish=None) + error_event(503), "server_error"), (text("Half", finish=None), "server_error")],
)
def test_failure_in_the_middle_is_an_error_object_and_the_end(
    app: WholeApp, google: FakeGoogle, answer: Answer, kind: str
) -> None:
    """F44"""
    google.enqueue(answer)
    response = app.post(stream=True)
    *chunks, last = sse.decode([response.data])
    failure = json.loads(last)
    assert failure.keys() == {"error"}
    assert failure["error"].keys() == {"message", "type", "param", "code"}
    assert failure["error"]["type"] == kind
    assert not any(json.loads(each)["choices"][0]["finish_reason"] for each in chunks)


@both
def test_bytes_of_grounding_become_characters(app: WholeApp, google: FakeGoogle, stream: bool) -> None:
    """F46"""
    google.enqueue(grounded("Grüß 🌧️ Gott: [[18 °C|0]].", pages=("https://example.com/a",)))
    message = app.answer(stream=stream, web_search_options={})["message"]
    (cited,) = [annotation["url_citation"] for annotation in message["annotations"]]
    assert message["content"][cited["start_index"] : cited["end_index"]] == "18 °C"


class TestDefectsOfOthers:
    """Defects seen in other gateways, by their numbers."""

    @both
    def test_1_13_all_parts_of_a_chunk_are_heard(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(chunk({"text": "One. "}, {"text": "Two. "}) + chunk({"text": "Three."}, finish="STOP"))
        assert app.answer(stream=stream)["message"]["content"] == "One. Two. Three."

    @both
    def test_5_equal_calls_are_two_calls(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "a"}), ids=False))
        first, second = app.answer(stream=stream, tools=[LOOK])["message"]["tool_calls"]
        assert first["function"] == second["function"]
        assert first["id"] != second["id"]

    @both
    @pytest.mark.parametrize("words", ["<think>Hm.</think> Yes.", "a <thought> b", "</think>"])
    def test_6_tags_in_ordinary_text_stay(self, app: WholeApp, google: FakeGoogle, words: str, stream: bool) -> None:
        google.enqueue(text(words[:4], words[4:]))
        message = app.answer(stream=stream)["message"]
        assert message["content"] == words
        assert "reasoning_content" not in message

    def test_9_head_and_pings_come_while_upstream_is_silent(self, google: FakeGoogle) -> None:
        heard = threading.Event()
        in_time: list[bool] = []

        def after_that(request: RecordedRequest) -> Answer:
            in_time.append(heard.wait(5))
            return text("Yes.")

        google.enqueue(after_that)
        with WholeApp(google, ping_s=0.02).post(stream=True, buffered=False) as response:
            pieces = response.iter_encoded()
            first, second = next(pieces), next(pieces)
            heard.set()
            rest = b"".join(pieces)
        assert in_time == [True]
        assert b'"role":"assistant"' in first
        assert second == sse.PING
        assert b"Yes." in rest

    @both
    def test_13_line_of_more_than_64_kb_passes(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(text("x" * 300_000))
        assert app.answer(stream=stream)["message"]["content"] == "x" * 300_000

    @both
    @pytest.mark.parametrize("status", [400, 413])
    def test_15_first_failure_is_not_masked(self, app: WholeApp, google: FakeGoogle, status: int, stream: bool) -> None:
        google.enqueue(error(status, message="Your request holds 7 thumbs."))
        failure = app.error(stream=stream)
        assert (failure["status"], failure["message"]) == (status, "Your request holds 7 thumbs.")
        assert len(google.requests) == 1
