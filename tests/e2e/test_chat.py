"""Chat Completions with the real openai SDK, against the strict fake."""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Agproxy
from tests.fake_google import DUMMIES, FakeGoogle, Usage, blocked, calls, finished, is_dummy, text, thoughts

ClientOf = Callable[..., openai.OpenAI]

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"], "default": "C"}},
            "required": ["city"],
            "additionalProperties": False,
            "$schema": "http://json-schema.org/draft-07/schema#",
        },
        "strict": True,
    },
}
MODELS = ("gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest", "gpt-4o")


def png() -> str:
    """A picture of one pixel, as a data URL."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    image = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(image).decode()


def test_answer_with_everything_that_a_client_reads(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    usage = Usage(prompt=100, candidates=20, thoughts=30, cached=40, tool_use=5)
    google.enqueue(text("Hello, ", "wörld €", usage=usage))
    client = client_of(agproxy)
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=500,
        stop=["END"],
        seed=7,
    )
    reply = raw.parse()
    assert reply.model == "gpt-4o"
    assert reply.choices[0].message.content == "Hello, wörld €"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (105, 50, 155)
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.prompt_tokens_details.cached_tokens == 40
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == 30
    assert raw.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert raw.headers["X-Account-Email"] == "a@example.com"
    request = google.requests[0]
    assert request.headers["x-goog-api-key"] == "test-key-a"
    assert "authorization" not in request.headers
    assert request.path == "/v1beta/models/gemini-flash-latest:generateContent"
    assert request.body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 500,
            "stopSequences": ["END"],
            "seed": 7,
        },
    }


def test_stream_with_usage(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(text("One, ", "two, ", "thrée", usage=Usage(prompt=7, candidates=3)).delivered(split_writes=3))
    client = client_of(agproxy)
    stream = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Count"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert len({chunk.created for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {"gpt-4o"}
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks[:-1]]
    assert pieces == ["", "One, ", "two, ", "thrée", None]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert google.requests[0].sse


def test_stream_ends_with_done_and_has_no_usage_unless_asked(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = agproxy.chat(stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = [line for line in response.text.split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    assert all("usage" not in event for event in events)
    assert len(google.requests) == 1


def test_image_is_sent_inline(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    client = client_of(agproxy)
    client.chat.completions.create(
        model="gpt-4o",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": png()}},
                ],
            }
        ],
    )
    part = google.requests[0].body["contents"][0]["parts"][1]
    assert part["inlineData"]["mimeType"] == "image/png"


def test_only_system_text_becomes_a_user_turn(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    client = client_of(agproxy)
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "developer", "content": "Say hello."}])
    assert google.requests[0].body == {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}


@pytest.mark.parametrize("keeps_extra_content", [True, False], ids=["keeps extra_content", "drops extra_content"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_tool_loop_of_three_steps(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, model: str, streamed: bool, keeps_extra_content: bool
) -> None:
    """Signatures reach Google again whether the client carries them or not, and no dummy stands in for them."""
    google.enqueue(
        calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})),
        thoughts("Now Bern.") + calls(("get_weather", {"city": "Bern"})),
        text("It is cold."),
    )
    client = client_of(agproxy)
    messages: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    for _ in range(3):
        message = one_step(client, model, messages, streamed=streamed)
        if not message.get("tool_calls"):
            break
        sent = json.loads(json.dumps(message))
        if not keeps_extra_content:
            for call in sent["tool_calls"]:
                call.pop("extra_content", None)
        messages.append(sent)
        for call in reversed(sent["tool_calls"]):  # results may come in any order
            result = f"5 degrees in {json.loads(call['function']['arguments'])['city']}"
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    assert message["content"] == "It is cold."
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]
    assert len(google.requests) == 3
    last = google.requests[-1].body["contents"]
    assert [content["role"] for content in last] == ["user", "model", "user", "model", "user"]
    results = [part["functionResponse"]["response"]["output"] for part in last[2]["parts"]]
    assert results == ["5 degrees in Oslo", "5 degrees in Oslo", "5 degrees in Rome"]
    signatures = [part.get("thoughtSignature") for content in last for part in content["parts"]]
    assert not any(signature in DUMMIES for signature in signatures)
    if model != "gemini-2.5-flash":
        assert sum(signature is not None for signature in signatures) == 2


def one_step(client: openai.OpenAI, model: str, messages: list[Any], *, streamed: bool) -> Any:
    """The assistant's message of one request, as the SDK gives it."""
    if not streamed:
        reply = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        message = reply.choices[0].message
        assert reply.choices[0].finish_reason == ("tool_calls" if message.tool_calls else "stop")
        return message.model_dump(exclude_none=True)
    with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()
    streamed_message = completion.choices[0].message.model_dump(exclude_none=True)
    streamed_message.pop("parsed", None)
    for call in streamed_message.get("tool_calls", ()):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return streamed_message


