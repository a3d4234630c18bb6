"""Every path that agproxy answers, and what it says about those that it does not."""

from dataclasses import dataclass, field
from types import ModuleType

import pytest
from werkzeug.datastructures import EnvironHeaders

from agproxy.errors import MethodNotAllowed, NotFound, redact
from agproxy.handlers import chat, health, models
from agproxy.protocols import openai_chat, openai_completions
from agproxy.routes import ROUTES, bases, fixed, match, methods_of


@dataclass(frozen=True)
class Caller:
    """Somebody who asks for a path."""

    root_url: str = "http://127.0.0.1:8045/"
    headers: EnvironHeaders = field(default_factory=lambda: EnvironHeaders({}))
    query_string: bytes = b""

    def redacted(self, text: str) -> str:
        return redact(text, ["sk-secret"])


def user_agent(text: str) -> Caller:
    return Caller(headers=EnvironHeaders({"HTTP_USER_AGENT": text}))


def test_the_route_table() -> None:
    table = sorted(
        (method, rule.rule)
        for rule in ROUTES.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD"})  # Werkzeug adds it to GET
    )
    assert table == [
        ("DELETE", "/v1/responses/<response_id>"),
        ("GET", "/health"),
        ("GET", "/healthz"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/<path:model>"),
        ("GET", "/v1/responses/<response_id>"),
        ("GET", "/v1/responses/<response_id>/input_items"),
        ("GET", "/v1beta/openai/models"),
        ("GET", "/v1beta/openai/models/<path:model>"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/<response_id>/cancel"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1beta/openai/chat/completions"),
        ("POST", "/v1beta/openai/completions"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "handler", "is_health", "values"),
    [
        ("GET", "/healthz", health.healthz, True, {}),
        ("HEAD", "/healthz", health.healthz, True, {}),
        ("GET", "/health", health.healthz, True, {}),
        ("GET", "/v1/models", models.list_models, False, {}),
        ("GET", "/v1/models/gpt-4o", models.get_model, False, {"model": "gpt-4o"}),
        ("GET", "/v1/models/models/x:free@1", models.get_model, False, {"model": "models/x:free@1"}),
        ("POST", "/v1/chat/completions", chat.complete, False, {}),
        ("GET", "/v1beta/openai/models", models.list_models, False, {}),
        ("GET", "/v1beta/openai/models/gemini-x", models.get_model, False, {"model": "gemini-x"}),
        ("POST", "/v1beta/openai/chat/completions", chat.complete, False, {}),
    ],
)
def test_path_has_a_handler(method: str, path: str, handler: object, is_health: bool, values: dict[str, str]) -> None:
    assert match(method, path, Caller()) == ((handler, openai_chat, is_health), values)


@pytest.mark.parametrize(("path", "protocol"), [("completions", openai_completions)])
@pytest.mark.parametrize("base", ["/v1", "/v1beta/openai"])
def test_path_of_another_protocol_has_the_same_handler(base: str, path: str, protocol: ModuleType) -> None:
    assert match("POST", f"{base}/{path}", Caller()) == ((chat.complete, protocol, False), {})


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/v1", "/v1/", "/nothing", "/healthz/", "/health/x", "/Healthz", "/v1/models/", "/V1/models"),
        *("/v1/chat/completions/", "/v1//chat/completions", "/v1/v1/chat/completions", "/chat/completions"),
        *(
            "/v1/chat/completions/responses",
            "/v1/messages",
            "/v1beta/models",
            "/v1/chat/completions?x",
            "/v1/models//x",
            "/v1beta/openai",
            "/v1beta/openai/",
            "//v1/models",
        ),
    ],
)
def test_other_path_is_not_found_and_never_redirected(method: str, path: str) -> None:
    with pytest.raises(NotFound, match=r"Base URL (for OpenAI clients is )?http://127\.0\.0\.1:8045/v1"):
        match(method, path, Caller())


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", ("POST",)),
        ("HEAD", "/v1/chat/completions", ("POST",)),
        ("OPTIONS", "/v1/chat/completions", ("POST",)),
        ("GET", "/v1/completions", ("POST",)),
        ("POST", "/v1/models", ("GET", "HEAD")),
        ("DELETE", "/v1/models/gpt-4o", ("GET", "HEAD")),
        ("POST", "/healthz", ("GET", "HEAD")),
        ("post", "/healthz", ("GET", "HEAD")),
        ("B\xe9\r\n" + "x" * 500, "/healthz", ("GET", "HEAD")),
    ],
)
def test_other_method_is_told_those_that_are_allowed(method: str, path: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed, match=f"{path} takes {' and '.join(allow)}, not ") as caught:
        match(method, path, Caller())
    assert caught.value.allow == allow
    assert "The Base URL for OpenAI clients is http://127.0.0.1:8045/v1" in caught.value.message
    assert len(caught.value.message) < 400


def test_browser_on_a_post_path_is_told_that_it_cannot_be_one() -> None:
    with pytest.raises(MethodNotAllowed, match="It wants a POST with a JSON body, which the address bar of a browser"):
        match("GET", "/v1/chat/completions", Caller())
    with pytest.raises(MethodNotAllowed) as caught:
        match("DELETE", "/v1/chat/completions", Caller())
    assert "browser" not in caught.value.message


