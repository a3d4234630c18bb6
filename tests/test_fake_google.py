"""The fake Google as a server: routes, keys, and what can be scripted."""

import json
from collections.abc import Iterator

import pytest
import requests

from tests.fake_google import (
    Answer,
    FakeGoogle,
    RecordedRequest,
    Usage,
    api_key_invalid,
    blocked,
    calls,
    chunk,
    empty,
    error,
    error_event,
    finished,
    html,
    image,
    internal,
    no_finish,
    permission_denied,
    quota_per_day,
    quota_per_minute,
    raw,
    text,
    thoughts,
    unavailable,
)
from tests.fake_google.bodies import FLASH_3, FLASH_25, Json, ask, events, model, parts_of, talk, user
from tests.fake_google.protojson import check_response

KEY = {"x-goog-api-key": "test-key-a"}
SSE = "streamGenerateContent?alt=sse"


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(KEY)
        yield session


# -- routes, keys, queries ---------------------------------------------------------------------------------------------


def test_unary_answer_has_the_form_of_the_real_one(google: FakeGoogle, client: requests.Session) -> None:
    answer = client.post(google.method_url(), json=ask())
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    body = answer.json()
    assert body["candidates"] == [
        {
            "content": {"parts": [{"text": "Hello from fake Google"}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }
    ]
    assert body["usageMetadata"]["totalTokenCount"] == 1 + body["usageMetadata"]["candidatesTokenCount"]
    assert body["modelVersion"] == FLASH_3
    google.assert_no_refusals()


def test_an_unknown_key_is_a_400_with_error_info(google: FakeGoogle, client: requests.Session) -> None:
    answer = client.post(google.method_url(), json=ask(), headers={"x-goog-api-key": "nobody"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "API key not valid. Please pass a valid API key."
    assert answer.json()["error"]["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def test_a_missing_key_is_a_403(google: FakeGoogle) -> None:
    answer = requests.post(google.method_url(), json=ask(), timeout=5)
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
    assert answer.json()["error"]["message"].startswith("Method doesn't allow unregistered callers")


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?key=test-key-a", {}), ("", {"Authorization": "Bearer test-key-a"}), ("?access_token=x", {})],
)
def test_a_credential_elsewhere_is_refused(
    google: FakeGoogle, client: requests.Session, query: str, headers: dict[str, str]
) -> None:
    assert client.post(google.method_url() + query, json=ask(), headers=headers).status_code == 400
    with pytest.raises(AssertionError, match=r"query string|Authorization"):
        google.assert_no_refusals()


def test_an_unknown_model_is_a_404_in_google_s_words(google: FakeGoogle, client: requests.Session) -> None:
    answer = client.post(google.method_url(model="gemini-1"), json=ask())
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": 404,
        "message": "models/gemini-1 is not found for API version v1beta, or is not supported for generateContent. "
        "Call ListModels to see the list of available models and their supported methods.",
        "status": "NOT_FOUND",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models",
        f"/v1beta/{FLASH_3}:generateContent",
        f"/v1beta/models/{FLASH_3}%3AgenerateContent",
        f"//v1beta/models/{FLASH_3}:generateContent",
        f"/v1beta/models/{FLASH_3}:generate",
    ],
)
def test_an_unknown_path_is_google_s_html_404(google: FakeGoogle, client: requests.Session, path: str) -> None:
    answer = client.post(google.url + path, json=ask())
    assert answer.status_code == 404
    assert "Error 404 (Not Found)!!1" in answer.text
    assert google.refusals


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("generateContent?foo=1", "Cannot bind query parameter. Field 'foo' could not be found in request message."),
        ("generateContent?alt=sse", "alt=sse is only supported for streaming"),
        ("streamGenerateContent?alt=media", "Invalid value"),
        ("streamGenerateContent?alt=sse&pageSize=1", "pageSize"),
    ],
)
def test_an_unexpected_query_is_refused(google: FakeGoogle, client: requests.Session, target: str, words: str) -> None:
    answer = client.post(google.method_url(target), json=ask())
    assert answer.status_code == 400
    assert words in answer.text


