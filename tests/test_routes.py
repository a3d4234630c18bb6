"""Every path that agproxy answers, and what it says about those that it does not."""

from dataclasses import dataclass, field
from types import ModuleType

import pytest
from werkzeug.datastructures import EnvironHeaders

from agproxy.errors import MethodNotAllowed, NotFound, redact
from agproxy.handlers import chat, health, messages, models, native
from agproxy.protocols import anthropic_messages, gemini, openai_chat, openai_completions
from agproxy.routes import ROUTES, Endpoint, bases, fixed, match, methods_of


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
        for method in sorted(rule.methods or ())
        if method != "HEAD" or rule.methods == {"HEAD"}  # Werkzeug adds it to GET
    )
    methods = "<any(generateContent,streamGenerateContent,countTokens,embedContent,batchEmbedContents):method>"
    assert table == [
        ("DELETE", "/v1/responses/<response_id>"),
        ("GET", "/health"),
        ("GET", "/healthz"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/<model:model>"),
        ("GET", "/v1/models/claude"),
        ("GET", "/v1/responses/<response_id>"),
        ("GET", "/v1/responses/<response_id>/input_items"),
        ("GET", "/v1beta/models"),
        ("GET", "/v1beta/models/<model:model>"),
        ("GET", "/v1beta/openai/models"),
        ("GET", "/v1beta/openai/models/<model:model>"),
        ("HEAD", "/"),
        ("HEAD", "/api/hello"),
        ("POST", "/api/event_logging/batch"),
        ("POST", "/v1/api/event_logging"),
        ("POST", "/v1/api/event_logging/batch"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/models/<model:model>/countTokens"),
        ("POST", f"/v1/models/<model:model>:{methods}"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/<response_id>/cancel"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1beta/models/<model:model>/countTokens"),
        ("POST", f"/v1beta/models/<model:model>:{methods}"),
        ("POST", "/v1beta/openai/chat/completions"),
        ("POST", "/v1beta/openai/completions"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "values"),
    [
        ("GET", "/healthz", (health.healthz, openai_chat, True), {}),
        ("HEAD", "/healthz", (health.healthz, openai_chat, True), {}),
        ("GET", "/health", (health.healthz, openai_chat, True), {}),
        ("GET", "/v1/models", (models.list_models, None, False), {}),
        ("GET", "/v1/models/gpt-4o", (models.get_model, None, False), {"model": "gpt-4o"}),
        ("GET", "/v1/models/models/x:free@1", (models.get_model, None, False), {"model": "models/x:free@1"}),
        ("GET", "/v1/models/claude", (models.list_for_anthropic, anthropic_messages, False), {}),
        ("POST", "/v1/chat/completions", (chat.complete, openai_chat, False), {}),
        ("GET", "/v1beta/openai/models", (models.list_models, openai_chat, False), {}),
        ("GET", "/v1beta/openai/models/gemini-x", (models.get_model, openai_chat, False), {"model": "gemini-x"}),
        ("POST", "/v1beta/openai/chat/completions", (chat.complete, openai_chat, False), {}),
        ("POST", "/v1/messages", (messages.create, anthropic_messages, False), {}),
        ("POST", "/v1/messages/count_tokens", (messages.count_tokens, anthropic_messages, False), {}),
        ("HEAD", "/", (health.hello, anthropic_messages, True), {}),
        ("HEAD", "/api/hello", (health.hello, anthropic_messages, True), {}),
        ("POST", "/api/event_logging/batch", (messages.telemetry, anthropic_messages, True), {}),
        ("GET", "/v1beta/models", (models.list_models, gemini, False), {}),
        ("HEAD", "/v1beta/models", (models.list_models, gemini, False), {}),
        ("GET", "/v1beta/models/models/x", (models.get_model, gemini, False), {"model": "models/x"}),
        ("GET", "/v1beta/models/x:generate", (models.get_model, gemini, False), {"model": "x:generate"}),
        ("GET", "/v1beta/models/x:countTokens/y", (models.get_model, gemini, False), {"model": "x:countTokens/y"}),
        ("POST", "/v1/models/x/countTokens", (native.count, gemini, False), {"model": "x"}),
        ("POST", "/v1beta/models/google/x/countTokens", (native.count, gemini, False), {"model": "google/x"}),
    ],
)
def test_path_has_a_handler(method: str, path: str, endpoint: Endpoint, values: dict[str, str]) -> None:
    assert match(method, path, Caller()) == (endpoint, values)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    "method", ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]
)
@pytest.mark.parametrize("model", ["gemini-x", "google/gpt-4o", "models/a/b", "llama3:8b"])
def test_methods_of_a_model_have_one_handler(version: str, method: str, model: str) -> None:
    found = match("POST", f"/{version}/models/{model}:{method}", Caller())
    assert found == ((native.relay, gemini, False), {"model": model, "method": method})


