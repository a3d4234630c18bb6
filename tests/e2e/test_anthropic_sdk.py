"""Anthropic Messages with the real anthropic SDK, against the strict fake: answers, streams, tokens, models."""

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.e2e.anthropic_sdk import ADAPTIVE, CLAUDE, WEATHER, ask, client_of, said, user
from tests.e2e.conftest import Agproxy
from tests.e2e.test_chat import png
from tests.fake_google import Answer, FakeGoogle, Usage, calls, finished, grounded, text, thoughts

ASKED: Any = {"model": CLAUDE, "max_tokens": 1000, "messages": [user("Hi")]}
PDF = "JVBERi0xLjQK"

streaming = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


class City(BaseModel):
    """What a structured answer holds."""

    name: str
    people: int | None


def parts(google: FakeGoogle) -> list[Any]:
    """The parts of the last turn that Google has received."""
    found: list[Any] = google.requests[-1].contents[-1]["parts"]
    return found


def test_answer_with_everything_that_a_client_reads(agproxy: Agproxy, google: FakeGoogle) -> None:
    usage = Usage(prompt=100, candidates=20, thoughts=30, cached=40, tool_use=5)
    google.enqueue(text("Hello, ", "wörld €", usage=usage))
    with client_of(agproxy) as client:
        raw = client.messages.with_raw_response.create(
            **ASKED,
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            stop_sequences=["END"],
            metadata={"user_id": "somebody"},
        )
    message = Message.model_validate(json.loads(raw.text()), strict=True)
    assert (message.type, message.role, message.model) == ("message", "assistant", CLAUDE)
    assert (said(message), message.stop_reason, message.stop_sequence) == ("Hello, wörld €", "end_turn", None)
    assert message.id.startswith("msg_")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (65, 50)
    assert (message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens) == (40, 0)
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 30
    assert raw.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert raw.headers["X-Account-Email"] == "a@example.com"
    assert raw.parse()._request_id == raw.headers["request-id"]
    request = google.requests[0]
    assert request.headers["x-goog-api-key"] == "test-key-a"
    assert request.path == "/v1beta/models/gemini-flash-latest:generateContent"
    assert request.body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert request.body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert request.body["generationConfig"]["stopSequences"] == ["END"]


def test_no_two_messages_have_the_same_id(agproxy: Agproxy, google: FakeGoogle) -> None:
    ids = [ask(agproxy, streamed=streamed).id for streamed in (False, True, False, True)]
    assert len(set(ids)) == len(google.requests) == 4


@streaming
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (text("Once", finish="MAX_TOKENS"), "max_tokens"),
        (text("Once", finish="SAFETY"), "refusal"),
        (finished("PROHIBITED_CONTENT", "No."), "refusal"),
    ],
)
def test_reason_why_an_answer_ends(
    agproxy: Agproxy, google: FakeGoogle, answer: Answer, reason: str, streamed: bool
) -> None:
    google.enqueue(answer)
    message = ask(agproxy, streamed=streamed)
    assert message.stop_reason == reason
    assert (message.stop_details is not None) == (reason == "refusal")


# Streams.


def test_text_of_the_stream_helper(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("One, ", "two, ", "thrée", usage=Usage(prompt=7, candidates=3)).delivered(split_writes=3))
    with client_of(agproxy) as client, client.messages.stream(**ASKED) as stream:
        assert list(stream.text_stream) == ["One, ", "two, ", "thrée"]
        final = stream.get_final_message()
    assert final.to_dict()["content"] == [{"type": "text", "text": "One, two, thrée"}]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 7, 3)
    assert google.requests[0].sse


def test_events_of_the_stream_helper_in_their_order(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(thoughts("I ", "think.") + text("Let me ", "look.") + calls(("get_weather", {"city": "Oslo"})))
    with client_of(agproxy) as client, client.messages.stream(**ASKED, thinking=ADAPTIVE, tools=[WEATHER]) as stream:
        events = [event for event in stream if event.type != "content_block_delta"]
        final = stream.get_final_message()
    start, stop = "content_block_start", "content_block_stop"
    assert [event.type for event in events] == [
        "message_start",
        *(start, "thinking", "thinking", "signature", stop),
        *(start, "text", "text", stop),
        *(start, "signature", stop),  # of the call, which has no place for one of its own
        *(start, "input_json", stop),
        *("message_delta", "message_stop"),
    ]
    assert [event.snapshot for event in events if event.type == "input_json"] == [{"city": "Oslo"}]
    thinking, words, _, call = final.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, bool(thinking.signature)) == ("I think.", True)
    assert words.type == "text"
    assert words.text == "Let me look."
    assert call.type == "tool_use"
    assert (call.name, call.input, final.stop_reason) == ("get_weather", {"city": "Oslo"}, "tool_use")


