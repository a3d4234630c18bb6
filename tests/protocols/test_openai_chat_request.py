"""Chat Completions requests: what is understood, what is refused by name, and that nothing else can happen."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    Message,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import BadRequest, GatewayError
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_chat_request import decode_arguments, decode_request
from tests.chat_bodies import JSON, PATHS, PNG, WORDS, Json, changed, full_body

GIF = base64.b64encode(b"GIF89a" + bytes(3)).decode()
USER = {"role": "user", "content": "Hello"}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PATCH = {"type": "custom", "custom": {"name": "patch"}}
SIGNED = {"google": {"thought_signature": "QUJD"}}


def request(*messages: Json, **others: Json) -> ChatRequest:
    return decode_request({"model": "gpt-4o", "messages": list(messages or [USER]), **others})


def message(value: Json) -> Message:
    (decoded,) = request(value).messages
    return decoded


def image(url: Json, **others: Json) -> Json:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **others}}]}


def refusal(body: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    return caught.value


# What every request says.


def test_least_request() -> None:
    assert request() == ChatRequest("gpt-4o", (Message("user", (TextPart("Hello"),)),))


def test_model_is_kept_as_it_was_asked_for() -> None:
    assert decode_request({"model": "models/Any:Thing@1", "messages": [USER]}).model == "models/Any:Thing@1"


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


def test_order_of_messages_and_parts_is_kept() -> None:
    chat = request(
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, image(f"data:;base64,{PNG}")["content"][0]]},
        {"role": "assistant", "content": "b"},
        {"role": "developer", "content": "c"},
    )
    assert [entry.role for entry in chat.messages] == ["system", "user", "assistant", "system"]
    assert chat.messages[1].parts == (TextPart("a"), AttachmentPart("image/png", PNG))


def test_streaming_and_its_usage_are_asked_for() -> None:
    chat = request(stream=True, stream_options={"include_usage": True})
    assert (chat.stream, chat.include_usage) == (True, True)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": None}, {"include_usage": False}])
def test_usage_of_a_stream_is_not_asked_for(options: Json) -> None:
    chat = request(stream=None, stream_options=options)
    assert (chat.stream, chat.include_usage) == (False, False)


def test_conversation_is_told_apart_by_its_cache_key() -> None:
    assert request(prompt_cache_key="abc").session == "abc"
    assert request(prompt_cache_key="").session is None
    assert request().session is None


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
    chat = request({"role": "assistant", "tool_calls": [call, call]}, {"role": "assistant", "tool_calls": [call]})
    ids = [part.id for entry in chat.messages for part in entry.parts if isinstance(part, ToolCallPart)]
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
    decoded = message({**image(f"data:image/png;base64,{PNG}"), "role": "tool", "tool_call_id": "a"})
    assert decoded.parts == (ToolResultPart("a", "", (AttachmentPart("image/png", PNG),)),)


def test_function_role_finds_its_call_by_name() -> None:
    chat = request(
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "look", "content": "sky"},
    )
    (call,) = chat.messages[0].parts
    (result,) = chat.messages[1].parts
    assert isinstance(call, ToolCallPart)
    assert isinstance(result, ToolResultPart)
    assert (call.name, call.arguments, result.name, result.parts) == ("look", {"a": 1}, "look", (TextPart("sky"),))
    assert call.id == result.id
    assert chat.ignored == ()


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


# Images.


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{PNG}",
        f"DATA:image/png;BASE64,{PNG}",
        f"Data:Image/PNG;Base64,{PNG}",
        f"data:image/png;name=a.png;base64,{PNG}",
        f"data:image/png; base64 ,{PNG}",
        f"data:;base64,{PNG}",
        f"data:image/jpeg;base64,{PNG}",
        f"data:image/gif;base64,{PNG}",
        f"data:image/png;base64,{PNG[:8]}\r\n {PNG[8:]}\n",
        f"data:image/png;base64,{PNG.rstrip('=')}",
        f"data:image/png;base64,{PNG.replace('+', '-').replace('/', '_')}",
    ],
)
def test_image_in_a_data_url(url: str) -> None:
    assert message(image(url)).parts == (AttachmentPart("image/png", PNG),)


def test_image_type_jpg_is_jpeg() -> None:
    assert message(image("data:image/jpg;base64,QUJD")).parts == (AttachmentPart("image/jpeg", "QUJD"),)


def test_image_url_may_be_a_bare_string() -> None:
    part = {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}
    assert message({"role": "user", "content": [part]}).parts == (AttachmentPart("image/png", PNG),)


def test_detail_of_an_image_is_ignored_and_listed() -> None:
    assert request(image(f"data:;base64,{PNG}", detail="high")).ignored == ("image_url.detail",)
    assert request(image(f"data:;base64,{PNG}", detail="auto")).ignored == ()


# Tools.


def test_function_tool() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}
    assert request(tools=[tool]).tools == (Tool("look", "Looks.", schema),)


@pytest.mark.parametrize("tool", [{"type": "function", "function": {"name": "now"}}, {"function": {"name": "now"}}])
def test_function_tool_without_parameters(tool: Json) -> None:
    assert request(tools=[tool]).tools == (Tool("now", ""),)


def test_custom_tool_takes_one_text() -> None:
    (tool,) = request(tools=[{"type": "custom", "custom": {"name": "patch", "description": "Patches."}}]).tools
    assert (tool.name, tool.description, tool.freeform) == ("patch", "Patches.", True)
    assert isinstance(tool.parameters, dict)
    assert tool.parameters["required"] == ["input"]


def test_grammar_of_a_custom_tool_is_told_in_its_description() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"+'}}
    (tool,) = request(tools=[{"type": "custom", "custom": {"name": "patch", "format": grammar}}]).tools
    assert "lark" in tool.description
    assert 'start: "a"+' in tool.description


def test_hosted_tool_is_left_out_and_listed() -> None:
    chat = request(tools=[{"type": "web_search"}, LOOK, {"type": None}])
    assert [tool.name for tool in chat.tools] == ["look"]
    assert chat.ignored == ("tools[0]", "tools[2]")


def test_second_tool_of_a_name_is_left_out_and_listed() -> None:
    chat = request(tools=[LOOK, LOOK])
    assert [tool.name for tool in chat.tools] == ["look"]
    assert chat.ignored == ("tools[1]",)


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools(tools: Json) -> None:
    assert request(tools=tools).tools == ()


def allowed(mode: str, *tools: Json) -> Json:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, ToolChoice("auto")),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "look"}}, ToolChoice("required", ("look",))),
        ({"type": "custom", "custom": {"name": "patch"}}, ToolChoice("required", ("patch",))),
        (allowed("auto", LOOK), ToolChoice("auto", ("look",))),
        (allowed("required", PATCH, LOOK), ToolChoice("required", ("patch", "look"))),
    ],
)
def test_tool_choice(value: Json, choice: ToolChoice) -> None:
    assert request(tools=[LOOK, PATCH], tool_choice=value).tool_choice == choice


@pytest.mark.parametrize("value", ["auto", "none", None])
def test_tool_choice_without_tools_may_leave_it_to_the_model(value: Json) -> None:
    assert request(tool_choice=value).tools == ()


# Sampling.


def test_sampling() -> None:
    chat = request(temperature=0, top_p=0.5, max_tokens=100, stop=["a", "b"], seed=7)
    assert chat.sampling == Sampling(0, 0.5, 100, ("a", "b"), 7)
    assert chat.ignored == ()


def test_sampling_is_left_to_the_model_when_null() -> None:
    names = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed")
    assert request(**dict.fromkeys(names)).sampling == Sampling()


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_newer_token_limit_counts_before_the_older(sent: Json, limit: int) -> None:
    assert request(**sent).sampling.max_output_tokens == limit


@pytest.mark.parametrize(
    ("sent", "stop"),
    [
        (None, ()),
        ("END", ("END",)),
        ("", ()),
        ([], ()),
        (["a", "", "b"], ("a", "b")),
        (["1", "2", "3", "4", "5"], ("1", "2", "3", "4", "5")),
    ],
)
def test_stop(sent: Json, stop: tuple[str, ...]) -> None:
    assert request(stop=sent).sampling.stop == stop


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 5.0])
def test_any_seed_of_openai_is_folded_into_one_of_gemini(seed: float) -> None:
    folded = request(seed=seed).sampling.seed
    assert folded is not None
    assert 0 <= folded < 2**31
    assert folded == request(seed=seed).sampling.seed
    if 0 <= seed < 2**31:
        assert folded == seed


# What is not honoured.


def test_fields_that_are_not_honoured_are_listed_once_in_order() -> None:
    chat = request(
        {**USER, "name": "bob"},
        {**USER, "name": "eve"},
        user="me",
        n=2,
        logprobs=True,
        logit_bias={"50256": -100},
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        reasoning_effort="low",
        functions=[],
        whatever=0,
    )
    assert chat.ignored == (
        *("user", "n", "logprobs", "logit_bias", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *("functions", "whatever", "messages[].name"),
    )


def test_keys_of_messages_and_tools_that_are_not_read_are_listed() -> None:
    spoken: Json = {
        "role": "assistant",
        "content": "Hi",
        "audio": {"id": "audio_1"},
        "annotations": [],
        "cache_control": None,
    }
    asked = {"role": "user", "content": "Hi", "name": "Ann", "cache_control": {"type": "ephemeral"}}
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    chat = request(asked, spoken, asked, tools=[tool])
    assert chat.ignored == (
        "messages[].name",
        "messages[].cache_control",
        "messages[].audio",
        "tools[].function.strict",
    )


def test_allowed_tools_may_be_none_at_all() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    asked = {"role": "user", "content": "Hi"}
    assert request(asked, tools=[tool], tool_choice=allowed("auto")).tool_choice == ToolChoice("none")
    with pytest.raises(BadRequest, match="allows no tool"):
        request(asked, tools=[tool], tool_choice=allowed("required"))


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
        response_format={"type": "text"},
        user=None,
        reasoning_effort=None,
        whatever=None,
    )
    assert chat.ignored == ()


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


BAD_FIELDS: list[tuple[Json, str]] = [
    # the request
    ({"messages": [USER]}, "model"),
    *(({"model": value, "messages": [USER]}, "model") for value in each(None, 5, True, ["gpt-4o"], {})),
    ({"model": "gpt-4o"}, "messages"),
    *(({"model": "gpt-4o", "messages": value}, "messages") for value in each(None, "Hello", 5, {}, USER, [])),
]
BAD_MESSAGES: list[tuple[Json, str]] = [
    *((value, "messages[0]") for value in each(None, "Hello", 5, [], [USER])),
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
    ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[0].content[0].type"),
    ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, "messages[0].content[0].type"),
    ({"role": "system", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].type"),
    ({"role": "assistant", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].type"),
    ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
    ({"role": "user", "content": [{"type": "text", "text": None}]}, "messages[0].content[0].text"),
    (
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": 5}]},
        "messages[0].content[1].text",
    ),
    ({"role": "assistant", "content": [{"type": "refusal"}]}, "messages[0].content[0].refusal"),
    ({"role": "assistant", "content": "x", "refusal": 5}, "messages[0].refusal"),
    ({"role": "assistant", "content": "x", "reasoning_content": []}, "messages[0].reasoning_content"),
    # images
    *(
        ({"role": "user", "content": [{"type": "image_url", "image_url": value}]}, "messages[0].content[0].image_url")
        for value in each(None, 5, [])
    ),
    ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].image_url.url"),
    *(
        (image(url), "messages[0].content[0].image_url.url")
        for url in (
            *(None, 5, "", "cat.png", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "data:", PNG),
            *("data:image/png;base64", "data:image/png,hello", "data:image/png;charset=utf-8,hello"),
            *("data:image/png;base64,not base64!", "data:image/png;base64,Q", "data:image/png;base64,"),
            *("data:image/png;base64,日本", f"data:image/png;base64,{GIF}", "data:image/gif;base64,QUJD"),
            *("data:text/html;base64,QUJD", "data:;base64,QUJD", f"javascript:data:image/png;base64,{PNG}"),
        )
    ),
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
BAD_OPTIONS: list[tuple[Json, str]] = [
    *(({"temperature": value}, "temperature") for value in each(9, -0.1, 2.001, "1", True, [], 10**400)),
    *(({"top_p": value}, "top_p") for value in each(1.5, -1, "1", False, {})),
    *(({"max_tokens": value}, "max_tokens") for value in each(-1, 0, 2**31, 1.5, "9", True, [], 10**400, 1e300)),
    *(({"max_completion_tokens": value}, "max_completion_tokens") for value in each(-1, 0, 2**31, 1.5, "9", True)),
    ({"max_completion_tokens": 5, "max_tokens": -1}, "max_tokens"),
    *(({"seed": value}, "seed") for value in each(2**63, -(2**63) - 1, 1.5, "7", True, [])),
    *(({"stop": value}, "stop") for value in each(5, True, {}, [5], ["a", None], [["a"]], list("abcdef"))),
    *(({"stream": value}, "stream") for value in each("true", 1, 0, [], {})),
    *(({"stream_options": value}, "stream_options") for value in each("x", 5, [], [1], "", 0, False, True)),
    *(({"stream_options": {"include_usage": value}}, "stream_options.include_usage") for value in each("true", 1, {})),
    *(({"prompt_cache_key": value}, "prompt_cache_key") for value in each(5, [], {}, True)),
    *(({"tools": value}, "tools") for value in each(5, "x", {}, LOOK, True)),
    *(({"tools": [value]}, "tools[0]") for value in each(None, 5, "look", [])),
    *(({"tools": [value]}, "tools[0].function") for value in each({}, {"type": "function"}, {"function": "look"})),
    ({"tools": [{"type": "function", "name": 5}]}, "tools[0].function.name"),
    *(
        ({"tools": [LOOK, {"type": "function", "function": value}]}, "tools[1].function.name")
        for value in each({}, {"name": None}, {"name": ""}, {"name": 5}, {"name": ["look"]})
    ),
    ({"tools": [{"type": "function", "function": {"name": "a", "description": 5}}]}, "tools[0].function.description"),
    ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
    ({"tools": [{"type": "custom", "custom": {"name": ""}}]}, "tools[0].custom.name"),
    *(
        ({"tools": [LOOK], "tool_choice": value}, "tool_choice")
        for value in each(
            *("must", "", 5, True, [], {}, ["auto"], {"type": "function"}, {"type": "function", "name": "other"}),
            *({"type": "function", "function": {"name": 5}}, {"type": "function", "function": {"name": "other"}}),
            *({"type": "custom", "custom": {"name": "other"}}, {"type": "web_search"}),
            *(allowed("auto", {"type": "function"}), allowed("auto", "look"), allowed("never", LOOK)),
            *(allowed("auto", PATCH), {"type": "allowed_tools", "mode": "auto", "tools": [LOOK]}),
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": "look"}},
        )
    ),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
    ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
]
BAD_BODIES = [
    *BAD_FIELDS,
    *(({"model": "gpt-4o", "messages": [value]}, param) for value, param in BAD_MESSAGES),
    *(({"model": "gpt-4o", "messages": [USER], **options}, param) for options, param in BAD_OPTIONS),
]


@pytest.mark.parametrize(
    ("body", "param"), BAD_BODIES, ids=[f"{position}-{param}" for position, (_, param) in enumerate(BAD_BODIES)]
)
def test_bad_body_is_refused_by_the_name_of_its_field(body: Json, param: str) -> None:
    error = refusal(body)
    assert error.status == 400
    assert error.param == param
    assert param.rpartition(".")[2] in error.message or "image" in error.message
    assert len(error.message) < 400


def test_field_at_fault_is_named_in_later_messages() -> None:
    bad = {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text"}]}
    assert refusal({"model": "m", "messages": [USER, USER, bad]}).param == "messages[2].content[1].text"


def test_value_from_the_client_cannot_break_the_message() -> None:
    error = refusal({"model": "m", "messages": [{"role": "x\r\nSet-Cookie: a" + "y" * 500, "content": "x"}]})
    assert "\n" not in error.message
    assert len(error.message) < 300


def test_request_is_not_changed_by_decoding_it() -> None:
    body = full_body()
    decode_request(body)
    assert body == full_body()


# Fuzz: whatever comes, there is a request or a 4xx.


def decodes_or_refuses(body: Json) -> None:
    try:
        chat = decode_request(body)
    except GatewayError as error:
        refused = (error.status, bool(error.param), bool(error.message))
        assert refused == (400, True, True)
    else:
        encode_json([part.arguments for entry in chat.messages for part in entry.parts if hasattr(part, "arguments")])


def test_full_body_is_served() -> None:
    chat = decode_request(full_body())
    assert len(chat.messages) == 8
    assert chat.ignored == ("metadata", "messages[].name", "image_url.detail")


@given(st.dictionaries(WORDS | st.text(), JSON, max_size=6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_object_is_served_or_refused(body: Json) -> None:
    decodes_or_refuses(body)


@given(st.lists(st.dictionaries(WORDS, JSON, max_size=5) | JSON, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_messages_are_served_or_refused(messages: Json) -> None:
    decodes_or_refuses({"model": "m", "messages": messages})


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | JSON), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_full_body_changed_anywhere_is_served_or_refused(changes: Json) -> None:
    body = full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    decodes_or_refuses(body)


ODD_VALUES: list[Json] = [..., None, True, 0, -1, 1.5, 10**400, "", "x", "\ud800", [], [[]], [None], {}]


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_full_body_changed_everywhere_in_turn_is_served_or_refused(value: Json) -> None:
    for path in PATHS:
        decodes_or_refuses(changed(full_body(), path, value))
