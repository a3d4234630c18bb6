"""The whole application over WSGI, with the built-in demo account: heads, bodies, errors, and never a 500."""

import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse, create_environ, run_wsgi_app

from agproxy import config, sse
from agproxy.app import App, _guarded, create_app
from agproxy.config import Account, Server, Store
from agproxy.errors import ConfigError
from agproxy.request import Request
from tests.chat_bodies import JSON, PATHS, WORDS, Json, changed, full_body

BASE_URL = "http://127.0.0.1:8045"
CHAT = "/v1/chat/completions"
GOOGLES = "/v1beta/openai"
KEY = "sk-Xq7-a-real-key"
HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
HERE, ELSEWHERE = "127.0.0.1", "192.168.1.5"


def app(**server: Any) -> App:
    return App(replace(config.load(None, {}), server=Server(**server), store=Store("memory:")))


def ask(
    application: Any,
    path: str,
    *,
    method: str = "GET",
    remote: str = HERE,
    environ: dict[str, Any] | None = None,
    **others: Any,
) -> TestResponse:
    others.setdefault("base_url", BASE_URL)
    overrides = {"REMOTE_ADDR": remote, **(environ or {})}
    return Client(application).open(path, method=method, environ_overrides=overrides, buffered=True, **others)


def post(application: Any, body: Json, **others: Any) -> TestResponse:
    return ask(application, CHAT, method="POST", json=body, **others)


def post_raw(
    application: Any, stream: Any, *, length: object = None, headers: dict[str, str] | None = None, **environ: Any
) -> tuple[int, Json]:
    """Status and JSON for a body as a server hands it on: a stream, and perhaps a length."""
    head = create_environ(CHAT, BASE_URL, method="POST", headers=headers)
    head.pop("CONTENT_LENGTH", None)
    head |= {"REMOTE_ADDR": HERE, "wsgi.input": stream, **environ}
    if length is not None:
        head["CONTENT_LENGTH"] = str(length)
    chunks, status, _ = run_wsgi_app(application, head, buffered=True)
    return int(status.split()[0]), json.loads(b"".join(chunks))


def openai_error(response: TestResponse) -> Json:
    """The error object of a failed answer, which must have OpenAI's shape."""
    assert response.status_code >= 400
    assert response.mimetype == "application/json"
    assert response.json is not None
    assert set(response.json) == {"error"}
    error = response.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["type"] in ("invalid_request_error", "rate_limit_exceeded", "server_error")
    return error


@pytest.fixture(scope="module")
def demo() -> App:
    return app()


# Answers.


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_health(demo: App, path: str) -> None:
    response = ask(demo, path)
    assert (response.status_code, response.data, response.mimetype) == (200, b'{"status":"ok"}', "application/json")


def test_list_of_models(demo: App) -> None:
    body = ask(demo, "/v1/models").json
    assert body is not None
    models = [Model.model_validate(model) for model in body["data"]]
    assert body["object"] == "list"
    assert len({model.id for model in models}) == len(models)
    assert {"gemini-flash-latest", "gpt-4o"} <= {model.id for model in models}


def test_one_model(demo: App) -> None:
    response = ask(demo, "/v1/models/gpt-4o")
    assert Model.model_validate(response.json).id == "gpt-4o"
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"


def test_chat_completion(demo: App) -> None:
    response = post(demo, HELLO)
    completion = ChatCompletion.model_validate(response.json)
    assert (response.status_code, completion.model) == (200, "gpt-4o")
    assert (completion.choices[0].message.content or "").startswith("[agproxy demo]")
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"


