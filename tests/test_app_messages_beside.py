"""What clients of Anthropic's ask beside answers: tokens counted, signs of life, pings, titles, telemetry."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from anthropic.types import MessageTokensCount

from agproxy import config
from agproxy.app import App
from agproxy.config import Server, Store
from tests.fake_google import (
    FakeGoogle,
    calls,
    counted,
    hang_up,
    quota_per_day,
    quota_per_minute,
    text,
    unavailable,
)
from tests.fake_google import error as google_error
from tests.messages_app import ADAPTIVE, FLASH, HELLO, LOOK, Json, MessagesApp, error, ignored
from tests.messages_stream import checked, read, text_of
from tests.test_app import ask

CLI = {"User-Agent": "claude-cli/2.1.330 (external, sdk-cli)"}
SDK = {"User-Agent": "Anthropic/Python 2.12.0"}
NAMING = "You are naming a coding session so the user can pick it out of a list."
KEY = "sk-Xq7-a-real-key"
LITE = "gemini-3.1-flash-lite"


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> MessagesApp:
    return MessagesApp(google)


both = pytest.mark.parametrize("stream", [False, True])


def local(response: Json) -> str:
    """Why agproxy answered by itself; empty where it did not."""
    assert response.status_code == 200, response.text
    reason: str = response.headers.get("X-Agproxy-Local", "")
    return reason


def message(response: Json, *, stream: bool) -> Json:
    """The message of a body or a stream."""
    assert response.status_code == 200, response.text
    assert response.mimetype == ("text/event-stream" if stream else "application/json")
    return read(response.data).message if stream else checked(response.json)


# Tokens.


def test_tokens_are_counted_with_instructions_and_tools(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(counted(71), method="countTokens")
    response = app.count(model="gemini-2.5-flash", system="Be kind.", tools=[LOOK], thinking=ADAPTIVE)
    assert (response.status_code, response.json) == (200, {"input_tokens": 71})
    assert MessageTokensCount.model_validate(response.json, strict=True).input_tokens == 71
    assert "X-Agproxy-Estimated" not in response.headers
    assert response.headers["X-Account-Email"] == "a"
    (request,) = google.requests
    assert (request.method, request.model) == ("countTokens", "gemini-2.5-flash")
    asked = request.body["generateContentRequest"]
    assert asked["model"] == "models/gemini-2.5-flash"
    assert asked["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
    assert asked["tools"][0]["functionDeclarations"][0]["name"] == "look"


def test_tokens_of_a_streamed_request_are_counted_alike(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(counted(7), method="countTokens")
    response = app.count(stream=True)
    assert (response.mimetype, response.json) == ("application/json", {"input_tokens": 7})


@pytest.mark.parametrize(
    "failure",
    [quota_per_minute("60s"), quota_per_day(), unavailable(), google_error(500), hang_up(), google_error(403)],
    ids=["minute", "day", "unavailable", "internal", "hang up", "forbidden"],
)
def test_tokens_are_estimated_where_google_does_not_say(google: FakeGoogle, failure: Json) -> None:
    google.enqueue(*[failure] * 9, method="countTokens")
    app = MessagesApp(google)
    response = app.count(system="x" * 4000)
    assert response.status_code == 200, response.text
    assert response.headers["X-Agproxy-Estimated"] == "input_tokens"
    assert response.json is not None
    assert 900 < response.json["input_tokens"] < 1500
    assert response.headers["request-id"]


def test_longer_request_has_a_higher_estimate(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(*[google_error(403)] * 9, method="countTokens")
    counts = [(app.count(**body).json or {})["input_tokens"] for body in ({}, {"tools": [LOOK]}, {"system": "x" * 999})]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_count_of_a_request_that_google_refuses_is_refused(app: MessagesApp, google: FakeGoogle, status: int) -> None:
    google.enqueue(*[google_error(status, message="No.")] * 3, method="countTokens")
    assert error(app.count())[0] == status


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"messages": []}, 400, "invalid_request_error"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, 400, "invalid_request_error"),
        ({"model": "nobodys-model"}, 404, "not_found_error"),
        ({"thread": {"type": "create"}}, 400, "invalid_request_error"),
    ],
)
def test_count_of_a_wrong_request_is_refused(app: MessagesApp, body: Json, status: int, kind: str) -> None:
    assert error(app.count(**body)) == (status, kind)


def test_count_leaves_the_quota_of_answers_alone(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(*[quota_per_day()] * 3, method="countTokens")
    assert app.count().headers["X-Agproxy-Estimated"]
    assert text_of(app.answer(stream=False)) == "Hello from fake Google"
    google.default = quota_per_day()
    assert app.post().status_code == 429
    assert app.count().headers["X-Agproxy-Estimated"]  # it rests


def test_tokens_are_counted_while_answers_rest(app: MessagesApp, google: FakeGoogle) -> None:
    google.default = quota_per_day()
    assert app.post().status_code == 429
    google.enqueue(counted(7), method="countTokens")
    response = app.count()
    assert (response.json, "X-Agproxy-Estimated" in response.headers) == ({"input_tokens": 7}, False)


def test_count_does_not_wait_for_its_quota(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(*[quota_per_minute("4s")] * 3, method="countTokens")
    assert app.count().headers["X-Agproxy-Estimated"]
    assert len(google.requests) == 1


def test_many_counts_at_once_are_answered(app: MessagesApp, google: FakeGoogle) -> None:
    # As /context of Claude Code asks.
    google.enqueue(*[quota_per_minute("30s")] * 25, method="countTokens")
    for number in range(25):
        response = app.count(messages=[{"role": "user", "content": f"Part {number}"}], tools=[])
        assert response.status_code == 200
        assert response.json is not None
        assert response.json["input_tokens"] > 0
    assert len(google.requests) == 1, "an account that rests was asked again"


# Signs of life, and telemetry.


@pytest.mark.parametrize("path", ["/", "/api/hello"])
@pytest.mark.parametrize("server", [Server(), Server(auth_mode="all_except_health", api_key=KEY)], ids=["off", "on"])
def test_sign_of_life_needs_no_key(google: FakeGoogle, path: str, server: Server) -> None:
    response = MessagesApp(google, server=server).ask("HEAD", path, headers={"User-Agent": "Bun/1.4.4"})
    assert (response.status_code, response.data) == (200, b"")
    assert google.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path_of_the_sign_of_life_is_nothing_else(app: MessagesApp, method: str) -> None:
    assert app.ask(method, "/api/hello", json=None).status_code == 404


def test_greeting_for_browsers_is_still_there(app: MessagesApp) -> None:
    response = app.ask("GET", "/", headers={"Accept": "text/html"})
    assert (response.status_code, response.mimetype) == (200, "text/html")


TELEMETRY = ["/api/event_logging/batch", "/v1/api/event_logging", "/v1/api/event_logging/batch"]


@pytest.mark.parametrize("path", TELEMETRY)
def test_telemetry_is_taken_without_a_word(app: MessagesApp, caplog: pytest.LogCaptureFixture, path: str) -> None:
    caplog.set_level(logging.INFO, logger="agproxy")
    response = app.ask("POST", path, json={"events": [{"secret": "x"}]})
    assert response.status_code == 200
    assert caplog.records == []
    app.post()
    assert len(caplog.records) >= 1, "other requests do leave a line"


@pytest.mark.parametrize("path", TELEMETRY)
def test_telemetry_is_sent_to_nobody(app: MessagesApp, google: FakeGoogle, path: str) -> None:
    assert app.ask("POST", path, data=b"{", headers={"Content-Type": "application/json"}).status_code == 200
    assert google.requests == []


# Calls that agproxy answers by itself.


@both
def test_warm_up_of_claude_code_is_answered_here(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    response = app.post(headers=CLI, messages=[{"role": "user", "content": "Warmup"}], tools=[LOOK], stream=stream)
    assert local(response) == "warm-up"
    answer = message(response, stream=stream)
    assert (answer["stop_reason"], answer["model"], bool(text_of(answer))) == ("end_turn", FLASH, True)
    assert google.requests == []


def test_look_for_quota_of_claude_code_is_answered_here(app: MessagesApp, google: FakeGoogle) -> None:
    response = app.post(headers=CLI, messages=[{"role": "user", "content": "quota"}], max_tokens=1)
    assert local(response) == "warm-up"
    assert google.requests == []


@pytest.mark.parametrize("headers", [SDK, {}, {"User-Agent": "curl/8.9.1"}])
@pytest.mark.parametrize(("words", "limit"), [("Warmup", 4096), ("quota", 1)])
def test_same_words_of_others_are_answered_by_the_model(
    app: MessagesApp, google: FakeGoogle, headers: Json, words: str, limit: int
) -> None:
    assert local(app.post(headers=headers, messages=[{"role": "user", "content": words}], max_tokens=limit)) == ""
    assert len(google.requests) == 1


@pytest.mark.parametrize(
    "own",
    [
        {"system": "You are Claude Code, Anthropic's official CLI."},
        {"metadata": {"user_id": "user_1f_account__session_02"}},
    ],
)
def test_warm_up_of_its_agents_is_answered_here(app: MessagesApp, google: FakeGoogle, own: Json) -> None:
    response = app.post(headers=SDK, messages=[{"role": "user", "content": "Warmup"}], **own)
    assert (local(response), google.requests) == ("warm-up", [])


@both
@pytest.mark.parametrize("user_id", ["app_session_42", "bob_account_1_session_2", '{"session_id":"0199"}'])
@pytest.mark.parametrize(("words", "limit"), [("Warmup", 2000), ("quota", 1)])
def test_same_words_of_an_application_with_sessions_are_answered_by_the_model(
    app: MessagesApp, google: FakeGoogle, stream: bool, user_id: str, words: str, limit: int
) -> None:
    own: Json = {"system": "You are a fitness coach.", "metadata": {"user_id": user_id}, "tools": [LOOK]}
    said = [{"role": "user", "content": words}]
    response = app.post(headers=SDK, messages=said, max_tokens=limit, stream=stream, **own)
    assert local(response) == ""
    assert text_of(message(response, stream=stream)) == "Hello from fake Google"
    assert len(google.requests) == 1


def test_conversation_of_claude_code_is_answered_by_the_model(app: MessagesApp, google: FakeGoogle) -> None:
    response = app.post(headers=CLI, messages=[{"role": "user", "content": "Is a warmup good?"}])
    assert (local(response), len(google.requests)) == ("", 1)


def test_answers_given_here_have_ids_of_their_own(app: MessagesApp) -> None:
    responses = [app.post(max_tokens=0), app.post(max_tokens=0)]
    assert len({(response.json or {})["id"] for response in responses}) == 2


@both
@pytest.mark.parametrize("thinking", [None, {"type": "enabled", "budget_tokens": 1024}])
def test_no_tokens_are_no_answer(app: MessagesApp, google: FakeGoogle, stream: bool, thinking: Json) -> None:
    response = app.post(max_tokens=0, stream=stream, thinking=thinking)
    assert local(response) == "max_tokens=0"
    answer = message(response, stream=stream)
    assert (answer["content"], answer["stop_reason"], answer["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert google.requests == []


def test_answer_given_here_tells_what_is_not_honoured(app: MessagesApp) -> None:
    assert ignored(app.post(max_tokens=0, container="x")) == ["container"]


def test_wrong_request_is_not_answered_here(app: MessagesApp) -> None:
    assert error(app.post(max_tokens=0, messages=[]))[0] == 400
    assert error(app.post(max_tokens=False))[0] == 400


# Titles and summaries.


@pytest.fixture
def ruled(google: FakeGoogle) -> MessagesApp:
    return MessagesApp(google, models=(("internal-background-task", LITE),))


def title(**others: Json) -> Json:
    system = [{"type": "text", "text": words} for words in ("x-anthropic-billing-header: a", "You are C.", NAMING)]
    return {"system": system, "tools": [], "max_tokens": 128000, **others}


@both
def test_title_goes_to_the_model_of_the_rule(ruled: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    response = ruled.post(headers=CLI, stream=stream, **title())
    assert response.headers["X-Mapped-Model"] == LITE
    assert google.requests[0].model == LITE
    assert message(response, stream=stream)["model"] == FLASH


def test_compaction_goes_to_the_model_of_the_rule(ruled: MessagesApp, google: FakeGoogle) -> None:
    compact = {"role": "user", "content": "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools. Sum it up."}
    ruled.post(headers=CLI, tools=[LOOK], messages=[HELLO, {"role": "assistant", "content": "Hi."}, compact])
    assert google.requests[0].model == LITE


def test_conversation_goes_to_the_model_that_was_asked_for(ruled: MessagesApp, google: FakeGoogle) -> None:
    ruled.post(headers=CLI, system="You are Claude Code.", tools=[LOOK])
    assert google.requests[0].model == FLASH


@pytest.mark.parametrize("models", [(), (("internal-*", LITE),), (("*", FLASH),)])
def test_title_goes_to_the_model_that_was_asked_for_without_a_rule_of_its_own(google: FakeGoogle, models: Json) -> None:
    assert MessagesApp(google, models=models).post(headers=CLI, **title()).status_code == 200
    assert google.requests[0].model == FLASH


def test_thought_of_a_title_does_not_come_back(ruled: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(text('{"title":"Cats"}'))
    format_ = {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}
    answer = message(ruled.post(headers=CLI, **title(output_config={"format": format_})), stream=False)
    assert json.loads(text_of(answer)) == {"title": "Cats"}


# With the built-in demo account.


@pytest.fixture(scope="module")
def demo() -> App:
    return App(replace(config.load(None, {}), store=Store("memory:")))


def asked(demo: App, words: str, path: str = "/v1/messages", **others: Json) -> Json:
    body = {"model": "claude-opus-5-5", "max_tokens": 4096, "messages": [{"role": "user", "content": words}], **others}
    return ask(demo, path, method="POST", json=body)


@both
def test_demo_answers(demo: App, stream: bool) -> None:
    answer = message(asked(demo, "demo:think", thinking=ADAPTIVE, stream=stream), stream=stream)
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    assert text_of(answer).startswith("[agproxy demo]")


@both
def test_demo_calls_a_tool(demo: App, stream: bool) -> None:
    answer = message(asked(demo, "demo:tool", tools=[LOOK], thinking=ADAPTIVE, stream=stream), stream=stream)
    assert [block["type"] for block in answer["content"]] == ["thinking", "tool_use"]
    assert answer["stop_reason"] == "tool_use"


def test_demo_counts_tokens(demo: App) -> None:
    response = asked(demo, "Hello there", "/v1/messages/count_tokens")
    assert response.status_code == 200
    assert response.json["input_tokens"] > 0
    assert "X-Agproxy-Estimated" not in response.headers


def test_call_is_one_whatever_asks_for_it(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(calls(("look", {"at": "sky"})))
    response = app.post(headers=CLI, tools=[LOOK], tool_choice={"type": "tool", "name": "look"})
    assert message(response, stream=False)["stop_reason"] == "tool_use"
    calling = google.requests[0].body["toolConfig"]["functionCallingConfig"]
    assert calling == {"mode": "ANY", "allowedFunctionNames": ["look"]}
