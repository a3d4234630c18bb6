"""Messages of Anthropic's to decode: blocks, messages, and bodies of requests to change at random."""

import base64
from typing import Any

import pytest
from hypothesis import strategies as st

from agproxy.chat import Message, Part
from agproxy.errors import BadRequest
from agproxy.protocols.anthropic_content import Reader
from agproxy.protocols.seals import seal
from tests.chat_bodies import JSON, PDF, PNG, paths
from tests.chat_bodies import WORDS as CHAT_WORDS

Json = Any

SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}
CACHED = {"type": "ephemeral", "ttl": "1h"}
HELLO = {"role": "user", "content": "Hello"}
GIF = base64.b64encode(b"GIF89a").decode()
BILLING = "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;"
LINK = "https://example.com/cat.png"
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
FILE = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}


def text(words: Json, **others: Json) -> Json:
    return {"type": "text", "text": words, **others}


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def system(*blocks: Json, **others: Json) -> Json:
    return {"role": "system", "content": list(blocks), **others}


def use(call_id: str = "a", name: str = "look", **others: Json) -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}, **others}


def result(call_id: str = "a", **others: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, **others}


def read(*values: Json, **others: Json) -> tuple[tuple[Message, ...], list[str]]:
    """The messages that a conversation is, and what of it is ignored."""
    ignored: list[str] = []
    return Reader(ignored).read({"messages": list(values), **others}), ignored


def messages(*values: Json, **others: Json) -> list[Message]:
    """Those of a conversation of which nothing is ignored."""
    found, ignored = read(*values, **others)
    assert ignored == []
    return list(found)


def said(*blocks: Json) -> tuple[Part, ...]:
    """The parts of a user's message."""
    (message,) = messages(user(*blocks))
    assert message.role == "user"
    return message.parts


def answered(*blocks: Json) -> tuple[Part, ...]:
    """The parts of an assistant's message."""
    (message,) = messages(assistant(*blocks))
    assert message.role == "assistant"
    return message.parts


def refused(*values: Json, **others: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(*values, **others)
    assert caught.value.param
    assert caught.value.message
    return caught.value


# Whole bodies.


def full_body() -> Json:
    """One that holds every field that is served, and every block that clients of today send."""
    return {
        "model": "claude-opus-5-5",
        "system": [text(BILLING), text("Be kind.", cache_control=CACHED)],
        "messages": [
            user(
                text("What is this?"),
                PICTURE,
                {"type": "image", "source": {"type": "url", "url": LINK}},
                {**FILE, "title": "On cats", "context": "From 1999.", "citations": {"enabled": False}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Cats purr."}},
                {"type": "document", "source": {"type": "content", "content": [text("Cats purr."), PICTURE]}},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {"type": "search_result", "source": "https://a.co/", "title": "Cats", "content": [text("They purr.")]},
            ),
            system(text("# Environment", cache_control=CACHED), output_config={"effort": "medium"}),
            assistant(
                {"type": "thinking", "thinking": "Hm.", "signature": seal({"a": SIGNED})},
                text("Let me see."),
                use("a", input={"at": [1, 2]}),
                use("b", "run"),
            ),
            user(
                result("a", content=[text("a cat"), PICTURE, {"type": "tool_reference", "tool_name": "run"}]),
                result("b", content="no", is_error=True, cache_control=CACHED),
                text("Tool loaded."),
            ),
            system(
                {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {"name": "late"}}},
                {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "late"}},
                {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "late"}},
                text("Once."),
                clear_at="next_user_message",
            ),
            assistant(
                {"type": "redacted_thinking", "data": "x"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "cats"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "server_tool_use", "id": "srvtoolu_2", "name": "code_execution", "input": {"code": "1"}},
                {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_2", "content": {"stdout": "1"}},
                {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "read", "server_name": "s", "input": {}},
                {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "content": [text("x")], "is_error": False},
                {"type": "compaction", "content": "They like cats."},
            ),
            {"role": "user", "content": "And where?"},
        ],
        "tools": [
            {
                "name": "look",
                "description": "Looks.",
                "input_schema": {"type": "object", "properties": {"at": {"type": "array"}}},
                "input_examples": [{"at": [1]}],
                "cache_control": CACHED,
                "strict": True,
            },
            {"type": "custom", "name": "run", "input_schema": {"type": "object"}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "code_execution_20250825", "name": "code_execution"},
        ],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        "max_tokens": 128000,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
        "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "output_format": {"type": "json_schema", "schema": {"type": "object"}},
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s-1"}'},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stream": True,
    }


PATHS = [path for path in paths(full_body()) if path]
KINDS = sorted(
    {block["type"] for each in full_body()["messages"] for block in each["content"] if isinstance(block, dict)}
)
WORDS = CHAT_WORDS | st.sampled_from(
    [
        *KINDS,
        *(
            "source",
            "base64",
            "media_type",
            "title",
            "context",
            "citations",
            "enabled",
            "input",
            "tool_use_id",
            "caller",
        ),
        *("thinking", "signature", "is_error", "clear_at", "next_user_message", "output_config", "effort", "display"),
        *("input_schema", "input_examples", "defer_loading", "cache_control", "disable_parallel_tool_use", "any"),
        *("max_tokens", "stop_sequences", "top_k", "budget_tokens", "adaptive", "metadata", "user_id", "thread"),
        *("web_search_20250305", "text_editor_20250728", "tool_definition", "definition", "agproxy1.e30=", BILLING),
    ]
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=5)
