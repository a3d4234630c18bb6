"""Gemini's own protocol on the wire: what goes in and out unchanged, and what agproxy does about failures."""

import base64
import gzip
import http.client
import json
import time
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.fake_google import (
    FakeGoogle,
    slow,
    text,
    thoughts,
)

MODEL = "gemini-2.5-flash"
SIGNING = "gemini-3-flash-preview"
GENERATE = f"/v1beta/models/{MODEL}:generateContent"
ARRAY = f"/v1beta/models/{MODEL}:streamGenerateContent"
STREAM = f"{ARRAY}?alt=sse"
WAYS = pytest.mark.parametrize("path", [GENERATE, STREAM, ARRAY], ids=["whole", "streamed", "array"])
TWO_WAYS = pytest.mark.parametrize("path", [GENERATE, STREAM], ids=["whole", "streamed"])
STREAMS = pytest.mark.parametrize("path", [STREAM, ARRAY], ids=["streamed", "array"])
HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
# As a client might write it: both spellings, its own order, blanks, escapes, an emoji, and a number of its own form.
ODD = (
    '{ "generationConfig" : {"temperature":1.0e0,  "stop_sequences": ["\\u00e9nd"]},\r\n'
    '"systemInstruction":{"role":"user","parts":[{"text":"Grüße 🌍 \\ud83c\\udf0d"}]},\n\t'
    '"contents":[{"parts":[{"text":"Hi\\/"},{"inlineData":{"data":"-_8=","mime_type":"text/csv"}}],"role":"user"}]}\n'
).encode()


@pytest.fixture(autouse=True)
def _native(google: FakeGoogle) -> None:
    """The bodies are a client's own."""
    google.native = True


def post(agproxy: Agproxy, path: str, body: Any = None, *, data: bytes | None = None, **headers: str) -> Any:
    """Post a body, by default a question."""
    sent = json.dumps(HELLO if body is None else body).encode() if data is None else data
    headers = {"Content-Type": "application/json", **{name.replace("_", "-"): word for name, word in headers.items()}}
    return requests.post(agproxy.url + path, data=sent, headers=headers, timeout=60)


