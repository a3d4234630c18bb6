"""Completions through the whole application: what Gemini is asked, and what becomes of its answers."""

import json
from collections import Counter
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.fake_google import (
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    blocked,
    candidates,
    cut,
    error,
    finished,
    image,
    slow,
    text,
    thoughts,
)
from tests.protocols.completion_answers import accumulated, decoded
from tests.whole_app import WholeApp

Json = Any
FLASH = "gemini-3-flash-preview"

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class CompletionsApp(WholeApp):
    """A client of Completions, and the agproxy that it talks to."""

    def post(self, *, buffered: bool = True, path: str = "/v1/completions", **body: Json) -> TestResponse:
        return self._client.post(
            path,
            json={"model": FLASH, "prompt": "Once", **body},
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
            buffered=buffered,
        )

    def chunks(self, **body: Json) -> list[Json]:
        response = self.post(**body, stream=True)
        assert response.status_code == 200, response.text
        return decoded([response.data])

    def answer(self, *, stream: bool, **body: Json) -> Json:
        """``choices`` and ``usage`` of a whole or a streamed answer, which a client cannot tell."""
        if not stream:
            response = self.post(**body)
            assert response.status_code == 200, response.text
            assert response.json is not None
            return {name: response.json[name] for name in ("choices", "usage")}
        chunks = self.chunks(**body, stream_options={"include_usage": True})
        return {"choices": accumulated(chunks), "usage": chunks[-1]["usage"]}

    def texts(self, *, stream: bool, **body: Json) -> list[str]:
        return [choice["text"] for choice in self.answer(stream=stream, **body)["choices"]]


@pytest.fixture
def app(google: FakeGoogle) -> CompletionsApp:
    return CompletionsApp(google)


def asked(request: RecordedRequest) -> str:
    """The prompt that Gemini received."""
    (content,) = request.body["contents"]
    ((_, prompt),) = content["parts"][0].items()
    return str(prompt)


def repeating(request: RecordedRequest) -> Answer:
    return text(f" after {asked(request)}")


# What is asked.


