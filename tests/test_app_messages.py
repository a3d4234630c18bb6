"""The whole application as a client of Anthropic Messages sees it: answers, histories, streams and failures."""

from collections.abc import Iterator

import pytest

from agproxy.config import Server
from tests.fake_google import (
    FakeGoogle,
    Usage,
    api_key_invalid,
    blocked,
    calls,
    cut,
    error_event,
    finished,
    grounded,
    permission_denied,
    quota_per_day,
    quota_per_minute,
    slow,
    text,
    thoughts,
    unavailable,
)
from tests.fake_google import error as google_error
from tests.messages_app import ADAPTIVE, FLASH, HELLO, LOOK, Json, MessagesApp, error, ignored
from tests.messages_stream import blocks_of, text_of
from tests.protocols.message_answers import kinds, without_searches
from tests.whole_app import contents

BUDGET = {"type": "enabled", "budget_tokens": 2000}
CLAUDES = "EqQBCkYICxgCKkDf2s9B" + "x" * 40
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> MessagesApp:
    return MessagesApp(google)


both = pytest.mark.parametrize("stream", [False, True])


# Answers.


@both
@pytest.mark.parametrize("query", ["", "?beta=true"])
def test_question_is_answered(app: MessagesApp, google: FakeGoogle, stream: bool, query: str) -> None:
    google.enqueue(text("Hello", " there", usage=Usage(prompt=20, candidates=3, cached=8)))
    body: Json = {"model": "claude-opus-5-5", "system": "Be kind.", "stream": stream}
    response = app.post(f"/v1/messages{query}", **body)
    assert response.status_code == 200
    assert response.headers["X-Mapped-Model"] == google.requests[0].model
    assert response.headers["request-id"] == response.headers["X-Request-Id"]
    assert google.requests[0].body["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
    google.enqueue(text("Hello", " there", usage=Usage(prompt=20, candidates=3, cached=8)))
    message = app.answer(**body)
    assert (message["model"], text_of(message), message["stop_reason"]) == (
        "claude-opus-5-5",
        "Hello there",
        "end_turn",
    )
    usage = {name: message["usage"][name] for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")}
    assert usage == {"input_tokens": 12, "cache_read_input_tokens": 8, "output_tokens": 3}


@both
def test_each_answer_has_an_id_of_its_own(app: MessagesApp, stream: bool) -> None:
    assert len({app.answer(stream=stream)["id"] for _ in range(3)}) == 3


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", None])
def test_any_version_of_the_protocol_is_answered(app: MessagesApp, google: FakeGoogle, version: str | None) -> None:
    response = app.post(headers={"anthropic-version": version} if version else None, temperature=0.5)
    assert (response.status_code, ignored(response)) == (200, [])
    assert google.requests[0].body["generationConfig"]["temperature"] == 0.5


def test_stream_tells_the_tokens_of_the_request_at_once(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(text("Hel", "lo", usage=Usage(prompt=20, cached=8)))
    assert app.told().events[0]["message"]["usage"]["input_tokens"] == 12


@both
def test_limit_of_the_model_is_kept(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    app.answer(stream=stream, max_tokens=128000)
    budget = {"type": "enabled", "budget_tokens": 1024}
    app.answer(stream=stream, max_tokens=4096, model="gemini-2.5-flash", thinking=budget)
    configs = [request.body["generationConfig"] for request in google.requests]
    assert [config["maxOutputTokens"] for config in configs] == [65536, 5120]
    assert configs[1]["thinkingConfig"] == {"thinkingBudget": 1024, "includeThoughts": True}


@both
def test_few_tokens_ask_for_the_least_thinking(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    app.answer(stream=stream, max_tokens=100)
    assert google.requests[0].body["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "minimal"}
    assert ignored(app.post(max_tokens=100, model="gemini-3.1-pro-preview")) == []


@both
@pytest.mark.parametrize("thinking", [None, ADAPTIVE])
def test_answer_that_was_cut_empty_is_one(app: MessagesApp, google: FakeGoogle, stream: bool, thinking: Json) -> None:
    google.enqueue(finished("MAX_TOKENS", usage=Usage(thoughts=50)))
    message = app.answer(stream=stream, thinking=thinking)
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")
    assert message["usage"]["output_tokens_details"] == {"thinking_tokens": 50}


@both
@pytest.mark.parametrize("answer", [blocked(), finished("SAFETY", "Not that.")], ids=["prompt", "answer"])
def test_refusal_is_an_answer(app: MessagesApp, google: FakeGoogle, stream: bool, answer: Json) -> None:
    google.enqueue(answer)
    message = app.answer(stream=stream)
    assert (message["content"], message["stop_reason"]) == ([], "refusal")
    assert "SAFETY" in message["stop_details"]["explanation"]


@both
def test_json_is_asked_for_by_its_schema(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text('{"title":"Cats"}'))
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    format_ = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    assert text_of(app.answer(stream=stream, output_config={"format": format_})) == '{"title":"Cats"}'
    config = google.requests[0].body["generationConfig"]
    assert (config["responseMimeType"], config["responseJsonSchema"]["required"]) == ("application/json", ["title"])


@both
def test_search_of_the_web_is_told(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(grounded("Es hat [[18 Grad|0]] und [[regnet|0,1]]."))
    message = app.answer(stream=stream, tools=[SEARCH], tool_choice={"type": "auto"})
    assert google.requests[0].body["tools"] == [{"googleSearch": {}}]
    (found,) = blocks_of(message, "web_search_tool_result")
    assert [page["url"] for page in found["content"]] == ["https://example.com/a", "https://example.com/b"]
    (said,) = blocks_of(message, "text")
    assert [place["cited_text"] for place in said["citations"]] == ["18 Grad", "regnet", "regnet"]
    assert message["usage"]["server_tool_use"]["web_search_requests"] == 1


def test_search_is_the_same_in_a_body_and_a_stream_but_for_its_place(app: MessagesApp, google: FakeGoogle) -> None:
    google.enqueue(*[grounded("Es [[regnet|0]].", usage=Usage(prompt=5, candidates=5))] * 2)
    whole, streamed = (app.answer(stream=stream, tools=[SEARCH]) for stream in (False, True))
    assert kinds(whole["content"]) == ["server_tool_use", "web_search_tool_result", "text"]
    assert kinds(streamed["content"]) == ["text", "server_tool_use", "web_search_tool_result"]
    assert without_searches({**whole, "id": ""}) == without_searches({**streamed, "id": ""})


# Calls and thoughts.


@both
def test_call_and_its_result(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    google.enqueue(text("Let me look.") + calls(("look", {"at": "sky"})), text("Rain."))
    first = app.answer(stream=stream, tools=[LOOK])
    assert first["stop_reason"] == "tool_use"
    (call,) = blocks_of(first, "tool_use")
    assert (call["name"], call["input"]) == ("look", {"at": "sky"})
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "drops"}]}
    history = [HELLO, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    assert text_of(app.answer(stream=stream, tools=[LOOK], messages=history)) == "Rain."
    _, (role, (answered,)) = contents(google.requests[1])[-2:]
    assert (role, answered["functionResponse"]["response"]) == ("user", {"output": "drops"})


def conversation(app: MessagesApp, google: FakeGoogle, *, later: MessagesApp, **body: Json) -> Json:
    """What the model is told of its own thoughts and calls when their results come, perhaps to another agproxy."""
    google.enqueue(thoughts("Hm.") + calls(("look", {"at": "sky"}), ("look", {"at": "sea"})), text("Rain."))
    first = app.answer(stream=True, tools=[LOOK], **body)
    results = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": "drops"} for call in blocks_of(first, "tool_use")
    ]
    history = [HELLO, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    response = later.post(tools=[LOOK], messages=history, **body)
    assert (response.status_code, ignored(response)) == (200, [])
    return [part.get("thoughtSignature") for part in contents(google.requests[-1])[1][1] if "functionCall" in part]


def test_signature_comes_back_by_the_client(app: MessagesApp, google: FakeGoogle) -> None:
    signature, none = conversation(app, google, later=MessagesApp(google), thinking=ADAPTIVE)
    assert signature not in (None, "skip_thought_signature_validator")
    assert none is None


def test_signature_is_kept_where_the_client_takes_no_thoughts(app: MessagesApp, google: FakeGoogle) -> None:
    signature, _ = conversation(app, google, later=app)
    assert signature not in (None, "skip_thought_signature_validator")


def test_signature_that_is_lost_has_a_stand_in(app: MessagesApp, google: FakeGoogle) -> None:
    signature, none = conversation(app, google, later=MessagesApp(google))
    assert (signature, none) == ("skip_thought_signature_validator", None)


def test_signature_of_claude_is_not_sent_to_google(app: MessagesApp, google: FakeGoogle) -> None:
    called = [
        {"type": "thinking", "thinking": "Hm.", "signature": CLAUDES},
        {"type": "redacted_thinking", "data": CLAUDES},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}},
    ]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "drops", "is_error": True}
    history = [HELLO, {"role": "assistant", "content": called}, {"role": "user", "content": [result]}]
    response = app.post(tools=[LOOK], messages=history)
    assert ignored(response) == ["messages[].content[].signature", "messages[].content[].redacted_thinking"]
    assert CLAUDES.encode() not in google.requests[0].raw
    assert contents(google.requests[0])[-1][1][0]["functionResponse"]["response"] == {"error": "drops"}


@both
@pytest.mark.parametrize(
    ("thinking", "expected"),
    [(None, ["text"]), ({"type": "disabled"}, ["text"]), (ADAPTIVE, ["thinking", "text"])],
)
def test_thoughts_are_told_to_those_who_asked(
    app: MessagesApp, google: FakeGoogle, stream: bool, thinking: Json, expected: list[str]
) -> None:
    google.enqueue(thoughts("Hm.") + text("Rain."))
    assert kinds(app.answer(stream=stream, thinking=thinking)["content"]) == expected


def test_one_call_at_a_time(app: MessagesApp, google: FakeGoogle) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    for stream in (False, True):
        google.enqueue(calls(("look", {"at": "sky"}), ("look", {"at": "sea"})))
        (call,) = app.answer(stream=stream, tools=[LOOK], tool_choice=choice)["content"]
        assert call["input"] == {"at": "sky"}


def test_instructions_in_the_middle_are_instructions(app: MessagesApp, google: FakeGoogle) -> None:
    middle = {"role": "system", "content": [{"type": "text", "text": "# Environment"}]}
    assert app.post(system="Be kind.", messages=[HELLO, middle, HELLO]).status_code == 200
    assert google.requests[0].body["systemInstruction"]["parts"] == [{"text": "Be kind."}, {"text": "# Environment"}]
    assert contents(google.requests[0]) == [("user", [{"text": "Hi"}, {"text": "Hi"}])]


# Sessions.


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, {"metadata": {"user_id": '{"device_id":"d","session_id":"%s"}'}}),
        ({}, {"metadata": {"user_id": "user_1_account__session_%s"}}),
        ({"X-Claude-Code-Session-Id": "%s"}, {}),
    ],
)
def test_session_stays_with_its_account(google: FakeGoogle, headers: Json, body: Json) -> None:
    app = MessagesApp(google, "ab")
    for session, words in (("one", "1"), ("two", "2"), ("one", "3"), ("two", "4"), ("one", "5")):
        sent = {name: value % session for name, value in headers.items()}
        named: Json = {"metadata": {"user_id": body["metadata"]["user_id"] % session}} if body else {}
        app.post(headers=sent, messages=[{"role": "user", "content": words}], **named)
    keys = [request.key for request in google.requests]
    assert keys[0] != keys[1]
    assert keys == [keys[0], keys[1], keys[0], keys[1], keys[0]]


