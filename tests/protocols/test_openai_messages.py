"""``messages`` of Chat Completions: roles, parts, calls and results, and what is refused by its place."""

import json

import pytest
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionFunctionMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)

from agproxy.chat import (
    AttachmentPart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_messages import decode_arguments, decode_messages
from tests.chat_bodies import PNG, Json

SIGNED = {"google": {"thought_signature": "QUJD"}}
LINK = "https://example.com/cat.png"


def messages(*values: Json) -> tuple[Message, ...]:
    return decode_messages({"messages": list(values)}, [])


def message(value: Json) -> Message:
    (decoded,) = messages(value)
    return decoded


def asked(part: Json, role: str = "user") -> Part:
    """The only part of a message that holds ``part``."""
    (decoded,) = message({"role": role, "tool_call_id": "a", "content": [part]}).parts
    return decoded


def ignored(*values: Json) -> list[str]:
    names: list[str] = []
    decode_messages({"messages": list(values)}, names)
    return names


def image(url: Json, **others: Json) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **others}}


# Roles and text.


@pytest.mark.parametrize(
    ("role", "decoded"), [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant")]
)
def test_roles(role: str, decoded: str) -> None:
    assert message({"role": role, "content": "x"}) == Message(decoded, (TextPart("x"),))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_content_is_a_string_or_text_parts(role: str) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}]
    assert message({"role": role, "content": parts}).parts == (TextPart("a"), TextPart("b"))
    assert message({"role": role, "content": ""}).parts == ()
    assert message({"role": role, "content": []}).parts == ()


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
def test_text_part_may_have_the_names_of_responses(kind: str) -> None:
    assert asked({"type": kind, "text": "a"}) == TextPart("a")


def test_text_part_may_be_a_bare_string() -> None:
    assert message({"role": "user", "content": ["a", "b"]}).parts == (TextPart("a"), TextPart("b"))


def test_order_of_messages_and_parts_is_kept() -> None:
    decoded = messages(
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, image(f"data:;base64,{PNG}"), image(LINK), "b"]},
        {"role": "assistant", "content": "b"},
        {"role": "developer", "content": "c"},
    )
    assert [entry.role for entry in decoded] == ["system", "user", "assistant", "system"]
    assert decoded[1].parts == (
        TextPart("a"),
        AttachmentPart("image/png", PNG),
        AttachmentPart("image/png", url=LINK),
        TextPart("b"),
    )


# Assistant messages and tool results.


def test_assistant_calls_with_null_content() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]
    assert message({"role": "assistant", "content": None, "tool_calls": calls}).parts == (
        ToolCallPart("call_1", "look", {"at": "sky"}),
        ToolCallPart("call_2", "look", {}),
    )


@pytest.mark.parametrize("content", ["", None, []])
def test_assistant_calls_beside_empty_content(content: Json) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    decoded = message({"role": "assistant", "content": content, "tool_calls": [call]})
    assert decoded.parts == (ToolCallPart("a", "look", {}),)


def test_assistant_may_have_said_nothing_at_all() -> None:
    assert message({"role": "assistant"}).parts == ()
    assert message({"role": "assistant", "content": None, "tool_calls": None, "refusal": None}).parts == ()


def test_assistant_text_comes_before_its_calls() -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": "{}"}}  # "type" left out, as by some frameworks
    decoded = message({"role": "assistant", "content": "Let me see.", "tool_calls": [call]})
    assert decoded.parts == (TextPart("Let me see."), ToolCallPart("a", "look", {}))


def test_calls_without_an_id_get_different_ones() -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    decoded = messages({"role": "assistant", "tool_calls": [call, call]}, {"role": "assistant", "tool_calls": [call]})
    ids = [part.id for entry in decoded for part in entry.parts if isinstance(part, ToolCallPart)]
    assert all(ids)
    assert len(set(ids)) == 3


def test_past_call_of_a_custom_tool_holds_its_input_whole() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "patch", "input": '*** {"Begin"'}}
    decoded = message({"role": "assistant", "tool_calls": [call]})
    assert decoded.parts == (ToolCallPart("a", "patch", {"input": '*** {"Begin"'}),)


