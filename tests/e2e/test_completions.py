"""Completions with the real openai SDK, against the strict fake."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.fake_google import (
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    blocked,
    cut,
    quota_per_minute,
    text,
    thoughts,
    unavailable,
)

ClientOf = Callable[..., openai.OpenAI]

MODEL = "gpt-3.5-turbo-instruct"

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def client(agproxy: Agproxy, client_of: ClientOf) -> openai.OpenAI:
    return client_of(agproxy)


def post(agproxy: Agproxy, data: bytes, **headers: str) -> requests.Response:
    headers = {"Content-Type": "application/json", **headers}
    return requests.post(agproxy.url + "/v1/completions", data=data, headers=headers, timeout=30)


def repeating(request: RecordedRequest) -> Answer:
    (content,) = request.body["contents"]
    return text(" and ", content["parts"][0]["text"])


def texts(client: openai.OpenAI, *, stream: bool, **body: Any) -> dict[int, str]:
    """The text of each choice, by its number."""
    body = {"model": MODEL, **body}
    if not stream:
        return {choice.index: choice.text for choice in client.completions.create(**body).choices}
    told: dict[int, str] = {}
    for chunk in client.completions.create(**body, stream=True):
        for choice in chunk.choices:
            told[choice.index] = told.get(choice.index, "") + choice.text
    return told


def test_answer_with_everything_that_a_client_reads(client: openai.OpenAI, google: FakeGoogle) -> None:
    google.enqueue(text(" upon a", " tíme €", usage=Usage(prompt=100, candidates=20, thoughts=30, cached=40)))
    raw = client.completions.with_raw_response.create(
        model=MODEL, prompt="Once", temperature=0.5, top_p=0.9, max_tokens=500, stop=["END", "\n"], seed=7, user="me"
    )
    reply = raw.parse()
    assert (reply.object, reply.model) == ("text_completion", MODEL)
    assert reply.id.startswith("cmpl-")
    (choice,) = reply.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == (" upon a tíme €", 0, "stop", None)
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (100, 50, 150)
    assert raw.headers["X-Mapped-Model"] == "gemini-flash-lite-latest"
    assert raw.headers["X-Agproxy-Ignored"] == "user"
    request = google.requests[0]
    assert request.path == "/v1beta/models/gemini-flash-lite-latest:generateContent"
    assert request.body == {
        "contents": [{"role": "user", "parts": [{"text": "Once"}]}],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 500,
            "stopSequences": ["END", "\n"],
            "seed": 7,
            "thinkingConfig": {"thinkingLevel": "minimal"},
        },
    }


def test_stream_with_usage(client: openai.OpenAI, google: FakeGoogle) -> None:
    google.enqueue(text(" upon", " a", " tíme", usage=Usage(prompt=7, candidates=3)).delivered(split_writes=3))
    *chunks, last = client.completions.create(
        model=MODEL, prompt="Once", stream=True, stream_options={"include_usage": True}
    )
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert [chunk.choices[0].text for chunk in chunks] == [" upon", " a", " tíme", ""]
    assert [str(chunk.choices[0].finish_reason) for chunk in chunks] == ["None", "None", "None", "stop"]
    assert all(chunk.usage is None for chunk in chunks)
    assert last.usage is not None
    assert (last.choices, last.usage.total_tokens) == ([], 10)
    assert google.requests[0].sse


@streamed
def test_several_prompts_with_several_answers_each(client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
    google.default = repeating
    told = texts(client, stream=stream, prompt=["one", "two", "three"], n=2)
    assert told == {
        index: f" and {prompt}" for index, prompt in enumerate(("one", "one", "two", "two", "three", "three"))
    }
    assert len(google.requests) == 6


@streamed
def test_echo(client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
    google.default = repeating
    assert texts(client, stream=stream, prompt=["one", "two"], echo=True) == {0: "one and one", 1: "two and two"}


@streamed
def test_suffix(client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("    return a + b\n"))
    told = texts(client, stream=stream, prompt="def add(a, b):\n", suffix="\nprint(add(1, 2))")
    assert told == {0: "    return a + b\n"}
    (content,) = google.requests[0].body["contents"]
    assert content["parts"] == [{"text": "def add(a, b):\n<<GAP>>\nprint(add(1, 2))"}]
    assert "<<GAP>>" in google.requests[0].body["systemInstruction"]["parts"][0]["text"]


def test_logprobs(client: openai.OpenAI, google: FakeGoogle) -> None:
    google.enqueue(text(" upon a"))
    (choice,) = client.completions.create(model=MODEL, prompt="Once", logprobs=2, echo=True).choices
    assert choice.text == "Once upon a"
    told = choice.logprobs
    assert told is not None
    assert (told.tokens, told.token_logprobs, told.text_offset) == ([" upon", " a"], [-0.25, -0.5], [4, 9])
    assert told.top_logprobs == [{" upon": -0.25, " upon~1": -1.25}, {" a": -0.5, " a~1": -1.5}]


@streamed
def test_thoughts_and_refusals_stand_beside_the_text(client: openai.OpenAI, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(thoughts("Hm.") + text(" upon"), blocked("SAFETY"))
    found = []
    for options in ({"reasoning_effort": "low"}, {}):
        body = {"model": MODEL, "prompt": "Once", "extra_body": options}
        if stream:
            told: dict[str, Any] = {"text": ""}
            for chunk in client.completions.create(**body, stream=True):  # type: ignore[call-overload]
                piece = chunk.choices[0].model_dump(exclude_none=True)
                told = {**told, **piece, "text": told["text"] + piece["text"]}
        else:
            told = client.completions.create(**body).choices[0].model_dump(exclude_none=True)  # type: ignore[call-overload]
        found.append(told)
    assert found[0] == {"text": " upon", "index": 0, "finish_reason": "stop", "reasoning_content": "Hm."}
    refusal = found[1].pop("refusal")
    assert "SAFETY" in refusal
    assert found[1] == {"text": "", "index": 0, "finish_reason": "content_filter"}


def test_errors_raise_the_sdks_own_classes(client: openai.OpenAI, google: FakeGoogle) -> None:
    def ask(**changes: Any) -> Any:
        return client.completions.create(**{"model": MODEL, "prompt": "Once", **changes})

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as bad:
            ask(prompt=[1, 2, 3], stream=stream)
        assert bad.value.param == "prompt"
        assert "send the text" in bad.value.message
        with pytest.raises(openai.NotFoundError) as unknown:
            ask(model="dall-e-3", stream=stream)
        assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.with_options(base_url=str(client.base_url) + "v2").completions.create(model=MODEL, prompt="Once")
    assert not any(request.verb == "POST" for request in google.requests)


@streamed
def test_failures_of_upstream_raise_the_sdks_own_classes(
    serve: Serve, client_of: ClientOf, google: FakeGoogle, stream: bool
) -> None:
    client = client_of(serve("a", ini="[upstream]\nmax_attempts = 1\n[scheduling]\nmax_wait_s = 0\n"))
    google.enqueue(unavailable(), quota_per_minute("60s"))
    with pytest.raises(openai.InternalServerError) as failed:
        client.completions.create(model=MODEL, prompt="Once", stream=stream)
    assert failed.value.status_code == 503
    with pytest.raises(openai.RateLimitError) as limited:
        client.completions.create(model=MODEL, prompt="Once", stream=stream)
    assert limited.value.type == "rate_limit_exceeded"
    assert 50 < int(limited.value.response.headers["Retry-After"]) <= 61


def test_break_in_a_stream_raises(client: openai.OpenAI, google: FakeGoogle) -> None:
    google.enqueue(cut(text(" upon", " a", " time"), after_events=2))
    chunks = client.completions.create(model=MODEL, prompt="Once", stream=True)
    assert [next(chunks).choices[0].text for _ in range(2)] == [" upon", " a"]
    with pytest.raises(openai.APIError):
        next(chunks)


def test_client_with_a_wrong_base_url_reads_where_completions_are(agproxy: Agproxy, client_of: ClientOf) -> None:
    wrong = client_of(agproxy).with_options(base_url=agproxy.url + "/v1/v1")
    with pytest.raises(openai.NotFoundError, match=f"goes to POST {agproxy.url}/v1/completions"):
        wrong.completions.create(model=MODEL, prompt="Once")


# Bad input.


@streamed
@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": "../x"}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": [5]}, "prompt"),
        ({"prompt": [[5]]}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": ["a", None]}, "prompt[1]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": None, "messages": [{"role": "user", "content": "Hi"}]}, "messages"),
        ({"suffix": 5}, "suffix"),
        ({"echo": "yes"}, "echo"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": 9}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"seed": "x"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
        ({"stream_options": 5}, "stream_options"),
        ({"response_format": 5}, "response_format"),
    ],
)
def test_bad_fields(agproxy: Agproxy, google: FakeGoogle, changes: Any, param: str, stream: bool) -> None:
    body = {"model": MODEL, "prompt": "Once", "stream": stream, **changes}
    response = post(agproxy, json.dumps({name: value for name, value in body.items() if value is not None}).encode())
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert error["message"]
    assert google.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"model":"gpt-3.5-turbo-instruct","prompt":"a","temperature":NaN}',
        b'{"model":"gpt-3.5-turbo-instruct","prompt":[' + b"9" * 5000 + b"]}",
        b'{"prompt":' * 100_000,
        b"[" * 100_000,
        b'{"model":"gpt-3.5-turbo-instruct","prompt":"\\ud800"}',
        b'{"model":"gpt-3.5-turbo-instruct","prompt":"\xff\xfe"}',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bad_json(agproxy: Agproxy, google: FakeGoogle, data: bytes) -> None:
    response = post(agproxy, data)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"
    assert google.requests == []


@pytest.mark.parametrize("depth", [200, 900, 980])
def test_deep_nesting_is_never_a_500(agproxy: Agproxy, google: FakeGoogle, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    assert post(agproxy, b'{"model":"gpt-4o","prompt":' + nested.encode() + b"}").status_code == 400
    schema = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    format_ = '{"type":"json_schema","json_schema":{"name":"a","schema":' + schema + "}}"
    body = '{"model":"gpt-4o","prompt":"a","response_format":' + format_ + "}"
    assert post(agproxy, body.encode()).status_code in (200, 400)
    google.reset()  # how deep Gemini itself goes is not the point here