def test_a_body_of_another_content_type_is_refused(google: FakeGoogle, client: requests.Session) -> None:
    answer = client.post(google.method_url(), data=json.dumps(ask()), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400


def test_a_request_against_the_rules_takes_no_scripted_answer(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("mine"))
    assert client.post(google.method_url(), json=talk(user())).status_code == 400
    assert google.pending == 1
    assert [str(request.refusal) for request in google.refusals] == [
        "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."
    ]


def test_models_are_listed_in_pages(google: FakeGoogle, client: requests.Session) -> None:
    names: list[str] = []
    page: Json = {"nextPageToken": ""}
    while "nextPageToken" in page:
        query = {"pageSize": "5", "pageToken": page["nextPageToken"]}
        page = client.get(f"{google.url}/v1beta/models", params=query).json()
        names += [each["name"].removeprefix("models/") for each in page["models"]]
    assert tuple(names) == google.models
    assert len(google.requests) == len(google.models) // 5 + 1
    assert client.get(f"{google.url}/v1beta/models?pageToken=x").status_code == 400
    one = client.get(f"{google.url}/v1beta/models/{FLASH_3}").json()
    assert one["inputTokenLimit"] == 1048576
    assert client.get(f"{google.url}/v1beta/models/none").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ask(), 200),
        ({"generateContentRequest": {"model": f"models/{FLASH_3}", **ask()}}, 200),
        ({"generateContentRequest": ask()}, 400),
        ({"generateContentRequest": {"model": f"models/{FLASH_3}", **ask()}, **ask()}, 400),
        (ask(systemInstruction=user("a")), 400),
        (talk(user("a"), model("b")), 200),
    ],
)
def test_tokens_are_counted(google: FakeGoogle, client: requests.Session, body: Json, status: int) -> None:
    answer = client.post(google.method_url("countTokens"), json=body)
    assert answer.status_code == status
    assert status != 200 or answer.json()["totalTokens"] == 1


# -- answers -----------------------------------------------------------------------------------------------------------


def test_sse_has_crlf_line_ends_and_running_usage(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("Hel", "lo ", "you", usage=Usage(prompt=20, candidates=9, thoughts=5, cached=8, tool_use=2)))
    answer = client.post(google.method_url(SSE), json=ask())
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.content.count(b"\r\n\r\n") == answer.content.count(b"data: ") == 3
    assert answer.content.endswith(b"}\r\n\r\n")
    found = events(answer.content)
    assert ["".join(each["text"] for each in parts_of(event)) for event in found] == ["Hel", "lo ", "you"]
    assert [event["candidates"][0].get("finishReason") for event in found] == [None, None, "STOP"]
    assert [event["usageMetadata"]["candidatesTokenCount"] for event in found] == [1, 2, 9]
    usage = found[-1]["usageMetadata"]
    assert usage["totalTokenCount"] == 20 + 9 + 5 + 2
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"], usage["thoughtsTokenCount"]) == (20, 8, 5)
    assert len({event["responseId"] for event in found}) == 1


def test_stream_without_sse_is_a_json_array(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("a", "b"), unavailable())
    answer = client.post(google.method_url("streamGenerateContent"), json=ask())
    assert [parts_of(event) for event in answer.json()] == [[{"text": "a"}], [{"text": "b"}]]
    assert client.post(google.method_url("streamGenerateContent"), json=ask()).json()[0]["error"]["code"] == 503


