"""F53 through the whole app, and how Gemini's ends are told to a client of Responses: status, usage, failures."""

import pytest

from tests.facts.responses_app import LOOK, PATCH, Json, ResponsesApp
from tests.facts.test_answers import BROKEN, FILTERED, OTHERS
from tests.fake_google import Answer, FakeGoogle, Usage, blocked, calls, error, finished, quota_per_minute, text
from tests.responses_stream import items_of, text_of
from tests.whole_app import contents

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def app(google: FakeGoogle) -> ResponsesApp:
    return ResponsesApp(google)


class TestLimits:
    """F53"""

    @pytest.mark.parametrize(("mode", "told"), [("auto", "VALIDATED"), ("required", "ANY")])
    def test_allowed_tools_bind(self, app: ResponsesApp, google: FakeGoogle, mode: str, told: str) -> None:
        choice = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "look"}]}
        assert app.answer(stream=False, tools=[LOOK, PATCH], tool_choice=choice)["tool_choice"] == choice
        config = google.requests[0].body["toolConfig"]["functionCallingConfig"]
        assert config == {"mode": told, "allowedFunctionNames": ["look"]}

    def test_no_allowed_tool_that_can_be_called_is_none(self, app: ResponsesApp, google: FakeGoogle) -> None:
        choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}
        app.answer(stream=False, tools=[LOOK], tool_choice=choice)
        assert google.requests[0].body["toolConfig"]["functionCallingConfig"] == {"mode": "NONE"}

    @both
    def test_too_long_an_input_fails_and_is_not_cut(self, app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
        words = "The input token count exceeds the maximum number of tokens allowed."
        google.enqueue(error(400, message=words))
        failure = app.error(stream=stream, input="x" * 100_000, truncation="disabled")
        assert (failure["status"], failure["type"], failure["message"]) == (400, "invalid_request_error", words)
        assert contents(google.requests[0]) == [("user", [{"text": "x" * 100_000}])]

    def test_truncation_is_not_promised(self, app: ResponsesApp) -> None:
        response = app.post(truncation="auto")
        assert response.headers["X-Agproxy-Ignored"] == "truncation"
        assert response.json is not None
        assert response.json["truncation"] == "disabled"

    @both
    @pytest.mark.parametrize(
        ("answer", "status", "kind"),
        [
            (error(400, message="No."), 400, "invalid_request_error"),
            (error(404, message="No."), 404, "invalid_request_error"),
            (quota_per_minute("60s"), 429, "rate_limit_exceeded"),
            (error(500, message="Oh."), 500, "server_error"),
        ],
    )
    def test_types_of_errors(
        self, app: ResponsesApp, google: FakeGoogle, answer: Answer, status: int, kind: str, stream: bool
    ) -> None:
        google.default = answer
        failure = app.error(stream=stream)
        assert (failure["status"], failure["type"]) == (status, kind)


class TestFinishReasons:
    """The column of Responses in the table of section 5."""

    @both
    @pytest.mark.parametrize(
        ("reason", "status", "details"),
        [
            *((reason, "completed", None) for reason in ("STOP", *OTHERS)),
            *((reason, "incomplete", {"reason": "max_output_tokens"}) for reason in ("MAX_TOKENS", "CONTINUATION")),
            *((reason, "incomplete", {"reason": "content_filter"}) for reason in FILTERED),
        ],
    )
    def test_after_text(
        self, app: ResponsesApp, google: FakeGoogle, reason: str, status: str, details: Json, stream: bool
    ) -> None:
        google.enqueue(text("One. ", "Two.", finish=reason, usage=Usage(prompt=4, candidates=2)))
        response = app.answer(stream=stream)
        assert text_of(response) == "One. Two."
        assert (response["status"], response["incomplete_details"]) == (status, details)
        assert response["usage"]["total_tokens"] == 6

    @both
    @pytest.mark.parametrize(("reason", "status"), [("STOP", "completed"), ("OTHER", "completed")])
    def test_after_a_call(self, app: ResponsesApp, google: FakeGoogle, reason: str, status: str, stream: bool) -> None:
        google.enqueue(text("Let me see.") + calls(("look", {}), finish=reason))
        response = app.answer(stream=stream, tools=[LOOK])
        assert response["status"] == status
        assert len(items_of(response, "function_call")) == 1

    @both
    def test_limit_after_a_call(self, app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(calls(("look", {}), ("look", {}), finish="MAX_TOKENS"))
        response = app.answer(stream=stream, tools=[LOOK])
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert [call["status"] for call in response["output"] if "call_id" in call] == ["completed", "incomplete"]

    @both
    @pytest.mark.parametrize("answer", [blocked("SAFETY", "a gun"), finished("RECITATION", "a book")])
    def test_withheld_answer_is_a_refusal(
        self, app: ResponsesApp, google: FakeGoogle, answer: Answer, stream: bool
    ) -> None:
        google.enqueue(answer)
        response = app.answer(stream=stream)
        assert response["incomplete_details"] == {"reason": "content_filter"}
        ((part,),) = (message["content"] for message in response["output"])
        assert part["type"] == "refusal"
        assert part["refusal"]

    @both
    @pytest.mark.parametrize("reason", [*BROKEN, "OTHER"])
    def test_nothing_twice_is_an_error(self, app: ResponsesApp, google: FakeGoogle, reason: str, stream: bool) -> None:
        google.enqueue(finished(reason), text("Better."))
        assert text_of(app.answer(stream=stream)) == "Better."
        google.enqueue(finished(reason), finished(reason))
        failure = app.error(stream=stream)
        assert (failure["status"], failure["code"]) == (502, "upstream_unusable_answer")
        assert reason in failure["message"]

    @pytest.mark.parametrize("reason", BROKEN)
    def test_broken_call_after_forwarded_text_is_a_response_that_failed(
        self, app: ResponsesApp, google: FakeGoogle, reason: str
    ) -> None:
        google.enqueue(text("Let me", finish=reason))
        told = app.told()
        assert told.response["status"] == "failed"
        assert reason in told.response["error"]["message"]
        assert len(google.requests) == 1


@both
def test_usage_adds_up(app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
    """F39, F40, F42"""
    google.enqueue(text("One, ", "two.", usage=Usage(prompt=100, candidates=5, thoughts=7, cached=40, tool_use=30)))
    assert app.answer(stream=stream)["usage"] == {
        "input_tokens": 130,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 142,
    }
