"""How it is said what a wrong path was meant to be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy import near_misses, routes
from agproxy.clients import DIALECTS, Client
from agproxy.near_misses import explain, find, shown
from tests.test_near_misses import METHODS, PATHS, ROOT, near, said


def test_explanation_names_what_is_wrong_the_base_url_and_the_right_path() -> None:
    client = Client("the OpenAI Python SDK", "base_url= or OPENAI_BASE_URL", "openai_chat")
    assert said("/v1/v1/chat/completions", client=client) == (
        "agproxy does not serve POST /v1/v1/chat/completions: /v1 is in it twice. The Base URL for the OpenAI Python"
        " SDK is http://127.0.0.1:8045/v1 (base_url= or OPENAI_BASE_URL); the request then goes to POST"
        " http://127.0.0.1:8045/v1/chat/completions. fix_paths = on in [server] of agproxy.ini would serve it as it"
        " came"
    )


def test_explanation_of_a_wrong_method_too() -> None:
    text = said("/chat/completions", "GET")
    assert "its /v1 is missing" in text
    assert f"goes to POST {ROOT}v1/chat/completions, which takes POST, not GET" in text
    assert "fix_paths" not in text


def test_explanation_for_a_client_of_googles_address_keeps_it() -> None:
    text = said("/v1beta/openai//chat/completions")
    assert "The Base URL for OpenAI clients is http://127.0.0.1:8045/v1beta/openai; the request then" in text


SURFACES = (
    "It has OpenAI's Chat Completions (POST /v1/chat/completions), OpenAI's older Completions (POST /v1/completions)"
    " and OpenAI's Responses (POST /v1/responses) at the Base URL http://127.0.0.1:8045/v1; Anthropic's Messages (POST"
    " /v1/messages) and Gemini's own API (POST /v1beta/models/MODEL:generateContent) at the Base URL"
    " http://127.0.0.1:8045"
)


def test_explanation_of_what_is_not_served_says_so_and_what_is() -> None:
    client = Client("Claude Code", "ANTHROPIC_BASE_URL", "anthropic_messages")
    assert said("/v1/v1/messages/batches", client=client, dialect="anthropic_messages") == (
        "agproxy does not serve POST /v1/v1/messages/batches: /v1 is in it twice. The Base URL for Claude Code is"
        " http://127.0.0.1:8045 (ANTHROPIC_BASE_URL), without a version, which the client adds, but this version of"
        f" agproxy does not have /v1/messages/batches. {SURFACES}"
    )
    assert said("/v1/messages/batches", client=client, dialect="anthropic_messages") == (
        f"this version of agproxy does not serve POST /v1/messages/batches. {SURFACES}"
    )


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/upload/v1beta/files", "agproxy stores no files; send their content within the request"),
        ("GET", "/v1beta/files/abc", "agproxy stores no files; send their content within the request"),
        ("POST", "/v1beta/cachedContents", "agproxy keeps no caches of Google's"),
        ("GET", "/v1beta/batches/x", "agproxy has no batches"),
        ("POST", "/v1/interactions", "agproxy does not have Google's Interactions API"),
        ("GET", "/v1beta/tunedModels", "agproxy does not have tuned models"),
        ("POST", "/v1beta/tunedModels/mine:generateContent", "agproxy does not have tuned models"),
        ("GET", "/v1beta/fileSearchStores", "agproxy has nothing of Google's file search"),
        (
            "GET",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            "agproxy does not have the Live API, which runs over a WebSocket",
        ),
    ],
)
def test_explanation_of_what_else_google_has_says_what_to_do_without_it(method: str, path: str, words: str) -> None:
    miss = near(path, method)
    assert miss is not None
    assert (miss.path, miss.is_safe, miss.dialect) == (None, False, "gemini")
    text = said(path, method, dialect="gemini")
    assert text.startswith(f"agproxy does not serve {method} {path}: {words}")
    assert text.endswith(
        ". Of Gemini's API it has models, and of each model generateContent, streamGenerateContent, countTokens,"
        " embedContent and batchEmbedContents"
    )


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1beta/openai/files"])
def test_what_openai_names_like_google_is_openais(path: str) -> None:
    miss = near(path)
    assert miss is not None
    assert (miss.dialect, miss.missing) == ("openai_chat", "")
    assert "this version of agproxy does not" in said(path)


def only_messages(path: str) -> tuple[str, ...]:
    """Methods under an agproxy that serves one protocol."""
    return ("POST",) if path == "/v1/messages" else ()


def test_explanation_claims_what_is_served_and_nothing_else() -> None:
    assert near_misses.served_surfaces(routes.methods_of) == {
        "openai_chat": "OpenAI's Chat Completions",
        "openai_completions": "OpenAI's older Completions",
        "openai_responses": "OpenAI's Responses",
        "anthropic_messages": "Anthropic's Messages",
        "gemini": "Gemini's own API",
    }
    only = near_misses.served_surfaces(only_messages)
    assert only == {"anthropic_messages": "Anthropic's Messages"}
    text = explain(
        "POST",
        "/v1/v1/chat/completions",
        find("POST", "/v1/v1/chat/completions", methods_of=only_messages),
        client=None,
        dialect="openai_chat",
        root_url=ROOT,
        methods_of=only_messages,
    )
    assert text.endswith(
        ", but this version of agproxy does not have /v1/chat/completions. It has Anthropic's Messages"
        " (POST /v1/messages) at the Base URL http://127.0.0.1:8045"
    )


def test_explanation_of_what_is_served_sends_there() -> None:
    text = said("/v1/v1/messages", dialect="anthropic_messages")
    assert "does not have" not in text
    assert f"the request then goes to POST {ROOT}v1/messages" in text


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("openai_chat", "is http://127.0.0.1:8045/v1, with chat/completions and models below it"),
        ("openai_completions", "is http://127.0.0.1:8045/v1, with completions below it"),
        ("anthropic_messages", "without a version, which the client adds, with /v1/messages below it"),
        ("gemini", "without a version, which the client adds, with /v1beta/models/MODEL:generateContent below it"),
    ],
)
def test_explanation_of_a_path_near_to_nothing_says_what_is_below_the_base_url(dialect: str, words: str) -> None:
    assert said("/nothing", dialect=dialect).endswith(words)


def test_explanation_of_ollamas_paths_sends_to_another_provider() -> None:
    assert "that is Ollama's own API, while agproxy speaks OpenAI's: choose an OpenAI-compatible" in said("/api/chat")


def test_explanation_keeps_the_prefix_that_agproxy_is_mounted_at() -> None:
    text = said("/chat/completions", root="https://box.lan/llm/")
    assert text.startswith("agproxy does not serve POST /llm/chat/completions: its /v1 is missing. ")
    assert "is https://box.lan/llm/v1; the request then goes to POST https://box.lan/llm/v1/chat/completions" in text


def test_what_is_shown_of_a_path_has_no_key() -> None:
    assert "AIza" not in said("/v1&key=AIza" + "k" * 35 + "/chat/completions")
    assert "AIza" not in said("/AIza" + "k" * 35 + "/v1/chat/completions")


def test_what_is_shown_is_cut() -> None:
    assert shown("x" * 121) == "x" * 117 + "..."
    assert shown("x\r\n\xe9\ud800") == "x\\r\\n\\xe9\\ud800"


@given(METHODS, PATHS, st.sampled_from(sorted(DIALECTS)), st.text(max_size=400))
@settings(max_examples=800, deadline=None, derandomize=True)
def test_explanation_is_short_plain_text(method: str, path: str, dialect: str, root: str) -> None:
    text = said(path, method, dialect=dialect, root=ROOT + root)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1800
