"""Responses requests: what each field asks for, and what is refused by its name."""

import pytest

from agproxy.chat import (
    ChatRequest,
    JsonFormat,
    Message,
    Sampling,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import BadRequest, NotStored
from agproxy.protocols.openai_responses import decode_request, input_items
from agproxy.protocols.openai_responses_request import Echo
from agproxy.protocols.seals import seal
from tests.chat_bodies import Json
from tests.protocols.response_answers import asking, begun

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
SIGNED = {"google": {"thought_signature": "QUJD"}}
HI = Message("user", (TextPart("Hi"),))


def request(**fields: Json) -> ChatRequest:
    return decode_request({"model": "gpt-5.5", "input": "Hi", **fields})


def refusal(body: Json) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode_request(body)
    return caught.value


def echo(chat: ChatRequest) -> Echo:
    assert isinstance(chat.echo, Echo)
    return chat.echo


# What every request says.


def test_least_request() -> None:
    chat = request()
    assert chat == ChatRequest("gpt-5.5", (HI,), thinking=Thinking(show=False), echo=chat.echo)
    assert (echo(chat).names, echo(chat).encrypted, echo(chat).sources, echo(chat).is_chat) == ({}, False, False, False)


def test_model_is_kept_as_it_was_asked_for() -> None:
    assert request(model="models/Any:Thing@1").model == "models/Any:Thing@1"
    assert refusal({"input": "Hi"}).param == "model"


def test_streaming_is_asked_for() -> None:
    chat = request(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    assert (chat.stream, chat.include_usage, chat.ignored) == (True, True, ())
    assert request(stream_options={"include_obfuscation": True}).ignored == ("stream_options.include_obfuscation",)


def test_conversation_is_told_apart_by_its_cache_key() -> None:
    assert request(prompt_cache_key="abc").session == "abc"
    assert request(prompt_cache_key="").session is None
    assert request().session is None


# The input.


def test_input_may_be_a_text_or_items() -> None:
    assert request(input=[{"role": "user", "content": "Hi"}]).messages == request().messages == (HI,)
    assert input_items({"input": "Hi"}) == [("input", {"type": "message", "role": "user", "content": "Hi"})]
    assert input_items({"input": [1, 2]}) == [("input[0]", 1), ("input[1]", 2)]


def test_instructions_come_before_all_else() -> None:
    chat = request(instructions="Be kind.", input=[{"role": "developer", "content": "Go."}])
    assert chat.messages == (Message("system", (TextPart("Be kind."),)), Message("system", (TextPart("Go."),)))
    assert request(instructions="").messages == (HI,)


NOTHING: list[Json] = [{}, {"input": None}, {"input": []}]


@pytest.mark.parametrize("nothing", NOTHING)
def test_instructions_alone_are_an_input(nothing: Json) -> None:
    chat = decode_request({"model": "m", "instructions": "Say hello.", **nothing})
    assert chat.messages == (Message("system", (TextPart("Say hello."),)),)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"input": None}, "invalid_type"),
        ({"input": 5}, "invalid_type"),
        ({"input": {"role": "user", "content": "Hi"}}, "invalid_type"),
        ({"input": ""}, None),
        ({"input": []}, None),
        ({"input": [], "instructions": ""}, None),
        ({"input": 5, "instructions": "Say hello.", "previous_response_id": "resp_0"}, "invalid_type"),
        ({"input": "", "instructions": "Say hello."}, None),
        ({"input": [{"role": "user", "content": ""}]}, None),
        ({"input": [{"type": "reasoning", "summary": []}, {"type": "compaction"}]}, None),
        ({"input": [], "previous_response_id": "resp_0"}, None),
    ],
)
def test_input_that_asks_nothing_is_refused(sent: Json, code: str | None) -> None:
    error = refusal({"model": "m", **sent})
    assert (error.param, error.code) == ("input", code)


