"""Every field of the SDK's request is served or listed as ignored, and null is as good as absent."""

import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from agproxy.chat import ChatRequest, JsonFormat
from agproxy.protocols.openai_chat_request import decode_request
from tests.chat_bodies import Json, full_body, older_body

USER = {"role": "user", "content": "Hello"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(*messages: Json, **others: Json) -> ChatRequest:
    return decode_request({"model": "gpt-4o", "messages": list(messages or [USER]), **others})


def test_fields_that_are_not_honoured_are_listed_once_in_order() -> None:
    chat = request(
        {**USER, "name": "bob"},
        {**USER, "name": "eve"},
        user="me",
        whatever=0,
        logit_bias={"50256": -100},
        stream_options={"include_usage": True, "include_obfuscation": True},
        tools=[{"type": "mcp"}],
        functions=[],
    )
    assert chat.ignored == (
        *("user", "whatever", "logit_bias", "stream_options.include_obfuscation", "messages[].name", "tools[0]"),
    )


def test_defaults_spelled_out_are_not_listed() -> None:
    chat = request(
        n=1,
        parallel_tool_calls=True,
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        top_logprobs=0,
        logit_bias={},
        store=False,
        metadata={},
        modalities=["text"],
        service_tier="auto",
        verbosity="medium",
        response_format={"type": "text"},
        stream_options={"include_obfuscation": False},
        function_call="auto",
        functions=[],
        tool_choice="auto",
        tools=[],
    )
    assert chat == request()


@pytest.mark.parametrize(
    ("sent", "listed"),
    [
        ({"max_tokens": 5, "max_completion_tokens": 6}, ("max_tokens",)),
        ({"max_tokens": 6.0, "max_completion_tokens": 6}, ()),
        ({"seed": 2**31 - 1}, ()),
        ({"seed": 2**31}, ("seed",)),
        ({"seed": -1}, ("seed",)),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, ("tool_choice",)),
        ({"web_search_options": {}, "tool_choice": "required"}, ("tool_choice",)),
        ({"tools": [LOOK, {"type": "web_search"}], "tool_choice": "required"}, ()),
    ],
)
def test_field_that_is_changed_or_outdone_is_listed(sent: Json, listed: tuple[str, ...]) -> None:
    assert request(**sent).ignored == listed


@pytest.mark.parametrize(
    ("inner", "schema", "listed"),
    [
        ({"description": "d", "schema": SCHEMA}, {**SCHEMA, "description": "d"}, False),
        ({"description": "d", "schema": {**SCHEMA, "description": ""}}, {**SCHEMA, "description": "d"}, False),
        ({"description": "d", "schema": {**SCHEMA, "description": "d"}}, {**SCHEMA, "description": "d"}, False),
        ({"description": "d", "schema": {**SCHEMA, "description": "e"}}, {**SCHEMA, "description": "e"}, True),
        ({"description": "d"}, None, True),
        ({"description": "d", "schema": {}}, {}, True),
        ({"description": 5, "schema": SCHEMA}, SCHEMA, True),
        ({"description": "", "schema": SCHEMA}, SCHEMA, False),
    ],
)
def test_description_of_the_format_becomes_the_schemas_or_is_listed(inner: Json, schema: Json, listed: bool) -> None:
    chat = request(response_format={"type": "json_schema", "json_schema": {"name": "a", "strict": True, **inner}})
    assert chat.json_format == JsonFormat(schema)
    assert chat.ignored == (("response_format.json_schema.description",) if listed else ())


def test_options_of_a_search_are_listed_but_the_defaults() -> None:
    defaults = {"search_context_size": "medium", "user_location": None}
    assert request(web_search_options=defaults).ignored == ()
    place = {"type": "approximate", "approximate": {"city": "Rome"}}
    chat = request(web_search_options={"search_context_size": "high", "user_location": place})
    assert chat.ignored == ("web_search_options.search_context_size", "web_search_options.user_location")