def test_chat_completion_as_a_stream(demo: App) -> None:
    response = post(demo, {**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    *chunks, last = sse.decode([response.data])
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["Cache-Control"], response.headers["X-Accel-Buffering"]) == ("no-cache", "no")
    assert last == b"[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk)
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"


@pytest.mark.parametrize("stream", [False, True])
def test_each_answer_has_ids_of_its_own(demo: App, stream: bool) -> None:
    responses = [post(demo, {**HELLO, "stream": stream}) for _ in range(3)]
    bodies = [next(sse.decode([response.data])) if stream else response.data for response in responses]
    assert len({response.headers["X-Request-Id"] for response in responses}) == 3
    assert len({json.loads(body)["id"] for body in bodies}) == 3


def test_content_type_that_is_not_stated_counts_as_json(demo: App) -> None:
    assert post_raw(demo, BytesIO(json.dumps(HELLO).encode()), length=len(json.dumps(HELLO)))[0] == 200


def test_head_answers_like_get_without_a_body(demo: App) -> None:
    for path in ("/healthz", "/v1/models", "/v1/models/gpt-4o"):
        got, headed = ask(demo, path), ask(demo, path, method="HEAD")
        assert (headed.status_code, headed.data) == (200, b"")
        assert headed.headers["Content-Length"] == got.headers["Content-Length"]
    assert ask(demo, "/v1", method="HEAD").status_code == 404


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_claude_code_is_told_that_somebody_is_there(path: str) -> None:
    application = app(auth_mode="all_except_health", api_key=KEY)
    response = ask(application, path, method="HEAD", remote=ELSEWHERE)
    assert (response.status_code, response.data) == (200, b"")
    assert ask(app(auth_mode="strict", api_key=KEY), path, method="HEAD").status_code == 401
    assert ask(application, path).status_code == 404


# Paths and methods, before any key.

AUTH: list[dict[str, Any]] = [
    {"auth_mode": "off"},
    {"auth_mode": "strict", "api_key": KEY},
    {"auth_mode": "strict", "api_key": ""},
    {"auth_mode": "all_except_health", "api_key": KEY},
    {"auth_mode": "auto"},
    {"auth_mode": "auto", "allow_lan_access": True, "api_key": KEY},
    {"auth_mode": "auto", "allow_lan_access": True, "api_key": "changeme"},
]


@pytest.mark.parametrize("server", AUTH)
@pytest.mark.parametrize("remote", [HERE, ELSEWHERE])
def test_wrong_path_or_method_is_told_without_asking_for_a_key(server: dict[str, Any], remote: str) -> None:
    application = app(**server)
    for path, method, status in [
        ("/", "GET", 404),
        ("/v1", "POST", 404),
        ("/v1/v1/chat/completions", "POST", 404),
        (f"{CHAT}/", "POST", 404),
        (CHAT, "GET", 405),
        ("/v1/models", "POST", 405),
    ]:
        response = ask(application, path, method=method, remote=remote)
        assert response.status_code == status
        assert openai_error(response)["code"] == ("not_found" if status == 404 else "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "headers", "begins", "base"),
    [
        ("/nothing", {}, b'{"error":{"message":', "/v1,"),
        ("/v1/embeddings", {}, b'{"error":{"message":', "/v1;"),
        ("/v1/messages/batches", {}, b'{"type":"error","error":{"type":"not_found_error",', "/v1;"),
        ("/nothing", {"anthropic-version": "2023-06-01"}, b'{"type":"error","error":{"type":"not_found_error",', ","),
        ("/v1beta/nothing", {}, b'{"error":{"code":404,', ","),
        ("/nothing", {"x-goog-api-key": "x"}, b'{"error":{"code":404,', ","),
        ("/nothing?key=x", {}, b'{"error":{"code":404,', ","),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_unknown_path_is_answered_in_the_protocol_it_suggests(
    demo: App, path: str, headers: dict[str, str], begins: bytes, base: str, method: str
) -> None:
    response = ask(demo, path, method=method, headers=headers)
    assert (response.status_code, response.mimetype) == (404, "application/json")
    assert response.data.startswith(begins)
    assert f" http://127.0.0.1:8045{base}" in response.text


def test_wrong_method_is_answered_in_the_protocol_it_suggests(demo: App) -> None:
    response = ask(demo, "/v1/models", method="POST", headers={"anthropic-version": "2023-06-01"})
    assert response.status_code == 405
    assert response.data.startswith(b'{"type":"error","error":{"type":"invalid_request_error",')


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        (CHAT, "GET", "POST, OPTIONS"),
        (CHAT, "DELETE", "POST, OPTIONS"),
        (CHAT, "HEAD", "POST, OPTIONS"),
        ("/v1/models", "POST", "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_method_is_told_those_that_are_answered(demo: App, path: str, method: str, allow: str) -> None:
    response = ask(demo, path, method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, allow)
    for other in allow.split(", "):
        assert ask(demo, path, method=other).status_code != 405


@pytest.mark.parametrize("server", AUTH)
def test_options_is_not_challenged(server: dict[str, Any]) -> None:
    application = app(**server)
    response = ask(application, CHAT, method="OPTIONS", remote=ELSEWHERE)
    assert (response.status_code, response.data, response.headers["Allow"]) == (204, b"", "POST, OPTIONS")
    assert ask(application, "/v1/models", method="OPTIONS").headers["Allow"] == "GET, HEAD, OPTIONS"
    assert ask(application, "/nothing", method="OPTIONS").status_code == 404


@pytest.mark.parametrize(
    ("path", "user_agent", "words"),
    [
        (
            "/v1/v1/chat/completions",
            "OpenAI/Python 3.54.0",
            "/v1 is in it twice. The Base URL for the OpenAI Python SDK is http://127.0.0.1:8045/v1 (base_url= or",
        ),
        (
            "/v1/v1/messages",
            "Anthropic/JS 0.80.0",
            "/v1 is in it twice. The Base URL for the Anthropic JavaScript SDK is http://127.0.0.1:8045 (baseURL or",
        ),
        (
            "/v1/v1beta/models/x:generateContent",
            "google-genai-sdk/3.2.0 gl-python/3.13",
            "/v1 and /v1beta are in it together. The Base URL for the Google Gen AI SDK is http://127.0.0.1:8045 (base",
        ),
    ],
)
def test_wrong_path_is_explained_in_the_protocol_of_its_client(
    demo: App, path: str, user_agent: str, words: str
) -> None:
    response = ask(demo, path, method="POST", json={}, headers={"User-Agent": user_agent})
    assert response.status_code == 404
    assert response.json is not None
    assert words in response.json["error"]["message"]


def test_slashes_before_the_path_are_seen(demo: App) -> None:
    response = ask(demo, "/", environ={"PATH_INFO": "//v1/models"})
    assert "two slashes in a row" in openai_error(response)["message"]


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_path_is_answered(path: str, method: str, fix_paths: bool) -> None:
    environ = {"PATH_INFO": "/" + path.encode("utf-8", "surrogatepass").decode("latin-1")}
    response = ask(FIXING if fix_paths else SHARED, "/", method=method, environ=environ)
    assert response.status_code in (200, 204, 400, 404, 405)


# Google's own address for OpenAI's clients.


def test_googles_address_for_openai_clients_is_served(demo: App) -> None:
    response = ask(demo, f"{GOOGLES}/chat/completions", method="POST", json=HELLO)
    assert ChatCompletion.model_validate(response.json).model == "gpt-4o"
    assert ask(demo, f"{GOOGLES}/models").data == ask(demo, "/v1/models").data
    assert Model.model_validate(ask(demo, f"{GOOGLES}/models/gemini-pro-latest").json).id == "gemini-pro-latest"


def test_googles_address_has_openais_errors(demo: App) -> None:
    headers = {"x-goog-api-key": "x"}
    assert openai_error(ask(demo, f"{GOOGLES}/chat/completions", headers=headers))["code"] == "method_not_allowed"
    assert openai_error(ask(demo, f"{GOOGLES}/nothing", headers=headers))["code"] == "not_found"
    bad = ask(demo, f"{GOOGLES}/chat/completions", method="POST", json={"model": 5}, headers=headers)
    assert openai_error(bad)["param"] == "model"
    application = app(auth_mode="strict", api_key=KEY)
    assert openai_error(ask(application, f"{GOOGLES}/models"))["code"] == "invalid_api_key"


# Wrong paths that are served all the same.


@pytest.mark.parametrize(
    "path",
    ["/v1/v1/chat/completions", "/chat/completions", f"{CHAT}/", f"{CHAT}/chat/completions", "/V1/chat/completions "],
)
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_path_is_served_with_fix_paths(path: str, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy")
    response = ask(FIXING, path, method="POST", json={**HELLO, "stream": stream})
    assert response.status_code == 200
    assert response.mimetype == ("text/event-stream" if stream else "application/json")
    assert response.headers["X-Agproxy-Fixed-Path"] == CHAT
    fixed, access = (record.getMessage() for record in caplog.records)
    shown = path.replace(" ", "%20")
    assert fixed == f"path fixed id={response.headers['X-Request-Id']} path={shown} to={CHAT} client={HERE}"
    assert f"method=POST path={shown} client=" in access


def test_path_of_a_model_is_fixed_with_its_name() -> None:
    response = ask(FIXING, "/models/gpt-4o")
    assert Model.model_validate(response.json).id == "gpt-4o"
    assert response.headers["X-Agproxy-Fixed-Path"] == "/v1/models/gpt-4o"


def test_right_path_is_served_without_a_word_about_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy")
    response = post(FIXING, HELLO)
    assert response.status_code == 200
    assert "X-Agproxy-Fixed-Path" not in response.headers
    assert "path fixed" not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat/completions", 404),
        ("GET", CHAT, 405),
        ("POST", "/nothing", 404),
        ("POST", "/v1/v1/messages/batches", 404),
        ("POST", "/api/chat", 404),
        ("GET", "/", 404),
    ],
)
def test_what_cannot_be_served_is_told_with_fix_paths_too(method: str, path: str, status: int) -> None:
    response = ask(FIXING, path, method=method)
    assert response.status_code == status
    assert "X-Agproxy-Fixed-Path" not in response.headers
    assert "http://127.0.0.1:8045/v1" in response.text


def test_fixed_path_asks_for_the_same_key_and_content_type() -> None:
    application = app(fix_paths=True, auth_mode="strict", api_key=KEY)
    assert ask(application, "/v1/v1/models").status_code == 401
    assert ask(application, "/api/healthz").status_code == 401
    assert ask(application, "/v1/v1/models", headers={"x-api-key": KEY}).status_code == 200
    assert ask(FIXING, "/v1/v1/models", remote=ELSEWHERE).status_code == 403
    response = ask(FIXING, "/chat/completions", method="POST", data="{}", content_type="text/plain")
    assert openai_error(response)["code"] == "unsupported_media_type"
    assert ask(FIXING, "/v1/v1/models", headers={"Origin": "https://evil.com"}).status_code == 403


def test_fixed_path_may_be_asked_for_first() -> None:
    response = ask(app(fix_paths=True, allowed_origins=(ORIGIN,)), "/chat/completions", method="OPTIONS")
    assert (response.status_code, response.headers["Allow"]) == (204, "POST, OPTIONS")
    assert ask(app(), "/chat/completions", method="OPTIONS").status_code == 404


def test_log_of_a_fixed_path_is_one_line_without_googles_keys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy.app")
    key = "AIza" + "k" * 35
    environ = {"PATH_INFO": f"/v1?key={key}\r\n\x1b/models/gpt-4o"}
    assert ask(FIXING, "/", environ=environ).status_code == 200
    (record,) = [record for record in caplog.records if "path fixed" in record.getMessage()]
    assert "path=/v1%3Fkey%3D[redacted]%0D%0A%1B/models/gpt-4o to=/v1/models/gpt-4o client=" in record.getMessage()


# Keys that were put into a path, or in place of a model.

ACCOUNT_KEY = "the-key/of=an+account"


@pytest.mark.parametrize("key", ["AIza" + "k" * 35, KEY, ACCOUNT_KEY])
@pytest.mark.parametrize("fix_paths", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/{}/v1/models", None),
        ("GET", "/v1/{}/models", None),
        ("POST", "/{}/chat/completions", 404),
        ("GET", "/v1/models/{}", 404),
        ("POST", "/v1/models/{}", 405),
        ("GET", "/models/{}", 404),
        ("GET", "//{}", 404),
        ("GET", "/" + "x" * 190 + "/{}", 404),
        ("POST", CHAT, 404),
    ],
)
def test_key_in_the_wrong_place_is_told_to_nobody(
    method: str, path: str, status: int | None, key: str, fix_paths: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agproxy")
    accounts = (Account("demo", type="demo"), Account("other", api_key=ACCOUNT_KEY))
    server = Server(fix_paths=fix_paths, api_key=KEY, auth_mode="strict")
    application = App(replace(config.load(None, {}), server=server, accounts=accounts, store=Store("memory:")))
    for headers in ({"x-api-key": KEY}, {"x-api-key": KEY, **BROWSER}):
        response = ask(
            application,
            "/",
            method=method,
            json={**HELLO, "model": key} if method == "POST" else None,
            headers=headers,
            environ={"PATH_INFO": path.format(key)},
        )
        if response.status_code == 400:
            assert "is not a model name" in response.text
        else:
            assert response.status_code == status or (status is None and response.status_code in (200, 404))
        said = f"{response.text}\n{response.headers}\n{caplog.text}".lower()
        for shown in (key, key.partition("/")[2] or key, quote(key, safe="/"), key[:12]):
            assert shown.lower() not in said


# Browsers.

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}


def html(response: TestResponse) -> str:
    """The page, which must be one that can do nothing."""
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "<script" not in response.text
    return response.text


@pytest.mark.parametrize("server", AUTH)
def test_browser_is_told_that_agproxy_runs(server: dict[str, Any]) -> None:
    response = ask(app(**server), "/", headers=BROWSER)
    assert response.status_code == 200
    assert "agproxy runs here" in html(response)
    assert "<td>OpenAI clients</td><td><code>http://127.0.0.1:8045/v1</code></td>" in response.text


def test_browser_gets_the_explanation_as_a_page(demo: App) -> None:
    response = ask(demo, "/v1/v1/models", headers=BROWSER)
    assert response.status_code == 404
    assert "/v1 is in it twice. The Base URL for OpenAI clients is http://127.0.0.1:8045/v1;" in html(response)


def test_browser_on_a_post_path_gets_an_example_with_curl(demo: App) -> None:
    response = ask(demo, CHAT, headers=BROWSER)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")
    assert "takes POST, not GET. It wants a POST with a JSON body" in html(response)
    assert (
        "curl http://127.0.0.1:8045/v1/chat/completions -H &#x27;Content-Type: application/json&#x27;" in response.text
    )


def test_page_shows_a_path_as_text(demo: App) -> None:
    response = ask(demo, "/<script>alert(1)</script>\"'", headers=BROWSER)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html(response)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        {"Accept": "application/json, text/html"},
        {"Accept": "application/json, text/html;q=0.9"},
        {"Accept": "text/*"},
        {"Accept": "application/json, text/plain, */*"},
        {"Accept": ";;text/html;q=x,,/"},
        {**BROWSER, "Authorization": "Bearer x"},
        {**BROWSER, "x-api-key": "x"},
        {**BROWSER, "anthropic-version": "2023-06-01"},
    ],
)
def test_program_gets_json_never_a_page(demo: App, headers: dict[str, str]) -> None:
    for path in ("/", "/nothing", CHAT):
        response = ask(demo, path, headers=headers)
        assert response.status_code in (404, 405)
        assert response.mimetype == "application/json"