def test_earlier_conversation_comes_before_the_input_and_after_the_instructions() -> None:
    earlier: list[Json] = [
        {"role": "user", "content": "Look."},
        {"type": "reasoning", "summary": [], "encrypted_content": seal({"a": SIGNED})},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
    ]
    sent: Json = {
        "model": "m",
        "instructions": "Be kind.",
        "previous_response_id": "resp_0",
        "input": [{"type": "function_call_output", "call_id": "a", "output": "sky"}],
    }
    assert decode_request(sent, earlier=earlier).messages == (
        Message("system", (TextPart("Be kind."),)),
        Message("user", (TextPart("Look."),)),
        Message("assistant", (ToolCallPart("a", "look", {}, SIGNED),)),
        Message("tool", (ToolResultPart("a", "", (TextPart("sky"),)),)),
    )
    for nothing in NOTHING:
        sent = {"model": "m", "previous_response_id": "resp_0", **nothing}
        assert len(decode_request(sent, earlier=earlier).messages) == 2


def test_fault_in_the_earlier_conversation_is_named_by_its_id() -> None:
    with pytest.raises(NotStored) as caught:
        decode_request({"model": "m", "input": "Hi"}, earlier=[{"type": "item_reference", "id": "rs_1"}])
    assert caught.value.param == "previous_response_id"


def test_signature_counts_wherever_its_thoughts_stand() -> None:
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": seal({"a": SIGNED})},
    ]
    (part,) = request(input=items).messages[1].parts
    assert part == ToolCallPart("a", "look", {}, SIGNED)


# Tools.


def test_tools_within_the_input_are_tools() -> None:
    items = [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "namespace", "name": "n", "tools": [LOOK]}],
        },
        {"type": "tool_search_output", "call_id": "a", "tools": [{"type": "custom", "name": "found"}]},
        {"role": "user", "content": "Hi"},
    ]
    earlier = [{"type": "additional_tools", "tools": [{"type": "function", "name": "old", "strict": True}]}]
    chat = decode_request({"model": "m", "input": items, "tools": [LOOK]}, earlier=earlier)
    assert [tool.name for tool in chat.tools] == ["look", "old", "found", "n__look"]
    assert echo(chat).names == {"n__look": ("n", "look")}
    assert chat.ignored == ("previous_response_id.tools[].strict",)
    assert [tool["name"] for tool in begun(asking(input=items))["tools"]] == ["found", "n"]


def test_past_call_of_a_namespace_has_the_name_of_its_tool() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "look", "namespace": "n", "arguments": "{}"}
    chat = request(
        input=[call], tools=[{"type": "namespace", "name": "n", "tools": [LOOK]}, {**LOOK, "name": "n__look"}]
    )
    assert chat.messages[0].parts == (ToolCallPart("a", "n__look_2", {}),)
    assert request(input=[call]).messages[0].parts == (ToolCallPart("a", "n__look", {}),)


def test_tools_and_which_of_them() -> None:
    chat = request(tools=[LOOK], tool_choice={"type": "function", "name": "look"}, parallel_tool_calls=False)
    assert chat.tools == (Tool("look", "", {"type": "object"}),)
    assert (chat.tool_choice, chat.parallel_calls) == (ToolChoice("required", ("look",)), False)


@pytest.mark.parametrize("sent", [{}, {"parallel_tool_calls": None}, {"parallel_tool_calls": True}])
def test_parallel_calls_are_allowed_unless_the_client_says_otherwise(sent: Json) -> None:
    assert request(**sent).parallel_calls
    assert begun(asking(**sent))["parallel_tool_calls"] is True


def test_search_of_the_web_is_asked_for_by_its_tool() -> None:
    assert request(tools=[LOOK, {"type": "web_search"}]).web_search == ("tools[1]",)


# Sampling and what is told beside the text.


def test_sampling() -> None:
    chat = request(
        temperature=0,
        top_p=0.5,
        presence_penalty=1,
        frequency_penalty=-1,
        max_output_tokens=100,
        top_logprobs=3,
    )
    assert chat.sampling == Sampling(0, 0.5, None, 1, -1, 100, top_logprobs=3)
    assert chat.ignored == ()


