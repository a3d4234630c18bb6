"""Errors in the shape of each protocol, and which protocol a path or the headers suggest."""

from types import ModuleType
from typing import Any

import pytest
from werkzeug.datastructures import EnvironHeaders

from agproxy.errors import BadRequest, GatewayError, MethodNotAllowed, NotFound, UpstreamRefusal, UpstreamTimeout
from agproxy.jsonwire import encode_json
from agproxy.protocols import anthropic_messages, gemini, openai_chat, openai_completions, openai_responses, suggested

PROTOCOLS = (anthropic_messages, gemini, openai_chat)
STATUSES = (400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 499, 500, 502, 503, 504, 529)


def failure(status: int) -> GatewayError:
    return UpstreamRefusal("What went wrong.", status=status)


# https://platform.claude.com/docs/en/api/errors
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    499: "invalid_request_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# google/rpc/code.proto
GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC_TYPES.items())
def test_anthropic_error(status: int, kind: str) -> None:
    assert anthropic_messages.encode_error(failure(status)) == {
        "type": "error",
        "error": {"type": kind, "message": "What went wrong."},
    }


@pytest.mark.parametrize(("status", "word"), GOOGLE_STATUSES.items())
def test_gemini_error(status: int, word: str) -> None:
    assert gemini.encode_error(failure(status)) == {
        "error": {"code": status, "message": "What went wrong.", "status": word}
    }


@pytest.mark.parametrize("status", STATUSES)
def test_openai_error(status: int) -> None:
    error = openai_chat.encode_error(failure(status))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] == "What went wrong."
    assert (error["type"] == "server_error") == (status >= 500)


@pytest.mark.parametrize("protocol", [gemini, openai_chat])
@pytest.mark.parametrize("status", STATUSES)
def test_error_is_the_first_key(protocol: ModuleType, status: int) -> None:
    # Gemini's Python SDK looks for it at the very start of a piece of a stream.
    assert encode_json(protocol.encode_error(failure(status))).startswith(b'{"error":{')


@pytest.mark.parametrize("status", STATUSES)
def test_anthropic_error_begins_with_its_type(status: int) -> None:
    assert encode_json(anthropic_messages.encode_error(failure(status))).startswith(b'{"type":"error","error":{"type":')


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("error", [ValueError("secret words"), KeyError("secret"), RuntimeError("secret: AIza123")])
def test_error_that_is_not_ours_hides_its_words(protocol: ModuleType, error: Exception) -> None:
    encoded: Any = protocol.encode_error(error)
    assert encoded["error"]["message"] == "agproxy failed; its log says why"
    assert "secret" not in str(encoded)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "error",
    [
        BadRequest("a\nb\ud800\u2028", param="x"),
        NotFound("no"),
        MethodNotAllowed("no", allow=("GET",)),
        UpstreamTimeout("t"),
    ],
)
def test_every_error_of_ours_can_be_sent(protocol: ModuleType, error: GatewayError) -> None:
    assert b"\n" not in encode_json(protocol.encode_error(error))


# Which protocol an unknown path is answered in.


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/", openai_chat),
        ("/nothing", openai_chat),
        ("/v1/models", openai_chat),
        ("/v1/chat/completions", openai_chat),
        ("/v1/v1/chat/completions", openai_chat),
        ("/chat/completions", openai_chat),
        ("/v1/completions", openai_completions),
        ("/v1/completions/", openai_completions),
        ("/v1/v1/completions", openai_completions),
        ("/v1beta/openai/completions", openai_completions),
        ("/v1/chat/completions/completions", openai_completions),
        ("/v1/completions/chat/completions", openai_chat),
        ("/v1/responses", openai_responses),
        ("/v1/v1/responses/resp_1/input_items", openai_responses),
        ("/v1/chat/completions/responses", openai_responses),
        ("/v1beta/openai/chat/completions", openai_chat),
        ("/v1/messages", anthropic_messages),
        ("/messages", anthropic_messages),
        ("/v1/messages/count_tokens", anthropic_messages),
        ("/v1/v1/messages", anthropic_messages),
        ("/api/event_logging/batch", anthropic_messages),
        ("/v1beta/models", gemini),
        ("/v1beta/models/gemini-flash-latest:generateContent", gemini),
        ("/v1/models/gemini-flash-latest:generateContent", gemini),
        ("/v1/models/gemini-flash-latest:streamGenerateContent", gemini),
        ("/models/x:generateContent", gemini),
        # The end is the client's own, what stands before it was typed by somebody.
        ("/v1beta/chat/completions", openai_chat),
        ("/v1/chat/completions/v1/messages", anthropic_messages),
        ("/v1/messages/v1/chat/completions", openai_chat),
        ("/v1/v1beta/models", gemini),
        ("/v1/v1beta/openai/models", openai_chat),
        ("//v1beta/openai//models", openai_chat),
        ("/V1/Messages", anthropic_messages),
    ],
)
def test_path_suggests_a_protocol(path: str, protocol: ModuleType) -> None:
    assert suggested(path, EnvironHeaders({})) is protocol