def question(words: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": words}]}]}


def events(response: requests.Response) -> list[Any]:
    """What an answer in any of the three ways holds."""
    if response.headers["Content-Type"].startswith("text/event-stream"):
        return [json.loads(line.removeprefix(b"data: ")) for line in response.content.splitlines() if line]
    told = response.json()
    return told if isinstance(told, list) else [told]


def texts(response: requests.Response) -> str:
    """The text of an answer."""
    contents = [each["content"] for event in events(response) for each in event.get("candidates", [])]
    return "".join(part.get("text", "") for content in contents for part in content.get("parts", []))


# Unchanged.


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse", "countTokens"])
def test_bytes_pass_unchanged_both_ways(agproxy: Agproxy, google: FakeGoogle, version: str, method: str) -> None:
    google.enqueue(thoughts("Hm.") + text("grüße 🌍 ", "</b>\u2028 мир"))
    sent = json.dumps(HELLO, indent=1).encode() if method == "countTokens" else ODD
    response = post(agproxy, f"/{version}/models/{MODEL}:{method}", data=sent)
    (request,) = google.requests
    assert request.raw == sent
    assert response.content == request.sent_raw
    assert response.status_code == 200
    kind = "text/event-stream" if "stream" in method else "application/json"
    assert response.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize("crlf", [True, False], ids=["CRLF", "LF"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_stream_is_the_same_however_it_is_cut(agproxy: Agproxy, google: FakeGoogle, crlf: bool, size: int) -> None:
    google.enqueue(text("grüße 🌍 ", "мир").delivered(crlf=crlf, split_writes=size))
    sent = post(agproxy, STREAM).content
    assert sent == google.requests[0].sent_raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_stream_without_sse_is_an_array(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("One, ", "two, ", "thrée"))
    response = post(agproxy, ARRAY)
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.json() == google.requests[0].sent
    assert texts(response) == "One, two, thrée"


@WAYS
def test_compressed_answers_and_requests(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    google.enqueue(text("One, ", "two").delivered(gzip=True))
    response = post(agproxy, path, data=gzip.compress(ODD), Content_Encoding="gzip")
    assert texts(response) == "One, two"
    assert google.requests[0].raw == ODD


def test_a_body_in_chunks(agproxy: Agproxy, google: FakeGoogle) -> None:
    pieces = (ODD[start : start + 7] for start in range(0, len(ODD), 7))
    headers = {"Content-Type": "application/json"}
    assert texts(requests.post(agproxy.url + GENERATE, data=pieces, headers=headers, timeout=30))
    assert google.requests[0].raw == ODD


@WAYS
def test_ten_megabytes_both_ways(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    data = base64.b64encode(b"%PDF-1.4\n" + bytes(range(256)) * 30_000).decode()
    google.enqueue(text("x" * 10_000_000))
    inline = {"inlineData": {"mimeType": "application/pdf", "data": data}}
    response = post(agproxy, path, {"contents": [{"parts": [inline]}]})
    assert len(texts(response)) == 10_000_000
    assert google.requests[0].body["contents"][0]["parts"][0]["inlineData"]["data"] == data


def test_only_the_names_of_models_change_where_one_is_mapped(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini=f"[models]\nmine = {MODEL}\nvectors = gemini-embedding-001\n")
    assert post(agproxy, "/v1beta/models/mine:generateContent", data=ODD).headers["X-Mapped-Model"] == MODEL
    counting = {"generateContentRequest": {"model": "models/mine", **HELLO}}
    assert post(agproxy, "/v1beta/models/mine:countTokens", counting).json()["totalTokens"] > 0
    piece = {"model": "models/vectors", "content": HELLO["contents"][0], "taskType": "RETRIEVAL_QUERY"}
    many = post(agproxy, "/v1/models/vectors:batchEmbedContents", {"requests": [piece, piece]})
    assert len(many.json()["embeddings"]) == 2
    assert post(agproxy, "/v1beta/models/vectors:embedContent", piece).json()["embedding"]["values"]
    generate, count, batch, embed = google.requests
    assert generate.raw == ODD
    assert count.body == {"generateContentRequest": {"model": f"models/{MODEL}", **HELLO}}
    assert embed.body == {**piece, "model": "models/gemini-embedding-001"}
    assert batch.body == {"requests": [embed.body] * 2}


def test_tokens_are_counted_at_either_path(agproxy: Agproxy, google: FakeGoogle) -> None:
    answers = [post(agproxy, f"/v1beta/models/{MODEL}{mark}countTokens") for mark in ":/"]
    assert [answer.json()["totalTokens"] for answer in answers] == [1, 1]
    assert {request.path for request in google.requests} == {f"/v1beta/models/{MODEL}:countTokens"}


# Who asks, and who answers.


def test_credentials_and_headers_of_the_client_stay_here(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nauth_mode = strict\napi_key = agp-a-key-for-tests\n")
    own: Any = {
        "x_goog_user_project": "p",
        "Cookie": "c=1",
        "x_goog_request_params": "r",
        "Referer": "http://127.0.0.1/",
    }
    asked: list[tuple[str, Any]] = [
        (f"{GENERATE}?key=agp-a-key-for-tests", {}),
        (f"{STREAM}&key=agp-a-key-for-tests", {}),
        (GENERATE, {"x_goog_api_key": "agp-a-key-for-tests"}),
        (STREAM, {"Authorization": "Bearer agp-a-key-for-tests"}),
    ]
    for path, credential in asked:
        assert post(agproxy, path, **own, **credential).status_code == 200
    assert {request.key for request in google.requests} == {"test-key-a"}
    assert {request.query for request in google.requests} == {"", "alt=sse"}
    for request in google.requests:
        assert not {"authorization", "cookie", "referer"} & set(request.headers)
        assert [name for name in request.headers if name.startswith("x-goog-")] == ["x-goog-api-key"]
        assert "agp-a-key" not in json.dumps(request.headers)
    agproxy.stop()
    assert "agp-a-key" not in agproxy.log()


@WAYS
def test_answer_says_who_gave_it(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    response = post(agproxy, path.replace(MODEL, "gpt-4o"))
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert response.headers["X-Account-Email"] == "a@example.com"
    assert response.headers["X-Request-Id"]
    assert not {"Server-Timing", "Alt-Svc", "X-Gemini-Service-Tier"} & set(response.headers)


def test_models_have_the_shape_that_their_client_reads(agproxy: Agproxy, google: FakeGoogle) -> None:
    native = agproxy.get("/v1beta/models").json()
    assert f"models/{MODEL}" in [model["name"] for model in native["models"]]
    assert agproxy.get("/v1/models", headers={"x-goog-api-key": "unused"}).json() == native
    assert agproxy.get("/v1/models?key=unused").json() == native
    assert agproxy.get("/v1/models", headers={"x-goog-api-client": "google-genai-sdk/3.4.0"}).json() == native
    assert agproxy.get("/v1/models").json()["object"] == "list"
    paged = agproxy.get("/v1beta/models?pageSize=2").json()
    rest = agproxy.get("/v1beta/models", params={"pageSize": 1000, "pageToken": paged["nextPageToken"]}).json()
    assert [*paged["models"], *rest["models"]] == native["models"]
    assert agproxy.get(f"/v1beta/models/{MODEL}").json()["name"] == f"models/{MODEL}"


# Time.


@pytest.mark.parametrize("pause", ["headers_s", "first_byte_s", "between_s"])
def test_keep_alives_are_blank_lines(serve: Serve, google: FakeGoogle, pause: str) -> None:
    google.default = slow(text("one ", "two"), **{pause: 1.0})
    agproxy = serve("a", ini="[upstream]\nping_s = 0.2\n")
    streamed = post(agproxy, STREAM)
    sent = google.requests[0].sent_raw
    assert len(streamed.content) - len(sent) >= 3 * len(b"\r\n")
    assert [line for line in streamed.content.split(b"\r\n") if line] == [line for line in sent.split(b"\r\n") if line]
    array = post(agproxy, ARRAY)
    assert array.content.count(b"\r\n") >= 3 + 1
    assert array.json() == google.requests[1].sent


@STREAMS
def test_events_are_handed_on_as_they_come(agproxy: Agproxy, google: FakeGoogle, path: str) -> None:
    google.enqueue(slow(text("one ", "two ", "three"), between_s=1.0))
    began, times = time.monotonic(), []
    with requests.post(agproxy.url + path, json=HELLO, stream=True, timeout=30) as response:
        for piece in response.iter_content(chunk_size=None):
            times += [time.monotonic() - began] * piece.count(b'"parts"')
    assert len(times) == 3
    assert times[2] - times[1] > 0.25
    assert times[1] - times[0] > 0.25


@STREAMS
def test_upstream_is_closed_when_the_client_leaves(serve: Serve, google: FakeGoogle, path: str) -> None:
    google.enqueue(slow(text("one ", "two"), first_byte_s=20))
    agproxy = serve("a", ini="[upstream]\nping_s = 0.3\n")
    connection = http.client.HTTPConnection("127.0.0.1", agproxy.port)
    connection.request("POST", path, json.dumps(HELLO), {"Content-Type": "application/json"})
    google.wait_for(1)
    connection.close()
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=10)