def test_browser_gets_json_where_the_api_answers(demo: App) -> None:
    assert ask(demo, "/v1/models", headers=BROWSER).mimetype == "application/json"
    assert ask(demo, "/v1/models/no-such-model", headers=BROWSER).mimetype == "application/json"
    assert ask(demo, "/nothing", method="POST", headers=BROWSER).mimetype == "application/json"


def test_browser_may_ask_for_the_head_alone(demo: App) -> None:
    for path in ("/", "/nothing", CHAT):
        got, headed = (ask(demo, path, method=method, headers=BROWSER) for method in ("GET", "HEAD"))
        assert (headed.status_code, headed.data) == (got.status_code, b"")
        assert headed.mimetype == "text/html"


# Auth.


@pytest.mark.parametrize("remote", [HERE, ELSEWHERE])
@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
@pytest.mark.parametrize("key", [None, "wrong", KEY])
@pytest.mark.parametrize("server", [entry for entry in AUTH if entry.get("api_key") in (None, KEY)])
def test_who_is_served_in_which_mode(server: dict[str, Any], key: str | None, path: str, remote: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = ask(app(**server), path, remote=remote, headers=headers)
    if "api_key" not in server:
        expected = 200 if remote == HERE else 403
    elif path == "/healthz" and server["auth_mode"] != "strict":
        expected = 200
    else:
        expected = 200 if key == KEY else 401
    assert response.status_code == expected
    if expected == 401:
        assert openai_error(response)["code"] == "invalid_api_key"
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "place",
    [
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": {"x-api-key": KEY}},
        {"headers": {"x-goog-api-key": KEY}},
        {"query_string": {"key": KEY}},
        {"query_string": {"key": KEY}, "headers": {"Authorization": "Bearer "}},
    ],
)
def test_key_is_taken_from_each_of_its_places(place: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy")
    application = app(auth_mode="strict", api_key=KEY)
    assert ask(application, "/v1/models", **place).status_code == 200
    assert ask(application, "/v1/models").status_code == 401
    assert KEY not in caplog.text


def test_first_key_counts() -> None:
    headers = {"Authorization": "Bearer wrong", "x-api-key": KEY}
    assert ask(app(auth_mode="strict", api_key=KEY), "/v1/models", headers=headers).status_code == 401


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-goog-api-key"])
@pytest.mark.parametrize("key", ["sch\xf6n", "\xff\xfe", "\xe6\x97\xa5"])
def test_key_outside_ascii_is_wrong_and_nothing_worse(header: str, key: str) -> None:
    value = f"Bearer {key}" if header == "Authorization" else key
    response = ask(app(auth_mode="strict", api_key=KEY), "/v1/models", headers={header: value})
    assert response.status_code == 401
    response = ask(app(auth_mode="strict", api_key=KEY), "/v1/models", environ={"QUERY_STRING": f"key={key}%ff%00"})
    assert response.status_code == 401


def test_missing_configured_key_refuses_all_and_says_why() -> None:
    response = ask(app(auth_mode="strict"), "/healthz", headers={"Authorization": "Bearer "})
    assert (response.status_code, openai_error(response)["code"]) == (401, "no_key_configured")


def test_forwarded_request_is_not_of_this_machine() -> None:
    response = ask(app(), "/v1/models", headers={"X-Forwarded-For": "127.0.0.1"})
    assert (response.status_code, openai_error(response)["code"]) == (403, "local_only")


# Guards come first.


class Untouchable:
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.com"}, 403, "host_not_allowed"),
        ({"Origin": "https://evil.com"}, 403, "origin_not_allowed"),
        ({"Origin": "null"}, 403, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "br"}, 415, "unsupported_media_type"),
        ({"Content-Encoding": "gzip, gzip"}, 415, "unsupported_media_type"),
    ],
)
def test_request_that_is_not_meant_for_us_is_refused_unread(
    demo: App, headers: dict[str, str], status: int, code: str
) -> None:
    found, body = post_raw(demo, Untouchable(), length=10, headers=headers)
    assert (found, body["error"]["code"]) == (status, code)