# A plausible value of every field of the SDK, and whether it is listed. A new field fails the test below until it is
# decided what becomes of it.
SDK_FIELDS: dict[str, tuple[Json, bool]] = {
    "model": ("gpt-4o", False),
    "messages": ([USER], False),
    "audio": ({"format": "wav", "voice": "alloy"}, True),
    "frequency_penalty": (0.5, False),
    "function_call": ({"name": "now"}, False),
    "functions": ([{"name": "now", "description": "Tells the time.", "parameters": SCHEMA}], False),
    "logit_bias": ({"50256": -100}, True),
    "logprobs": (True, False),
    "max_completion_tokens": (100, False),
    "max_tokens": (100, False),
    "metadata": ({"a": "b"}, True),
    "modalities": (["text", "audio"], True),
    "moderation": ({"model": "omni-moderation-latest", "policy": {"input": {"mode": "block"}}}, True),
    "n": (2, False),
    "parallel_tool_calls": (False, False),
    "prediction": ({"type": "content", "content": "x"}, True),
    "presence_penalty": (0.5, False),
    "prompt_cache_key": ("abc", False),
    "prompt_cache_options": ({"mode": "explicit", "ttl": "30m"}, True),
    "prompt_cache_retention": ("24h", True),
    "reasoning_effort": ("max", False),
    "response_format": ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, False),
    "safety_identifier": ("me", True),
    "seed": (7, False),
    "service_tier": ("fast", True),
    "stop": (["a", "b", "c", "d"], False),
    "store": (True, True),
    "stream": (True, False),
    "stream_options": ({"include_usage": True, "include_obfuscation": False}, False),
    "temperature": (0.5, False),
    "tool_choice": ({"type": "function", "function": {"name": "look"}}, False),
    "tools": ([LOOK], False),
    "top_logprobs": (5, False),
    "top_p": (0.5, False),
    "user": ("me", True),
    "verbosity": ("low", True),
    "web_search_options": ({"search_context_size": "medium"}, False),
}
COMPANIONS: dict[str, tuple[str, ...]] = {  # without which a field asks for nothing
    "function_call": ("functions",),
    "tool_choice": ("tools",),
    "top_logprobs": ("logprobs",),
}
SDK_NAMES = sorted(
    {*CompletionCreateParamsNonStreaming.__annotations__, *CompletionCreateParamsStreaming.__annotations__}
)
OPTIONAL = [name for name in SDK_NAMES if name not in ("model", "messages")]


@pytest.mark.parametrize("name", SDK_NAMES)
def test_field_of_the_sdk_is_served_or_listed(name: str) -> None:
    assert name in SDK_FIELDS, "new in the SDK: decide whether it is served"
    names = ("model", "messages", name, *COMPANIONS.get(name, ()))
    chat = decode_request({name: SDK_FIELDS[name][0] for name in names})
    assert chat.ignored == ((name,) if SDK_FIELDS[name][1] else ())


@pytest.mark.parametrize("name", OPTIONAL)
def test_field_of_the_sdk_that_is_served_changes_the_request(name: str) -> None:
    value, listed = SDK_FIELDS[name]
    others = {other: SDK_FIELDS[other][0] for other in COMPANIONS.get(name, ())}
    assert request(**others, **{name: value}) != request(**others)
    if not listed:
        assert name in full_body() or name in older_body()  # so that it is changed at random below


def test_all_fields_of_the_sdk_go_together() -> None:
    chat = decode_request({name: value for name, (value, _) in SDK_FIELDS.items()})
    assert set(chat.ignored) == {
        *(name for name, (_, listed) in SDK_FIELDS.items() if listed),
        *("functions", "function_call"),
    }


@pytest.mark.parametrize("name", [*OPTIONAL, "top_k", "extra_body", "google", "whatever"])
def test_null_is_as_good_as_absent(name: str) -> None:
    assert request(**{name: None}) == request()
