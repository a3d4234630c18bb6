"""Whatever comes, there is a request whose Response is one, or an error that names its field."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import AttachmentPart, ReasoningPart, TextPart, Thinking, ToolCallPart, ToolResultPart
from agproxy.errors import GatewayError
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_responses import decode_request
from tests.chat_bodies import JSON, changed, paths
from tests.protocols.response_answers import begun, meta_of
from tests.protocols.test_openai_chat_request_fuzz import ODD_VALUES
from tests.response_bodies import KINDS, OBJECTS, PATHS, SIGNED, WORDS, Json, full_body, hosted_body

USER = {"role": "user", "content": "Hello"}


def decodes_or_refuses(body: Json, earlier: Any = ()) -> None:
    try:
        chat = decode_request(body, earlier=earlier)
    except GatewayError as error:
        refused = (error.status in (400, 404), bool(error.param), bool(error.message))
        assert refused == (True, True, True)
        assert len(error.message) < 1000  # noqa: PT017 - many inputs are served
    else:
        encode_json([part.arguments for each in chat.messages for part in each.parts if isinstance(part, ToolCallPart)])
        assert all(isinstance(name, str) for name in chat.ignored)
        begun(meta_of(chat))


def test_full_body_is_served() -> None:
    chat = decode_request(full_body())
    assert [part for message in chat.messages for part in message.parts if isinstance(part, TextPart)] == [
        *(TextPart(text) for text in ("Be kind.", "Go.", "Be brief.", "What is this?", "A cat.")),
        *(TextPart("No more.", SIGNED), TextPart("And where?")),
    ]
    kinds = [type(part) for message in chat.messages for part in message.parts]
    assert [kinds.count(kind) for kind in (AttachmentPart, ReasoningPart, ToolCallPart, ToolResultPart)] == [4, 1, 3, 3]
    assert chat.ignored == (
        *("safety_identifier", "truncation", "tools[3].search_context_size", "tools[4].mcp", "tools[2].tools[].strict"),
        *("image_url.detail", "reasoning.context", "text.verbosity"),
    )


def test_body_of_hosted_tools_is_served() -> None:
    chat = decode_request(hosted_body())
    assert chat.ignored == ("input[].mcp_list_tools",)
    assert chat.tool_choice.names == ("found",)
    assert chat.thinking == Thinking(budget_tokens=1024, show=True)


@pytest.mark.parametrize("body", [full_body, hosted_body])
def test_request_is_not_changed_by_decoding_it(body: Callable[[], Json]) -> None:
    given_body = body()
    decode_request(given_body, earlier=hosted_body()["input"])
    assert given_body == body()


@given(st.dictionaries(WORDS | st.text(), JSON, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_served_or_refused(body: Json) -> None:
    decodes_or_refuses(body)


@given(st.dictionaries(st.sampled_from(sorted(full_body())) | WORDS | st.text(), JSON, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_fields_beside_an_input_are_served_or_refused(fields: Json) -> None:
    decodes_or_refuses({**fields, "model": "m", "input": "Hi"})


@given(st.lists(OBJECTS | JSON, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_items_are_served_or_refused(items: Json) -> None:
    decodes_or_refuses({"model": "m", "input": items})


@given(OBJECTS, st.sampled_from([*KINDS, "telescope_call", "telescope_call_output"]))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_item_of_a_known_type_is_served_or_refused(item: Json, kind: str) -> None:
    decodes_or_refuses({"model": "m", "input": [USER, {"call_id": "a", "name": "f", **item, "type": kind}]}, [item])


@given(OBJECTS, st.sampled_from(["input_image", "input_file", "input_text", "refusal", "input_audio"]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_part_is_served_or_refused(part: Json, kind: str) -> None:
    content = [{**part, "type": kind}]
    decodes_or_refuses({"model": "m", "input": [{"role": "user", "content": content}]})
    decodes_or_refuses({"model": "m", "input": [{"type": "x_output", "call_id": "a", "output": content}]})


@given(OBJECTS, st.sampled_from(["function", "custom", "namespace", "web_search"]), OBJECTS | JSON)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_tool_and_choice_are_served_or_refused(tool: Json, kind: str, choice: Json) -> None:
    tools = [{"name": "f", **tool, "type": kind}, {"type": "namespace", "name": "n", "tools": [{"name": "f", **tool}]}]
    for each in (choice, {"type": kind, "name": "f"}, {"type": "allowed_tools", "mode": "auto", "tools": choice}):
        decodes_or_refuses({"model": "m", "input": "Hi", "tools": tools, "tool_choice": each})


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_served_or_refused(changes: Json) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    decodes_or_refuses(body)


@pytest.mark.parametrize("body", [full_body(), hosted_body()], ids=["full", "hosted"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_body_changed_everywhere_in_turn_is_served_or_refused(value: Json, body: Json) -> None:
    for path in paths(body):
        if path:
            decodes_or_refuses(changed(body, path, value))