def test_missing_host_is_refused(demo: App) -> None:
    head = create_environ("/healthz", BASE_URL)
    del head["HTTP_HOST"]
    chunks, status, _ = run_wsgi_app(demo, head, buffered=True)
    assert status.startswith("400")
    assert json.loads(b"".join(chunks))["error"]["code"] == "invalid_host"


def test_method_in_lower_case_does_not_get_around_the_guard(demo: App) -> None:
    response = ask(demo, CHAT, method="post", data=json.dumps(HELLO), content_type="text/plain")
    assert response.status_code == 415


def test_foreign_host_is_refused_on_every_path_and_method(demo: App) -> None:
    for path in ("/", "/healthz", "/v1/models", CHAT, "/nothing"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert ask(demo, path, method=method, headers={"Host": "evil.com"}).status_code == 403


# CORS.

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def open_to_page() -> App:
    return app(allowed_origins=(ORIGIN,))


def test_allowed_page_may_read_answers_and_errors(open_to_page: App) -> None:
    for path, status in (("/v1/models", 200), ("/nothing", 404)):
        response = ask(open_to_page, path, headers={"Origin": ORIGIN})
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "X-Mapped-Model" in response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Vary"] == "Origin"


def test_allowed_page_may_ask_first(open_to_page: App) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Headers": "authorization, content-type\x01<x>"}
    response = ask(open_to_page, CHAT, method="OPTIONS", headers=asked)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert response.headers["Access-Control-Allow-Headers"] == "authorization, content-typex"


@pytest.mark.parametrize("headers", [{}, {"Origin": BASE_URL}, {"Origin": "https://evil.com"}, {"Origin": "null"}])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_nobody_else_gets_cors_headers(demo: App, open_to_page: App, headers: dict[str, str], method: str) -> None:
    for application in (demo, open_to_page):
        response = ask(application, "/v1/models", method=method, headers=headers)
        assert not [name for name, _ in response.headers if name.startswith("Access-Control-")]
    response = ask(demo, "/v1/models", headers={"Origin": ORIGIN})
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers


# Mounted.


def test_mounted_at_a_prefix() -> None:
    mounted = DispatcherMiddleware(lambda *_: [], {"/gate/way": app()})
    assert ask(mounted, "/gate/way/healthz").status_code == 200
    assert post_to(mounted, f"/gate/way{CHAT}").status_code == 200
    response = ask(mounted, "/gate/way/nothing")
    assert response.status_code == 404
    assert "does not serve GET /gate/way/nothing. " in openai_error(response)["message"]
    assert openai_error(ask(mounted, f"/gate/way{CHAT}"))["message"].startswith(f"/gate/way{CHAT} takes POST, not GET")
    assert "http://127.0.0.1:8045/gate/way/v1," in openai_error(response)["message"]
    assert ask(mounted, "/gate/way").status_code == 404
    response = ask(mounted, "/gate/way/chat/completions", method="POST")
    assert "goes to POST http://127.0.0.1:8045/gate/way/v1/chat/completions." in openai_error(response)["message"]
    for path in ("/gate/way", "/gate/way/", "/gate/way/nothing"):
        assert "http://127.0.0.1:8045/gate/way/v1<" in ask(mounted, path, headers=BROWSER).text


def test_mounted_at_a_prefix_with_paths_fixed() -> None:
    mounted = DispatcherMiddleware(lambda *_: [], {"/gate/way": app(fix_paths=True)})
    response = post_to(mounted, "/gate/way/v1/v1/chat/completions")
    assert (response.status_code, response.headers["X-Agproxy-Fixed-Path"]) == (200, CHAT)


def post_to(application: Any, path: str) -> TestResponse:
    return ask(application, path, method="POST", json=HELLO)


# Headers of answers.


@pytest.mark.parametrize(
    ("path", "method"), [("/healthz", "GET"), ("/nothing", "GET"), (CHAT, "GET"), (CHAT, "POST"), (CHAT, "OPTIONS")]
)
def test_every_answer_has_an_id_and_cannot_be_sniffed(demo: App, path: str, method: str) -> None:
    response = ask(demo, path, method=method, headers={"X-Request-Id": "mine"})
    assert response.headers["X-Request-Id"].startswith("req_")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-4o"},
        {**HELLO, "messages": []},
        {**HELLO, "temperature": 9},
        {**HELLO, "messages": [{"role": "user", "content": ""}]},
        {**HELLO, "stream": True, "messages": [{"role": "bot"}]},
    ],
)
def test_mapped_model_is_told_with_errors_too(demo: App, body: Json) -> None:
    response = post(demo, body)
    assert response.status_code == 400
    assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"