def test_foreign_history_gets_the_dummy_on_the_first_call_of_each_step_only(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle
) -> None:
    """A conversation that another model began; the fake refuses a dummy where none is needed."""
    client = client_of(agproxy)

    def call(id_: str) -> Any:
        return {"id": id_, "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}

    def result(id_: str) -> Any:
        return {"role": "tool", "tool_call_id": id_, "content": "cold"}

    messages: list[Any] = [
        {"role": "user", "content": "Before"},
        {"role": "assistant", "content": None, "tool_calls": [call("call_0")]},
        result("call_0"),
        {"role": "assistant", "content": "It was cold."},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": None, "tool_calls": [call("call_1"), call("call_2")]},
        result("call_2"),
        result("call_1"),
        {"role": "assistant", "content": "One more.", "tool_calls": [call("call_3")]},
        result("call_3"),
    ]
    client.chat.completions.create(model="gemini-3-flash-preview", messages=messages, tools=[WEATHER])
    client.chat.completions.create(model="gemini-2.5-flash", messages=messages, tools=[WEATHER])
    assert google.requests[0].dummies == ((5, 0), (7, 1))
    assert google.requests[1].dummies == ()


def test_a_refused_signature_is_replaced_once(agproxy: Agproxy, google: FakeGoogle) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": base64.b64encode(b"of another project").decode()}},
    }
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "cold"},
    ]
    response = agproxy.chat(model="gemini-3-flash-preview", messages=messages, tools=[WEATHER])
    assert response.status_code == 200
    assert [request.outcome for request in google.requests] == [400, 200]
    part = google.requests[1].body["contents"][1]["parts"][0]
    assert is_dummy(part["thoughtSignature"])
    assert "attempts=1 " in agproxy.log()
    google.reset()  # the first of the two was refused on purpose


def test_tool_names_are_renamed_and_restored(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    names = ["1password.get item", "mcp__server__tool", "größe", "x" * 90]
    tools: list[Any] = [{"type": "function", "function": {"name": name}} for name in names]
    google.default = lambda request: calls((request.tool_names[0], {}), (request.tool_names[3], {}))
    client = client_of(agproxy)
    reply = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Go"}], tools=tools)
    called = [call.function.name for call in reply.choices[0].message.tool_calls or () if call.type == "function"]
    assert called == [names[0], names[3]]
    assert google.requests[0].tool_names[1] == "mcp__server__tool"


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["get_weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
    ],
)
def test_tool_choice(agproxy: Agproxy, google: FakeGoogle, choice: Any, config: Any) -> None:
    response = agproxy.chat(tools=[WEATHER], tool_choice=choice)
    assert response.status_code == 200
    assert google.requests[0].body.get("toolConfig", {}).get("functionCallingConfig") == config


def test_custom_tool_gets_and_gives_plain_text(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.default = lambda request: calls(("run", {"input": 'print("hé")\n'}))
    client = client_of(agproxy)
    tools: list[Any] = [{"type": "custom", "custom": {"name": "run", "description": "Runs Python."}}]
    messages: list[Any] = [{"role": "user", "content": "Go"}]
    reply = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    call = (reply.choices[0].message.tool_calls or [])[0]
    assert call.type == "custom"
    assert call.custom.input == 'print("hé")\n'
    messages += [
        reply.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "hé"},
    ]
    client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    assert google.requests[1].body["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": 'print("hé")\n'}


def test_tool_result_with_ref_is_sent_as_text(agproxy: Agproxy, google: FakeGoogle) -> None:
    result = json.dumps({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}})
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Schema?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]
    assert agproxy.chat(messages=messages, tools=[WEATHER]).status_code == 200
    response = google.requests[0].body["contents"][2]["parts"][0]["functionResponse"]["response"]
    assert response == {"output": result}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_blocked_prompt_is_a_refusal(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(blocked("SAFETY"))
    client = client_of(agproxy)
    messages: list[Any] = [{"role": "user", "content": "Bad"}]
    if streamed:
        chunks = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        refusal, finish_reason = "", None
        for chunk in chunks:
            refusal += chunk.choices[0].delta.refusal or ""
            finish_reason = finish_reason or chunk.choices[0].finish_reason
    else:
        choice = client.chat.completions.create(model="gpt-4o", messages=messages).choices[0]
        refusal, finish_reason = choice.message.refusal or "", choice.finish_reason
    assert finish_reason == "content_filter"
    assert "SAFETY" in refusal


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("OTHER", "stop"),
        ("TOO_MANY_TOOL_CALLS", "stop"),
    ],
)
def test_finish_reasons(agproxy: Agproxy, google: FakeGoogle, reason: str, finish_reason: str, streamed: bool) -> None:
    google.enqueue(text("Some text", finish=reason))
    body = agproxy.chat(stream=streamed).text
    assert f'"finish_reason":"{finish_reason}"' in body


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "STOP", "OTHER"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_unusable_answer_is_tried_once_more(agproxy: Agproxy, google: FakeGoogle, reason: str, streamed: bool) -> None:
    google.enqueue(finished(reason), text("Better"))
    assert "Better" in agproxy.chat(stream=streamed).text
    google.enqueue(finished(reason), finished(reason))
    response = agproxy.chat(stream=streamed)
    assert response.status_code == 502
    assert reason in response.json()["error"]["message"]
    assert len(google.requests) == 4


def test_limit_used_up_by_thinking_says_what_to_raise(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(finished("MAX_TOKENS", usage=Usage(thoughts=50)))
    response = agproxy.chat(max_tokens=50)
    assert response.status_code == 400
    assert "max_completion_tokens" in response.json()["error"]["message"]
    assert len(google.requests) == 1


def test_fields_that_are_not_served_are_listed(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = agproxy.chat(logit_bias={"1": 5}, service_tier="flex", n=1, parallel_tool_calls=True)
    assert response.status_code == 200
    assert response.headers["X-Agproxy-Ignored"] == "logit_bias, service_tier"
    assert len(google.requests) == 1


def test_errors_raise_the_sdks_own_classes(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    client = client_of(agproxy)

    def ask(**changes: Any) -> Any:
        return client.chat.completions.create(
            **{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **changes}
        )

    with pytest.raises(openai.BadRequestError) as bad:
        ask(temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError):
        ask(model="../secret")
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(model="llama-99")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        ask(model="gemini-0.1-nothing")
    wrong = client.with_options(base_url=str(client.base_url) + "v2")
    with pytest.raises(openai.NotFoundError):
        wrong.models.list()
    google.reset()  # the fake refused gemini-0.1-nothing, as it should
