"""What tests of a gateway that hands on untouched can see of the fake Google: bytes, arrays, models, counts, quotas."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fake_google import (
    EMBEDDING_MODELS,
    KNOWN_MODELS,
    Answer,
    FakeGoogle,
    counted,
    cut,
    empty,
    error_event,
    quota_per_day,
    quota_per_day_paid,
    quota_per_minute,
    quota_zero,
    raw,
    text,
    thoughts,
    unavailable,
)
from tests.fake_google.bodies import FLASH_3, FLASH_25, GEMMA, IMAGE_25, Json, ask, talk, user
from tests.fake_google.families import family_of
from tests.fake_google.protojson import check_response

KEY = {"x-goog-api-key": "test-key-a"}
SSE, ARRAY = "streamGenerateContent?alt=sse", "streamGenerateContent"


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


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_the_bytes_of_a_request_are_kept_as_they_came(google: FakeGoogle, client: requests.Session) -> None:
    body = b'{ "contents" : [{"parts":[{"text":"\\u00e9 \xc3\xa9 <"}]}],\r\n "generationConfig":{} }'
    answer = client.post(google.method_url(), data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert google.requests[0].raw == body


@pytest.mark.parametrize("target", [SSE, ARRAY, "generateContent", "countTokens"])
@pytest.mark.parametrize(
    "answer",
    [
        text("Grüße", "€", "😀").delivered(gzip=True, split_writes=3),
        thoughts("Hm.") + text("a").delivered(crlf=False, framing="close"),
        text("a", finish=None) + error_event(503),
        empty("no_events"),
        unavailable(),
        quota_per_day(wrapped=True),
        raw(b"data: {", b"", b"}\r", b"\n\r\n: what\xff").delivered(between_s=0.001),
        raw(b"<p>", content_type="text/html", http_status=502).delivered(framing="length"),
    ],
    ids=["text", "thoughts", "error event", "nothing", "error", "wrapped", "pieces", "page"],
)
def test_the_bytes_of_an_answer_can_be_compared(
    google: FakeGoogle, client: requests.Session, target: str, answer: Answer
) -> None:
    google.enqueue(answer, method=target.partition("?")[0])
    assert client.post(google.method_url(target), json=ask()).content == google.requests[0].sent_raw


def test_what_the_fake_says_by_itself_can_be_compared(google: FakeGoogle, client: requests.Session) -> None:
    url = f"{google.url}/v1beta/models"
    bodies = [client.get(url).content, client.get(f"{url}/{FLASH_3}").content, client.get(f"{url}/none").content]
    bodies += [client.post(google.method_url(), json={}).content, client.get(f"{google.url}/none").content]
    assert bodies == [request.sent_raw for request in google.requests]
    assert all(bodies)


def test_pieces_travel_one_by_one(google: FakeGoogle) -> None:
    pieces = [b"da", b'ta: {"a": "\xe2\x82', b'\xac"}', b"\r", b"\n\r\n"]
    google.enqueue(raw(*pieces).delivered(between_s=0.03))
    connection = http.client.HTTPConnection("127.0.0.1", google.port, timeout=5)
    path = f"/v1beta/models/{FLASH_3}:{SSE}"
    connection.request("POST", path, json.dumps(ask()), {**KEY, "Content-Type": "application/json"})
    answer = connection.getresponse()
    found = list(iter(lambda: answer.read1(), b""))
    connection.close()
    assert found == pieces
    assert answer.headers["Content-Type"] == "text/event-stream"


def test_pieces_can_end_too_early(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(cut(raw(b"data: 1\n\n", b"data: 2\n\n").delivered(framing="close"), after_events=1))
    assert client.post(google.method_url(SSE), json=ask()).content == b"data: 1\n\n"
    assert google.requests[0].sent_raw == b"data: 1\n\ndata: 2\n\n"


def test_pieces_can_have_headers(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(raw(b"{}", content_type="application/json", headers=(("X-A", "b"),)))
    answer = client.post(google.method_url(), json=ask())
    assert (answer.headers["X-A"], answer.json()) == ("b", {})


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_an_array_is_framed_as_google_frames_it(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("a", "b", "c"), empty("no_events"), unavailable())
    body = client.post(google.method_url(ARRAY), json=ask()).content
    assert body.startswith(b'[{\n  "candidates": [\n')
    assert body.count(b'\n}\n,\r\n{\n  "candidates"') == 2
    assert body.endswith(b"\n}\n]")
    assert len(json.loads(body)) == 3
    assert client.post(google.method_url(ARRAY), json=ask()).content == b"[]"
    failed = client.post(google.method_url(ARRAY), json=ask())
    assert failed.status_code == 503
    assert failed.content.startswith(b'[{\n  "error": {\n    "code": 503,\n')
    assert failed.content.endswith(b"\n  }\n}\n]")


def test_a_refused_stream_is_an_array_unless_events_were_asked_for(
    google: FakeGoogle, client: requests.Session
) -> None:
    assert client.post(google.method_url(ARRAY), json={}).json()[0]["error"]["code"] == 400
    assert client.post(google.method_url(SSE), json={}).json()["error"]["code"] == 400


def test_each_element_of_an_array_travels_alone(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(cut(text("a", "b").delivered(framing="close"), after_events=1))
    body = client.post(google.method_url(ARRAY), json=ask()).content
    assert json.loads(body + b"]")[0]["candidates"][0]["content"]["parts"] == [{"text": "a"}]


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*KNOWN_MODELS, *EMBEDDING_MODELS])
def test_a_model_is_described_in_full(google: FakeGoogle, client: requests.Session, name: str) -> None:
    answer = client.get(f"{google.url}/v1beta/models/{name}")
    check_response(answer.content, method="getModel")
    found = answer.json()
    assert found["name"] == f"models/{name}"
    assert all(found[key] for key in ("version", "displayName", "description", "inputTokenLimit", "outputTokenLimit"))
    assert found.get("thinking") == (True if family_of(name).thinks else None)
    assert ("temperature" in found) == ("generateContent" in found["supportedGenerationMethods"])
    assert found in client.get(f"{google.url}/v1beta/models?pageSize=1000").json()["models"]


@pytest.mark.parametrize(
    ("name", "limits", "methods"),
    [
        (
            FLASH_25,
            (1048576, 65536),
            ["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"],
        ),
        (
            "gemini-embedding-001",
            (2048, 1),
            ["embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent"],
        ),
        ("gemini-embedding-2", (8192, 1), ["embedContent", "countTextTokens", "countTokens", "asyncBatchEmbedContent"]),
        (IMAGE_25, (32768, 32768), ["generateContent", "countTokens", "batchGenerateContent"]),
        (GEMMA, (131072, 8192), ["generateContent", "countTokens"]),
    ],
)
def test_models_differ_by_kind(
    google: FakeGoogle, client: requests.Session, name: str, limits: tuple[int, int], methods: list[str]
) -> None:
    found = client.get(f"{google.url}/v1beta/models/{name}").json()
    assert (found["inputTokenLimit"], found["outputTokenLimit"]) == limits
    assert found["supportedGenerationMethods"] == methods


def test_the_list_is_of_google_s_own_message(google: FakeGoogle, client: requests.Session) -> None:
    check_response(client.get(f"{google.url}/v1beta/models?pageSize=3").content, method="listModels")


# -- counts ------------------------------------------------------------------------------------------------------------

WHOLE: Json = {"model": f"models/{FLASH_3}", **talk(user("a" * 40)), "systemInstruction": user("b" * 40)}


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({"contents": [{"parts": [{"text": "a" * 40}]}]}, 10),
        ({"generateContentRequest": WHOLE}, 20),
        ({"generate_content_request": {**WHOLE, "tools": [{"google_search": {}}], "generation_config": {}}}, 20),
        ({"model": f"models/{FLASH_3}", **ask()}, 1),
    ],
)
def test_both_forms_are_counted(google: FakeGoogle, client: requests.Session, body: Json, total: int) -> None:
    answer = client.post(google.method_url("countTokens"), json=body)
    assert answer.status_code == 200, answer.text
    check_response(answer.content, method="countTokens")
    assert answer.json() == {
        "totalTokens": total,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}],
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "GenerateContentRequest.contents: contents is not specified"),
        ({"generateContentRequest": {**WHOLE, "contents": []}}, "contents is not specified"),
        ({"generateContentRequest": ask()}, "generate_content_request.model: model is not specified"),
        ({"generate_content_request": {**ask(), "model": "models/gemini-1"}}, "Invalid value at 'model'"),
        ({"generate_content_request": WHOLE, **ask()}, "Only one of contents and generate_content_request"),
        ({"generateContentRequest": WHOLE, "generate_content_request": WHOLE}, "is already set"),
        (ask(tools=[]), 'Unknown name "tools": Cannot find field.'),
        ({"generateContentRequest": {**WHOLE, "labels": {}}}, "Unknown name \"labels\" at 'generate_content_request'"),
    ],
)
def test_a_bad_count_is_refused(google: FakeGoogle, client: requests.Session, body: Json, words: str) -> None:
    answer = client.post(google.method_url("countTokens"), json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_counts_can_be_scripted(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(counted(7, cachedContentTokenCount=3), method="countTokens")
    answer = client.post(google.method_url("countTokens"), json=ask()).json()
    assert answer == {"totalTokens": 7, "cachedContentTokenCount": 3}


# -- native bodies and quotas ------------------------------------------------------------------------------------------


def test_native_bodies_are_taken_when_told_so_until_the_next_reset(
    google: FakeGoogle, client: requests.Session
) -> None:
    lone: Json = {"contents": {"parts": {"text": "hi"}}}
    statuses = []
    for native in (False, True):
        google.native = native
        statuses.append(client.post(google.method_url(), json=lone).status_code)
    google.reset()
    statuses.append(client.post(google.method_url(), json=lone).status_code)
    assert statuses == [400, 200, 400]
    with FakeGoogle(native=True) as other:
        other.reset()
        assert client.post(other.method_url(), json=lone).status_code == 200


QUOTAS: dict[str, tuple[Answer, str, str, str | None, str]] = {
    "per minute": (
        quota_per_minute("34.07s"),
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "generate_content_free_tier_requests, limit: 10, model: gemini-2.5-flash\n",
        "34.07s",
        "Please retry in 34.07s.",
    ),
    "per day": (
        quota_per_day(model=FLASH_3),
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        f"generate_content_free_tier_requests, limit: 250, model: {FLASH_3}\n",
        "38.2s",
        "Please retry in 38.2s.",
    ),
    "per day, without a delay": (
        quota_per_day(None),
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "limit: 250",
        None,
        "model: gemini-2.5-flash",
    ),
    "per day, paid": (
        quota_per_day_paid("6776.409571576s"),
        "GenerateRequestsPerDayPerProjectPerModel",
        "generate_requests_per_model_per_day, limit: 1000, model: gemini-2.5-pro\n",
        "6776.409571576s",
        "Please retry in 1h52m56.409571576s.",
    ),
    "per minute, over a minute": (
        quota_per_minute("61s"),
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "limit: 10",
        "61s",
        "Please retry in 1m1s.",
    ),
    "none at all": (
        quota_zero(),
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "limit: 0, model: gemini-2.5-pro",
        "12.5s",
        "Please retry in 12.5s.",
    ),
}


@pytest.mark.parametrize(("answer", "quota_id", "metric", "delay", "end"), QUOTAS.values(), ids=QUOTAS)
def test_quotas_come_with_what_native_clients_read(
    google: FakeGoogle, client: requests.Session, answer: Answer, quota_id: str, metric: str, delay: Any, end: str
) -> None:
    google.enqueue(answer)
    got = client.post(google.method_url(), json=ask())
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["status"]) == (429, 429, "RESOURCE_EXHAUSTED")
    assert error["message"].startswith("You exceeded your current quota, please check your plan and billing details.")
    assert metric in error["message"]
    assert error["message"].endswith(end)
    kinds = [each["@type"].removeprefix("type.googleapis.com/google.rpc.") for each in error["details"]]
    assert kinds == ["Help", "QuotaFailure", "RetryInfo"][: 3 if delay else 2]
    assert error["details"][0]["links"][0]["url"] == "https://ai.google.dev/gemini-api/docs/rate-limits"
    violation = error["details"][1]["violations"][0]
    assert violation["quotaId"] == quota_id
    assert f"Quota exceeded for metric: {violation['quotaMetric']}, " in error["message"]
    assert f"model: {violation['quotaDimensions']['model']}" in error["message"]
    assert f"limit: {violation['quotaValue']}" in error["message"]
    assert not delay or error["details"][2]["retryDelay"] == delay
