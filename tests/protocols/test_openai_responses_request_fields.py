"""Every field of the SDK's request is served, listed as ignored, or refused; and null is as good as absent."""

import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsBase,
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from agproxy.chat import ChatRequest
from agproxy.errors import BadRequest
from agproxy.protocols.openai_responses_request import decode_request
from tests.response_bodies import Json, full_body

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(**fields: Json) -> ChatRequest:
    return decode_request({"model": "gpt-5.5", "input": "Hi", **fields})


def test_fields_that_are_not_honoured_are_listed_once_in_order() -> None:
    chat = request(
        user="me",
        whatever=0,
        max_tokens=5,
        client_metadata={"turn_id": "1"},
        stream_options={"include_usage": True, "include_obfuscation": True},
        tools=[{"type": "mcp"}, {**LOOK, "strict": True}, {**LOOK, "name": "other", "strict": True}],
        input=[{"role": "user", "content": "Hi", "name": name} for name in ("bob", "eve")],
        include=["file_search_call.results"],
        reasoning={"context": "all_turns", "mode": "pro"},
        text={"verbosity": "high", "x": 1},
        tool_choice={"type": "mcp", "server_label": "s"},
    )
    assert chat.ignored == (
        *("user", "whatever", "max_tokens", "client_metadata", "stream_options.include_obfuscation"),
        *("tools[0].mcp", "tools[].strict", "input[].name", "include[].file_search_call.results", "tool_choice"),
        *("reasoning.context", "reasoning.mode", "text.verbosity", "text.x"),
    )


def test_defaults_spelled_out_are_not_listed() -> None:
    chat = request(
        background=False,
        context_management=[],
        include=[],
        instructions="",
        metadata={},
        moderation={},
        parallel_tool_calls=True,
        presence_penalty=0,
        frequency_penalty=0.0,
        reasoning={"effort": None, "summary": None, "context": None},
        service_tier="auto",
        store=True,
        stream=False,
        stream_options={"include_obfuscation": False},
        text={"format": {"type": "text"}, "verbosity": "medium", "x": None},
        tool_choice="auto",
        tools=[],
        top_logprobs=0,
        truncation="disabled",
    )
    assert chat == request(instructions="")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("service_tier", ["flex", "priority", 5]),
        ("truncation", ["auto", 5]),
        ("background_options", [{}, {"completion_window": "2h"}]),
        ("context_management", [[{"type": "compaction"}]]),
        ("max_tool_calls", [0, 5]),
    ],
)
def test_wish_that_is_not_granted_is_listed(name: str, values: list[Json]) -> None:
    for value in values:
        assert request(**{name: value}).ignored == (name,)


# A plausible value of every field of the SDK, and what becomes of it. A new field fails the test below until that is
# decided.
SERVED, LISTED, REFUSED = "served", "listed", "refused"
SDK_FIELDS: dict[str, tuple[Json, str]] = {
    "model": ("gpt-5.5", SERVED),
    "input": ([{"role": "user", "content": "Hello"}], SERVED),
    "access_programs": ({"cyber": "standard"}, LISTED),
    "background": (True, REFUSED),
    "background_options": ({"completion_window": "2h"}, LISTED),
    "context_management": ([{"type": "compaction", "compact_threshold": 1000}], LISTED),
    "conversation": ({"id": "conv_1"}, REFUSED),
    "image": ({"context_compression": "enabled"}, LISTED),
    "include": (["reasoning.encrypted_content"], SERVED),
    "instructions": ("Be kind.", SERVED),
    "max_output_tokens": (100, SERVED),
    "max_tool_calls": (3, LISTED),
    "metadata": ({"a": "b"}, SERVED),
    "moderation": ({"model": "omni-moderation-latest"}, LISTED),
    "parallel_tool_calls": (False, SERVED),
    "previous_response_id": ("resp_0", SERVED),
    "prompt": ({"id": "pmpt_1", "variables": {"a": "b"}}, REFUSED),
    "prompt_cache_key": ("abc", SERVED),
    "prompt_cache_options": ({"mode": "explicit", "ttl": "30m"}, LISTED),
    "prompt_cache_retention": ("24h", LISTED),
    "reasoning": ({"effort": "max", "summary": "detailed"}, SERVED),
    "safety_identifier": ("me", LISTED),
    "service_tier": ("fast", LISTED),
    "store": (False, SERVED),
    "stream": (True, SERVED),
    "stream_options": ({"include_obfuscation": False}, SERVED),
    "temperature": (0.5, SERVED),
    "text": ({"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}, SERVED),
    "tool_choice": ({"type": "function", "name": "look"}, SERVED),
    "tools": ([LOOK], SERVED),
    "top_logprobs": (5, SERVED),
    "top_p": (0.5, SERVED),
    "truncation": ("auto", LISTED),
    "user": ("me", LISTED),
}
COMPANIONS: dict[str, tuple[str, ...]] = {"tool_choice": ("tools",)}  # without which a field asks for nothing
ASKS_NOTHING = ("stream_options",)  # all that it can ask for is done anyway
SDK_NAMES = sorted(
    {
        *ResponseCreateParamsBase.__annotations__,
        *ResponseCreateParamsNonStreaming.__annotations__,
        *ResponseCreateParamsStreaming.__annotations__,
    }
)
OPTIONAL = [name for name in SDK_NAMES if name not in ("model", "input")]


@pytest.mark.parametrize("name", SDK_NAMES)
def test_field_of_the_sdk_is_served_listed_or_refused(name: str) -> None:
    assert name in SDK_FIELDS, "new in the SDK: decide whether it is served"
    value, fate = SDK_FIELDS[name]
    sent = {other: SDK_FIELDS[other][0] for other in ("model", "input", *COMPANIONS.get(name, ()))}
    sent[name] = value
    if fate == REFUSED:
        with pytest.raises(BadRequest) as caught:
            decode_request(sent)
        assert caught.value.param == name
    else:
        assert decode_request(sent).ignored == ((name,) if fate == LISTED else ())


@pytest.mark.parametrize("name", [name for name in OPTIONAL if SDK_FIELDS[name][1] == SERVED])
def test_field_of_the_sdk_that_is_served_changes_the_request(name: str) -> None:
    others = {other: SDK_FIELDS[other][0] for other in COMPANIONS.get(name, ())}
    is_changed = request(**others, **{name: SDK_FIELDS[name][0]}) != request(**others)
    assert is_changed == (name not in ASKS_NOTHING)
    assert name in full_body()  # so that it is changed at random elsewhere


def test_fields_that_are_decided_are_those_of_the_sdk() -> None:
    assert sorted(SDK_FIELDS) == SDK_NAMES


def test_all_fields_of_the_sdk_go_together() -> None:
    chat = decode_request({name: value for name, (value, fate) in SDK_FIELDS.items() if fate != REFUSED})
    assert set(chat.ignored) == {name for name, (_, fate) in SDK_FIELDS.items() if fate == LISTED}


@pytest.mark.parametrize("name", [*OPTIONAL, "presence_penalty", "extra_body", "google", "whatever"])
def test_null_is_as_good_as_absent(name: str) -> None:
    assert request(**{name: None}) == request()
