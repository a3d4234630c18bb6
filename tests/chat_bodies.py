"""Chat Completions bodies to change at random: one that says everything, and values to put anywhere in it."""

import base64
import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Json = Any

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4)).decode()


def full_body() -> Json:
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
            {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
            {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
            {"role": "function", "name": "now", "content": "noon"},
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
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
        },
        "temperature": 0.5,
        "top_p": 1,
        "max_tokens": 10,
        "max_completion_tokens": 20,
        "stop": ["END"],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "prompt_cache_key": "abc",
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
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
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | WORDS
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=20
)