def test_mapped_model_is_not_made_up(demo: App) -> None:
    for path in ("/healthz", "/v1/models", "/nothing", "/v1/models/no-such-model"):
        assert "X-Mapped-Model" not in ask(demo, path).headers
    assert "X-Mapped-Model" not in post(demo, {**HELLO, "model": "no-such-model"}).headers


@pytest.mark.parametrize("stream", [False, True])
def test_ignored_fields_are_told(demo: App, stream: bool) -> None:
    response = post(demo, {**HELLO, "stream": stream, "user": "me", "store": True, "top_logprobs": 0})
    assert response.status_code == 200
    assert response.headers["X-Agproxy-Ignored"] == "user, store"
    assert "X-Agproxy-Ignored" not in post(demo, {**HELLO, "stream": stream}).headers


def test_ignored_fields_are_told_with_errors_found_later(demo: App) -> None:
    response = post(demo, {**HELLO, "user": "me", "messages": [{"role": "assistant", "content": ""}]})
    assert (response.status_code, response.headers["X-Agproxy-Ignored"]) == (400, "user")


def test_hostile_names_of_ignored_fields_are_made_harmless(demo: App) -> None:
    names = ["a\r\nSet-Cookie: x=1", "日本", "\x00\x7f\xe9", "", "x" * 5000, 'a, b; "c"', "\u2028"]
    many = [f"field{number}" for number in range(5000)]
    response = post(demo, {**HELLO, **dict.fromkeys([*names, *many], 1)})
    told = response.headers["X-Agproxy-Ignored"]
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert told.isascii()
    assert told.isprintable()
    assert told.startswith(f"a__Set-Cookie__x_1, __, ___, , {'x' * 64}, a__b___c_, _, field0, ")
    assert len(told) < 3000


