"""The whole application as a client of Gemini's own API sees it: paths, bodies, models, keys and errors."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from agproxy.config import Server
from tests.chat_bodies import JSON
from tests.fake_google import FakeGoogle, blocked, candidates, finished, raw, text, thoughts
from tests.native_app import ARRAY, HELLO, OLDER, STREAM, WHOLE, Json, NativeApp, answers, error_of, text_of, ways

KEY = "agp-a-key-for-tests"
VECTORS = "gemini-embedding-001"
PIECE: Json = {"content": {"parts": [{"text": "Hi"}]}, "taskType": "RETRIEVAL_QUERY"}
# Both spellings, blanks, escapes, a number and an order of keys that nobody would write again.
ODD = (
    '{ "generationConfig" : {"temperature":1.0e0,"stop_sequences": ["\\u00e9nd"]},\r\n'
    '"systemInstruction":{"role":"user","parts":[{"text":"Grüße \\ud83c\\udf0d"}]},\n\t'
    '"contents":[{"parts":[{"text":"Hi\\/"}],"role":"user"}]}\n'
).encode()


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(native=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def app(google: FakeGoogle) -> NativeApp:
    return NativeApp(google)


# Paths and methods.

BODIES: list[tuple[str, str, Json]] = [
    (OLDER, "generateContent", HELLO),
    (OLDER, "streamGenerateContent", HELLO),
    (OLDER, "countTokens", HELLO),
    (OLDER, "countTokens", {"generateContentRequest": {"model": f"models/{OLDER}", **HELLO}}),
    (VECTORS, "embedContent", PIECE),
    (VECTORS, "batchEmbedContents", {"requests": [{"model": f"models/{VECTORS}", **PIECE}] * 2}),
]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(("model", "method", "body"), BODIES)
def test_bytes_pass_unchanged_both_ways(
    app: NativeApp, google: FakeGoogle, version: str, model: str, method: str, body: Json
) -> None:
    sent = json.dumps(body, indent=1).encode()
    stream = method == "streamGenerateContent"
    response = app.post(f"/{version}/models/{model}:{method}{'?alt=sse' if stream else ''}", data=sent)
    (request,) = google.requests
    assert (request.raw, response.data, response.status_code) == (sent, request.sent_raw, 200)
    assert request.path == f"/v1beta/models/{model}:{method}"
    kind = "text/event-stream" if stream else "application/json; charset=UTF-8"
    assert response.headers["Content-Type"] == kind
    assert response.headers["X-Mapped-Model"] == model


def test_odd_bytes_pass_unchanged(app: NativeApp, google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm.") + text("grüße 🌍 ", "</b>\u2028 мир"))
    response = app.post(STREAM, data=ODD)
    (request,) = google.requests
    assert request.raw == ODD
    assert response.data == request.sent_raw


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("mark", [":", "/"])
def test_tokens_are_counted_at_either_path(app: NativeApp, google: FakeGoogle, version: str, mark: str) -> None:
    response = app.post(f"/{version}/models/{OLDER}{mark}countTokens")
    assert response.json == {**google.requests[0].sent}
    assert google.requests[0].path == f"/v1beta/models/{OLDER}:countTokens"


@pytest.mark.parametrize("name", ["alt", "$alt"])
@pytest.mark.parametrize("alt", ["sse2", "SSE", "media", "proto", "json;enum-encoding=int"])
def test_other_framing_is_refused(app: NativeApp, google: FakeGoogle, name: str, alt: str) -> None:
    response = app.post(f"{ARRAY}?{name}={alt}")
    assert response.status_code == 400
    assert response.json is not None
    assert response.json["error"]["message"].startswith("alt must be sse or json")
    assert not google.requests


@pytest.mark.parametrize(
    ("query", "mimetype"),
    [
        ("alt=sse", "text/event-stream"),
        ("$alt=sse", "text/event-stream"),
        ("%24alt=sse", "text/event-stream"),
        ("key=x&alt=sse", "text/event-stream"),
        ("", "application/json"),
        ("alt=json", "application/json"),
    ],
)
def test_stream_is_sse_or_an_array_as_the_client_wants(
    app: NativeApp, google: FakeGoogle, query: str, mimetype: str
) -> None:
    google.enqueue(text("One, ", "two"))
    response = app.post(f"{ARRAY}?{query}")
    assert response.mimetype == mimetype
    assert (response.headers["Cache-Control"], response.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    (request,) = google.requests
    assert request.query == "alt=sse"
    assert answers(response) == request.sent
    assert text_of(response) == "One, two"


@pytest.mark.parametrize("query", ["alt=sse", "$prettyPrint=true", "fields=candidates"])
def test_whole_answer_is_whole_whatever_the_query(app: NativeApp, google: FakeGoogle, query: str) -> None:
    response = app.post(f"{WHOLE}?{query}")
    assert response.data == google.requests[0].sent_raw
    assert google.requests[0].query == ""


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " gzip "])
@ways
def test_compressed_body_is_sent_on_plain(app: NativeApp, google: FakeGoogle, path: str, coding: str) -> None:
    response = app.post(path, data=gzip.compress(ODD), Content_Encoding=coding)
    assert text_of(response) == "Hello from fake Google"
    assert google.requests[0].raw == ODD
    assert "content-encoding" not in google.requests[0].headers


@ways
def test_answers_side_by_side_pass(app: NativeApp, google: FakeGoogle, path: str) -> None:
    google.enqueue(candidates(text("a", "b"), text("c")))
    response = app.post(path, {**HELLO, "generationConfig": {"candidateCount": 2}})
    told = [candidate for answer in answers(response) for candidate in answer["candidates"]]
    assert {candidate.get("index", 0) for candidate in told} == {0, 1}
    (request,) = google.requests
    assert answers(response) == (request.sent if isinstance(request.sent, list) else [request.sent])


@ways
@pytest.mark.parametrize("answer", [blocked("PROHIBITED_CONTENT"), finished("SAFETY"), finished("MAX_TOKENS")])
def test_refused_or_cut_answer_passes_at_once(app: NativeApp, google: FakeGoogle, path: str, answer: Any) -> None:
    google.enqueue(answer)
    response = app.post(path)
    (request,) = google.requests
    assert answers(response) == (request.sent if isinstance(request.sent, list) else [request.sent])


# Models.


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        (OLDER, OLDER),
        (f"models/{OLDER}", OLDER),
        (f"google/{OLDER}", OLDER),
        ("gpt-4o", "gemini-flash-latest"),
        ("openai/gpt-4o", "gemini-flash-latest"),
        ("mine", OLDER),
        ("team/mine", "gemini-3-flash-preview"),
        ("llama3:8b", OLDER),
    ],
)
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent", "countTokens"])
def test_model_of_the_path_is_mapped(google: FakeGoogle, asked: str, called: str, method: str) -> None:
    rules = (("mine", OLDER), ("team/*", "models/gemini-3-flash-preview"), ("llama3*", OLDER))
    response = NativeApp(google, models=rules).post(
        f"/v1/models/{asked}:{method}", data=ODD if method[0] != "c" else None
    )
    assert (response.status_code, response.headers["X-Mapped-Model"]) == (200, called)
    (request,) = google.requests
    assert (request.model, request.method) == (called, method)
    if method != "countTokens":
        assert request.raw == ODD


def test_model_fields_in_bodies_are_mapped_too(google: FakeGoogle) -> None:
    app = NativeApp(google, models=(("mine", OLDER), ("vectors", VECTORS)))
    counting = {"generateContentRequest": {"model": "models/mine", **HELLO}}
    assert app.post("/v1beta/models/mine:countTokens", counting).status_code == 200
    piece = {"model": "models/vectors", **PIECE}
    assert app.post("/v1beta/models/vectors:embedContent", piece).status_code == 200
    assert app.post("/v1beta/models/vectors:batchEmbedContents", {"requests": [piece, piece]}).status_code == 200
    count, embed, batch = google.requests
    assert count.body == {"generateContentRequest": {"model": f"models/{OLDER}", **HELLO}}
    assert embed.body == {**piece, "model": f"models/{VECTORS}"}
    assert batch.body == {"requests": [embed.body] * 2}


def contradicting(model: str) -> list[tuple[str, str, Json]]:
    """Methods, the models of their paths, and bodies that name ``model``."""
    named = {"model": model}
    return [
        (OLDER, "generateContent", {**named, **HELLO}),
        (OLDER, "streamGenerateContent", {**named, **HELLO}),
        (OLDER, "countTokens", {"generateContentRequest": {**named, **HELLO}}),
        (VECTORS, "embedContent", {**named, **PIECE}),
        (VECTORS, "batchEmbedContents", {"requests": [{**named, **PIECE}]}),
    ]


@pytest.mark.parametrize(("model", "method", "body"), contradicting("models/gemini-3.1-pro-preview"))
def test_body_that_names_another_model_than_the_path_is_refused_by_google(
    app: NativeApp, google: FakeGoogle, model: str, method: str, body: Json
) -> None:
    sent = json.dumps(body, indent=1).encode()
    error = error_of(app.post(f"/v1beta/models/{model}:{method}", data=sent))
    (request,) = google.requests
    assert request.raw == sent
    assert request.refusal is not None
    request.refusal = None
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error == request.sent["error"]


@pytest.mark.parametrize("prefix", ["google/", "models/google/", "gemini/"])
@pytest.mark.parametrize(("model", "method", "body"), contradicting("MODEL"))
def test_body_that_names_the_vendor_too_is_served(
    app: NativeApp, google: FakeGoogle, prefix: str, model: str, method: str, body: Json
) -> None:
    sent = json.dumps(body).replace("MODEL", prefix + model)
    response = app.post(f"/v1beta/models/{prefix}{model}:{method}", data=sent.encode())
    assert response.status_code == 200, response.text
    assert json.dumps(google.requests[0].body) == sent.replace(prefix + model, f"models/{model}")


@ways
@pytest.mark.parametrize(
    ("model", "status", "word"),
    [
        ("no-such-model", 404, "NOT_FOUND"),
        ("text-embedding-3-small", 404, "NOT_FOUND"),
        ("a%20b", 400, "INVALID_ARGUMENT"),
        ("..", 400, "INVALID_ARGUMENT"),
        ("a%3Fb", 400, "INVALID_ARGUMENT"),
        ("%C3%BC", 400, "INVALID_ARGUMENT"),
        ("x" * 201, 400, "INVALID_ARGUMENT"),
    ],
)
def test_model_that_nobody_knows(
    app: NativeApp, google: FakeGoogle, path: str, model: str, status: int, word: str
) -> None:
    error = error_of(app.post(path.replace(OLDER, model)))
    assert (error["code"], error["status"]) == (status, word)
    assert not [request for request in google.requests if request.verb == "POST"]


def test_model_that_upstream_alone_knows_is_found_for_what_it_does(google: FakeGoogle) -> None:
    listed = {"models": [{"name": "models/vectors-9", "supportedGenerationMethods": ["embedContent"]}]}
    google.enqueue(raw(json.dumps(listed).encode(), content_type="application/json"), method="listModels")
    app = NativeApp(google)
    assert error_of(app.post("/v1/models/vectors-9:generateContent"))["code"] == 404
    assert [request.method for request in google.requests] == ["listModels"]
    app.post("/v1/models/vectors-9:embedContent", PIECE)
    (request,) = google.requests[1:]
    assert request.path == "/v1beta/models/vectors-9:embedContent"
    request.refusal = None  # the fake does not know it


NO_EMBEDDING_MODELS = [
    *("claude-opus-5-5", "gpt-4o", "openai/gpt-4o", "gemini-flash", "o3", "claude-nobody-knows"),
    *("text-embedding-3-small", "openai/text-embedding-ada-002", "nomic-embed-text", "no-such-model", "dall-e-3"),
]


def embedding(model: str, method: str) -> Json:
    one = {"model": f"models/{model}", **PIECE}
    return {"requests": [one]} if method == "batchEmbedContents" else one


@pytest.mark.parametrize("method", ["embedContent", "batchEmbedContents"])
@pytest.mark.parametrize("model", NO_EMBEDDING_MODELS)
def test_model_that_cannot_embed_is_told_one_that_can(
    app: NativeApp, google: FakeGoogle, model: str, method: str
) -> None:
    error = error_of(app.post(f"/v1beta/models/{model}:{method}", embedding(model, method)))
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert f"'{model}'" in error["message"]
    assert VECTORS in error["message"]
    assert "this route" not in error["message"]
    assert [request.path for request in google.requests if request.verb == "POST"] == []


@pytest.mark.parametrize("method", ["embedContent", "batchEmbedContents"])
@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("text-embedding-3-small", "openai/text-embedding-3-small"),
        ("text-*", "text-embedding-ada-002"),
        ("gpt-4o", "gpt-4o"),
        ("*", "no-such-model"),
    ],
)
def test_rule_says_which_model_embeds(google: FakeGoogle, rule: str, asked: str, method: str) -> None:
    app = NativeApp(google, models=((rule, f"models/{VECTORS}"),))
    response = app.post(f"/v1beta/models/{asked}:{method}", embedding(asked, method))
    assert (response.status_code, response.headers["X-Mapped-Model"]) == (200, VECTORS)
    assert google.requests[-1].path == f"/v1beta/models/{VECTORS}:{method}"


def test_embedding_model_that_upstream_lists_needs_no_rule(google: FakeGoogle) -> None:
    listed = {"models": [{"name": "models/text-embedding-4", "supportedGenerationMethods": ["embedContent"]}]}
    google.enqueue(raw(json.dumps(listed).encode(), content_type="application/json"), method="listModels")
    NativeApp(google).post("/v1beta/models/text-embedding-4:embedContent", PIECE)
    request = google.requests[-1]
    assert request.path == "/v1beta/models/text-embedding-4:embedContent"
    request.refusal = None  # the fake does not know it


# Keys and headers.


@ways
@pytest.mark.parametrize("place", ["query", "X_Goog_Api_Key", "X_Api_Key", "Authorization"])
def test_agproxys_key_is_asked_for_and_stays_here(google: FakeGoogle, path: str, place: str) -> None:
    app = NativeApp(google, server=Server(auth_mode="strict", api_key=KEY))
    own: Any = {"Cookie": "c=1", "X_Goog_User_Project": "p", "X_Goog_Api_Client": "gl-python/3", "Referer": "http://x/"}

    def ask(key: str) -> TestResponse:
        if place == "query":
            return app.post(f"{path}{'&' if '?' in path else '?'}key={key}", **own)
        credential: Any = {place: f"Bearer {key}" if place == "Authorization" else key}
        return app.post(path, **own, **credential)

    for wrong in ("wrong", "test-key-a"):  # Google's own key is none of agproxy's
        error = error_of(ask(wrong))
        assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
    assert google.requests == []
    assert text_of(ask(KEY)) == "Hello from fake Google"
    (request,) = google.requests
    assert (request.key, request.query) == ("test-key-a", "alt=sse" if "stream" in path else "")
    assert not {"authorization", "x-api-key", "cookie", "referer"} & set(request.headers)
    assert [name for name in request.headers if name.startswith("x-goog-")] == ["x-goog-api-key"]
    assert KEY not in json.dumps(request.headers)


def test_key_is_asked_for_before_the_model_is_looked_for(google: FakeGoogle) -> None:
    app = NativeApp(google, server=Server(auth_mode="strict", api_key=KEY))
    for path in ("/v1beta/models/no-such-model:generateContent", "/v1/models/a%20b:countTokens"):
        assert error_of(app.post(path))["code"] == 401
    assert error_of(app.get("/v1beta/models"))["code"] == 401
    assert google.requests == []


def test_others_than_this_machine_are_refused_without_a_key(app: NativeApp, google: FakeGoogle) -> None:
    response = app.open("POST", WHOLE, json=HELLO, remote="192.168.1.5")
    assert error_of(response)["status"] == "PERMISSION_DENIED"
    assert google.requests == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_pages_of_others_are_refused(app: NativeApp, google: FakeGoogle, origin: str) -> None:
    assert error_of(app.post(WHOLE, Origin=origin))["status"] == "PERMISSION_DENIED"
    assert text_of(app.post(WHOLE, Sec_Fetch_Mode="cors", Accept_Language="*")) == "Hello from fake Google"  # of undici
    assert len(google.requests) == 1


@ways
def test_answer_says_who_gave_it(app: NativeApp, google: FakeGoogle, path: str) -> None:
    response = app.post(path.replace(OLDER, "gpt-4o"))
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert response.headers["X-Account-Email"] == "a"
    assert response.headers["X-Request-Id"].startswith("req_")
    assert "request-id" not in response.headers
    assert "X-Agproxy-Ignored" not in response.headers


# Bodies.


@ways
@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[]", b'"Hi"', b"null", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused(app: NativeApp, google: FakeGoogle, path: str, sent: bytes) -> None:
    error = error_of(app.post(path, data=sent))
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert google.requests == []


@pytest.mark.parametrize("method", ["generateContent", "countTokens", "embedContent"])
def test_body_that_google_refuses_is_refused_in_its_words(google: FakeGoogle, method: str) -> None:
    model = VECTORS if method == "embedContent" else OLDER
    error = error_of(NativeApp(google).post(f"/v1/models/{model}:{method}", {"nonsense": 1}))
    (request,) = google.requests
    assert request.refusal is not None
    assert request.sent["error"] == error
    request.refusal = None


@ways
def test_body_over_the_bound_is_refused(google: FakeGoogle, path: str) -> None:
    app = NativeApp(google, server=Server(max_body_bytes=1000))
    error = error_of(app.post(path, {**HELLO, "x": "x" * 1000}))
    assert (error["code"], error["status"]) == (413, "INVALID_ARGUMENT")


@ways
def test_other_content_type_is_refused(app: NativeApp, google: FakeGoogle, path: str) -> None:
    error = error_of(app.post(path, Content_Type="text/plain"))
    assert (error["code"], error["status"]) == (415, "INVALID_ARGUMENT")
    assert google.requests == []


SHARED = NativeApp(None)  # which answers by itself, and so has to read any body
METHODS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
FIELDS = st.sampled_from(
    [
        *("contents", "systemInstruction", "system_instruction", "tools", "toolConfig", "generationConfig", "requests"),
        *("generation_config", "generateContentRequest", "generate_content_request", "model", "content", "parts"),
        *("text", "role", "functionDeclarations", "function_declarations", "name", "parameters", "functionCall"),
        *("functionResponse", "thoughtSignature", "candidateCount", "outputDimensionality", "thinkingConfig"),
    ]
)
NESTED = st.recursive(JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=3))


@given(
    st.dictionaries(FIELDS, NESTED, max_size=4), st.sampled_from(METHODS), st.sampled_from([OLDER, "gpt-4o", VECTORS])
)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_object_is_a_fault_of_ours(body: dict[str, Any], method: str, model: str) -> None:
    response = SHARED.post(f"/v1/models/{model}:{method}", body)
    if response.status_code != 200:
        assert error_of(response)["code"] < 500
    elif method == "streamGenerateContent":
        assert all("error" not in each for each in answers(response)), response.text
