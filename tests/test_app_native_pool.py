"""What agproxy does for a client of Gemini's own API beside passing on: accounts, another try, repairs, and errors."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agproxy.config import Upstream
from tests.fake_google import (
    Answer,
    FakeGoogle,
    api_key_invalid,
    calls,
    capacity_exhausted,
    cut,
    empty,
    error,
    error_event,
    finished,
    hang_up,
    html,
    internal,
    model_retired,
    no_finish,
    quota_per_day,
    quota_per_minute,
    raw,
    slow,
    text,
    thoughts,
    unavailable,
)
from tests.native_app import (
    ARRAY,
    CONTENTS,
    HELLO,
    OLDER,
    SIGNING,
    STREAM,
    WHOLE,
    Json,
    NativeApp,
    answers,
    error_of,
    text_of,
    ways,
)

LIKE = "AIza" + "k" * 35  # like one of Google's keys
streams = pytest.mark.parametrize("path", [STREAM, ARRAY], ids=["streamed", "array"])


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(native=True) as google:
        yield google
        google.assert_no_refusals()


def keys(google: FakeGoogle) -> str:
    """The letters of the accounts that asked."""
    return "".join((request.key or "?")[-1] for request in google.requests)


# Another try.


@ways
@pytest.mark.parametrize(
    ("failure", "tried"),
    [
        (quota_per_minute("30s"), "ab"),
        (quota_per_day(), "ab"),
        (capacity_exhausted(), "ab"),
        (api_key_invalid(), "ab"),
        (unavailable(), "ab"),
        (internal(), "aa"),
        (html(), "aa"),
        (hang_up("rst"), "aa"),
        (cut(text("lost"), after_events=0, mid_event=True), "aa"),
        (empty("no_parts"), "aa"),
        (empty("no_candidates"), "aa"),
        (empty("empty_text"), "aa"),
        (finished("MALFORMED_FUNCTION_CALL"), "aa"),
    ],
)
def test_failure_before_the_first_words_leads_to_another_try(
    google: FakeGoogle, failure: Answer, tried: str, path: str
) -> None:
    google.enqueue(failure, text("Sa", "ved"))
    assert text_of(NativeApp(google, "ab").post(path)) == "Saved"
    assert keys(google) == tried
    assert len({request.raw for request in google.requests}) == 1


@ways
@pytest.mark.parametrize("kind", ["no_parts", "no_candidates", "empty_text"])
def test_answer_that_stays_empty_is_no_success(google: FakeGoogle, kind: Any, path: str) -> None:
    google.default = empty(kind)
    assert error_of(NativeApp(google).post(path))["code"] == 502
    assert len(google.requests) == 2


@ways
def test_second_answer_with_a_malformed_call_is_relayed_as_it_is(google: FakeGoogle, path: str) -> None:
    google.default = finished("MALFORMED_FUNCTION_CALL", "Bad call")
    response = NativeApp(google).post(path)
    first, second = google.requests
    assert answers(response) == (second.sent if isinstance(second.sent, list) else [second.sent])
    assert (
        answers(response)[-1]["responseId"]
        != (first.sent if isinstance(first.sent, dict) else first.sent[0])["responseId"]
    )
    if path != ARRAY:
        assert response.data == second.sent_raw


@ways
@pytest.mark.parametrize(("attempts", "before"), [(1, ()), (3, (unavailable(), unavailable()))])
def test_answer_without_content_is_relayed_when_there_is_no_other_try(
    google: FakeGoogle, path: str, attempts: int, before: tuple[Answer, ...]
) -> None:
    google.enqueue(*before, finished("MALFORMED_FUNCTION_CALL"))
    response = NativeApp(google, "ab", upstream=Upstream(max_attempts=attempts)).post(path)
    assert answers(response)[-1]["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert len(google.requests) == attempts


def test_thoughts_alone_are_asked_for_again_where_nobody_has_seen_them(google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm."), text("Saved"))
    assert text_of(NativeApp(google).post(WHOLE)) == "Saved"
    google.enqueue(thoughts("Hm."))
    assert text_of(NativeApp(google).post(STREAM)) == "Hm."
    assert len(google.requests) == 3


@pytest.mark.parametrize(
    ("path", "body", "right"),
    [
        (f"/v1beta/models/{OLDER}:countTokens", HELLO, "totalTokens"),
        (
            "/v1beta/models/gemini-embedding-001:embedContent",
            {"content": {"parts": [{"text": "Hi"}]}},
            "embedding",
        ),
    ],
)
def test_counts_and_embeddings_are_tried_again_too(google: FakeGoogle, path: str, body: Json, right: str) -> None:
    method = path.rpartition(":")[2]
    broken = raw(b'{"tot', content_type="application/json")
    google.enqueue(quota_per_minute("30s"), internal(), broken, method=method)
    response = NativeApp(google, "abc").post(path, body)
    assert response.status_code == 502  # three attempts, and no more
    assert keys(google) == "abb"
    assert right in (NativeApp(google).post(path, body).json or {})


def test_quota_of_counts_is_not_that_of_answers(google: FakeGoogle) -> None:
    app = NativeApp(google)
    google.enqueue(quota_per_minute("30s"), method="countTokens")
    assert error_of(app.post(f"/v1beta/models/{OLDER}:countTokens"))["code"] == 429
    assert text_of(app.post(WHOLE)) == "Hello from fake Google"


@streams
def test_break_after_the_first_words_is_told_in_the_stream(google: FakeGoogle, path: str) -> None:
    google.enqueue(cut(text("one ", "two"), after_events=1), no_finish("one "))
    app = NativeApp(google, "ab")
    for sent in range(2):
        first, last = answers(app.post(path))
        assert first == google.requests[sent].sent[0]
        assert set(last) == {"error"}
        assert (last["error"]["code"], last["error"]["status"]) == (502, "UNAVAILABLE")
    assert keys(google) in ("aa", "bb")


@streams
def test_break_before_all_answers_have_ended_is_told_in_the_stream(google: FakeGoogle, path: str) -> None:
    first = {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    wire = b"data: " + json.dumps(first).encode() + b"\r\n\r\n"
    google.enqueue(cut(raw(wire, b"data: lost"), after_events=1, how="rst"))
    response = NativeApp(google).post(path, {**HELLO, "generation_config": {"candidate_count": 2}})
    told, last = answers(response)
    assert (told, last["error"]["status"]) == (first, "UNAVAILABLE")


@streams
def test_googles_own_error_in_the_stream_is_told_in_it(google: FakeGoogle, path: str) -> None:
    google.enqueue(text("one ", finish=None) + error_event(503, message="The model is overloaded."))
    response = NativeApp(google).post(path)
    assert answers(response) == google.requests[0].sent
    if path == STREAM:
        assert response.text.split("\r\n")[-3].startswith('data: {"error":{"code":503,')


@streams
def test_error_after_the_grace_is_told_in_the_stream(google: FakeGoogle, path: str) -> None:
    google.enqueue(slow(error(503, message="High demand"), headers_s=0.5))
    upstream = Upstream(ping_s=0.1, max_attempts=1)
    response = NativeApp(google, upstream=upstream).post(path)
    (told,) = answers(response)
    assert told["error"] == {"code": 503, "message": "High demand", "status": "UNAVAILABLE"}
    assert response.data.startswith(b"\r\n" if path == STREAM else b"[\r\n")


@streams
def test_pings_are_blank(google: FakeGoogle, path: str) -> None:
    google.enqueue(slow(text("one ", "two"), first_byte_s=0.4, between_s=0.4))
    response = NativeApp(google, upstream=Upstream(ping_s=0.1)).post(path)
    assert answers(response) == google.requests[0].sent
    framing = 4 if path == STREAM else 1  # line ends that are there without pings
    assert response.data.count(b"\r\n") >= framing + 4
    assert b": ping" not in response.data


# Errors.


@ways
@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (error(400, message="Bad thing"), 400, "INVALID_ARGUMENT"),
        (error(400, "FAILED_PRECONDITION", "Region"), 400, "FAILED_PRECONDITION"),
        (error(413, "INVALID_ARGUMENT", "Too much"), 413, "INVALID_ARGUMENT"),
        (model_retired(), 404, "NOT_FOUND"),
        (error(400, message="Bad", wrapped=True), 400, "INVALID_ARGUMENT"),
    ],
)
def test_error_of_the_request_is_handed_on(
    google: FakeGoogle, path: str, answer: Answer, code: int, status: str
) -> None:
    google.enqueue(answer)
    found = error_of(NativeApp(google, "ab").post(path))
    assert (found["code"], found["status"]) == (code, status)
    told = google.requests[0].sent
    assert found["message"] == (told[0] if isinstance(told, list) else told)["error"]["message"]
    assert len([request for request in google.requests if request.verb == "POST"]) == 1


@ways
def test_googles_details_of_a_daily_quota_are_handed_on(google: FakeGoogle, path: str) -> None:
    google.enqueue(quota_per_day("38.2s"))
    app = NativeApp(google)
    response = app.post(path)
    found = error_of(response)
    assert (found["code"], found["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert found["details"] == google.requests[0].sent["error"]["details"]
    assert any(
        "PerDay" in violation["quotaId"] for detail in found["details"] for violation in detail.get("violations", ())
    )
    assert float(response.headers["Retry-After"]) > 60
    assert response.headers["X-Should-Retry"] == "false"
    again = error_of(app.post(path))
    assert (again["code"], len(google.requests)) == (429, 1)


@ways
def test_time_to_wait_is_told_where_google_is_not_asked(google: FakeGoogle, path: str) -> None:
    google.enqueue(quota_per_minute("30s"))
    app = NativeApp(google)
    error_of(app.post(path))
    response = app.post(path)
    found = error_of(response)
    delays = [each["retryDelay"] for each in found["details"] if each["@type"].endswith("google.rpc.RetryInfo")]
    assert 25 < float(delays[0].rstrip("s")) <= 30
    assert 25 < float(response.headers["Retry-After"]) <= 30
    assert len(google.requests) == 1


@ways
def test_keys_in_googles_words_and_details_are_hidden(google: FakeGoogle, path: str) -> None:
    leaks = [{"@type": "x", "metadata": {"consumer": f"api_key:{key}", key: [key]}} for key in (LIKE, "test-key-a")]
    google.enqueue(error(400, message=f"Consumer 'api_key:{LIKE}' and test-key-a", details=leaks))
    response = NativeApp(google).post(path)
    assert error_of(response)["details"][1] == {
        "@type": "x",
        "metadata": {"consumer": "api_key:[redacted]", "[redacted]": ["[redacted]"]},
    }
    assert LIKE not in response.text
    assert "test-key-a" not in response.text


@ways
def test_failure_of_the_pools_own_key_is_not_the_clients(google: FakeGoogle, path: str) -> None:
    google.enqueue(api_key_invalid())
    response = NativeApp(google).post(path)
    found = error_of(response)
    assert (found["code"], found["status"]) == (502, "UNAVAILABLE")
    assert response.headers["X-Should-Retry"] == "false"


# Repairs.


def conversation(
    *, call: str = "functionCall", mark: str = "thoughtSignature", signature: str = "Zm9yZWlnbg=="
) -> Json:
    """A turn that is under way, with a signature that nobody has given out."""
    response = {"functionCall": "functionResponse", "function_call": "function_response"}[call]
    return {
        "contents": [
            *CONTENTS,
            {"role": "model", "parts": [{call: {"name": "f", "args": {}, "id": "1"}, mark: signature}]},
            {"role": "user", "parts": [{response: {"name": "f", "response": {"output": "1"}, "id": "1"}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d"}]}],
    }


def mended(google: FakeGoogle) -> Any:
    """The body that was sent after a refusal, which is no fault of the test."""
    refused, *_, last = google.requests
    assert refused.refusal is not None
    refused.refusal = None
    return last.body


@ways
@pytest.mark.parametrize(
    ("call", "mark"), [("functionCall", "thoughtSignature"), ("function_call", "thought_signature")]
)
def test_refused_signature_gives_way_to_the_dummy(google: FakeGoogle, path: str, call: str, mark: str) -> None:
    body = conversation(call=call, mark=mark)
    app = NativeApp(google, upstream=Upstream(max_attempts=1))  # a repair is no attempt
    assert text_of(app.post(path.replace(OLDER, SIGNING), body)) == "Hello from fake Google"
    assert len(google.requests) == 2
    last = mended(google)
    (part,) = last["contents"][1]["parts"]
    assert part == {call: body["contents"][1]["parts"][0][call], "thoughtSignature": "skip_thought_signature_validator"}
    assert {**last, "contents": 0} == {**body, "contents": 0}
    assert (last["contents"][0], last["contents"][2]) == (body["contents"][0], body["contents"][2])


@ways
def test_signature_that_stays_refused_is_googles_word(google: FakeGoogle, path: str) -> None:
    google.default = error(400, message="Thought signature is not valid.")
    assert error_of(NativeApp(google).post(path))["message"] == "Thought signature is not valid."
    assert len(google.requests) == 2


def unknown(keyword: str, place: str) -> Answer:
    return error(
        400, message=f"Invalid JSON payload received. Unknown name \"{keyword}\" at '{place}': Cannot find field."
    )


@ways
@pytest.mark.parametrize("holder", ["functionDeclarations", "function_declarations"])
def test_refused_keyword_is_dropped_and_remembered(google: FakeGoogle, path: str, holder: str) -> None:
    word = {"type": "string"}
    functions: Json = [{"name": name, "description": "d"} for name in "ef"]
    functions[1]["parameters"] = {"type": "object", "properties": {"contains": word}, "contains": word}
    body = {**HELLO, "tools": [{holder: functions}]}
    app = NativeApp(google)
    response = app.post(path, body)
    assert text_of(response) == "Hello from fake Google"
    assert response.headers["X-Agproxy-Ignored"] == "f.parameters.contains"
    told = mended(google)
    assert told["tools"][0][holder][0] == functions[0]
    assert told["tools"][0][holder][1]["parameters"] == {"type": "object", "properties": {"contains": word}}
    google.requests.clear()
    app.post(path, body)
    assert [request.body for request in google.requests] == [told]


@ways
@pytest.mark.parametrize("holder", ["functionDeclarations", "function_declarations"])
def test_refused_keyword_of_two_holders_is_dropped_where_it_stands(
    google: FakeGoogle, path: str, holder: str, caplog: pytest.LogCaptureFixture
) -> None:
    word = {"type": "string"}
    good: Json = {"type": "object", "properties": {"contains": word}}
    functions: Json = [{"name": name, "description": "d"} for name in "efgh"]
    functions[3]["parameters"] = {**good, "contains": word}
    body = {**HELLO, "tools": [{holder: functions[:1]}, {holder: functions[1:]}]}
    app = NativeApp(google)
    with caplog.at_level(logging.INFO):
        response = app.post(path, body)
    assert text_of(response) == "Hello from fake Google"
    assert response.headers["X-Agproxy-Ignored"] == "h.parameters.contains"
    assert f"request mended model={OLDER} without=contains in the schema of h" in caplog.messages
    told = mended(google)
    assert told["tools"] == [{holder: functions[:1]}, {holder: [*functions[1:3], {**functions[3], "parameters": good}]}]
    google.requests.clear()
    app.post(path, body)
    assert [request.body for request in google.requests] == [told]


@ways
@pytest.mark.parametrize("place", ["tools[0].function_declarations[1]", "tools[2].function_declarations[0]"])
def test_refused_keyword_in_a_place_that_holds_no_function_is_googles_word(
    google: FakeGoogle, path: str, place: str
) -> None:
    declared = [{"functionDeclarations": [{"name": name, "description": "d"}]} for name in "fg"]
    google.enqueue(unknown("x", f"{place}.parameters"))
    response = NativeApp(google).post(path, {**HELLO, "tools": declared})
    assert 'Unknown name "x"' in error_of(response)["message"]
    assert len(google.requests) == 1


@ways
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"temperature": 0}, "temperature is not supported for this model"),
        ({"topP": 1, "top_k": 3}, "`top_p` and `top_k` are deprecated for this model."),
        ({"responseLogprobs": True, "logprobs": 2}, "Logprobs is not enabled for models/m"),
    ],
)
def test_refused_setting_of_a_mapped_model_is_left_out_and_remembered(
    google: FakeGoogle, path: str, config: Json, words: str
) -> None:
    app = NativeApp(google)
    mapped, body = path.replace(OLDER, "gpt-4o"), {**HELLO, "generationConfig": {"seed": 1, **config}}
    google.enqueue(error(400, message=words))
    response = app.post(mapped, body)
    assert text_of(response) == "Hello from fake Google"
    ignored = response.headers["X-Agproxy-Ignored"].split(", ")
    assert sorted(ignored) == sorted(f"generationConfig.{name}" for name in config)
    app.post(mapped, body)
    assert [request.body["generationConfig"] for request in google.requests[1:]] == [{"seed": 1}] * 2


@ways
def test_refused_setting_of_a_model_that_the_client_named_is_googles_word(google: FakeGoogle, path: str) -> None:
    google.enqueue(error(400, message="temperature is not supported for this model"))
    response = NativeApp(google).post(path, {**HELLO, "generationConfig": {"temperature": 0}})
    assert error_of(response)["message"] == "temperature is not supported for this model"
    assert len(google.requests) == 1


# Conversations.


@ways
def test_conversation_keeps_its_account(google: FakeGoogle, path: str) -> None:
    app = NativeApp(google, "ab")
    path = path.replace(OLDER, SIGNING)
    google.ledger.bind_to_project = True
    google.default = calls(("f", {"x": 1}))
    histories = [[{"role": "user", "parts": [{"text": words}]}] for words in ("one", "two")]
    for _ in range(3):
        for contents in histories:
            call = answers(app.post(path, {"contents": contents}))[0]["candidates"][0]["content"]
            result = {"id": call["parts"][0]["functionCall"]["id"], "name": "f", "response": {"output": "1"}}
            contents += [call, {"role": "user", "parts": [{"functionResponse": result}]}]
    assert keys(google) == "ababab"


@pytest.mark.parametrize("header", ["X_Session_Id", "Session_Id"])
def test_conversation_that_the_client_names_is_kept_apart(google: FakeGoogle, header: str) -> None:
    app = NativeApp(google, "ab")
    for name in ("one", "two", "one", "two"):
        named: Any = {header: name}
        app.post(WHOLE, **named)
    assert keys(google) == "abab"
