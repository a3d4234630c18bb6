"""Bodies of Chat Completions on the route of Responses, and the other way round: the answer is that of the route."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.chat import (
    AttachmentPart,
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReplyMeta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.fold import fold
from agproxy.protocols import openai_chat, openai_chat_request, openai_responses, openai_responses_request
from agproxy.protocols.openai_responses import is_chat
from agproxy.protocols.openai_responses_request import Echo
from tests import chat_bodies, response_bodies
from tests.chat_bodies import PATHS, Json, changed, older_body
from tests.protocols.answers import CALL, SIGNED, USAGE
from tests.protocols.response_answers import alike, begun, meta_of, stream

LINK = "https://example.com/cat.png"
HELLO = [{"role": "user", "content": "Hello"}]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PATCH = {"type": "custom", "custom": {"name": "patch", "description": "Patches."}}


def asking(**fields: Json) -> ReplyMeta:
    """That of a body of Chat Completions with these fields."""
    return meta_of(openai_responses.decode_request({"model": "gpt-4o", "messages": HELLO, **fields}))


META = asking(tools=[LOOK, PATCH])


# The request.


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"messages": []}, True),
        ({"messages": [], "instructions": "x"}, True),
        ({"messages": [], "input": "Hi"}, False),
        ({"input": "Hi"}, False),
        ({}, False),
    ],
)
def test_body_is_told_by_its_messages(body: Json, found: bool) -> None:
    assert is_chat(body) is found


@pytest.mark.parametrize("body", [chat_bodies.full_body, older_body])
def test_body_of_chat_completions_asks_what_it_asks_there(body: Callable[[], Json]) -> None:
    here, there = openai_responses.decode_request(body()), openai_chat_request.decode_request(body())
    names = ("model", "messages", "tools", "tool_choice", "thinking", "json_format", "stream", "older_calls", "session")
    assert [getattr(here, name) for name in names] == [getattr(there, name) for name in names]
    assert isinstance(here.echo, Echo)
    assert (here.echo.is_chat, here.echo.encrypted, here.echo.names) == (True, False, {})


def test_response_is_one_answer() -> None:
    chat = openai_responses.decode_request({"model": "m", "messages": HELLO, "n": 2})
    assert (chat.sampling.choices, chat.ignored) == (1, ("n",))
    chat = openai_responses.decode_request({"model": "m", "messages": HELLO, "n": 1})
    assert (chat.sampling.choices, chat.ignored) == (1, ())


def test_conversation_that_is_sent_whole_continues_none() -> None:
    body = {"model": "m", "messages": HELLO, "previous_response_id": "resp_0"}
    chat = openai_responses.decode_request(body, earlier=[{"role": "user", "content": "Before"}])
    assert len(chat.messages) == 1
    assert chat.ignored == ("previous_response_id",)


def test_request_is_told_in_the_response() -> None:
    schema = {"type": "object", "properties": {}}
    told = begun(
        asking(
            tools=[LOOK, PATCH],
            tool_choice={"type": "function", "function": {"name": "look"}},
            parallel_tool_calls=False,
            max_tokens=20,
            temperature=0.5,
            top_p=0.25,
            logprobs=True,
            top_logprobs=3,
            presence_penalty=1,
            frequency_penalty=-1,
            reasoning_effort="low",
            response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
            store=True,
            metadata={"a": "b"},
        )
    )
    look, patch = told["tools"]
    assert (look["type"], look["name"], look["parameters"]) == ("function", "look", {"type": "object"})
    assert (patch["type"], patch["name"]) == ("custom", "patch")
    assert patch["description"].startswith("Patches.")
    assert told["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "look"}],
    }
    names = ("parallel_tool_calls", "max_output_tokens", "temperature", "top_p", "top_logprobs")
    assert [told[name] for name in names] == [False, 20, 0.5, 0.25, 3]
    assert (told["presence_penalty"], told["frequency_penalty"], told["reasoning"]["effort"]) == (1.0, -1.0, "low")
    assert (told["text"]["format"]["type"], told["text"]["format"]["schema"]) == ("json_schema", schema)
    assert (told["store"], told["metadata"], told["previous_response_id"]) == (False, {}, None)


def test_parameters_that_are_no_object_are_not_told() -> None:
    (tool,) = begun(asking(tools=[{"type": "function", "function": {"name": "f", "parameters": [1]}}]))["tools"]
    assert tool == {"type": "function", "name": "f", "description": "", "parameters": None, "strict": None}


@pytest.mark.parametrize(
    ("sent", "choice", "form"),
    [
        ({}, "auto", "text"),
        ({"tool_choice": "none"}, "none", "text"),
        ({"tool_choice": "required", "tools": [LOOK]}, "required", "text"),
        ({"response_format": {"type": "json_object"}}, "auto", "json_object"),
        ({"response_format": {"type": "json_object", "schema": {"type": "object"}}}, "auto", "json_schema"),
    ],
)
def test_choice_and_format_are_told_in_the_words_of_responses(sent: Json, choice: str, form: str) -> None:
    told = begun(asking(**sent))
    assert (told["tool_choice"], told["text"]["format"]["type"]) == (choice, form)


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | chat_bodies.JSON), min_size=1, max_size=2))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_body_of_chat_completions_is_answered_with_a_response_or_refused(changes: Json) -> None:
    body = chat_bodies.full_body()
    for path, value in changes:
        with suppress(KeyError, IndexError, TypeError):  # the first change took the place of the second away
            body = changed(body, path, value)
    if "messages" in body:
        with suppress(BadRequest):
            begun(meta_of(openai_responses.decode_request(body)))


# Items and messages mixed.


def test_messages_of_chat_completions_may_stand_among_items() -> None:
    items = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
                {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "assistant", "function_call": {"name": "now", "arguments": "{}"}},
        {"role": "function", "name": "now", "content": "noon"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": LINK}}]},
    ]
    chat = openai_responses.decode_request({"model": "m", "input": items})
    assert chat.ignored == ()
    assert [part for each in chat.messages for part in each.parts] == [
        ToolCallPart("a", "look", {"at": 1}),
        ToolCallPart("b", "patch", {"input": "x"}),
        ToolResultPart("a", "", (TextPart("sunny"),)),
        ToolCallPart("function_now", "now", {}),
        ToolResultPart("function_now", "now", (TextPart("noon"),)),
        AttachmentPart("image/png", url=LINK),
    ]


# The answer.


def test_answer_to_a_body_of_chat_completions_is_a_response() -> None:
    events: list[Event] = [ReasoningDelta("Hm"), TextDelta("a"), *CALL, Finish("tool_calls", USAGE)]
    response = alike(*events, meta=META)
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]


def test_body_tells_the_answer_as_chat_completions_do_too() -> None:
    meta = meta_of(openai_responses.decode_request({"model": "m", "input": "Hi"}))
    events: list[Event] = [ReasoningDelta("Hm"), TextDelta("a"), *CALL, Finish("tool_calls", USAGE)]
    body = openai_responses.encode_reply(fold(events), meta)
    chat = openai_chat.encode_reply(fold(events), meta)
    assert body["choices"] == chat["choices"]


ANSWERS: list[tuple[list[Event], FinishReason]] = [
    ([TextDelta("He"), TextDelta("llo")], "stop"),
    ([TextDelta("Hello")], "length"),
    ([ReasoningDelta("H"), ReasoningDelta("m"), TextDelta("Yes")], "stop"),
    ([TextDelta("Well."), *CALL[:1], ToolCallDelta(0, '{"at":"sky"}')], "tool_calls"),
    (
        [
            ToolCallStart(0, "a", "look", SIGNED),
            ToolCallDelta(0, "{}"),
            ToolCallStart(1, "b", "patch"),
            ToolCallDelta(1, '{"input":"x"}'),
        ],
        "tool_calls",
    ),
]


@pytest.mark.parametrize(("events", "reason"), ANSWERS)
def test_stream_can_be_read_as_one_of_chat_completions(events: list[Event], reason: FinishReason) -> None:
    (choice,) = openai_chat.encode_reply(fold([*events, Finish(reason)]), META)["choices"]
    expected = choice["message"]
    for call in expected.get("tool_calls", ()):
        call.pop("extra_content", None)
    told: Json = {"content": "", "reasoning_content": "", "tool_calls": []}
    ends = []
    for event in stream(*events, Finish(reason), meta=META):
        for each in event.get("choices", ()):
            assert each["index"] == 0
            ends.append(each["finish_reason"])
            for name, value in each["delta"].items():
                told[name] += value
    assert [call.pop("index") for call in told["tool_calls"]] == list(range(len(told["tool_calls"])))
    assert told == {name: expected.get(name) or empty for name, empty in zip(told, ("", "", []), strict=True)}
    assert ends[-1] == reason
    assert set(ends[:-1]) <= {None}


def test_refusal_can_be_read_as_one_of_chat_completions() -> None:
    events = stream(Finish("content_filter", refusal="No."), meta=META)
    choices = [choice for event in events for choice in event.get("choices", ())]
    assert [(choice["delta"], choice["finish_reason"]) for choice in choices] == [
        ({"refusal": "No."}, None),
        ({}, "content_filter"),
    ]


def test_stream_for_a_body_of_responses_tells_no_choices() -> None:
    assert not any("choices" in event for event in stream(TextDelta("a"), *CALL, Finish("tool_calls")))


# Bodies of Responses on the route of Chat Completions.


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "input": "Hi", "instructions": "Be kind."},
        {"model": "m", "instructions": "Say hello."},
        {name: value for name, value in response_bodies.full_body().items() if name != "previous_response_id"},
        response_bodies.hosted_body(),
    ],
)
def test_body_of_responses_asks_chat_completions_what_it_asks_there(body: Json) -> None:
    there = openai_responses_request.decode_request(body)
    here = openai_chat.decode_request(body)
    assert replace(here, ignored=()) == replace(there, ignored=())
    assert set(there.ignored) <= set(here.ignored) <= {*there.ignored, "store", "metadata"}


def test_messages_count_before_an_input_on_the_route_of_chat_completions() -> None:
    chat = openai_chat.decode_request({"model": "m", "messages": HELLO, "input": "Hi", "instructions": "x"})
    assert (len(chat.messages), chat.ignored) == (1, ("input", "instructions"))


def test_conversation_that_is_stored_belongs_to_the_route_of_responses() -> None:
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request({"model": "m", "input": "Hi", "previous_response_id": "resp_0"})
    assert caught.value.param == "previous_response_id"
    assert "/v1/responses" in caught.value.message


@pytest.mark.parametrize("body", [{"model": "m"}, {"model": "m", "previous_response_id": "resp_0"}])
def test_body_of_neither_is_one_of_the_route(body: Json) -> None:
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request(body)
    assert caught.value.param == "messages"
    if "previous_response_id" not in body:
        with pytest.raises(BadRequest) as caught:
            openai_responses.decode_request(body)
        assert caught.value.param == "input"


def test_what_only_responses_serve_is_listed_on_the_route_of_chat() -> None:
    body = {"model": "m", "input": "Hi", "store": True, "metadata": {"a": "b"}}
    assert openai_chat.decode_request(body).ignored == ("store", "metadata")
    assert openai_chat.decode_request({**body, "store": False, "metadata": {}}).ignored == ()