def test_settings_that_were_not_made_are_told_as_openais_defaults() -> None:
    nothing: Json = dict.fromkeys(
        ("temperature", "top_p", "top_logprobs", "presence_penalty", "frequency_penalty", "max_output_tokens")
    )
    assert request(**nothing).sampling == Sampling()
    told = begun(asking(**nothing))
    assert [told[name] for name in nothing] == [1.0, 1.0, 0, 0.0, 0.0, None]


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ({}, None),
        ({"top_logprobs": 0}, None),
        ({"top_logprobs": 5}, 5),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 0}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 5}, 5),
    ],
)
def test_log_probabilities_are_asked_for_in_two_ways(sent: Json, wanted: int | None) -> None:
    assert request(**sent).sampling.top_logprobs == wanted


def test_more_to_be_told_is_asked_for_by_its_name() -> None:
    assert echo(request(include=["reasoning.encrypted_content"])).encrypted
    assert echo(request(include=["web_search_call.action.sources"])).sources
    chat = request(
        include=["file_search_call.results", "message.output_text.logprobs", "code_interpreter_call.outputs"]
    )
    assert (echo(chat).encrypted, echo(chat).sources) == (False, False)
    assert chat.ignored == ("include[].file_search_call.results", "include[].code_interpreter_call.outputs")


# Thinking and formats.


@pytest.mark.parametrize(
    ("effort", "wanted", "told"),
    [
        (None, None, None),
        ("none", "none", "none"),
        ("minimal", "minimal", "minimal"),
        ("low", "low", "low"),
        ("medium", "medium", "medium"),
        ("high", "high", "high"),
        ("xhigh", "high", "xhigh"),
        ("max", "high", "max"),
        ("auto", None, None),
        ("default", None, None),
    ],
)
def test_effort(effort: Json, wanted: str | None, told: Json) -> None:
    assert request(reasoning={"effort": effort}).thinking.effort == wanted
    assert begun(asking(reasoning={"effort": effort}))["reasoning"]["effort"] == told


@pytest.mark.parametrize("name", ["summary", "generate_summary"])
@pytest.mark.parametrize("summary", ["auto", "concise", "detailed"])
def test_summary_shows_the_thoughts(name: str, summary: str) -> None:
    assert request(reasoning={name: summary}).thinking == Thinking(show=True)
    assert begun(asking(reasoning={name: summary}))["reasoning"] == {"effort": None, "summary": summary}


@pytest.mark.parametrize("reasoning", [None, {}, {"summary": None}, {"summary": "none"}, {"effort": "low"}])
def test_thoughts_are_not_shown_unless_asked_for(reasoning: Json) -> None:
    assert request(reasoning=reasoning).thinking.show is False
    assert begun(asking(reasoning=reasoning))["reasoning"]["summary"] is None


def test_googles_own_fields_count_before_the_effort() -> None:
    google: Json = {"thinking_config": {"thinking_budget": 1024, "include_thoughts": True}}
    for sent in ({"extra_body": {"google": google}}, {"google": google}):
        chat = request(**sent, reasoning={"effort": "low"})
        assert (chat.thinking, chat.ignored) == (Thinking(budget_tokens=1024, show=True), ("reasoning.effort",))
    google = {"thinking_config": {"include_thoughts": False}, "cached_content": "cachedContents/a"}
    chat = request(google=google, reasoning={"summary": "auto"})
    assert (chat.thinking.show, chat.provider_options) == (False, {"google": {"cached_content": "cachedContents/a"}})