# What is not honoured.


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"context_management": {"edits": [{"type": "x"}]}, "cache_control": {"type": "ephemeral"}}, ...),
        ({"thinking": BUDGET, "model": "gemini-2.5-flash-image"}, ["thinking.budget_tokens", "thinking"]),
        ({"output_config": {"effort": "low"}, "model": "gemini-2.5-flash-image"}, ["output_config.effort"]),
        ({"thinking": {"type": "disabled"}, "model": "gemini-3.1-pro-preview"}, ["thinking"]),
        ({"temperature": 1, "model": "gemini-3.6-flash"}, ["temperature"]),
        ({"tools": [LOOK, SEARCH]}, ["tools[1].max_uses", "tools[1]"]),
        ({"thinking": {**ADAPTIVE, "block_binding": {"a": 1}}}, ["thinking.block_binding"]),
        ({"tools": [LOOK], "tool_choice": {"type": "auto", "colour": "red"}}, ["tool_choice.colour"]),
        # Names of OpenAI's, some of which the hub has for fields that go by other names here.
        ({"response_format": {"type": "text"}, "max_completion_tokens": 9, "reasoning_effort": "low"}, ...),
    ],
)
def test_fields_that_are_not_honoured_have_the_names_of_the_request(
    google: FakeGoogle, body: Json, names: Json
) -> None:
    found = ignored(MessagesApp(google).post(**body))
    assert found == (list(body) if names is ... else names)


