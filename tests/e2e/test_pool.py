"""Which account was tried when, and what the client sees when none can answer."""

import time
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.fake_google import (
    FakeGoogle,
    api_key_invalid,
    calls,
    cut,
    empty,
    error,
    hang_up,
    internal,
    location_not_supported,
    model_retired,
    permission_denied,
    quota_per_day,
    quota_per_minute,
    quota_zero,
    service_disabled,
    text,
    unavailable,
)
from tests.ports import free_port

NO_WAIT = "[scheduling]\nmax_wait_s = 0"


def keys(google: FakeGoogle) -> list[str]:
    """The accounts whose keys were used, in order."""
    return [
        (request.key or "").removeprefix("test-key-") for request in google.requests if request.method != "listModels"
    ]


def question(words: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}]}


def test_a_conversation_keeps_its_account_and_others_take_turns(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", "c")
    for words in ("one", "two", "three", "one", "two", "three", "three"):
        agproxy.chat(**question(words))
    assert keys(google) == ["a", "b", "c", "a", "b", "c", "c"]


def test_a_conversation_is_told_by_what_the_client_says(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", "c")
    for words in ("one", "two", "three"):
        agproxy.chat(prompt_cache_key="session 1", **question(words))
    for words in ("four", "five"):
        agproxy.chat(headers={"X-Session-Id": "session 2"}, **question(words))
    assert keys(google) == ["a", "a", "a", "b", "b"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("failure", "tried"),
    [
        (quota_per_minute("30s"), ["a", "b"]),
        (quota_per_day(), ["a", "b"]),
        (quota_zero(), ["a", "b"]),
        (error(429), ["a", "b"]),
        (api_key_invalid(), ["a", "b"]),
        (error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), ["a", "b"]),
        (service_disabled(), ["a", "b"]),
        (permission_denied(), ["a", "b"]),
        (internal(), ["a", "a"]),
        (hang_up("rst"), ["a", "a"]),
        (unavailable(), ["a", "b"]),
        (error(529), ["a", "b"]),
    ],
    ids=lambda value: f"{value.http_status}" if hasattr(value, "http_status") else "",
)
def test_first_failure_leads_on(
    serve: Serve, google: FakeGoogle, failure: Any, tried: list[str], streamed: bool
) -> None:
    agproxy = serve("a", "b")
    google.enqueue(failure, text("Saved"))
    response = agproxy.chat(stream=streamed)
    assert "Saved" in response.text
    assert response.headers["X-Account-Email"] == f"{tried[-1]}@example.com"
    assert keys(google) == tried


def test_500_twice_goes_to_the_next_account(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(internal(), internal(), text("Saved"))
    assert "Saved" in serve("a", "b").chat().text
    assert keys(google) == ["a", "a", "b"]


@pytest.mark.parametrize(
    "failure", [location_not_supported(), error(400, message="Bad field"), error(413), model_retired()]
)
def test_failures_of_the_request_are_not_retried(serve: Serve, google: FakeGoogle, failure: Any) -> None:
    google.enqueue(failure)
    response = serve("a", "b").chat()
    assert response.status_code == failure.http_status
    assert response.json()["error"]["message"] == failure.body["error"]["message"]
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert keys(google) == ["a"]


def test_at_most_three_attempts(serve: Serve, google: FakeGoogle) -> None:
    google.default = unavailable()
    response = serve("a", "b", "c").chat()
    assert response.status_code == 503
    assert "high demand" in response.json()["error"]["message"]
    assert keys(google) == ["a", "b", "c"]


def test_cooldown_is_of_account_and_model(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b")
    google.enqueue(quota_per_minute("30s"))
    agproxy.chat(**question("one"))
    agproxy.chat(**question("two"))
    agproxy.chat(model="gemini-pro-latest", **question("three"))
    assert keys(google) == ["a", "b", "b", "a"]


def test_accounts_of_one_project_cool_together(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", ini=NO_WAIT, project="shared")
    google.enqueue(quota_per_minute("30s"))
    assert agproxy.chat().status_code == 429
    assert keys(google) == ["a"]


def test_when_all_cool_the_client_is_told_for_how_long(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", ini=NO_WAIT)
    google.enqueue(quota_per_minute("34.07s"), quota_per_minute("50s"))
    first = agproxy.chat()
    assert first.status_code == 429
    assert first.json()["error"]["code"] == "rate_limit_exceeded"
    assert first.headers["Retry-After"] in ("34", "35")
    second = agproxy.chat()
    assert second.status_code == 429
    assert "the first is free again in" in second.json()["error"]["message"]
    assert int(second.headers["Retry-After"]) <= 35
    assert keys(google) == ["a", "b"]


def test_a_daily_quota_is_over_until_midnight_pacific(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(quota_per_day("1s"))
    response = serve("a").chat()
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 25 * 3600
    assert response.headers["X-Should-Retry"] == "false" or int(response.headers["Retry-After"]) <= 60
    assert keys(google) == ["a"]


def test_a_short_cooldown_is_waited_for(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    google.enqueue(quota_per_minute("0.6s"))
    began = time.monotonic()
    assert agproxy.chat().status_code == 200
    assert time.monotonic() - began >= 0.6
    assert keys(google) == ["a", "a"]


def test_refused_credentials_are_not_the_clients_fault(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b")
    google.enqueue(api_key_invalid(), service_disabled())
    response = agproxy.chat()
    assert response.status_code == 502
    assert response.headers["X-Should-Retry"] == "false"
    again = agproxy.chat()
    assert again.status_code == 502
    assert keys(google) == ["a", "b"]
    assert "test-key" not in response.text + again.text + agproxy.log()


def test_a_key_that_google_does_not_know_is_out(serve: Serve, google: FakeGoogle) -> None:
    ini = f"[account:bad]\napi_key = no-such-key\nbase_url = {google.url}\npriority = 1"
    agproxy = serve("a", ini=ini)
    assert agproxy.chat().status_code == 200
    assert agproxy.chat(**question("again")).status_code == 200
    assert [request.key for request in google.requests] == ["no-such-key", "test-key-a", "test-key-a"]
    google.reset()  # the fake refused the unknown key, as it should


def test_an_unreachable_upstream_is_502(serve: Serve) -> None:
    port = free_port()
    agproxy = serve(ini=f"[account:x]\napi_key = some-key-123\nbase_url = http://127.0.0.1:{port}")
    response = agproxy.chat()
    assert response.status_code == 502
    assert "refused" in response.json()["error"]["message"]


def test_a_connection_that_went_stale_is_replaced_without_an_attempt(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    google.enqueue(text("First").delivered(stale=True), text("Second"))
    assert "First" in agproxy.chat().text
    assert "Second" in agproxy.chat().text
    assert "attempts=2" not in agproxy.log()


def test_a_refused_schema_keyword_is_left_out_and_remembered(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": "F.",
            "parameters": {"type": "object", "properties": {"x": {"type": "string", "format": "date-time"}}},
        },
    }
    where = "tools[0].function_declarations[0].parameters"
    refusal = f"Invalid JSON payload received. Unknown name \"format\" at '{where}': Cannot find field."
    google.enqueue(error(400, message=refusal), calls(("f", {})), calls(("f", {})))
    assert agproxy.chat(tools=[tool]).status_code == 200
    assert agproxy.chat(tools=[tool]).status_code == 200
    schemas = [
        request.body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["properties"]["x"]
        for request in google.requests
    ]
    assert ["format" in schema for schema in schemas] == [True, False, False]
    assert "attempts=2" not in agproxy.log()


def test_one_account_is_asked_twice_at_most_in_a_row_whatever_fails(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(empty(), internal(), text("Saved"))
    assert "Saved" in serve("a", "b").chat().text
    assert keys(google) == ["a", "a", "b"]


def test_a_silent_answer_ends_after_the_silence_timeout(serve: Serve, google: FakeGoogle) -> None:
    google.default = cut(text("Hello"), mid_event=True, how="silence")
    agproxy = serve("a", ini="[upstream]\nsilence_timeout_s = 1\nfirst_event_timeout_s = 60\n")
    began = time.monotonic()
    assert agproxy.chat().status_code == 504
    assert time.monotonic() - began < 20


def test_silence_after_the_finish_does_not_hold_the_answer_back(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(cut(text("Hello"), after_events=1, how="silence"))
    began = time.monotonic()
    assert serve("a").chat(stream=True).text.endswith("data: [DONE]\n\n")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "failure",
    [
        error(503, headers=(("Retry-After", "9" * 400),)),
        error(503, headers=(("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"),)),
        error(429, details=[{"retryDelay": "9" * 5000 + "h1s"}, {"metadata": "x"}, {"violations": 3}, 5]),  # type: ignore[list-item]
        error(407),
        error(418),
    ],
)
def test_odd_errors_stay_upstreams(serve: Serve, google: FakeGoogle, failure: Any) -> None:
    google.default = failure
    response = serve("a", ini=NO_WAIT).chat()
    assert response.status_code == {407: 502, 418: 502}.get(failure.http_status, failure.http_status)
    assert response.json()["error"]["code"] != "internal_error"
    assert int(response.headers.get("Retry-After", "0")) <= 48 * 3600


def test_a_schema_repair_is_told_and_kept_to_its_tool(serve: Serve, google: FakeGoogle) -> None:
    def search(parameters: dict[str, Any]) -> dict[str, Any]:
        function = {"name": "search", "description": "S.", "parameters": {"type": "object", "properties": parameters}}
        return {"type": "function", "function": function}

    agproxy = serve("a")
    words = (
        "GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[limit].enum: only for STRING"
    )
    google.enqueue(error(400, message=words))
    first = agproxy.chat(tools=[search({"limit": {"type": "integer", "enum": [1, 2]}})])
    second = agproxy.chat(tools=[search({"lang": {"type": "string", "enum": ["de", "en"]}})])
    assert first.headers["X-Agproxy-Ignored"] == "search.parameters.enum"
    assert "X-Agproxy-Ignored" not in second.headers
    last = google.requests[-1].body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert last["properties"]["lang"]["enum"] == ["de", "en"]