@pytest.mark.parametrize(
    ("form", "wanted", "told"),
    [
        (None, None, {"type": "text"}),
        ({"type": "text"}, None, {"type": "text"}),
        ({"type": "json_object"}, JsonFormat(), {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True},
            JsonFormat(SCHEMA),
            {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True, "description": None},
        ),
        (
            {"type": "json_schema", "name": "place", "schema": SCHEMA, "description": "d"},
            JsonFormat({**SCHEMA, "description": "d"}),
            {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": False, "description": "d"},
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": None}},
            JsonFormat(SCHEMA),
            {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": False, "description": None},
        ),
        (
            {"type": "json_schema", "schema": SCHEMA, "name": 5, "strict": "yes"},
            JsonFormat(SCHEMA),
            {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": False, "description": None},
        ),
        (
            {"type": "json_schema", "name": "a", "schema": None},
            JsonFormat(),
            {"type": "json_schema", "name": "a", "schema": {}, "strict": False, "description": None},
        ),
    ],
)
def test_format_of_the_text(form: Json, wanted: JsonFormat | None, told: Json) -> None:
    chat = request(text={"format": form})
    assert (chat.json_format, chat.ignored) == (wanted, ())
    assert begun(asking(text={"format": form}))["text"] == {"format": told}


# What the answer tells again, and what is kept.


@pytest.mark.parametrize(
    ("sent", "told"), [({}, True), ({"store": None}, True), ({"store": True}, True), ({"store": False}, False)]
)
def test_answer_is_stored_unless_the_client_says_otherwise(sent: Json, told: bool) -> None:
    assert begun(asking(**sent))["store"] is told


def test_metadata_are_given_back() -> None:
    assert begun(asking(metadata={"a": "b", "": ""}))["metadata"] == {"a": "b", "": ""}
    assert begun(asking(metadata=None))["metadata"] == {}


@pytest.mark.parametrize("name", ["prompt_cache_key", "safety_identifier", "user"])
def test_names_that_the_client_gave_are_given_back(name: str) -> None:
    assert begun(asking(**{name: "me"}))[name] == "me"


# What is refused.


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ],
)
def test_what_would_change_the_whole_answer_is_refused(sent: Json, param: str) -> None:
    error = refusal({"model": "m", "input": "Hi", **sent})
    assert (error.status, error.param, error.code) == (400, param, "unsupported_parameter")


WRONG: list[tuple[str, list[Json]]] = [
    ("model", [None, 5, [], {}]),
    ("instructions", [5, [], {}, True, [{"role": "user", "content": "Hi"}]]),
    ("previous_response_id", [5, [], {}, True]),
    ("prompt_cache_key", [5, [], {}]),
    ("tools", [5, {}, "look"]),
    ("parallel_tool_calls", [5, "yes", []]),
    ("store", [5, "yes", []]),
    ("stream", [5, "yes", []]),
    ("stream_options", [5, "yes", []]),
    ("stream_options.include_usage", [5, "yes"]),
    ("temperature", [-0.1, 2.1, "1", True, []]),
    ("top_p", [-0.1, 1.1, "1", True]),
    ("top_logprobs", [-1, 21, 0.5, "1", True]),
    ("presence_penalty", [-2.1, 2.1, "1"]),
    ("frequency_penalty", [-2.1, 2.1, "1"]),
    ("max_output_tokens", [0, -1, 0.5, "1", True, 2**31]),
    ("metadata", [5, "x", []]),
    ("metadata.a", [5, None, {}, True]),
    ("include", [5, "reasoning.encrypted_content", {}]),
    ("include[0]", [5, None, {}]),
    ("reasoning", [5, "low", []]),
    ("reasoning.effort", [5, "enormous", "", []]),
    ("reasoning.summary", [5, "x", []]),
    ("reasoning.generate_summary", [5, []]),
    ("text", [5, "text", []]),
    ("text.format", [5, "json_object", []]),
    ("text.format.type", [None, 5, "xml"]),
    ("extra_body", [5, "x", []]),
    ("google", [5, "x", []]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG for value in values])
def test_value_that_cannot_be_taken_is_named(name: str, value: Json) -> None:
    outer, _, inner = name.partition(".")
    if name == "include[0]":
        outer, value = "include", [value]
    sent = value
    for key in reversed(inner.split(".") if inner else ()):
        sent = {key: sent}
    error = refusal({"model": "m", "input": "Hi", outer: sent})
    assert (error.status, error.param) == (400, name)
    assert error.message.startswith(name)


def test_name_of_a_field_is_told_in_few_letters() -> None:
    error = refusal({"model": "m", "input": "Hi", "metadata": {"x" * 5000: 5}})
    assert error.param == f"metadata.{'x' * 64}"


def test_summary_by_its_older_name_is_refused_by_the_newer() -> None:
    assert refusal({"model": "m", "input": "Hi", "reasoning": {"generate_summary": "x"}}).param == "reasoning.summary"