@pytest.mark.parametrize(
    ("server", "remote", "headers", "is_told"),
    [
        ({}, HERE, {}, True),
        ({"expose_account": "off"}, HERE, {}, False),
        ({"auth_mode": "strict", "api_key": KEY}, HERE, {}, True),
        ({"auth_mode": "strict", "api_key": KEY}, ELSEWHERE, {}, False),
        ({"auth_mode": "strict", "api_key": KEY}, HERE, {"X-Forwarded-For": "127.0.0.1"}, False),
        ({"auth_mode": "strict", "api_key": KEY, "expose_account": "on"}, ELSEWHERE, {}, True),
        ({"auth_mode": "strict", "api_key": KEY, "expose_account": "off"}, ELSEWHERE, {}, False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_account_is_told_to_this_machine_unless_configured_otherwise(
    server: dict[str, Any], remote: str, headers: dict[str, str], is_told: bool, stream: bool
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    response = post(app(**server), {**HELLO, "stream": stream}, remote=remote, headers=headers)
    assert response.status_code == 200
    assert response.headers.get("X-Account-Email") == ("demo" if is_told else None)


def test_access_line_tells_what_happened_but_nothing_that_was_said(demo: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy.app")
    response = post(demo, {**HELLO, "messages": [{"role": "user", "content": "my secret"}], "stream": True})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "agproxy.app"]
    for word in (response.headers["X-Request-Id"], "status=200", "model=gemini-flash-latest", "account=demo"):
        assert word in line
    assert "secret" not in caplog.text


def test_access_line_cannot_be_forged_by_a_path(demo: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy.app")
    ask(demo, "/a%0aid=forged%1b[31m\xe9" + "x" * 5000)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 600
    assert "path=/a%0Aid%3Dforged%1B[31m" in line


@pytest.mark.parametrize(
    "path", ["/x client=9.9.9.9 status=200", "/x\" status='200'", "/x\tstatus=200\xa0status=200", "/x%20status=200 "]
)
@pytest.mark.parametrize("method", ["GET", "GET status=200"])
def test_no_field_of_the_access_line_can_be_added(
    demo: App, path: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agproxy.app")
    ask(demo, "/", environ={"PATH_INFO": path, "REQUEST_METHOD": method})
    (line,) = [record.getMessage() for record in caplog.records]
    names = [word.partition("=")[0] for word in line.split()]
    assert len(names) == len(set(names))
    assert line.count("=") == len(names)
    assert line.count("status=404") == 1
    assert "'" not in line
    assert '"' not in line


def test_path_outside_ascii_can_be_read_back(demo: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agproxy.app")
    ask(demo, "/caf%C3%A9/%2520")
    assert " path=/caf%C3%A9/%2520 " in caplog.text


# Bodies.

SMALL = 1000


@pytest.fixture(scope="module")
def small() -> App:
    return app(max_body_bytes=SMALL)


def padded(length: int) -> bytes:
    body = json.dumps({**HELLO, "user": ""}).encode()
    return body[:-2] + b"x" * (length - len(body)) + body[-2:]


def chunked(stream: Any) -> dict[str, Any]:
    """What gunicorn and waitress say of a body that came in chunks."""
    return {"stream": stream, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


@pytest.mark.parametrize("length", [SMALL + 1, 10**9, 10**4000])
def test_body_that_says_it_is_too_long_is_refused_unread(small: App, length: int) -> None:
    status, body = post_raw(small, Untouchable(), length=length)
    assert (status, body["error"]["code"], body["error"]["type"]) == (413, "request_too_large", "invalid_request_error")
    assert "1000 bytes" in body["error"]["message"]


def test_body_of_just_the_limit_is_taken(small: App) -> None:
    assert post_raw(small, BytesIO(padded(SMALL)), length=SMALL)[0] == 200
    assert post_raw(small, **chunked(BytesIO(padded(SMALL))))[0] == 200


class Endless:
    """A body that never ends, and counts what was taken of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "all of it was asked for"
        self.taken += size
        return b" " * size


def test_chunked_body_is_refused_once_it_is_over_the_limit(small: App) -> None:
    body = Endless()
    status, answer = post_raw(small, **chunked(body))
    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert body.taken == SMALL + 1
    assert post_raw(small, **chunked(BytesIO(padded(SMALL + 1))))[0] == 413


class Dribbling(BytesIO):
    """A body that comes in small pieces."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7)


def test_body_that_comes_in_pieces_is_put_together(demo: App) -> None:
    wire = json.dumps(HELLO).encode()
    assert post_raw(demo, Dribbling(wire), length=len(wire))[0] == 200
    assert post_raw(demo, **chunked(Dribbling(wire)))[0] == 200


def test_body_shorter_than_it_said_is_refused(demo: App) -> None:
    status, body = post_raw(demo, BytesIO(json.dumps(HELLO).encode()), length=500)
    assert (status, body["error"]["code"]) == (400, "incomplete_body")


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, size: int = -1) -> bytes:
        raise self.error


class MalformedChunk(Exception):
    """As gunicorn's, which is no OSError."""


@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), TimeoutError(), OSError("bad chunk"), MalformedChunk()]
)
def test_body_that_breaks_off_is_the_clients_fault(demo: App, error: Exception) -> None:
    for others in ({"stream": Broken(error), "length": 10}, chunked(Broken(error))):
        status, body = post_raw(demo, **others)
        assert (status, body["error"]["code"]) == (400, "incomplete_body")


@pytest.mark.parametrize("length", [None, 0, "", "abc", "-5", "1e3", "9" * 5000, "\xb2"])
def test_body_without_a_usable_length_is_empty(demo: App, length: object) -> None:
    status, body = post_raw(demo, Untouchable(), length=length)
    assert (status, body["error"]["code"]) in [(400, "invalid_json"), (413, "request_too_large")]


def test_body_in_gzip_is_unpacked(demo: App) -> None:
    wire = gzip.compress(json.dumps(HELLO).encode())
    assert post_raw(demo, BytesIO(wire), length=len(wire), headers={"Content-Encoding": "gzip"})[0] == 200
    assert post_raw(demo, BytesIO(wire), length=len(wire), headers={"Content-Encoding": " GZip "})[0] == 200
    plain = json.dumps(HELLO).encode()
    assert post_raw(demo, BytesIO(plain), length=len(plain), headers={"Content-Encoding": "identity"})[0] == 200


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (json.dumps(HELLO).encode(), "is not gzip"),
        (zlib.compress(json.dumps(HELLO).encode()), "is not gzip"),
        (b"\x1f\x8b" + b"\xff" * 50, "gzip"),
        (gzip.compress(json.dumps(HELLO).encode(), mtime=0)[:-9], "not whole"),
        (gzip.compress(json.dumps(HELLO).encode(), mtime=0) + gzip.compress(b" ", mtime=0), "more than one member"),
        (gzip.compress(json.dumps(HELLO).encode(), mtime=0)[:-4] + b"\0\0\0\0", "gzip"),
        (b"", "gzip"),
        (gzip.compress(b"", mtime=0), "empty"),
        (gzip.compress(b"not JSON", mtime=0), "not JSON"),
    ],
)
def test_body_in_bad_gzip_is_refused(demo: App, wire: bytes, words: str) -> None:
    status, body = post_raw(demo, BytesIO(wire), length=len(wire), headers={"Content-Encoding": "gzip"})
    assert status == 400
    assert words in body["error"]["message"]


def test_gzip_bomb_is_refused_before_it_goes_off() -> None:
    application = app(max_body_bytes=50_000)
    wire = gzip.compress(bytes(40_000_000))
    assert len(wire) < 50_000
    tracemalloc.start()
    try:
        status, body = post_raw(application, BytesIO(wire), length=len(wire), headers={"Content-Encoding": "gzip"})
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert (status, body["error"]["code"]) == (413, "request_too_large")


BAD_BODIES = [
    b"",
    b"not JSON",
    b"[]",
    b"null",
    b'"text"',
    b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
    b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "\xff"}]}',
    b'{"model": "gpt-4o", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    json.dumps(HELLO).encode("utf-16"),
]


