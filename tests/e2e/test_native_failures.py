"""Gemini's own protocol when something is wrong: errors in Google's shape, other attempts, repairs, conversations."""

import json
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_native_wire import (
    ARRAY,
    GENERATE,
    HELLO,
    MODEL,
    STREAM,
    WAYS,
    events,
    post,
    question,
    texts,
)
from tests.e2e.test_pool import keys
from tests.fake_google import (
    FakeGoogle,
    blocked,
    calls,
    cut,
    empty,
    error,
    error_event,
    finished,
    hang_up,
    internal,
    no_finish,
    quota_per_day,
    quota_per_minute,
    slow,
    text,
    thoughts,
    unavailable,
)

SIGNING = "gemini-3-flash-preview"
TWO_WAYS = pytest.mark.parametrize("path", [GENERATE, STREAM], ids=["whole", "streamed"])
STREAMS = pytest.mark.parametrize("path", [STREAM, ARRAY], ids=["streamed", "array"])


@pytest.fixture(autouse=True)
def _native(google: FakeGoogle) -> None:
    """The bodies are a client's own."""
    google.native = True


def assert_error(response: requests.Response, code: int, status: str) -> str:
    """It is an error in Google's shape; returns its words."""
    assert response.status_code == code
    assert response.headers["Content-Type"].startswith("application/json")
    told = response.json()["error"]
    assert (told["code"], told["status"]) == (code, status)
    assert told["message"]
    return str(told["message"])


# Errors.


@WAYS
@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'"Hi"', b"\xff", b"[" * 100_000], ids=lambda sent: repr(sent[:4]))
def test_what_is_no_json_object_is_refused(agproxy: Agproxy, google: FakeGoogle, path: str, sent: bytes) -> None:
    assert_error(post(agproxy, path, data=sent), 400, "INVALID_ARGUMENT")
    assert google.requests == []


