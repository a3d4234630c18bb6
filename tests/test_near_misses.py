"""What wrong paths were meant to be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import routes
from agproxy.clients import Client
from agproxy.endpoints import BY_LENGTH
from agproxy.near_misses import NearMiss, explain, find

ROOT = "http://127.0.0.1:8045/"
CHAT = "/v1/chat/completions"


def everything(path: str) -> tuple[str, ...]:
    """Methods under an agproxy that serves all protocols."""
    if re.fullmatch(r"/v1/models(/.+)?|/v1beta/models(/[^:]+)?", path) and ":" not in path:
        return ("GET", "HEAD")
    posts = r"/v1/(chat/completions|completions|responses|embeddings|messages(/count_tokens)?)|/v1(beta)?/models/.+:\w+"
    return ("POST",) if re.fullmatch(posts, path) else ()


def near(path: str, method: str = "POST", *, query: str = "") -> NearMiss | None:
    return find(method, path, query=query, methods_of=routes.methods_of)


def said(
    path: str, method: str = "POST", *, client: Client | None = None, dialect: str = "openai_chat", root: str = ROOT
) -> str:
    miss = near(path, method)
    return explain(method, path, miss, client=client, dialect=dialect, root_url=root, methods_of=routes.methods_of)


# What is meant, and can be served in its place.


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/v1/v1/chat/completions", "/v1 is in it twice"),
        ("/v1/v1/v1/chat/completions", "/v1 is in it 3 times"),
        ("/v1/v1beta/chat/completions", "/v1 and /v1beta are in it together"),
        ("/chat/completions", "its /v1 is missing"),
        ("/v1beta/chat/completions", "it has /v1beta where /v1 belongs"),
        ("/v2/chat/completions", "it has /v2 where /v1 belongs"),
        ("/v1/chat/completions/", "it ends in a slash"),
        ("/v1//chat/completions", "it has two slashes in a row"),
        ("//v1/chat/completions", "it has two slashes in a row"),
        ("/v1/chat//completions//", "it has two slashes in a row"),
        ("/V1/Chat/Completions", "it is written with capital letters"),
        ("/v1/chat/completions ", "it has a blank or a quotation mark in it"),
        ("/v1/chat/completions%20", "it has a blank or a quotation mark in it"),
        ("/v1/chat/completions\n", "it has a blank or a quotation mark in it"),
        ('/"/v1"/chat/completions', "it has a blank or a quotation mark in it"),
        ("/v1 /chat/completions", "it has a blank or a quotation mark in it"),
        ("/v1/chat/completions?api-version=2024-10-21", "a query string has become a part of it"),
        ("/v1/chat/completions&key=x", "a query string has become a part of it"),
        ("/v1?key=x/chat/completions", "a query string has become a part of it"),
        ("/openai/v1/chat/completions", "/openai does not belong in it"),
        ("/api/v1/chat/completions", "/api does not belong in it"),
        ("/proxy/v1/chat/completions", "/proxy does not belong in it"),
        ("/api/openai/v1/chat/completions", "/api/openai does not belong in it"),
        ("/v1/openai/chat/completions", "/openai does not belong in it"),
        ("/anything/v1/chat/completions", "/anything does not belong in it"),
        ("/http:/127.0.0.1:8045/v1/chat/completions", "/http:/127.0.0.1:8045 does not belong in it"),
        ("/openai/chat/completions", "its /v1 is missing, and /openai does not belong in it"),
        ("/api/chat/completions", "its /v1 is missing, and /api does not belong in it"),
        ("/api/paas/v4/chat/completions", "it has /v4 where /v1 belongs, and /api/paas does not belong in it"),
        (
            "/v1/chat/completions/chat/completions",
            "the Base URL ends in /chat/completions, and the client adds its own path to that",
        ),
        (
            "/chat/completions/v1/chat/completions",
            "the Base URL ends in /chat/completions, and the client adds its own path to that",
        ),
        ("/v1/models/chat/completions", "the Base URL ends in /models, and the client adds its own path to that"),
        ("/v1/responses/chat/completions", "the Base URL ends in /responses, and the client adds its own path to that"),
        (
            "/v1/messages/v1/chat/completions",
            "the Base URL ends in /messages, and the client adds its own path to that",
        ),
        (
            "/openai/deployments/My-GPT/chat/completions",
            "it is a path of Azure OpenAI, while agproxy takes the model from the body",
        ),
        (
            "/v1/engines/gpt-4/chat/completions",
            "it names the model as OpenAI's first API did, while agproxy takes it from the body",
        ),
        ("/v1/chat/completion", "its end is not /chat/completions"),
    ],
)
def test_wrong_path_of_a_chat_client_is_understood(path: str, wrong: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.is_safe, miss.dialect) == (CHAT, None, True, "openai_chat")
    assert ", and ".join(miss.wrong) == wrong


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/V1/MODELS", "/v1/models"),
        ("/v1/chat/completions/models", "/v1/models"),
        ("/v1/v1/models/gpt-4o", "/v1/models/gpt-4o"),
        ("/models/openai/GPT-4o:free", "/v1/models/openai/GPT-4o:free"),
        ("/v1//models/models/gemini-pro-latest ", "/v1/models/models/gemini-pro-latest"),
        ("/v1beta/openai//models", "/v1beta/openai/models"),
        ("/v1beta/openai/v1/models/gpt-4o", "/v1beta/openai/models/gpt-4o"),
        ("/v1/v1beta/openai/models", "/v1beta/openai/models"),
        ("/v1/health", "/health"),
        ("/healthz/", "/healthz"),
        ("/api/healthz", "/healthz"),
    ],
)
def test_wrong_path_of_a_reader_is_understood(path: str, meant: str) -> None:
    for method in ("GET", "HEAD"):
        miss = near(path, method)
        assert miss is not None
        assert (miss.path, miss.methods, miss.is_safe) == (meant, ("GET", "HEAD"), True)
        assert miss.wrong


def test_googles_own_openai_address_with_two_slashes_stays_with_google() -> None:
    miss = near("/v1beta/openai//chat/completions")
    assert miss is not None
    assert (miss.path, miss.wrong) == ("/v1beta/openai/chat/completions", ("it has two slashes in a row",))


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/completions", "/v1/completions"),
        ("/v1/v1/completions", "/v1/completions"),
        ("/v1/chat/completions/completions", "/v1/completions"),
        ("/v1/models/completions", "/v1/completions"),
        ("/v1beta/openai//completions", "/v1beta/openai/completions"),
        ("/v1/completions/chat/completions", CHAT),
    ],
)
def test_completions_are_told_from_chat_completions(path: str, meant: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.path, miss.is_safe) == (meant, True)


@pytest.mark.parametrize(
    ("path", "meant", "wrong"),
    [
        ("/v1/v1/messages", "/v1/messages", "/v1 is in it twice"),
        ("/messages", "/v1/messages", "its /v1 is missing"),
        ("/anthropic/v1/messages", "/v1/messages", "/anthropic does not belong in it"),
        (
            "/v1/chat/completions/v1/messages",
            "/v1/messages",
            "the Base URL ends in /chat/completions, and the client adds its own path to that",
        ),
        ("/v1/messages/count_tokens/", "/v1/messages/count_tokens", "it ends in a slash"),
    ],
)
def test_wrong_path_of_an_anthropic_client_is_understood(path: str, meant: str, wrong: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.is_safe, miss.dialect) == (meant, None, True, "anthropic_messages")
    assert ", and ".join(miss.wrong) == wrong


@pytest.mark.parametrize(
    ("path", "meant", "wrong"),
    [
        (
            "/v1/v1beta/models/x:generateContent",
            "/v1beta/models/x:generateContent",
            "/v1 and /v1beta are in it together",
        ),
        (
            "/v1beta/v1/models/x:generateContent",
            "/v1/models/x:generateContent",
            "/v1beta and /v1 are in it together",
        ),
        ("/v1/v1/models/x:countTokens", "/v1/models/x:countTokens", "/v1 is in it twice"),
        ("/models/x:embedContent", "/v1beta/models/x:embedContent", "its /v1beta is missing"),
        (
            "/v1alpha/models/x:streamGenerateContent",
            "/v1beta/models/x:streamGenerateContent",
            "it has /v1alpha where /v1beta belongs",
        ),
        ("/v1beta/x:generateContent", "/v1beta/models/x:generateContent", "its end is not /models/x:generateContent"),
        (
            "/v1beta/openai/models/x:batchEmbedContents",
            "/v1beta/models/x:batchEmbedContents",
            "/openai does not belong in it",
        ),
        (
            "/v1beta/v1beta/models/google/GPT-4o:generateContent",
            "/v1beta/models/google/GPT-4o:generateContent",
            "/v1beta is in it twice",
        ),
        ("/models/a/b:countTokens", "/v1beta/models/a/b:countTokens", "its /v1beta is missing"),
    ],
)
def test_wrong_path_of_a_gemini_client_is_understood(path: str, meant: str, wrong: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.is_safe, miss.dialect) == (meant, None, True, "gemini")
    assert ", and ".join(miss.wrong) == wrong


def test_wrong_path_to_googles_list_of_models_is_understood() -> None:
    for path, wrong in (
        ("/v1/v1beta/models", "/v1 and /v1beta are in it together"),
        ("/v1alpha/models", "it has /v1alpha where /v1beta belongs"),
    ):
        miss = near(path, "GET")
        assert miss is not None
        assert (miss.path, miss.dialect, miss.is_safe, miss.wrong) == ("/v1beta/models", "gemini", True, (wrong,))


def test_name_of_a_model_may_have_capitals() -> None:
    miss = near("/models/GPT-4o", "GET")
    assert miss is not None
    assert miss.wrong == ("its /v1 is missing",)


# What is meant, but cannot be served in its place.


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", "/chat/completions", CHAT),
        ("DELETE", "/v1/v1/chat/completions", CHAT),
        ("POST", "/models", "/v1/models"),
        ("BREW", "/models", "/v1/models"),
        ("POST", "/v1/chat/completions/chatcmpl-123", CHAT),  # of OpenAI's stored completions
        ("POST", "/v1/chat", CHAT),  # Cohere's
        ("POST", "/api/chat", CHAT),  # Ollama's
        ("POST", "/v1/api/chat", CHAT),
        ("POST", "/api/generate", CHAT),
        ("GET", "/api/tags", "/v1/models"),
        ("POST", "/my-team/chat/completions", CHAT),
        ("POST", "/v1/organizations/x/chat/completions", CHAT),
    ],
)
def test_path_is_understood_but_the_request_would_not_fit(method: str, path: str, meant: str) -> None:
    miss = near(path, method)
    assert miss is not None
    assert (miss.path, miss.is_safe) == (meant, False)


def test_base_url_that_ends_in_a_query_string_is_understood() -> None:
    miss = near("/v1", query="key=abc/chat/completions")
    assert miss is not None
    assert (miss.path, miss.is_safe) == (CHAT, False)
    assert miss.wrong == ("the Base URL ends in a query string, which then swallows the path",)


@pytest.mark.parametrize(
    ("method", "path", "unserved", "dialect"),
    [
        ("POST", "/v1/v1/messages/batches", "/v1/messages/batches", "anthropic_messages"),
        ("POST", "/anthropic/v1/messages/batches", "/v1/messages/batches", "anthropic_messages"),
        ("POST", "/v1/messages/batches/", "/v1/messages/batches", "anthropic_messages"),
        ("POST", "/v1/chat/completions/v1/embeddings", "/v1/embeddings", "openai_chat"),
        ("POST", "/v1/messages/v1/audio/speech", "/v1/audio/speech", "openai_chat"),
        ("POST", "/v1/v1beta/models/x:predict", "/v1beta/models/x:predict", "gemini"),
        ("POST", "/models/x:predictLongRunning", "/v1beta/models/x:predictLongRunning", "gemini"),
        ("POST", "/v1/v1/models/x:batchGenerateContent", "/v1/models/x:batchGenerateContent", "gemini"),
        ("POST", "/v1beta/x:predict", "/v1beta/models/x:predict", "gemini"),
        ("GET", "/v1/v1beta/files", "/v1beta/files", "gemini"),
        ("POST", "/upload/v1beta/files", "/v1beta/files", "gemini"),
        ("POST", "/v1/interactions", "/v1beta/interactions", "gemini"),
        ("POST", "/api/embed", "/v1/embeddings", "openai_chat"),
    ],
)
def test_path_that_means_something_not_served_is_named_but_never_corrected(
    method: str, path: str, unserved: str, dialect: str
) -> None:
    miss = near(path, method)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.dialect, miss.is_safe) == (None, unserved, dialect, False)
    assert miss.wrong


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/v1/v1/messages", "/v1/messages"),
        ("POST", "/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("POST", "/v1/engines/x/completions", "/v1/completions"),
        ("POST", "/v1/v1beta/models/x:generateContent", "/v1beta/models/x:generateContent"),
        ("GET", "/v1beta/v1beta/models", "/v1beta/models"),
    ],
)
def test_it_is_corrected_once_it_is_served(method: str, path: str, meant: str) -> None:
    miss = find(method, path, methods_of=everything)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.is_safe) == (meant, None, True)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/messages/batches", "/v1/embeddings", "/v1/models/x:predict", "/v1beta/models/x:batchGenerateContent"),
        *("/v1beta/files", "/v1beta/cachedContents", "/v1beta/tunedModels"),
    ],
)
def test_right_path_that_is_not_served_has_nothing_wrong(path: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.path, miss.unserved, miss.wrong) == (None, path, ())


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/a/b", "/healthz", "/v1beta/openai/chat/completions"])
def test_served_path_is_itself(path: str) -> None:
    miss = near(path, "BREW")
    assert miss is not None
    assert (miss.path, miss.wrong, miss.is_safe) == (path, (), False)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/v1", "/v1/", "/nothing", "/favicon.ico", "/index.html", "/v1/audio", "?", "/?/#", "/%20"),
        *("/v1/threads/t/messages", "/v1/chat/completions/chatcmpl-1/messages", "/v1/conversations/c/responses"),
        *("/v1/projects/p/models", "/" + "v1/" * 2000 + "chat/completions"),
    ],
)
def test_path_that_is_near_to_nothing(path: str) -> None:
    assert near(path) is None


# Whatever the path.

WORDS = st.sampled_from(
    sorted(
        {word for endpoint in BY_LENGTH for word in endpoint.tail}
        | {
            "v1",
            "v1beta",
            "v2",
            "openai",
            "api",
            "deployments",
            "engines",
            "gpt-4o",
            "x:generateContent",
            "ws",
            "",
            " ",
            "?",
        }
    )
)
SEGMENTS = WORDS | WORDS.map(str.upper) | st.text(max_size=8) | st.just("%20").map(lambda blank: f"models{blank}")
PATHS = st.lists(SEGMENTS, max_size=9).map(lambda segments: "/" + "/".join(segments)) | st.text(max_size=60)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "", "P\xd6ST\n"])


@given(METHODS, PATHS, PATHS)
@settings(max_examples=1500, deadline=None, derandomize=True)
def test_correction_is_a_served_path_and_stays_as_it_is(method: str, path: str, query: str) -> None:
    for methods_of in (routes.methods_of, everything):
        miss = find(method, path, query=query, methods_of=methods_of)
        if miss is None:
            continue
        assert (miss.path is None) != (miss.unserved is None)
        if miss.path is not None:
            assert miss.methods == methods_of(miss.path) != ()
            again = find(method, miss.path, methods_of=methods_of)
            assert again is not None
            assert (again.path, again.wrong) == (miss.path, ())
        if miss.is_safe:
            assert miss.path is not None
            assert method in methods_of(miss.path)


# Stored responses.


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", "/responses/resp_1", "/v1/responses/resp_1"),
        ("DELETE", "/v1/v1/responses/resp_1", "/v1/responses/resp_1"),
        ("GET", "/openai/v1/responses/resp_1/input_items", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/v1/responses/compact", "/v1/responses/compact"),
    ],
)
def test_stored_response_is_found_again(method: str, path: str, meant: str) -> None:
    miss = near(path, method)
    assert miss is not None
    assert (miss.path, miss.is_safe) == (meant, True)
    assert f"goes to {method} {ROOT}{meant[1:]}" in said(path, method)
