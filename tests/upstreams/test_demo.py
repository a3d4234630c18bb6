"""The built-in upstream: what it plays is Gemini's wire format, and decodes as such."""

import json
from typing import Any

import pytest

from agproxy import sse
from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    Message,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import UnusableAnswer
from agproxy.fold import Reply, fold
from agproxy.upstreams import demo

WEATHER = Tool(
    "get.weather",
    "d",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "days": {"type": "integer", "minimum": 3},
            "at": {"type": "array", "items": {"type": "number"}, "minItems": 2},
            "note": {"type": "string"},
        },
        "required": ["city", "unit", "days", "at"],
    },
)
NOW = Tool("now", "d")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def chat_of(*messages: Message | str, **fields: Any) -> ChatRequest:
    told = [Message("user", (TextPart(each),)) if isinstance(each, str) else each for each in messages]
    return ChatRequest("m", tuple(told), **fields)


def played(chat: ChatRequest, *, stream: bool) -> list[tuple[float, bytes]]:
    return list(
        demo.play(demo.encode_request(chat, model="gemini-flash-latest").body, "gemini-flash-latest", stream=stream)
    )


def replied(chat: ChatRequest, *, stream: bool = False) -> Reply:
    chunks = [chunk for _, chunk in played(chat, stream=stream)]
    names = demo.encode_request(chat, model="gemini-flash-latest").original_names
    payloads = sse.decode(chunks) if stream else chunks
    return fold(demo.decode_stream(payloads, original_names=names, new_id=lambda: "new"))


EVERYTHING = [
    chat_of("Hello."),
    chat_of("demo:think Hello."),
    chat_of("demo:slow Hello."),
    chat_of("demo:tool demo:think Hello.", tools=(WEATHER, NOW)),
    chat_of("Hello.", sampling=Sampling(max_output_tokens=5)),
    chat_of("Grüß Gott, 世界 🎉 " * 30),
]


@pytest.mark.parametrize("chat", EVERYTHING)
def test_streamed_and_whole_answers_are_equal(chat: ChatRequest) -> None:
    assert replied(chat, stream=True) == replied(chat, stream=False)


@pytest.mark.parametrize("chat", [EVERYTHING[0], EVERYTHING[3]])
def test_stream_decodes_cut_at_every_byte(chat: ChatRequest) -> None:
    wire = b"".join(chunk for _, chunk in played(chat, stream=True))
    whole = list(sse.decode([wire]))
    assert len(whole) > 1
    assert list(sse.decode(wire[i : i + 1] for i in range(len(wire)))) == whole


@pytest.mark.parametrize("chat", EVERYTHING)
def test_answers_are_in_geminis_format(chat: ChatRequest) -> None:
    ((_, body),) = played(chat, stream=False)
    answer = json.loads(body)
    usage = answer["usageMetadata"]
    assert answer["candidates"][0]["content"]["role"] == "model"
    assert usage["totalTokenCount"] == (
        usage["promptTokenCount"] + usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
    )
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\r\n\r\n") for _, chunk in played(chat, stream=True))


def test_text_says_what_it_is_and_what_was_said() -> None:
    text = replied(chat_of("Say 'hi'.")).text
    assert text.startswith("[agproxy demo] ")
    assert "Say 'hi'." in text
    assert "GEMINI_API_KEY" in text


def test_text_comes_in_pieces() -> None:
    assert len(played(chat_of("Hello."), stream=True)) > 10


def test_the_last_words_of_the_user_count() -> None:
    earlier = chat_of("demo:think", Message("assistant", (TextPart("[agproxy demo] Hm."),)), "Hello.")
    assert "Hello." in replied(earlier).text
    assert not replied(earlier).reasoning


def test_images_are_counted() -> None:
    message = Message("user", (TextPart("Look."), AttachmentPart("image/png", PNG), AttachmentPart("image/png", PNG)))
    assert "sent 2 image(s)" in replied(chat_of(message)).text


def test_slow_streams_slowly() -> None:
    delays = [delay for delay, _ in played(chat_of("demo:slow"), stream=True)]
    assert set(delays) == {0.4}
    ((delay, _),) = played(chat_of("demo:slow"), stream=False)
    assert delay == pytest.approx(sum(delays))


def test_others_do_not_wait() -> None:
    assert {delay for delay, _ in played(chat_of("Hello."), stream=True)} == {0.0}