@WAYS
def test_models_that_nobody_knows(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    assert "no-such-model" in assert_error(post(agproxy, path.replace(MODEL, "no-such-model")), 404, "NOT_FOUND")
    assert_error(post(agproxy, path.replace(MODEL, "a%20b")), 400, "INVALID_ARGUMENT")
    assert not [request for request in google.requests if request.verb == "POST"]


def test_a_wrong_key(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nauth_mode = strict\napi_key = agp-a-key-for-tests\n")
    for path in (GENERATE, f"{STREAM}&key=wrong"):
        assert "key" in assert_error(post(agproxy, path, x_goog_api_key="wrong"), 401, "UNAUTHENTICATED")
    assert google.requests == []


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1beta/files"),
        ("POST", "/upload/v1beta/files"),
        ("POST", "/v1beta/cachedContents"),
        ("GET", "/v1/batches"),
        ("POST", "/v1beta/interactions"),
        ("GET", "/v1beta/tunedModels"),
        ("POST", "/v1beta/tunedModels/mine:generateContent"),
        ("POST", f"/v1beta/models/{MODEL}:predict"),
        ("POST", f"/v1beta/models/{MODEL}:batchGenerateContent"),
        ("GET", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"),
    ],
)
def test_what_agproxy_does_not_have(agproxy: Agproxy, google: FakeGoogle, verb: str, path: str) -> None:
    headers = {"x-goog-api-key": "unused", "Content-Type": "application/json"}
    response = requests.request(verb, agproxy.url + path, data=b"{}", headers=headers, timeout=30)
    assert "agproxy does not" in assert_error(response, 404, "NOT_FOUND")
    assert google.requests == []


def test_a_method_wants_a_post(agproxy: Agproxy, google: FakeGoogle) -> None:
    assert "takes POST, not GET" in assert_error(agproxy.get(GENERATE), 405, "INVALID_ARGUMENT")
    assert google.requests == []


@TWO_WAYS
def test_googles_details_are_handed_on(serve: Serve, google: FakeGoogle, path: str) -> None:
    agproxy = serve("a", ini="[scheduling]\nmax_wait_s = 0")
    google.enqueue(quota_per_day())
    told = post(agproxy, path)
    assert_error(told, 429, "RESOURCE_EXHAUSTED")
    assert told.json()["error"]["details"] == google.requests[0].sent["error"]["details"]
    known = post(agproxy, path)
    assert "all accounts rest" in assert_error(known, 429, "RESOURCE_EXHAUSTED")
    (delay,) = known.json()["error"]["details"]
    assert delay["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
    assert float(delay["retryDelay"].removesuffix("s")) > 60  # longer than any client waits
    assert len(google.requests) == 1


# Failures.


@TWO_WAYS
@pytest.mark.parametrize(
    ("failure", "tried"),
    [
        (quota_per_minute("30s"), "ab"),
        (quota_per_day(), "ab"),
        (unavailable(), "ab"),
        (internal(), "aa"),
        (hang_up("rst"), "aa"),
        (cut(text("lost"), after_events=0, mid_event=True), "aa"),
        (empty(), "aa"),
        (empty("no_candidates"), "aa"),
        (finished("MALFORMED_FUNCTION_CALL"), "aa"),
    ],
    ids=["429", "429 day", "503", "500", "reset", "cut", "empty", "no candidates", "malformed"],
)
def test_failure_before_the_first_words_leads_on(
    serve: Serve, google: FakeGoogle, failure: Any, tried: str, path: str
) -> None:
    google.enqueue(failure, text("Sa", "ved"))
    response = post(serve("a", "b"), path)
    assert texts(response).endswith("Saved")
    assert keys(google) == list(tried)
    assert {request.raw for request in google.requests} == {json.dumps(HELLO).encode()}


def test_thoughts_alone_are_no_answer_unless_they_were_told(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm."), text("Saved"), thoughts("Hm."))
    assert texts(post(agproxy, GENERATE)) == "Saved"
    assert texts(post(agproxy, STREAM)) == "Hm."
    assert len(google.requests) == 3


@WAYS
@pytest.mark.parametrize("kind", ["no_parts", "empty_text", "no_candidates"])
def test_an_answer_that_stays_empty_is_an_error(agproxy: Agproxy, google: FakeGoogle, path: str, kind: Any) -> None:
    google.default = empty(kind)
    assert "Gemini's answer" in assert_error(post(agproxy, path), 502, "UNAVAILABLE")
    assert len(google.requests) == 2


def test_an_answer_without_an_end_is_an_error(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.default = no_finish("Half")
    assert "ended before it was finished" in assert_error(post(agproxy, GENERATE), 502, "UNAVAILABLE")
    assert len(google.requests) == 2


@WAYS
def test_a_blocked_prompt_is_relayed_at_once(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    google.enqueue(blocked("PROHIBITED_CONTENT"))
    (told,) = events(post(agproxy, path))
    assert told["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert len(google.requests) == 1


@STREAMS
@pytest.mark.parametrize(
    "answer",
    [
        cut(text("one ", "two ", "three"), after_events=1, how="rst"),
        cut(text("one ", "two ", "three"), after_events=1, mid_event=True),
        no_finish("one "),
        cut(text("one ", "two"), after_events=1, how="silence"),
    ],
    ids=["reset", "in an event", "no finish", "silence"],
)
def test_a_break_in_the_stream_is_told_in_it(serve: Serve, google: FakeGoogle, answer: Any, path: str) -> None:
    google.enqueue(answer)
    response = post(serve("a", ini="[upstream]\nping_s = 0.4\nsilence_timeout_s = 1\n"), path)
    *told, last = events(response)
    assert told == google.requests[0].sent[: len(told)]
    assert len(told) == 1
    assert {"code", "message", "status"} <= set(last["error"])
    assert len(google.requests) == 1


def test_an_error_event_of_google_is_relayed(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("one ", finish=None) + error_event(503, message="The model is overloaded."))
    assert events(post(agproxy, STREAM)) == google.requests[0].sent


def test_a_failure_after_the_grace_is_told_in_the_stream(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[upstream]\nping_s = 0.3\nmax_attempts = 1\n")
    google.default = slow(error(503, message="High demand"), headers_s=1.0)
    for path in (STREAM, ARRAY):
        response = post(agproxy, path)
        assert response.status_code == 200
        (told,) = events(response)
        assert (told["error"]["status"], told["error"]["message"]) == ("UNAVAILABLE", "High demand")


# Repairs.


def refused(google: FakeGoogle) -> list[bool]:
    """Which requests the fake has refused, as it should; the others were good."""
    found = [request.refusal is not None for request in google.requests]
    for request in google.requests:
        request.refusal = None
    return found


@TWO_WAYS
def test_schema_keywords_that_google_refuses_are_left_out(serve: Serve, google: FakeGoogle, path: str) -> None:
    agproxy = serve("a")
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    odd = {**schema, "$schema": "https://json-schema.org/draft-07/schema#", "additionalProperties": False}
    for _ in range(2):  # the second is mended before it is sent
        function = {"name": "f", "description": "A function.", "parameters": odd}
        response = post(agproxy, path, {**HELLO, "tools": [{"functionDeclarations": [function]}]})
        assert texts(response)
        ignored = sorted(response.headers["X-Agproxy-Ignored"].split(", "))
        assert ignored == ["f.parameters._schema", "f.parameters.additionalProperties"]
    assert refused(google) == [True, False, False]
    declared = [request.body["tools"][0]["functionDeclarations"][0] for request in google.requests]
    assert [each["parameters"] for each in declared] == [odd, schema, schema]


@TWO_WAYS
def test_settings_that_another_model_refuses_are_left_out(serve: Serve, google: FakeGoogle, path: str) -> None:
    agproxy = serve("a", ini=f"[models]\ngemini-3.8-flash = {MODEL}\n")
    body = {**HELLO, "generationConfig": {"presencePenalty": 1, "temperature": 0.5}}
    for _ in range(2):  # the second is mended before it is sent
        response = post(agproxy, path.replace(MODEL, "gemini-3.8-flash"), body)
        assert texts(response)
        assert response.headers["X-Agproxy-Ignored"] == "generationConfig.presencePenalty"
        assert google.requests[-1].body == {**HELLO, "generationConfig": {"temperature": 0.5}}
    assert "Penalty" in assert_error(post(agproxy, path, body), 400, "INVALID_ARGUMENT")  # asked for by name
    assert refused(google) == [True, False, False, True]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, {"thinkingBudget": 24576, "includeThoughts": True}),
        ({"thinkingLevel": "LOW"}, {"thinkingBudget": 1024}),
        ({"thinking_level": "LOW", "include_thoughts": False}, {"thinkingBudget": 1024}),
    ],
    ids=["with thoughts", "without", "snake case"],
)
def test_thinking_is_told_to_another_family_in_its_words(
    serve: Serve, google: FakeGoogle, asked: dict[str, Any], told: dict[str, Any]
) -> None:
    agproxy = serve("a", ini=f"[models]\ngemini-3.8-flash = {MODEL}\n")
    body = {**HELLO, "generationConfig": {"thinkingConfig": asked}}
    assert texts(post(agproxy, GENERATE.replace(MODEL, "gemini-3.8-flash"), body))
    (request,) = google.requests
    sent = request.canonical["generation_config"]["thinking_config"]
    assert sent["thinking_budget"] == told["thinkingBudget"]
    assert sent.get("include_thoughts", False) == told.get("includeThoughts", False)


# Conversations.


@TWO_WAYS
def test_a_conversation_keeps_its_account(serve: Serve, google: FakeGoogle, path: str) -> None:
    google.ledger.bind_to_project = True
    agproxy = serve("a", "b")
    path = path.replace(MODEL, SIGNING)
    histories = [question("one")["contents"], question("two")["contents"]]
    google.default = calls(("f", {"x": 1}))
    for _ in range(3):
        for contents in histories:
            told = events(post(agproxy, path, {"contents": contents}))
            call = told[0]["candidates"][0]["content"]
            result = {"id": call["parts"][0]["functionCall"]["id"], "name": "f", "response": {"output": "1"}}
            contents += [call, {"role": "user", "parts": [{"functionResponse": result}]}]
    google.ledger.bind_to_project = False
    assert keys(google) == ["a", "b"] * 3
    assert not [request.dummies for request in google.requests if request.dummies]


@TWO_WAYS
def test_a_conversation_that_must_change_its_account_goes_on(serve: Serve, google: FakeGoogle, path: str) -> None:
    google.ledger.bind_to_project = True
    agproxy = serve("a", "b")
    path = path.replace(MODEL, SIGNING)
    google.enqueue(calls(("f", {"x": 1})), quota_per_minute("60s", model=SIGNING), text("Saved"))
    contents = question("one")["contents"]
    call = events(post(agproxy, path, {"contents": contents}))[0]["candidates"][0]["content"]
    result = {"id": call["parts"][0]["functionCall"]["id"], "name": "f", "response": {"output": "1"}}
    contents += [call, {"role": "user", "parts": [{"functionResponse": result}]}]
    assert texts(post(agproxy, path, {"contents": contents})) == "Saved"
    google.ledger.bind_to_project = False
    assert keys(google) == ["a", "a", "b", "b"]
    assert refused(google) == [False, False, True, False]  # the signature is of another project
    assert google.requests[3].dummies