@both
def test_prompt_is_the_one_message_of_a_user_and_nothing_goes_with_it(
    app: CompletionsApp, google: FakeGoogle, stream: bool
) -> None:
    google.enqueue(text(" upon", " a time."))
    assert app.texts(stream=stream) == [" upon a time."]
    assert google.requests[0].body == {
        "contents": [{"role": "user", "parts": [{"text": "Once"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingLevel": "minimal"}},
    }
    assert google.requests[0].stream == stream


def test_settings_are_passed_on(app: CompletionsApp, google: FakeGoogle) -> None:
    response = app.post(max_tokens=16, temperature=0.5, top_p=0.9, top_k=40, stop=["\n", "END"], seed=7)
    assert response.status_code == 200
    assert google.requests[0].body["generationConfig"] == {
        "maxOutputTokens": 16,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "stopSequences": ["\n", "END"],
        "seed": 7,
        "thinkingConfig": {"thinkingLevel": "minimal"},
    }


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-2.5-flash", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-pro-latest", {"thinkingLevel": "low"}),
        ("gemma-3-27b-it", None),
    ],
)
def test_model_thinks_as_little_as_it_can_and_nothing_is_said_of_that(
    app: CompletionsApp, google: FakeGoogle, model: str, config: Json
) -> None:
    response = app.post(model=model, max_tokens=16)
    assert response.status_code == 200
    assert google.requests[0].body["generationConfig"].get("thinkingConfig") == config
    assert "X-Agproxy-Ignored" not in response.headers


def test_gap_before_a_suffix_is_explained_in_an_instruction(app: CompletionsApp, google: FakeGoogle) -> None:
    app.post(prompt="", suffix=" there was a fox.")
    (part,) = google.requests[0].body["systemInstruction"]["parts"]
    assert "<<GAP>>" in part["text"]
    assert asked(google.requests[0]) == "<<GAP>> there was a fox."


@both
def test_several_answers_to_one_prompt_are_one_request(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(candidates(text("a"), text("b"), text("c")))
    assert app.texts(stream=stream, model="gemini-2.5-flash", n=3) == ["a", "b", "c"]
    assert google.requests[0].body["generationConfig"]["candidateCount"] == 3


@both
@pytest.mark.parametrize("echo", [False, True], ids=["text alone", "echo"])
def test_several_answers_to_several_prompts_stand_in_their_order(
    app: CompletionsApp, google: FakeGoogle, stream: bool, echo: bool
) -> None:
    google.default = repeating
    prompts = ["one", "two", "three"]
    answer = app.answer(stream=stream, prompt=prompts, n=2, echo=echo, seed=7)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert [choice["text"] for choice in answer["choices"]] == [
        (prompt if echo else "") + f" after {prompt}" for prompt in prompts for _ in range(2)
    ]
    assert Counter(map(asked, google.requests)) == dict.fromkeys(prompts, 2)
    seeds = {(asked(request), request.body["generationConfig"]["seed"]) for request in google.requests}
    assert seeds == {(prompt, seed) for prompt in prompts for seed in (7, 8)}


@both
def test_suffix_goes_with_each_of_several_prompts(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.default = repeating
    assert app.texts(stream=stream, prompt=["a", "b"], suffix="z") == [" after a<<GAP>>z", " after b<<GAP>>z"]
    instructions = [request.body["systemInstruction"] for request in google.requests]
    assert instructions[0] == instructions[1]


@both
def test_usage_counts_all_answers(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.default = text("x", usage=Usage(prompt=10, candidates=3, thoughts=2))
    usage = app.answer(stream=stream, prompt=["a", "b"], n=2)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (40, 20, 60)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 8


def test_what_is_not_honoured_is_listed(app: CompletionsApp) -> None:
    response = app.post(best_of=3, user="me", logit_bias={"50256": -100}, min_p=0.1, echo=True, logprobs=1)
    assert response.headers["X-Agproxy-Ignored"] == "user, logit_bias, min_p, best_of, logprobs"
    assert "X-Agproxy-Ignored" not in app.post(best_of=1, logit_bias={}, suffix="").headers


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"])
def test_models_of_completions_are_mapped(app: CompletionsApp, model: str) -> None:
    response = app.post(model=model)
    assert response.headers["X-Mapped-Model"] == "gemini-flash-lite-latest"
    assert response.json is not None
    assert response.json["model"] == model


def test_googles_own_prefix(app: CompletionsApp, google: FakeGoogle) -> None:
    google.enqueue(text(" upon"))
    response = app.post(path="/v1beta/openai/completions")
    assert response.json is not None
    assert response.json["choices"][0]["text"] == " upon"
    assert response.json["id"].startswith("cmpl-")


# What is answered.


@both
def test_thoughts_stand_beside_the_text(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(thoughts("Hm. ", "Well.") + text(" upon", sign=True))
    (choice,) = app.answer(stream=stream, reasoning_effort="low")["choices"]
    assert (choice["text"], choice["reasoning_content"]) == (" upon", "Hm. Well.")


@both
@pytest.mark.parametrize("echo", [False, True], ids=["text alone", "echo"])
def test_log_probabilities_tell_where_each_token_stands(
    app: CompletionsApp, google: FakeGoogle, stream: bool, echo: bool
) -> None:
    google.enqueue(text(" upon a", " tíme."))
    (choice,) = app.answer(stream=stream, logprobs=2, echo=echo)["choices"]
    told = choice["logprobs"]
    assert told["tokens"] == [" upon", " a", " tíme."]
    for token, offset, own, top in zip(*(told[name] for name in _ARRAYS), strict=True):
        assert choice["text"][offset:].startswith(token)
        assert (len(top), top[token]) == (2, own)
    generation = google.requests[0].body["generationConfig"]
    assert (generation["responseLogprobs"], generation["logprobs"]) == (True, 2)


_ARRAYS = ("tokens", "text_offset", "token_logprobs", "top_logprobs")


@both
def test_logprobs_of_0_tell_the_tokens_alone(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text(" upon"))
    (choice,) = app.answer(stream=stream, logprobs=0)["choices"]
    assert choice["logprobs"]["top_logprobs"] == [{" upon": -0.25}]


@both
@pytest.mark.parametrize(
    ("reason", "told"), [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("OTHER", "stop")]
)
def test_finish_reason(app: CompletionsApp, google: FakeGoogle, reason: str, told: str, stream: bool) -> None:
    google.enqueue(text(" upon", finish=reason))
    (choice,) = app.answer(stream=stream)["choices"]
    assert (choice["text"], choice["finish_reason"]) == (" upon", told)


@both
def test_blocked_prompt_is_a_refusal_beside_an_empty_text(
    app: CompletionsApp, google: FakeGoogle, stream: bool
) -> None:
    google.enqueue(blocked("PROHIBITED_CONTENT"))
    (choice,) = app.answer(stream=stream)["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("", "content_filter")
    assert "PROHIBITED_CONTENT" in choice["refusal"]


@both
def test_blocked_prompt_does_not_cost_the_answers_to_the_others(
    app: CompletionsApp, google: FakeGoogle, stream: bool
) -> None:
    google.default = lambda request: blocked() if asked(request) == "bad" else repeating(request)
    choices = app.answer(stream=stream, prompt=["a", "bad", "c"])["choices"]
    assert [choice["text"] for choice in choices] == [" after a", "", " after c"]
    assert ["refusal" in choice for choice in choices] == [False, True, False]


@both
def test_picture_of_an_image_model_is_not_lost(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("Here: ") + image("iVBORw0KGgo="))
    (choice,) = app.answer(stream=stream, model="gemini-3-pro-image")["choices"]
    assert choice["text"] == "Here: "
    assert choice["images"][0]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


# What goes wrong.


@both
def test_limit_used_up_by_thinking_says_so(app: CompletionsApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(finished("MAX_TOKENS", usage=Usage(thoughts=16)))
    failure = app.error(max_tokens=16, stream=stream)
    assert failure["status"] == 400
    assert "raise it (max_tokens" in failure["message"]


@both
def test_refusal_of_the_model_service_is_told_in_its_words(
    app: CompletionsApp, google: FakeGoogle, stream: bool
) -> None:
    google.enqueue(error(400, "INVALID_ARGUMENT", "The input is too long."))
    failure = app.error(stream=stream)
    assert (failure["status"], failure["type"]) == (400, "invalid_request_error")
    assert "The input is too long." in failure["message"]


def test_failure_of_one_prompt_fails_a_whole_answer(app: CompletionsApp, google: FakeGoogle) -> None:
    google.default = lambda request: (
        error(400, "INVALID_ARGUMENT", "No.") if asked(request) == "bad" else repeating(request)
    )
    assert app.error(prompt=["a", "bad", "c"])["status"] == 400


def test_failure_of_one_prompt_is_told_behind_the_answers_to_the_others(
    app: CompletionsApp, google: FakeGoogle
) -> None:
    google.default = lambda request: (
        error(400, "INVALID_ARGUMENT", "No.") if asked(request) == "bad" else repeating(request)
    )
    chunks, failure = app.broken(prompt=["a", "bad", "c"], echo=True)
    told = {choice["index"]: (choice["text"], choice["finish_reason"]) for choice in accumulated(chunks)}
    assert (told[0], told[2]) == (("a after a", "stop"), ("c after c", "stop"))
    assert told.get(1, ("bad", None)) == ("bad", None)
    assert "No." in failure["message"]


def test_break_in_a_stream_is_told_in_it(app: CompletionsApp, google: FakeGoogle) -> None:
    google.enqueue(cut(text(" upon", " a", " time"), after_events=2))
    chunks, failure = app.broken()
    (choice,) = accumulated(chunks)
    assert (choice["text"], choice["finish_reason"]) == (" upon a", None)
    assert failure["type"] == "server_error"


def test_pings_fill_a_silence(google: FakeGoogle) -> None:
    google.enqueue(slow(text(" upon"), first_byte_s=0.5))
    wire = CompletionsApp(google, ping_s=0.1).post(stream=True).data
    assert wire.startswith(b": ping\n\n")
    assert accumulated(decoded([wire]))[0]["text"] == " upon"


@both
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": None, "messages": [{"role": "user", "content": "Hi"}]}, "messages"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
    ],
)
def test_bad_body_is_refused_before_anybody_is_asked(
    app: CompletionsApp, google: FakeGoogle, body: Json, param: str, stream: bool
) -> None:
    failure = app.error(**body, stream=stream)
    assert (failure["status"], failure["type"], failure["param"]) == (400, "invalid_request_error", param)
    assert google.requests == []


def test_error_is_the_first_key_of_its_body(app: CompletionsApp) -> None:
    assert json.loads(app.post(prompt=[]).data).keys() == {"error"}
