"""``POST /v1/responses/compact``: a conversation in short, which the next request begins with."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.facts.responses_app import LOOK, ResponsesApp
from tests.fake_google import FakeGoogle, finished, text
from tests.whole_app import contents

Json = Any
COMPACT = "/v1/responses/compact"


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> ResponsesApp:
    return ResponsesApp(google)


def compacted(app: ResponsesApp, **body: Json) -> Json:
    """The answer to a request to compact."""
    response = app.post(path=COMPACT, **body)
    assert response.status_code == 200, response.text
    return response.json


TALK: list[Json] = [
    {"role": "user", "content": "Weather?"},
    {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "wet"},
    {"role": "assistant", "content": "Rain."},
    {"role": "user", "content": "Thanks."},
]


def test_conversation_becomes_what_the_user_said_and_a_summary(app: ResponsesApp, google: FakeGoogle) -> None:
    google.enqueue(text("They asked for the weather."))
    told = compacted(app, input=TALK, instructions="Be kind.")
    assert (told["object"], told["id"].partition("_")[0]) == ("response.compaction", "resp")
    assert [item["type"] for item in told["output"]] == ["message", "message", "compaction"]
    assert [item["content"][0]["text"] for item in told["output"][:2]] == ["Weather?", "Thanks."]
    ids = [item["id"] for item in told["output"]]
    assert len(set(ids)) == 3
    assert told["usage"]["total_tokens"] == told["usage"]["input_tokens"] + told["usage"]["output_tokens"] > 0
    asked = contents(google.requests[0])
    assert [part for _, parts in asked for part in parts if part.get("text") == "Rain."]
    assert "Sum up the conversation" in asked[-1][1][-1]["text"]
    assert google.requests[0].body["systemInstruction"]["parts"][0] == {"text": "Be kind."}


def test_summary_is_what_the_model_reads_next(app: ResponsesApp, google: FakeGoogle) -> None:
    google.enqueue(text("They asked for the weather."), text("You are welcome."))
    short = compacted(app, input=TALK)["output"]
    response = app.post(input=[*short, {"role": "user", "content": "And now?"}])
    assert response.status_code == 200, response.text
    assert "X-Agproxy-Ignored" not in response.headers
    words = [part["text"] for _, parts in contents(google.requests[1]) for part in parts]
    assert words[:2] == ["Weather?", "Thanks."]
    assert words[2].endswith("They asked for the weather.")
    assert words[3] == "And now?"


def test_stored_conversation_can_be_compacted(app: ResponsesApp, google: FakeGoogle) -> None:
    google.enqueue(text("Rain."), text("They asked for the weather."))
    first = app.answer(stream=False, input="Weather?")
    told = compacted(app, previous_response_id=first["id"], input=[])
    assert [item["type"] for item in told["output"]] == ["message", "compaction"]
    assert [part["text"] for _, parts in contents(google.requests[1]) for part in parts][:2] == ["Weather?", "Rain."]


def test_what_a_summary_does_not_honour_is_listed(app: ResponsesApp) -> None:
    response = app.post(path=COMPACT, input=TALK, tools=[LOOK], temperature=0.5, prompt_cache_key="abc", user="me")
    assert response.headers["X-Agproxy-Ignored"].split(", ") == ["tools", "temperature", "user"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": None}, 400, "model"),
        ({"input": 5}, 400, "input"),
        ({"input": [{"role": "judge", "content": "Hi"}]}, 400, "input[0].role"),
        ({"previous_response_id": "resp_0"}, 404, "previous_response_id"),
        ({"input": [{"id": "rs_0"}]}, 404, "input[0]"),
    ],
)
def test_what_cannot_be_compacted_is_refused(
    app: ResponsesApp, google: FakeGoogle, body: Json, status: int, param: str
) -> None:
    response = app.post(path=COMPACT, **body)
    assert response.json is not None
    assert (response.status_code, response.json["error"]["param"]) == (status, param)
    assert google.requests == []


def test_summary_that_is_withheld_is_an_error(app: ResponsesApp, google: FakeGoogle) -> None:
    google.enqueue(finished("SAFETY"))
    response = app.post(path=COMPACT, input=TALK)
    assert response.json is not None
    assert response.status_code == 502
    assert "SAFETY" in response.json["error"]["message"]
