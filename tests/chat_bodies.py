"""Chat Completions bodies to change at random: two that say everything, and values to put anywhere in them."""

import base64
import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Json = Any

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n").decode()
WAV = base64.b64encode(b"RIFF\x04\0\0\0WAVE").decode()


def full_body() -> Json:
    """One that holds every field that is served, but those that ``older_body`` has in their place."""
    return {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "name": "bob",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                    {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
                    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
                    {"type": "file", "file": {"file_data": "eA==", "filename": "a.py", "format": "text/x-python"}},
                    {"type": "input_file", "file_url": "https://example.com/a.csv?b=c", "filename": "a.csv"},
                    {"type": "file", "file": {"file_id": "files/abc"}},
                    {"type": "video_url", "video_url": {"url": "https://youtu.be/abc", "format": "video/mp4"}},
                ],
            },
            {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": None,
                "reasoning_content": "Hm.",
                "extra_content": {"google": {"thought_signature": "QUJD"}},
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"at": [1, 2]}'},
                        "extra_content": {"google": {"thought_signature": "REVG"}},
                    },
                    {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
                ],
            },
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "done"}]},
            {"role": "tool", "tool_call_id": "call_1", "name": "look", "content": "a cat"},
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "A cat."}, {"type": "refusal", "refusal": "No more."}],
                "images": [{"type": "image_url", "index": 0, "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
            },
            {"role": "user", "content": [{"type": "input_text", "text": "And where?"}]},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": "Looks.",
                    "parameters": {"type": "object", "properties": {"at": {"type": "array"}}},
                },
            },
            {
                "type": "custom",
                "custom": {
                    "name": "patch",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}},
                },
            },
            {"type": "web_search"},
            {"google_search": {}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
        },
        "parallel_tool_calls": False,
        "web_search_options": {
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "Rome"}},
        },
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "max_tokens": 10,
        "max_completion_tokens": 20,
        "stop": ["END"],
        "seed": 7,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "strict": True, "schema": {"type": "object", "properties": {}}},
        },
        "reasoning_effort": "low",
        "extra_body": {
            "google": {
                "thinking_config": {"include_thoughts": True},
                "cached_content": "cachedContents/abc",
                "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            }
        },
        "stream": True,
        "stream_options": {"include_usage": True},
        "prompt_cache_key": "abc",
        "metadata": {"a": "b"},
    }


def older_body() -> Json:
    """One of a client that knows functions only, with Google's fields beside OpenAI's and in their other spelling."""
    return {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
            {"role": "function", "name": "now", "content": "noon"},
        ],
        "functions": [
            {"name": "now", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}}
        ],
        "function_call": {"name": "now"},
        "response_format": {"type": "json_object", "schema": {"type": "object"}},
        "google": {
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": False},
            "cachedContent": "cachedContents/abc",
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        },
        "stop": "END",
    }


def paths(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    """Where the values within ``value`` stand, as keys to follow."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


def changed(body: Json, path: tuple[Json, ...], value: Json) -> Json:
    """A copy of ``body`` with ``value`` at ``path``; ``...`` takes away what is there."""
    body = copy.deepcopy(body)
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return body


PATHS = [path for path in paths(full_body()) if path]
WORDS = st.sampled_from(
    [
        *("role", "content", "type", "text", "image_url", "url", "function", "custom", "name", "arguments", "id"),
        *("system", "user", "assistant", "tool", "tool_calls", "tool_call_id", "auto", "required", "allowed_tools"),
        *("model", "messages", "tools", "tool_choice", "stop", "stream", "data:image/png;base64,QUJD", "{", "{}", ""),
        *("file", "file_data", "file_id", "filename", "format", "input_audio", "data", "video_url", "input_file"),
        *("functions", "function_call", "n", "logprobs", "top_logprobs", "response_format", "json_schema", "schema"),
        *("extra_body", "google", "thinking_config", "thinking_level", "safety_settings", "reasoning_effort", "high"),
        *("web_search", "web_search_options", "https://example.com/a.pdf", "https://[", "http://localhost/", "a.docx"),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | WORDS
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=20
)
