"""Whatever comes, there is a request, or a 400 that names its field."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import AttachmentPart, ReasoningPart, TextPart, ToolCallPart, ToolChoice, ToolResultPart
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.protocols import claude_code
from agproxy.protocols.anthropic_request import decode_request
from agproxy.upstreams.gemini import encode_request
from tests.chat_bodies import JSON, changed, paths
from tests.message_bodies import HELLO, KINDS, OBJECTS, OTHER, PATHS, SIGNED, WORDS, Json, full_body
from tests.protocols.test_openai_chat_request_fuzz import ODD_VALUES

TOOL_KINDS = ["custom", "web_search_20250305", "bash_20250124", "text_editor_20250728", "code_execution_20250825"]


def decodes_or_refuses(body: Json) -> None:
    try:
        chat = decode_request(body)
    except BadRequest as error:
        refused = (error.status, bool(error.param), bool(error.message))
        assert refused == (400, True, True)
        assert len(error.message) < 1000  # noqa: PT017 - many inputs are served
        return
    assert all(isinstance(name, str) for name in (*chat.ignored, *chat.web_search))
    assert all(each.parts for each in chat.messages), "a message without parts"
    for message in chat.messages:
        assert all(isinstance(part, ToolResultPart) == (message.role == "tool") for part in message.parts)
    claude_code.is_its_own(body)
    claude_code.is_background(chat)
    claude_code.is_ping(chat)
    with suppress(BadRequest):  # nothing is left to answer
        encode_json(encode_request(chat, model="gemini-3-flash-preview").body.decode())


def test_full_body_is_served() -> None:
    chat = decode_request(full_body())
    roles = ["system", "user", "system", "assistant", "tool", "user", *("assistant", "tool") * 2, "assistant", "user"]
    assert [message.role for message in chat.messages] == roles
    parts = [part for message in chat.messages for part in message.parts]
    counts = [sum(isinstance(part, kind) for part in parts) for kind in (TextPart, ReasoningPart, AttachmentPart)]
    assert counts == [12, 1, 5]
    assert [(part.id, part.provider_metadata) for part in parts if isinstance(part, ToolCallPart)] == [
        *(("a", SIGNED), ("b", None), ("srvtoolu_2", None), ("mcptoolu_1", None))
    ]
    assert [(part.id, part.is_error) for part in parts if isinstance(part, ToolResultPart)] == [
        *(("a", False), ("b", True), ("srvtoolu_2", False), ("mcptoolu_1", False))
    ]
    assert [tool.name for tool in chat.tools] == ["look", "run", "bash", "late"]
    assert (chat.web_search, chat.tool_choice) == (("tools[2]",), ToolChoice("required", ("look",)))
    assert chat.ignored == (
        *("context_management", "cache_control", "messages[].content[].redacted_thinking", "tools[].strict"),
        *("tools[2].max_uses", "tools[4]", "output_config.effort", "output_format"),
    )


def test_request_is_not_changed_by_decoding_it() -> None:
    given_body = full_body()
    decode_request(given_body)
    assert given_body == full_body()


def test_signatures_of_one_request_are_not_those_of_the_next() -> None:
    decode_request(full_body())
    body = full_body()
    del body["messages"][2]["content"][0]
    calls = [part for each in decode_request(body).messages for part in each.parts if isinstance(part, ToolCallPart)]
    assert [part.provider_metadata for part in calls] == [None] * 4
    assert OTHER != SIGNED


@given(st.dictionaries(WORDS | st.text(), JSON, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_served_or_refused(body: Json) -> None:
    decodes_or_refuses(body)


@given(st.dictionaries(st.sampled_from(sorted(full_body())) | WORDS | st.text(), JSON, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_fields_beside_a_message_are_served_or_refused(fields: Json) -> None:
    decodes_or_refuses({**fields, "model": "m", "messages": [HELLO]})


@given(st.lists(OBJECTS | JSON, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_messages_are_served_or_refused(messages: Json) -> None:
    decodes_or_refuses({"model": "m", "messages": messages})


@given(st.sampled_from(["user", "assistant", "system"]), OBJECTS | JSON, OBJECTS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_content_is_served_or_refused(role: str, content: Json, others: Json) -> None:
    for each in (content, [content]):
        decodes_or_refuses({"model": "m", "messages": [HELLO, {**others, "role": role, "content": each}]})


@given(
    OBJECTS,
    st.sampled_from([*KINDS, "container_upload", "x_tool_result"]),
    st.sampled_from(["user", "assistant", "system"]),
)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_block_of_a_known_type_is_served_or_refused(block: Json, kind: str, role: str) -> None:
    usual = {"id": "a", "name": "f", "tool_use_id": "a", "text": "t", "thinking": "h", "tool": block, **block}
    inside = {"type": "tool_result", "tool_use_id": "a", "content": [{**usual, "type": kind}]}
    for content in ({**usual, "type": kind}, inside):
        decodes_or_refuses({"model": "m", "messages": [HELLO, {"role": role, "content": [content]}]})


@given(OBJECTS, st.sampled_from(["base64", "url", "file", "text", "content"]), st.sampled_from(["image", "document"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_file_is_served_or_refused(source: Json, kind: str, of: str) -> None:
    content = [{"type": of, "source": {**source, "type": kind}}]
    decodes_or_refuses({"model": "m", "messages": [{"role": "user", "content": content}]})


@given(OBJECTS, st.sampled_from(TOOL_KINDS), OBJECTS | JSON)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_tool_and_choice_are_served_or_refused(tool: Json, kind: str, choice: Json) -> None:
    named = {"name": "f", **tool, "type": kind}
    added = {
        "role": "system",
        "content": [{"type": "tool_addition", "tool": {"type": "tool_definition", "definition": named}}],
    }
    for each in (choice, {"type": "tool", "name": "f"}, {"type": "tool", "name": choice}, {"type": "any"}):
        decodes_or_refuses({"model": "m", "messages": [HELLO], "tools": [tool, named], "tool_choice": each})
        decodes_or_refuses({"model": "m", "messages": [HELLO, added], "tools": [named], "tool_choice": each})


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_served_or_refused(changes: Json) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    decodes_or_refuses(body)


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_body_changed_everywhere_in_turn_is_served_or_refused(value: Json) -> None:
    body = full_body()
    for path in paths(body):
        if path:
            decodes_or_refuses(changed(body, path, value))