# Failures.


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": []}, 400),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, 400),
        ({"max_tokens": "many"}, 400),
        ({"model": None}, 400),
        ({"stop_sequences": list("123456")}, 400),
    ],
)
def test_request_that_is_wrong_is_refused(app: MessagesApp, google: FakeGoogle, body: Json, status: int) -> None:
    for stream in (False, True):
        assert error(app.post(**body, stream=stream)) == (status, "invalid_request_error")
    assert google.requests == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'"x"'])
def test_body_that_is_no_object_is_refused(app: MessagesApp, data: bytes) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = app.ask("POST", path, data=data, headers={"Content-Type": "application/json"})
        assert error(response) == (400, "invalid_request_error")


def test_thread_is_refused_so_that_the_sdk_goes_without(app: MessagesApp) -> None:
    response = app.post(thread={"type": "create"})
    assert error(response) == (400, "invalid_request_error")
    assert response.json is not None
    assert response.json["error"]["details"] == {"error_code": "thread_unsupported_request"}


def test_unknown_model_is_not_found(app: MessagesApp) -> None:
    assert error(app.post(model="nobodys-model")) == (404, "not_found_error")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_refused(app: MessagesApp, method: str) -> None:
    assert error(app.ask(method, "/v1/messages")) == (405, "invalid_request_error")