def test_events_of_a_raw_stream_are_named_numbered_and_valid(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm.") + text("One") + calls(("get_weather", {"city": "Oslo"}), ("get_weather", {})))
    asked = {**ASKED, "stream": True, "thinking": ADAPTIVE, "tools": [WEATHER]}
    with client_of(agproxy) as client, client.messages.with_streaming_response.create(**asked) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = "".join(response.iter_text()).split("\n")
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    bodies = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert names == [body["type"] for body in bodies]
    valid: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    events = [valid.validate_python(body, strict=True) for body in bodies if body["type"] != "ping"]
    assert [event.index for event in events if event.type == "content_block_start"] == [0, 1, 2, 3, 4]
    assert [event.type for event in events[-2:]] == ["message_delta", "message_stop"]


def test_async_client(agproxy: Agproxy, google: FakeGoogle) -> None:
    async def converse() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=agproxy.url, api_key="unused", max_retries=0) as client:
            whole = await client.messages.create(**ASKED)
            async with client.messages.stream(**ASKED) as stream:
                return [said(whole), "".join([piece async for piece in stream.text_stream])]

    google.enqueue(text("One"), text("T", "wo"))
    assert asyncio.run(converse()) == ["One", "Two"]


# What a request can hold.


@streaming
def test_structured_answer(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(text('{"name": "Oslo",', ' "people": null}'))
    with client_of(agproxy) as client:
        if streamed:
            with client.messages.stream(**ASKED, output_format=City) as stream:
                parsed = stream.get_final_message().parsed_output
        else:
            parsed = client.messages.parse(**ASKED, output_format=City).parsed_output
    assert parsed == City(name="Oslo", people=None)
    config = google.requests[0].body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert set(config["responseJsonSchema"]["properties"]) == {"name", "people"}


def test_images_and_documents(agproxy: Agproxy, google: FakeGoogle) -> None:
    dot = png().partition(",")[2]
    picture = {"type": "base64", "media_type": "image/png", "data": dot}
    inner = [{"type": "text", "text": "Inner text."}, {"type": "image", "source": picture}]
    ask(
        agproxy,
        messages=[
            user(
                [
                    {"type": "image", "source": picture},
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Plain text."}},
                    {"type": "document", "title": "The title", "source": {"type": "content", "content": inner}},
                    {"type": "text", "text": "What is this?"},
                ]
            )
        ],
    )
    found = parts(google)
    blobs = [(part["inline_data"]["mime_type"], part["inline_data"]["data"]) for part in found if "inline_data" in part]
    assert blobs == [("image/png", dot), ("application/pdf", PDF), ("image/png", dot)]
    assert [part["file_data"]["file_uri"] for part in found if "file_data" in part] == ["https://example.com/a.png"]
    words = "".join(part.get("text", "") for part in found)
    for expected in ("Plain text.", "The title", "Inner text.", "What is this?"):
        assert expected in words


def test_system_message_within_the_conversation(agproxy: Agproxy, google: FakeGoogle) -> None:
    messages = [user("Hi"), {"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Hello."}]
    later = [user("And now?"), {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]
    ask(agproxy, system="Be clear.", messages=[*messages, *later])
    request = google.requests[0]
    assert [content["role"] for content in request.contents][:2] == ["user", "model"]
    assert request.contents[-1]["role"] == "user"
    for words in ("Be clear.", "Be kind.", "Be brief.", "And now?"):
        assert words in request.text


@streaming
def test_web_search(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(grounded("It is [[cold|0,1]]."))
    message = ask(agproxy, streamed=streamed, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert google.requests[0].body["tools"] == [{"googleSearch": {}}]
    assert said(message) == "It is cold."
    (call,) = [block for block in message.content if block.type == "server_tool_use"]
    (found,) = [block for block in message.content if block.type == "web_search_tool_result"]
    assert (call.name, call.input, call.id) == ("web_search", {"query": "what the user asked"}, found.tool_use_id)
    assert isinstance(found.content, list)
    assert [page.url for page in found.content] == ["https://example.com/a", "https://example.com/b"]
    cited = [each for block in message.content if block.type == "text" for each in block.citations or []]
    assert {each.type for each in cited} == {"web_search_result_location"}
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 1


# Tokens and models.


def test_tokens_are_counted_without_an_answer(agproxy: Agproxy, google: FakeGoogle) -> None:
    messages = [user("How cold is it?")]
    with client_of(agproxy) as client:
        plain = client.messages.count_tokens(model=CLAUDE, messages=messages)
        more = client.messages.count_tokens(model=CLAUDE, messages=messages, system="Be brief.", tools=[WEATHER])
        beta = client.beta.messages.count_tokens(model=CLAUDE, messages=messages)
    assert 0 < plain.input_tokens == beta.input_tokens < more.input_tokens
    assert [request.method for request in google.requests] == ["countTokens"] * 3


def test_models_are_listed_in_pages_and_found_one_by_one(agproxy: Agproxy) -> None:
    with client_of(agproxy) as client:
        raw = json.loads(client.models.with_raw_response.list(limit=1000).text())
        paged = [model.id for model in client.models.list(limit=7)]
        found = client.models.retrieve(CLAUDE)
        beta = [model.id for model in client.beta.models.list(limit=1000)]
    valid: TypeAdapter[list[ModelInfo]] = TypeAdapter(list[ModelInfo])
    listed = [model.id for model in valid.validate_json(json.dumps(raw["data"]), strict=True)]
    assert paged == beta == listed
    assert len(set(listed)) == len(listed) > 7
    assert {"gemini-flash-latest", CLAUDE} <= set(listed)
    assert (raw["has_more"], raw["first_id"], raw["last_id"]) == (False, listed[0], listed[-1])
    assert (found.id, found.type, found.lifecycle) == (CLAUDE, "model", "active")