@pytest.mark.parametrize("wire", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_body_that_is_no_json_object_is_refused(demo: App, wire: bytes) -> None:
    response = ask(demo, CHAT, method="POST", data=wire, content_type="application/json")
    assert (response.status_code, openai_error(response)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": None}, 400, "model"),
        ({"model": 5}, 400, "model"),
        ({"model": ""}, 400, "model"),
        ({"model": "../../etc/passwd"}, 400, "model"),
        ({"model": "gpt-4o?key=x"}, 400, "model"),
        ({"model": "gpt\r\n4o"}, 400, "model"),
        ({"model": "x" * 5000}, 400, "model"),
        ({"model": "no-such-model"}, 404, "model"),
        ({"messages": None}, 400, "messages"),
        ({"messages": "Hello"}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "messages"),
        ({"temperature": 9}, 400, "temperature"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"stop": ["1", "2", "3", "4", "5", "6"]}, 400, "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_field_is_refused_by_name(demo: App, change: Json, status: int, param: str, stream: bool) -> None:
    response = post(demo, {**HELLO, "stream": stream, **change})
    assert (response.status_code, openai_error(response)["param"]) == (status, param)


def nested(depth: int) -> Json:
    value: Json = "x"
    for number in range(depth):
        value = [value] if number % 2 else {"items": value}
    return value


@pytest.mark.parametrize(
    "path",
    [
        ("model",),
        ("messages", 0, "role"),
        ("messages", 0, "content"),
        ("messages", 2, "content", 0, "type"),
        ("messages", 3, "tool_calls", 0, "function", "arguments"),
        ("tools", 0, "function", "parameters"),
        ("tools", 0, "type"),
        ("tool_choice",),
        ("stop",),
        ("metadata",),
        ("whatever",),
    ],
)
def test_deep_nesting_is_never_our_fault(demo: App, path: tuple[str | int, ...]) -> None:
    for depth in (50, 150, 300, 400, 450, 480, 500, 600, 700, 800, 850, 900, 930, 940, 950, 960, 970, 980):
        try:
            wire = json.dumps(changed(full_body(), path, nested(depth)))
        except RecursionError:  # the test's own
            break
        response = ask(demo, CHAT, method="POST", data=wire, content_type="application/json")
        assert response.status_code < 500, depth


def test_deep_nesting_in_past_arguments_is_never_our_fault(demo: App) -> None:
    path = ("messages", 3, "tool_calls", 0, "function", "arguments")
    for depth in range(50, 3000, 50):
        body = changed(full_body(), path, '{"a":' * depth + "1" + "}" * depth)
        assert post(demo, body).status_code < 500, depth


# Fuzz: whatever comes, there is an answer or a 4xx in OpenAI's shape.


def answers_or_refuses(application: App, body: bytes) -> None:
    response = ask(application, CHAT, method="POST", data=body, content_type="application/json")
    if response.status_code != 200:
        assert response.status_code in (400, 404)
        openai_error(response)
    elif response.mimetype == "text/event-stream":
        *chunks, last = sse.decode([response.data])
        assert last == b"[DONE]"
        assert [b'"error"' in chunk for chunk in chunks].count(True) == 0
    else:
        ChatCompletion.model_validate(response.json)


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), max_size=2))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_answered_or_refused(changes: list[tuple[tuple[Json, ...], Json]]) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    answers_or_refuses(SHARED, json.dumps(body).encode())