def test_unary_folds_what_the_stream_sends(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(thoughts("hm", "m") + text("Hel", "lo", sign=True) + calls(("f", {"a": 1}), ("f", {"a": 1})))
    body = client.post(google.method_url(), json=ask()).json()
    found = parts_of(body)
    assert [sorted(each) for each in found] == [
        ["text", "thought"],
        ["text", "thoughtSignature"],
        ["functionCall", "thoughtSignature"],
        ["functionCall"],
    ]
    assert (found[0]["text"], found[1]["text"]) == ("hmm", "Hello")
    assert body["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(("name", "newer"), [(FLASH_3, True), ("gemini-pro-latest", True), (FLASH_25, False)])
def test_calls_have_ids_and_a_first_signature_from_family_3_on(
    google: FakeGoogle, client: requests.Session, name: str, newer: bool
) -> None:
    google.enqueue(calls(("f", {}), ("g", {}), split=True))
    found = [
        each
        for event in events(client.post(google.method_url(SSE, name), json=ask()).content)
        for each in parts_of(event)
    ]
    assert [("id" in each["functionCall"], "thoughtSignature" in each) for each in found] == [
        (newer, newer),
        (newer, False),
    ]


def test_ids_and_signatures_can_be_chosen(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(calls(("f", {}), ("g", {}), ids=["x", "y"], sign=[False, "c2ln"], tail=True))
    first, last = events(client.post(google.method_url(SSE, FLASH_25), json=ask()).content)
    assert parts_of(first) == [
        {"functionCall": {"id": "x", "name": "f", "args": {}}},
        {"functionCall": {"id": "y", "name": "g", "args": {}}, "thoughtSignature": "c2ln"},
    ]
    assert parts_of(last) == [{"text": ""}]
    assert [event["candidates"][0].get("finishReason") for event in (first, last)] == [None, "STOP"]


def test_a_call_and_its_result_go_round(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(calls(("f", {"a": 1}), ("f", {"a": 1})), text("done"))
    content = client.post(google.method_url(), json=ask()).json()["candidates"][0]["content"]
    results = [
        {"functionResponse": {"id": each["functionCall"]["id"], "name": "f", "response": {"output": "x"}}}
        for each in content["parts"]
    ]
    body = client.post(google.method_url(), json=talk(user("hi"), content, user(*results))).json()
    assert parts_of(body) == [{"text": "done"}]
    assert [each["response"] for each in google.requests[1].results] == [{"output": "x"}] * 2
    assert google.requests[1].dummies == ()
    del content["parts"][0]["thoughtSignature"]
    assert client.post(google.method_url(), json=talk(user("hi"), content, user(*results))).status_code == 400


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (blocked("SAFETY"), [{"promptFeedback": {"blockReason": "SAFETY"}}]),
        (finished("MALFORMED_FUNCTION_CALL", "print(f())"), [{"finishReason": "MALFORMED_FUNCTION_CALL"}]),
        (no_finish("a"), [{"text": "a"}]),
        (empty("no_parts"), [{"content": {}, "finishReason": "STOP"}]),
        (empty("no_candidates"), [{}]),
        (empty("no_events"), []),
        (thoughts("a"), [{"thought": True, "finishReason": "STOP"}]),
        (text("a", finish=None) + error_event(503, message="gone"), [{"text": "a"}, {"error": "gone"}]),
        (chunk({"text": "a"}, {"text": "b"}) + finished("MAX_TOKENS"), [{"text": "a"}, {"finishReason": "MAX_TOKENS"}]),
    ],
)
def test_strange_answers_can_be_scripted(
    google: FakeGoogle, client: requests.Session, answer: Answer, expected: list[Json]
) -> None:
    google.enqueue(answer)
    found = events(client.post(google.method_url(SSE), json=ask()).content)
    assert len(found) == len(expected)
    for event, fields in zip(found, expected, strict=True):
        for name, value in fields.items():
            assert f'"{name}": {json.dumps(value)}' in json.dumps(event) or value in str(event[name])
        assert ("finishReason" in fields) == ("finishReason" in str(event))


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (quota_per_minute("9s"), 429, '"retryDelay": "9s"'),
        (quota_per_day(wrapped=True), 429, "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        (api_key_invalid(), 400, "API_KEY_INVALID"),
        (permission_denied("no"), 403, '"message": "no"'),
        (internal(), 500, "INTERNAL"),
        (html(502), 502, "<!DOCTYPE html>"),
        (error(418, "TEAPOT", "short", headers=(("Retry-After", "5"),)), 418, "TEAPOT"),
        (raw(b"data: {", content_type="text/plain"), 200, "data: {"),
    ],
)
def test_errors_can_be_scripted(
    google: FakeGoogle, client: requests.Session, answer: Answer, status: int, words: str
) -> None:
    google.enqueue(answer)
    got = client.post(google.method_url(SSE), json=ask())
    assert got.status_code == status
    assert words in got.text
    assert google.requests[0].outcome == status
    google.assert_no_refusals()


def test_answers_go_to_whom_they_are_for(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("b"), key="test-key-b")
    google.enqueue(text("pro"), model="gemini-2.5-pro")
    google.enqueue(unavailable(), method="countTokens")
    google.enqueue(text("1"), text("2"))
    assert "1" in client.post(google.method_url(), json=ask()).text
    assert "pro" in client.post(google.method_url(model="gemini-2.5-pro"), json=ask()).text
    assert '"b"' in client.post(google.method_url(), json=ask(), headers={"x-goog-api-key": "test-key-b"}).text
    assert client.post(google.method_url("countTokens"), json=ask()).status_code == 503
    assert client.post(google.method_url("countTokens"), json=ask()).status_code == 200
    assert '"2"' in client.post(google.method_url(), json=ask()).text
    assert "Hello from fake Google" in client.post(google.method_url(), json=ask()).text


@pytest.mark.parametrize(
    "answer",
    [
        thoughts("a") + text("b", sign=True, usage=Usage(cached=1, thoughts=2)) + calls(("f", {"a": [1]})),
        blocked("OTHER"),
        image("aGk="),
        text("a", candidate={"citationMetadata": {"citationSources": [{"uri": "https://example.com"}]}}),
    ],
)
def test_answers_are_of_google_s_own_message(google: FakeGoogle, client: requests.Session, answer: Answer) -> None:
    google.enqueue(answer, answer)
    bodies = [client.post(google.method_url(), json=ask()).content]
    bodies += [json.dumps(event).encode() for event in events(client.post(google.method_url(SSE), json=ask()).content)]
    for body in bodies:
        check_response(body)


def test_an_answer_can_depend_on_the_request(google: FakeGoogle, client: requests.Session) -> None:
    google.default = lambda request: text(request.last_user_text.upper())
    assert '"AB"' in client.post(google.method_url(), json=talk(user("x"), model("y"), user("a", "b"))).text


def test_a_failing_script_is_reported(google: FakeGoogle, client: requests.Session) -> None:
    def broken(_: RecordedRequest) -> Answer:
        raise KeyError("mine")

    google.enqueue(broken)
    assert client.post(google.method_url(), json=ask()).status_code == 500
    with pytest.raises(AssertionError, match="the script failed: KeyError"):
        google.assert_no_refusals()