NATIVE_METHODS = ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize("first", NATIVE_METHODS)
@pytest.mark.parametrize("second", NATIVE_METHODS)
def test_method_that_stands_twice_is_no_model_and_no_method(version: str, verb: str, first: str, second: str) -> None:
    path = f"/{version}/models/gemini-x:{first}:{second}"
    with pytest.raises(NotFound, match=f"does not serve {verb} {path}"):
        match(verb, path, Caller())
    assert fixed(verb, path) is None


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("model", ["x:generateContents", "generateContent", "x:generateContent:free", "x-countTokens"])
def test_name_that_holds_the_word_of_a_method_is_one(version: str, model: str) -> None:
    assert match("GET", f"/{version}/models/{model}", Caller())[1] == {"model": model}
    found = match("POST", f"/{version}/models/{model}:countTokens", Caller())
    assert found == ((native.relay, gemini, False), {"model": model, "method": "countTokens"})


@pytest.mark.parametrize(("path", "protocol"), [("completions", openai_completions)])
@pytest.mark.parametrize("base", ["/v1", "/v1beta/openai"])
def test_path_of_another_protocol_has_the_same_handler(base: str, path: str, protocol: ModuleType) -> None:
    assert match("POST", f"{base}/{path}", Caller()) == ((chat.complete, protocol, False), {})


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "path",
    [
        *("", "/v1", "/v1/", "/nothing", "/healthz/", "/health/x", "/Healthz", "/v1/models/", "/V1/models"),
        *("/v1/chat/completions/", "/v1//chat/completions", "/v1/v1/chat/completions", "/chat/completions"),
        *(
            "/v1/chat/completions/responses",
            "/v1/messages/batches",
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


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_path_of_a_probe_is_there_for_the_probe_alone(path: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS", "BREW"):
        with pytest.raises(NotFound, match=r"The Base URL for OpenAI clients is http://127\.0\.0\.1:8045/v1"):
            match(method, path, Caller())
        assert fixed(method, path) is None


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


@pytest.mark.parametrize("path", ["/v1/models/x:predict", "/v1beta/models/a/b:batchGenerateContent"])
def test_gemini_path_that_could_be_the_name_of_a_model_is_none(path: str) -> None:
    with pytest.raises(NotFound, match=f"does not serve POST {path}: agproxy does not have this method of a model"):
        match("POST", path, Caller())


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1beta/openai"])
@pytest.mark.parametrize("model", ["gpt-4o", "a/b", "llama3:8b", "x:generateContent:free", "models/x"])
def test_name_of_a_model_is_not_taken_for_a_method(version: str, model: str) -> None:
    assert match("GET", f"/{version}/models/{model}", Caller())[1] == {"model": model}


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent", "countTokens", "embedContent"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_method_of_a_model_is_not_taken_for_its_name(version: str, method: str) -> None:
    with pytest.raises(MethodNotAllowed, match="takes POST, not GET") as caught:
        match("GET", f"/{version}/models/google/x:{method}", Caller())
    assert caught.value.allow == ("POST",)


def test_path_that_could_be_a_model_or_its_method_takes_what_both_take() -> None:
    path = "/v1beta/models/x/countTokens"
    assert match("GET", path, Caller())[1] == {"model": "x/countTokens"}
    with pytest.raises(MethodNotAllowed) as caught:
        match("PUT", path, Caller())
    assert caught.value.allow == ("GET", "HEAD", "POST")
    assert "The Base URL for Gemini clients is http://127.0.0.1:8045, without a version" in caught.value.message


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
        ("POST", "/v1/v1/messages", "/v1/messages"),
        ("POST", "/v1/v1beta/models/x:generateContent", "/v1beta/models/x:generateContent"),
        ("POST", "/v1beta/v1beta/models/google/x:countTokens", "/v1beta/models/google/x:countTokens"),
        ("GET", "/v1/v1beta/models", "/v1beta/models"),
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
        ("POST", "/v1/v1/messages/batches"),
        ("POST", "/v1/models/x:predict"),
        ("POST", "/upload/v1beta/files"),
        ("POST", "/v1beta/tunedModels/x:generateContent"),
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