@given(st.dictionaries(WORDS, JSON, max_size=5), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_answered_or_refused(fields: dict[str, Json], stream: bool) -> None:
    answers_or_refuses(SHARED, json.dumps({**HELLO, "stream": stream, **fields}).encode())


@given(st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_bytes_are_refused(body: bytes) -> None:
    answers_or_refuses(SHARED, body)


SHARED = app()
FIXING = app(fix_paths=True)


# Our own faults.


def test_fault_of_ours_is_told_without_its_words(demo: App, caplog: pytest.LogCaptureFixture) -> None:
    # No server gives a number here, so nobody is prepared for it.
    response = ask(demo, CHAT, method="POST", environ={"CONTENT_TYPE": 5})
    assert (response.status_code, openai_error(response)["code"]) == (500, "internal_error")
    assert openai_error(response)["message"] == "agproxy failed; its log says why"
    assert response.headers["X-Request-Id"] in caplog.text
    assert "AttributeError" in caplog.text


# Set-up.


def write_ini(folder: Path, text: str) -> Path:
    path = folder / "agproxy.ini"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def test_application_made_from_a_file(tmp_path: Path) -> None:
    server = f"[server]\nauth_mode = strict\napi_key = {KEY}\n"
    rest = "[models]\nmy-model = gemini-pro-latest\n[account:me]\ntype = demo\n"
    application = create_app(write_ini(tmp_path, server + rest))
    headers = {"Authorization": f"Bearer {KEY}"}
    assert ask(application, "/v1/models").status_code == 401
    response = post(application, {**HELLO, "model": "my-model"}, headers=headers)
    assert response.headers["X-Mapped-Model"] == "gemini-pro-latest"
    assert response.headers["X-Account-Email"] == "me"
    assert create_app(str(tmp_path / "agproxy.ini")).log_level == "info"


def test_application_finds_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_ini(tmp_path, "[log]\nlevel = warning\n[account:me]\ntype = demo\n")
    monkeypatch.setenv("AGPROXY_CONFIG", str(path))
    assert create_app().log_level == "warning"


def test_application_is_not_made_from_a_file_with_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agproxy\.ini, line 2: \[server\] unknown option 'prot'; did you mean"):
        create_app(write_ini(tmp_path, "[server]\nprot = 8045\n"))


def test_fault_of_ours_in_a_stream_is_told_in_it(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[bytes]:
        yield b"data: 1\n\n"
        raise ZeroDivisionError("secret words")

    request = Request(create_environ(), id_="req_1", server=Server(), secrets=())
    first, last = list(_guarded(broken(), request))
    assert first == b"data: 1\n\n"
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "internal_error"
    assert b"secret" not in last
    assert "req_1" in caplog.text