def test_reasoning_and_refusal_of_the_past_are_kept() -> None:
    decoded = message({"role": "assistant", "content": None, "reasoning_content": "Hm", "refusal": "No."})
    assert decoded.parts == (ReasoningPart("Hm"), TextPart("No."))
    decoded = message({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert decoded.parts == (TextPart("No."),)


def test_signature_of_a_call_comes_back_in_extra_content() -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": "{}"}, "extra_content": {**SIGNED, "else": 1}}
    decoded = message({"role": "assistant", "tool_calls": [call]})
    assert decoded.parts == (ToolCallPart("a", "look", {}, SIGNED),)


def test_signature_of_a_message_goes_to_its_last_text() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    decoded = message({"role": "assistant", "content": content, "extra_content": SIGNED})
    assert decoded.parts == (TextPart("a"), TextPart("b", SIGNED))


def test_signature_of_a_message_without_text_stands_alone() -> None:
    assert message({"role": "assistant", "content": None, "extra_content": SIGNED}).parts == (TextPart("", SIGNED),)


@pytest.mark.parametrize(
    "extra",
    [
        *(None, 1, "x", [], {}, {"google": None}, {"google": []}, {"google": {}}, {"other": {}}),
        *({"google": {"thought_signature": value}} for value in (None, "", 5, ["QUJD"], {"a": 1})),
    ],
)
def test_extra_content_that_is_not_googles_is_passed_over(extra: Json) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": "{}"}, "extra_content": extra}
    decoded = message({"role": "assistant", "content": "x", "tool_calls": [call], "extra_content": extra})
    assert decoded.parts == (TextPart("x"), ToolCallPart("a", "look", {}))


@pytest.mark.parametrize("content", ["sunny", [{"type": "text", "text": "sunny"}]])
def test_tool_result(content: Json) -> None:
    decoded = message({"role": "tool", "tool_call_id": "call_1", "content": content})
    assert decoded == Message("tool", (ToolResultPart("call_1", "", (TextPart("sunny"),)),))


@pytest.mark.parametrize("others", [{"content": None}, {"content": ""}, {"content": []}, {}])
def test_tool_result_may_be_empty(others: Json) -> None:
    assert message({"role": "tool", "tool_call_id": "a", **others}).parts == (ToolResultPart("a", "", ()),)


def test_tool_result_may_hold_an_image() -> None:
    decoded = message({"role": "tool", "tool_call_id": "a", "content": [image(f"data:;base64,{PNG}")]})
    assert decoded.parts == (ToolResultPart("a", "", (AttachmentPart("image/png", PNG),)),)


def test_function_role_finds_its_call_by_name() -> None:
    decoded = messages(
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "look", "content": "sky"},
    )
    (call,) = decoded[0].parts
    (result,) = decoded[1].parts
    assert isinstance(call, ToolCallPart)
    assert isinstance(result, ToolResultPart)
    assert (call.name, call.arguments, result.name, result.parts) == ("look", {"a": 1}, "look", (TextPart("sky"),))
    assert call.id == result.id


def test_pictures_of_a_past_answer_come_after_its_text() -> None:
    value = {"role": "assistant", "content": "Here.", "images": [image(f"data:;base64,{PNG}"), image(LINK)]}
    assert message(value).parts == (
        TextPart("Here."),
        AttachmentPart("image/png", PNG),
        AttachmentPart("image/png", url=LINK),
    )


def test_name_of_a_tool_result_is_kept() -> None:
    value = {"role": "tool", "tool_call_id": "a", "name": "look", "content": "sky"}
    assert message(value).parts == (ToolResultPart("a", "look", (TextPart("sky"),)),)


@pytest.mark.parametrize(
    ("kept", "arguments"),
    [
        ('{"a": 1}', {"a": 1}),
        ('  {"a": {"b": [null]}}\n', {"a": {"b": [None]}}),
        ("{}", {}),
        ("", {}),
        (" \n", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ({}, {}),
        ('"{\\"a\\": 1}"', {"a": 1}),  # encoded twice
        ('"plain words"', {"input": '"plain words"'}),
        ('"5"', {"input": 5}),
        ("plain words", {"input": "plain words"}),
        ('{"a": 1', {"input": '{"a": 1'}),
        ('{"a": 1}{"a": 1}', {"input": '{"a": 1}{"a": 1}'}),
        ("{'a': 1}", {"input": "{'a': 1}"}),
        ("[1, 2]", {"input": [1, 2]}),
        ("[]", {"input": []}),
        ("5", {"input": 5}),
        ("true", {"input": True}),
        ("null", {}),
        (5, {"input": 5}),
        (False, {"input": False}),
        ([1], {"input": [1]}),
        ('{"a": NaN}', {"input": '{"a": NaN}'}),
        ('{"a": [-Infinity]}', {"input": '{"a": [-Infinity]}'}),
        ('{"a": 1e999}', {"input": '{"a": 1e999}'}),
        ('{"a": ' + "9" * 5000 + "}", {"input": '{"a": ' + "9" * 5000 + "}"}),
        ('{"a": "\\ud800"}', {"input": '{"a": "\\ud800"}'}),
        ('{"\\uDC00": 1}', {"input": '{"\\uDC00": 1}'}),
        ('{"a": "\\ud83e\\udd8a"}', {"a": "🦊"}),
        ('"{\\"a\\": NaN}"', {"input": '"{\\"a\\": NaN}"'}),
        ("[" * 100_000, {"input": "[" * 100_000}),
        ("[" * 41 + "]" * 41, {"input": "[" * 41 + "]" * 41}),
        ({"a": 10**400}, {"input": '{"a": 1' + "0" * 400 + "}"}),
    ],
)
def test_past_arguments_become_an_object_that_can_be_sent(kept: Json, arguments: Json) -> None:
    decoded = decode_arguments(kept)
    assert decoded == arguments
    assert json.loads(encode_json(decoded)) == arguments


# What is not honoured.


def test_keys_of_messages_that_are_not_read_are_listed_unless_empty() -> None:
    spoken: Json = {
        "role": "assistant",
        "content": "Hi",
        "audio": {"id": "a"},
        "annotations": [{}],
        "cache_control": None,
    }
    question = {"role": "user", "content": "Hi", "name": "Ann", "cache_control": {"type": "ephemeral"}, "audio": {}}
    assert ignored(question, spoken) == ["messages[].name", "messages[].cache_control", "messages[].audio"]


CALLED = [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
# Every key of the SDK's message types, with the names that are listed for it.
SDK_MESSAGES: list[tuple[type, Json, list[str]]] = [
    (ChatCompletionSystemMessageParam, {"role": "system", "content": "x", "name": "n"}, ["name"]),
    (ChatCompletionDeveloperMessageParam, {"role": "developer", "content": "x", "name": "n"}, ["name"]),
    (ChatCompletionUserMessageParam, {"role": "user", "content": "x", "name": "n"}, ["name"]),
    (
        ChatCompletionAssistantMessageParam,
        {
            "role": "assistant",
            "content": "x",
            "name": "n",
            "audio": {"id": "a"},
            "refusal": "No.",
            "function_call": {"name": "f", "arguments": "{}"},
            "tool_calls": CALLED,
        },
        ["name", "audio"],
    ),
    (ChatCompletionToolMessageParam, {"role": "tool", "tool_call_id": "a", "content": "x"}, []),
    (ChatCompletionFunctionMessageParam, {"role": "function", "name": "f", "content": "x"}, []),
]


@pytest.mark.parametrize(("kind", "value", "listed"), SDK_MESSAGES, ids=[kind.__name__ for kind, *_ in SDK_MESSAGES])
def test_every_key_of_the_sdks_messages_is_read_or_listed(kind: type, value: Json, listed: list[str]) -> None:
    assert kind.__annotations__.keys() == value.keys()
    assert ignored(value) == [f"messages[].{name}" for name in listed]


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


CONTENT = "messages[0].content"
PART = "messages[0].content[0]"


def user(part: Json) -> Json:
    return {"role": "user", "content": [part]}


BAD_MESSAGES: list[tuple[Json, str]] = [
    *((value, "messages[0]") for value in each(None, "Hello", 5, [], [{"role": "user"}])),
    *(({"role": value, "content": "x"}, "messages[0].role") for value in each(None, "", "bot", "User", 5, [], {})),
    ({"content": "x"}, "messages[0].role"),
    *(({"role": role}, "messages[0].content") for role in ("system", "developer", "user")),
    *(
        ({"role": role, "content": value}, "messages[0].content")
        for role in ("system", "user", "assistant")
        for value in each(5, True, {}, {"type": "text", "text": "x"})
    ),
    ({"role": "user", "content": None}, "messages[0].content"),
    ({"role": "tool", "tool_call_id": "a", "content": 5}, "messages[0].content"),
    ({"role": "function", "name": "a", "content": {}}, "messages[0].content"),
    *(({"role": "user", "content": [value]}, "messages[0].content[0]") for value in each(None, 5, [])),
    *(
        ({"role": "user", "content": [{"type": value}]}, "messages[0].content[0].type")
        for value in each(None, "", 5, [])
    ),
    ({"role": "user", "content": [{"text": "x"}]}, "messages[0].content[0].type"),
    ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, "messages[0].content[0].type"),
    ({"role": "system", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].type"),
    *(
        ({"role": role, "content": [part]}, f"{PART}.type")
        for role in ("system", "developer", "assistant")
        for part in each({"type": "input_audio"}, {"type": "file"}, {"type": "input_file"}, {"type": "video_url"})
    ),
    *((user({"type": value}), f"{PART}.type") for value in each("audio", "Text", "image", "tool_use", ["text"])),
    ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
    ({"role": "user", "content": [{"type": "text", "text": None}]}, "messages[0].content[0].text"),
    (
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": 5}]},
        "messages[0].content[1].text",
    ),
    ({"role": "assistant", "content": [{"type": "refusal"}]}, "messages[0].content[0].refusal"),
    ({"role": "assistant", "content": "x", "refusal": 5}, "messages[0].refusal"),
    ({"role": "assistant", "content": "x", "reasoning_content": []}, "messages[0].reasoning_content"),
    # calls and results
    *(
        ({"role": "assistant", "tool_calls": value}, "messages[0].tool_calls")
        for value in each(5, "x", {}, {"id": "a"}, True)
    ),
    *(({"role": "assistant", "tool_calls": [value]}, "messages[0].tool_calls[0]") for value in each(None, 5, "x", [])),
    *(
        ({"role": "assistant", "tool_calls": [{"id": "a", **value}]}, "messages[0].tool_calls[0].function")
        for value in each({}, {"function": None}, {"function": "look"}, {"type": "function", "custom": {"name": "a"}})
    ),
    *(
        ({"role": "assistant", "tool_calls": [{"function": value}]}, "messages[0].tool_calls[0].function.name")
        for value in each({}, {"name": None}, {"name": 5}, {"name": ""})
    ),
    ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages[0].tool_calls[0].custom"),
    ({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}, "messages[0].tool_calls[0].custom.name"),
    (
        {"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": "a"}}]},
        "messages[0].tool_calls[0].id",
    ),
    ({"role": "assistant", "function_call": "auto"}, "messages[0].function_call"),
    ({"role": "assistant", "function_call": {}}, "messages[0].function_call.name"),
    ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
    ({"role": "tool", "tool_call_id": None, "content": "x"}, "messages[0].tool_call_id"),
    ({"role": "tool", "tool_call_id": 5, "content": "x"}, "messages[0].tool_call_id"),
    ({"role": "tool", "tool_call_id": "a", "name": [], "content": "x"}, "messages[0].name"),
    ({"role": "function", "name": 5, "content": "x"}, "messages[0].name"),
]


@pytest.mark.parametrize(
    ("value", "param"), BAD_MESSAGES, ids=[f"{position}-{param}" for position, (_, param) in enumerate(BAD_MESSAGES)]
)
def test_bad_message_is_refused_by_the_name_of_its_field(value: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_messages({"messages": [value]}, [])
    assert caught.value.param == param
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "body", [{}, *({"messages": value} for value in each(None, "Hello", 5, {}, {"role": "user", "content": "x"}, []))]
)
def test_messages_are_an_array_that_holds_some(body: Json) -> None:
    with pytest.raises(BadRequest, match=r"^messages ") as caught:
        decode_messages(body, [])
    assert caught.value.param == "messages"


def test_field_at_fault_is_named_in_later_messages() -> None:
    fine = {"role": "user", "content": "x"}
    with pytest.raises(BadRequest) as caught:
        messages(fine, fine, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text"}]})
    assert caught.value.param == "messages[2].content[1].text"


def test_value_from_the_client_cannot_break_the_message() -> None:
    with pytest.raises(BadRequest) as caught:
        message({"role": "x\r\nSet-Cookie: a" + "y" * 500, "content": "x"})
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