@pytest.mark.parametrize(
    ("header", "protocol"),
    [
        ("ANTHROPIC_VERSION", anthropic_messages),
        ("X_GOOG_API_KEY", gemini),
        ("X_GOOG_API_CLIENT", gemini),
        ("X_API_KEY", openai_chat),
        ("AUTHORIZATION", openai_chat),
    ],
)
def test_headers_suggest_a_protocol_where_the_path_does_not(header: str, protocol: ModuleType) -> None:
    assert suggested("/nothing", EnvironHeaders({f"HTTP_{header}": "x"})) is protocol


def test_key_in_the_query_suggests_gemini_where_neither_path_nor_anthropics_header_does() -> None:
    assert suggested("/v1/models", EnvironHeaders({}), has_query_key=True) is gemini
    assert suggested("/v1/models/x", EnvironHeaders({"HTTP_USER_AGENT": "openai"}), has_query_key=True) is gemini
    assert suggested("/v1/chat/completions", EnvironHeaders({}), has_query_key=True) is openai_chat
    headers = EnvironHeaders({"HTTP_ANTHROPIC_VERSION": "2026-10-21"})
    assert suggested("/v1/models", headers, has_query_key=True) is anthropic_messages


@pytest.mark.parametrize(
    ("user_agent", "protocol"),
    [
        ("claude-cli/2.1.220 (external, cli)", anthropic_messages),
        ("Anthropic/JS 0.80.0", anthropic_messages),
        ("ai-sdk/anthropic/2.0.17", anthropic_messages),
        ("GeminiCLI/0.61.0/x (linux; x64)", gemini),
        ("GeminiCLI-tui/0.61.0/x (linux; x64; terminal)", gemini),
        ("ai-sdk/google/3.0.141", gemini),
        ("google-genai-sdk/3.2.0 gl-python/3.13", gemini),
        ("OpenAI/Python 3.54.0", openai_chat),
        ("curl/8.9.1", openai_chat),
        ("\xe9\ud800", openai_chat),
    ],
)
def test_user_agent_suggests_a_protocol_where_nothing_else_does(user_agent: str, protocol: ModuleType) -> None:
    assert suggested("/", EnvironHeaders({"HTTP_USER_AGENT": user_agent})) is protocol
    assert suggested("/v1/chat/completions", EnvironHeaders({"HTTP_USER_AGENT": user_agent})) is openai_chat
    headers = EnvironHeaders({"HTTP_USER_AGENT": user_agent, "HTTP_ANTHROPIC_VERSION": "2023-06-01"})
    assert suggested("/", headers) is anthropic_messages


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/chat/completions", openai_chat),
        ("/v1/messages", anthropic_messages),
        ("/v1beta/models", gemini),
        ("/v1beta/openai/models", openai_chat),
    ],
)
def test_path_counts_before_the_headers(path: str, protocol: ModuleType) -> None:
    headers = EnvironHeaders({"HTTP_ANTHROPIC_VERSION": "2023-06-01", "HTTP_X_GOOG_API_KEY": "x"})
    assert suggested(path, headers) is protocol