@pytest.mark.parametrize("path", ["/v1/models/chat/completions", "/v1beta/openai/models/chat/completions"])
def test_endpoint_that_could_be_the_name_of_a_model_is_none(path: str) -> None:
    with pytest.raises(NotFound, match="the Base URL ends in /models, and the client adds its own path to that"):
        match("POST", path, Caller())
    assert match("GET", path, Caller())[1] == {"model": "chat/completions"}


def test_gemini_path_that_could_be_the_name_of_a_model_is_none() -> None:
    with pytest.raises(NotFound, match="this version of agproxy does not serve POST /v1/models/x:generateContent"):
        match("POST", "/v1/models/x:generateContent", Caller())


@pytest.mark.parametrize(
    ("caller", "path", "words"),
    [
        ("OpenAI/Python 3.54.0", "/v1/v1/models", "the OpenAI Python SDK is http://127.0.0.1:8045/v1 (base_url="),
        ("OpenAI/JS 6.0.0", "/nothing", "the OpenAI JavaScript SDK is http://127.0.0.1:8045/v1 (baseURL or"),
        ("Anthropic/Python 0.90.0", "/nothing", "the Anthropic Python SDK is http://127.0.0.1:8045 (base_url="),
        ("claude-cli/2.1.0", "/", "Claude Code is http://127.0.0.1:8045 (ANTHROPIC_BASE_URL)"),
        ("GeminiCLI/0.61.0", "/x:generateContent", "the Gemini CLI is http://127.0.0.1:8045 (GOOGLE_GEMINI_BASE_URL)"),
        ("codex_cli_rs/0.169.0", "/responses", "Codex is http://127.0.0.1:8045/v1 (base_url of its model provider"),
        ("curl/8.9.1", "/messages", "Anthropic clients is http://127.0.0.1:8045,"),
        ("curl/8.9.1", "/v1beta/nothing", "Gemini clients is http://127.0.0.1:8045,"),
        ("curl/8.9.1", "/nothing", "OpenAI clients is http://127.0.0.1:8045/v1,"),
    ],
)
def test_each_client_is_told_its_own_base_url(caller: str, path: str, words: str) -> None:
    with pytest.raises(NotFound) as caught:
        match("POST", path, user_agent(caller))
    assert f"The Base URL for {words}" in caught.value.message


def test_path_that_ended_up_in_the_query_string_is_understood() -> None:
    with pytest.raises(NotFound, match="the Base URL ends in a query string") as caught:
        match("POST", "/v1", Caller(query_string=b"key=secret/chat/completions"))
    assert "secret" not in caught.value.message


def test_each_base_url_is_told_once() -> None:
    told = bases("http://127.0.0.1:8045/")
    assert told[0] == ("OpenAI clients", "http://127.0.0.1:8045/v1")
    assert len(told) == len(set(told))


# Paths that can be served all the same.


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "//v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/models/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/v1/completions", "/v1/completions"),
        ("POST", "/v1/engines/davinci/completions", "/v1/completions"),
        ("POST", "/v1beta/openai//chat/completions", "/v1beta/openai/chat/completions"),
        ("OPTIONS", "/chat/completions", "/v1/chat/completions"),
        ("HEAD", "/models", "/v1/models"),
        ("GET", "/models/gpt-4o", "/v1/models/gpt-4o"),
    ],
)
def test_path_that_can_be_fixed(method: str, path: str, right: str) -> None:
    assert fixed(method, path) == right
    assert methods_of(right)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions"),
        ("OPTIONS", "/v1/chat/completions"),
        ("OPTIONS", "/v1/models/chat/completions"),
        ("OPTIONS", "/api/chat"),
        ("GET", "/chat/completions"),
        ("POST", "/models"),
        ("POST", "/api/chat"),
        ("POST", "/v1/v1/messages"),
        ("POST", "/v1/models/x:generateContent"),
        ("POST", "/nothing"),
        ("GET", "/"),
    ],
)
def test_path_that_cannot_be_fixed(method: str, path: str) -> None:
    assert fixed(method, path) is None


@pytest.mark.parametrize("key", ["sk-secret", "AIza" + "k" * 35])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_key_in_a_path_is_never_shown(key: str, method: str) -> None:
    for path in (f"/{key}/v1/models", f"/{key}/models", f"/v1/{key}", f"/v1/v1/models/{key}", "/x" * 56 + f"/{key}/a"):
        with pytest.raises((NotFound, MethodNotAllowed)) as caught:
            match(method, path, Caller())
        assert key.lower()[:8] not in caught.value.message.lower()
    with pytest.raises(NotFound, match="ends in a query string") as caught_too:
        match(method, "/v1", Caller(query_string=f"key={key}/{key}/chat/completions/{key}".encode()))
    assert key.lower()[:8] not in caught_too.value.message.lower()


def test_path_is_shown_with_the_prefix_that_agproxy_is_mounted_at() -> None:
    mounted = Caller(root_url="https://box.lan/llm/gw/")
    with pytest.raises(NotFound, match=r"^agproxy does not serve GET /llm/gw/nope"):
        match("GET", "/nope", mounted)
    with pytest.raises(MethodNotAllowed, match=r"^/llm/gw/v1/models takes GET and HEAD, not POST"):
        match("POST", "/v1/models", mounted)


def test_path_from_outside_is_shown_in_short_plain_ascii() -> None:
    with pytest.raises(NotFound) as caught:
        match("GET", "/\xe9\r\n\ud800" + "x" * 5000, Caller())
    assert caught.value.message.isascii()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