def test_body_that_is_too_large_is_refused(google: FakeGoogle) -> None:
    app = MessagesApp(google, server=Server(max_body_bytes=1000))
    assert error(app.post(system="x" * 2000)) == (413, "request_too_large")


@pytest.mark.parametrize("name", ["Authorization", "x-api-key"])
def test_key_is_taken_from_either_header(google: FakeGoogle, name: str) -> None:
    app = MessagesApp(google, server=Server(auth_mode="strict", api_key="sk-Xq7-a-real-key"))
    assert error(app.post()) == (401, "authentication_error")
    assert error(app.post(headers={name: "Bearer sk-wrong"})) == (401, "authentication_error")
    value = "Bearer sk-Xq7-a-real-key" if name == "Authorization" else "sk-Xq7-a-real-key"
    assert app.post(headers={name: value}).status_code == 200
    assert app.post(headers={"x-api-key": "", name: value}).status_code == 200


@both
@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        (google_error(400, message="The input token count (9) exceeds the maximum."), 400, "invalid_request_error"),
        (google_error(413), 413, "request_too_large"),
        (api_key_invalid(), 502, "api_error"),
        (permission_denied(), 502, "api_error"),
        (quota_per_minute("60s"), 429, "rate_limit_error"),
        (unavailable(), 503, "api_error"),
    ],
    ids=["words", "large", "key", "forbidden", "quota", "unavailable"],
)
def test_failure_before_the_answer_has_its_status(
    app: MessagesApp, google: FakeGoogle, stream: bool, answer: Json, status: int, kind: str
) -> None:
    google.default = answer
    assert error(app.post(stream=stream)) == (status, kind)


def test_words_of_google_about_a_long_prompt_reach_the_client(app: MessagesApp, google: FakeGoogle) -> None:
    words = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    google.enqueue(google_error(400, message=words))
    response = app.post()
    assert response.json is not None
    assert response.json["error"]["message"].startswith(words)


@both
def test_quota_of_the_day_is_not_worth_a_retry(app: MessagesApp, google: FakeGoogle, stream: bool) -> None:
    google.default = quota_per_day()
    response = app.post(stream=stream)
    assert error(response) == (429, "rate_limit_error")
    assert response.headers["X-Should-Retry"] == "false"
    assert int(response.headers["Retry-After"]) > 60


def test_client_that_would_sleep_for_a_day_is_not_told_to(app: MessagesApp, google: FakeGoogle) -> None:
    google.default = quota_per_day()
    response = app.post(headers={"User-Agent": "opencode/1.18.33"})
    assert error(response) == (429, "rate_limit_error")
    assert response.headers["X-Should-Retry"] == "false"
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (cut(text("Hel", "lo"), after_events=1), "Hel"),
        (text("Hel", finish=None) + error_event(503), "Hel"),
        (text("Hel", finish=None) + finished("MALFORMED_FUNCTION_CALL"), "Hel"),
    ],
    ids=["cut", "error", "malformed"],
)
def test_stream_that_breaks_off_ends_with_an_error(
    app: MessagesApp, google: FakeGoogle, answer: Json, said: str
) -> None:
    google.default = answer
    told = app.told()
    assert told.error is not None
    assert (text_of(told.message), told.error["type"]) == (said, "api_error")


def test_pings_come_before_the_answer_and_within_it(google: FakeGoogle) -> None:
    google.enqueue(slow(text("Hel", "lo"), first_byte_s=0.3, between_s=0.3))
    told = MessagesApp(google, ping_s=0.05).told()
    assert text_of(told.message) == "Hello"
    assert told.types[:2] == ["message_start", "ping"]
    first, last = (place for place, kind in enumerate(told.types) if kind == "content_block_delta")
    assert "ping" in told.types[first:last]
    assert told.message["usage"]["input_tokens"] > 0


def test_failure_after_pings_is_told_in_the_stream(google: FakeGoogle) -> None:
    google.default = slow(google_error(400, message="No."), headers_s=0.3)
    response = MessagesApp(google, ping_s=0.05).post(stream=True)
    assert response.status_code == 200
    assert b"event: ping" in response.data
    assert (
        b'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"No.' in response.data
    )


def test_models_of_the_wire_are_those_of_the_family(app: MessagesApp, google: FakeGoogle) -> None:
    assert app.post(model=FLASH).headers["X-Mapped-Model"] == FLASH
    assert google.requests[0].model == FLASH