def test_think_thinks_first() -> None:
    reply = replied(chat_of("demo:think"))
    assert reply.reasoning
    assert reply.finish.usage.reasoning_tokens > 0
    assert reply.text.startswith("[agproxy demo]")


class TestTools:
    def test_tool_calls_the_first_tool_with_arguments_that_fit(self) -> None:
        reply = replied(chat_of("demo:tool", tools=(WEATHER, NOW)))
        (call,) = reply.calls
        assert call.name == "get.weather"
        assert json.loads(call.arguments) == {"city": "demo", "unit": "C", "days": 3, "at": [1, 1]}
        assert call.provider_metadata is not None
        assert (reply.finish.reason, reply.text) == ("tool_calls", "")

    def test_tool_without_parameters(self) -> None:
        (call,) = replied(chat_of("demo:tool", tools=(NOW,))).calls
        assert (call.name, call.arguments) == ("now", "{}")

    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "boolean"}, True),
            ({"type": ["integer", "null"]}, 1),
            ({"anyOf": [{"type": "number"}, {"type": "string"}]}, 1),
            ({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}, {"b": "demo"}),
            ({"type": "array", "items": {"type": "string"}}, []),
            ({"type": "null"}, None),
            ({}, "demo"),
        ],
        ids=str,
    )
    def test_arguments_fit_their_schema(self, schema: dict[str, Any], value: object) -> None:
        tool = Tool("f", "d", {"type": "object", "properties": {"a": schema}, "required": ["a"]})
        (call,) = replied(chat_of("demo:tool", tools=(tool,))).calls
        assert json.loads(call.arguments) == {"a": value}

    def test_no_call_without_the_word(self) -> None:
        assert not replied(chat_of("Hello.", tools=(WEATHER,))).calls

    def test_forced_call(self) -> None:
        (call,) = replied(chat_of("Hello.", tools=(WEATHER,), tool_choice=ToolChoice("required"))).calls
        assert call.name == "get.weather"

    def test_forced_call_of_one_tool(self) -> None:
        choice = ToolChoice("required", ("now",))
        (call,) = replied(chat_of("Hello.", tools=(WEATHER, NOW), tool_choice=choice)).calls
        assert call.name == "now"

    def test_forbidden_call(self) -> None:
        chat = chat_of("demo:tool", tools=(WEATHER,), tool_choice=ToolChoice("none"))
        assert not replied(chat).calls

    @pytest.mark.parametrize("files", [(), (AttachmentPart("image/png", PNG),)], ids=["text only", "with an image"])
    def test_results_end_the_loop(self, files: tuple[AttachmentPart, ...]) -> None:
        call = Message("assistant", (ToolCallPart("c1", "now", {}),))
        result = Message("tool", (ToolResultPart("c1", "", (TextPart("noon"), *files)),))
        reply = replied(chat_of("demo:tool", call, result, tools=(NOW,)))
        assert not reply.calls
        assert "now gave back" in reply.text
        assert "noon" in reply.text

    def test_next_turn_calls_again_with_another_id(self) -> None:
        (first,) = replied(chat_of("demo:tool", tools=(NOW,))).calls
        call = Message("assistant", (ToolCallPart(first.id, "now", {}),))
        result = Message("tool", (ToolResultPart(first.id, "", (TextPart("noon"),)),))
        (second,) = replied(chat_of("demo:tool", call, result, "demo:tool", tools=(NOW,))).calls
        assert second.id != first.id


class TestLimits:
    def test_token_limit_cuts_words(self) -> None:
        reply = replied(chat_of("Hello.", sampling=Sampling(max_output_tokens=4)))
        assert reply.text.split(" ") == ["[agproxy", "demo]", "You", "said"]
        assert reply.finish.reason == "length"

    def test_limit_beyond_the_answer_is_none(self) -> None:
        assert replied(chat_of("Hello.", sampling=Sampling(max_output_tokens=10_000))).finish.reason == "stop"

    def test_stop_sequence_is_not_part_of_the_answer(self) -> None:
        reply = replied(chat_of("Hello.", sampling=Sampling(stop=("nothing like this", " said"))))
        assert reply.text == "[agproxy demo] You"
        assert reply.finish.reason == "stop"

    def test_stop_sequence_at_the_start_leaves_an_empty_answer(self) -> None:
        with pytest.raises(UnusableAnswer):
            replied(chat_of("Hello.", sampling=Sampling(stop=("[",))))
