"""Responses with the real openai SDK, against the strict fake."""

import json
from typing import Any

import openai
import pytest
from openai.types.responses import ParsedResponse, Response, ResponseFunctionToolCall, ResponseOutputMessage
from pydantic import BaseModel

from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_chat import MODELS, ClientOf, png
from tests.fake_google import DUMMIES, FakeGoogle, Usage, blocked, calls, finished, grounded, text, thoughts

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"], "default": "C"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}
ENCRYPTED: Any = "reasoning.encrypted_content"

streaming = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def ask(client: openai.OpenAI, *, streamed: bool, **body: Any) -> Any:
    """The response of one request, whole or put together by the SDK; it is whole in either case."""
    body = {"model": "gpt-5.5", "input": "Hi", **body}
    if not streamed:
        return client.responses.create(**body)
    with client.responses.stream(**body) as stream:
        return stream.get_final_response()


def contents(google: FakeGoogle, number: int = -1) -> list[tuple[str, list[Any]]]:
    """The turns that Google received with a request, as (role, parts)."""
    return [(content["role"], content["parts"]) for content in google.requests[number].body["contents"]]


def test_answer_with_everything_that_a_client_reads(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    usage = Usage(prompt=100, candidates=20, thoughts=30, cached=40, tool_use=5)
    google.enqueue(text("Hello, ", "wörld €", usage=usage))
    raw = client_of(agproxy).responses.with_raw_response.create(
        model="gpt-4o",
        input="Hi",
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=500,
        metadata={"topic": "demo"},
        prompt_cache_key="abc",
    )
    response: Response = raw.parse()
    assert (response.model, response.status, response.output_text) == ("gpt-4o", "completed", "Hello, wörld €")
    assert response.id.startswith("resp_")
    assert response.completed_at is not None
    assert 0 <= response.completed_at - response.created_at < 30
    assert response.metadata == {"topic": "demo"}
    (message,) = response.output
    assert isinstance(message, ResponseOutputMessage)
    assert (message.role, message.status) == ("assistant", "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (105, 50, 155)
    assert response.usage.input_tokens_details.cached_tokens == 40
    assert response.usage.output_tokens_details.reasoning_tokens == 30
    assert raw.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert raw.headers["X-Account-Email"] == "a@example.com"
    assert "X-Agproxy-Ignored" not in raw.headers
    request = google.requests[0]
    assert request.headers["x-goog-api-key"] == "test-key-a"
    assert request.path == "/v1beta/models/gemini-flash-latest:generateContent"
    assert request.body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 500},
    }


@streaming
def test_items_of_all_roles(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "And"}, {"type": "input_text", "text": " now?"}]},
    ]
    assert ask(client_of(agproxy), streamed=streamed, input=items).output_text == "Hello from fake Google"
    assert contents(google) == [
        ("user", [{"text": "Hi"}]),
        ("model", [{"text": "Hello."}]),
        ("user", [{"text": "And"}, {"text": " now?"}]),
    ]
    instructions = google.requests[0].body["systemInstruction"]["parts"]
    assert [part["text"] for part in instructions] == ["Be brief.", "Be kind."]


def test_stream_helper(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(text("One, ", "two, ", "thrée", usage=Usage(prompt=7, candidates=3)).delivered(split_writes=3))
    with client_of(agproxy).responses.stream(model="gpt-5.5", input="Count") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["One, ", "One, two, ", "One, two, thrée"]
    assert final.output_text == "One, two, thrée"
    assert final.usage is not None
    assert final.usage.total_tokens == 10
    assert google.requests[0].sse


def test_raw_stream(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(text("One, ", "two"))
    raw = client_of(agproxy).responses.with_raw_response.create(model="gpt-5.5", input="Count", stream=True)
    assert raw.headers["X-Mapped-Model"] == "gemini-flash-latest"
    events = list(raw.parse())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "One, two"


# Tools.


@pytest.mark.parametrize("memory", ["whole output", "calls alone", "encrypted"])
@streaming
@pytest.mark.parametrize("model", MODELS)
def test_tool_loop_of_three_steps(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, model: str, streamed: bool, memory: str
) -> None:
    """Signatures reach Google again whether the client carries them or not, and no dummy stands in for them."""
    google.enqueue(
        calls(("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})),
        thoughts("Now Bern.") + calls(("get_weather", {"city": "Bern"})),
        text("It is cold."),
    )
    client = client_of(agproxy)
    items: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    options: Any = {"store": False, "include": [ENCRYPTED]} if memory == "encrypted" else {}
    for _ in range(3):
        response = ask(client, streamed=streamed, model=model, input=items, tools=[WEATHER], **options)
        called = [item for item in response.output if item.type == "function_call"]
        items += [kept(call) for call in called] if memory == "calls alone" else response.output
        for call in reversed(called):  # results may come in any order
            result = f"5 degrees in {json.loads(call.arguments)['city']}"
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    assert response.output_text == "It is cold."
    turns = contents(google)
    assert [role for role, _ in turns] == ["user", "model", "user", "model", "user"]
    results = [part["functionResponse"]["response"]["output"] for part in turns[2][1]]
    assert results == ["5 degrees in Oslo", "5 degrees in Oslo", "5 degrees in Rome"]
    signatures = [part.get("thoughtSignature") for _, parts in turns for part in parts]
    assert not any(signature in DUMMIES for signature in signatures)
    if model != "gemini-2.5-flash":
        assert sum(signature is not None for signature in signatures) == 2


def kept(call: ResponseFunctionToolCall) -> Any:
    return {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}


@streaming
def test_encrypted_reasoning_needs_no_store(
    serve: Serve, client_of: ClientOf, google: FakeGoogle, streamed: bool
) -> None:
    """What one agproxy has sealed another one reads, also after a restart: there is nothing that both could know."""
    google.enqueue(thoughts("Hm.") + calls(("get_weather", {"city": "Oslo"})), text("Cold."))
    asked: Any = {"streamed": streamed, "tools": [WEATHER], "store": False, "include": [ENCRYPTED]}
    first = serve("a", ini="[store]\nurl = memory:")
    with client_of(first) as client:
        response = ask(client, **asked)
    first.stop()
    (call,) = [item for item in response.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "-5"}
    items = [{"role": "user", "content": "Hi"}, *response.output, result]
    second = client_of(serve("a", ini="[store]\nurl = memory:"))
    assert ask(second, **asked, input=items).output_text == "Cold."
    (part,) = contents(google)[1][1]
    assert part["thoughtSignature"] not in DUMMIES


@streaming
def test_custom_tool_loop(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    code = 'print("hé")\n'
    google.enqueue(calls(("run", {"input": code})), text("Done."))
    client = client_of(agproxy)
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    tool = {"type": "custom", "name": "run", "description": "Runs Python.", "format": grammar}
    asked: Any = {"streamed": streamed, "model": "gemini-3-flash-preview", "tools": [tool]}
    response = ask(client, **asked)
    (call,) = response.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "run", code)
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "hé"}
    items = [{"role": "user", "content": "Hi"}, *response.output, result]
    assert ask(client, **asked, input=items).output_text == "Done."
    _, (_, (called,)), (_, (answered,)) = contents(google)
    assert called["functionCall"]["args"] == {"input": code}
    assert called["thoughtSignature"] not in DUMMIES
    assert answered["functionResponse"]["response"] == {"output": "hé"}


@streaming
def test_namespace_tool_loop(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(calls(("clock__get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Oslo"})), text("Done."))
    client = client_of(agproxy)
    clock = {"type": "namespace", "name": "clock", "description": "Of clocks.", "tools": [WEATHER]}
    asked: Any = {"streamed": streamed, "model": "gemini-3-flash-preview", "tools": [clock, WEATHER]}
    response = ask(client, **asked)
    assert [(call.name, call.namespace) for call in response.output] == [
        ("get_weather", "clock"),
        ("get_weather", None),
    ]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "-5"} for call in response.output]
    items = [{"role": "user", "content": "Hi"}, *response.output, *results]
    assert ask(client, **asked, input=items).output_text == "Done."
    _, (_, called), (_, answered) = contents(google)
    for parts, kind in ((called, "functionCall"), (answered, "functionResponse")):
        assert [part[kind]["name"] for part in parts] == ["clock__get_weather", "get_weather"]
    assert called[0]["thoughtSignature"] not in DUMMIES


def test_long_names_come_back(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    """Together with its namespace a name may be longer than Gemini's may be."""
    google.default = lambda request: calls(*((name, {"city": "Oslo"}) for name in request.tool_names))
    names = ["x" * 60 + "1", "x" * 60 + "2"]
    space = {"type": "namespace", "name": "n" * 60, "description": "", "tools": [{**WEATHER, "name": n} for n in names]}
    tools = [space, {**WEATHER, "name": "1st.tool"}]
    response = ask(client_of(agproxy), streamed=True, tools=tools)
    found = sorted((call.name, call.namespace) for call in response.output)
    assert found == [("1st.tool", None), *((name, "n" * 60) for name in names)]


# Answers by a schema.


class Place(BaseModel):
    """What the model is to tell."""

    city: str
    height_m: float


@streaming
def test_answer_is_parsed(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(text('{"city": "Zü', 'rich", "height_m"', ": 408}"))
    client = client_of(agproxy)
    response: ParsedResponse[Place]
    if streamed:
        with client.responses.stream(model="gpt-5.5", input="Where?", text_format=Place) as stream:
            response = stream.get_final_response()
    else:
        response = client.responses.parse(model="gpt-5.5", input="Where?", text_format=Place)
    assert response.output_parsed == Place(city="Zürich", height_m=408)
    config = google.requests[0].body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert list(config["responseJsonSchema"]["properties"]) == ["city", "height_m"]


@streaming
def test_arguments_are_parsed(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(calls(("Place", {"city": "Zürich", "height_m": 408})))
    client = client_of(agproxy)
    tools: Any = [openai.pydantic_function_tool(Place)]
    if streamed:
        with client.responses.stream(model="gpt-5.5", input="Where?", tools=tools) as stream:
            response: Any = stream.get_final_response()
    else:
        response = client.responses.parse(model="gpt-5.5", input="Where?", tools=tools)
    (call,) = response.output
    assert call.parsed_arguments == Place(city="Zürich", height_m=408)


# What else an answer may hold.


@streaming
def test_reasoning_summary(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(thoughts("**Plan**\n\nHm. ", "Well.") + text("Yes.", usage=Usage(4, 2, thoughts=9)))
    reasoning = {"effort": "low", "summary": "auto"}
    response = ask(client_of(agproxy), streamed=streamed, model="gemini-3-flash-preview", reasoning=reasoning)
    thought, message = response.output
    assert (thought.type, message.type) == ("reasoning", "message")
    assert [part.text for part in thought.summary] == ["**Plan**\n\nHm. Well."]
    assert response.reasoning.effort == "low"
    assert response.usage.output_tokens_details.reasoning_tokens == 9
    config = google.requests[0].body["generationConfig"]
    assert config == {"thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}}


@streaming
def test_web_search(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(grounded("Es hat [[18 °C 🌧|0]] und [[regnet|0,1]].", piece=5))
    include = ["web_search_call.action.sources"]
    response = ask(client_of(agproxy), streamed=streamed, tools=[{"type": "web_search"}], include=include)
    assert response.output_text == "Es hat 18 °C 🌧 und regnet."
    (message,) = [item for item in response.output if item.type == "message"]
    (search,) = [item for item in response.output if item.type == "web_search_call"]
    cited = [
        (response.output_text[each.start_index : each.end_index], each.url) for each in message.content[0].annotations
    ]
    assert cited == [
        ("18 °C 🌧", "https://example.com/a"),
        ("regnet", "https://example.com/a"),
        ("regnet", "https://example.com/b"),
    ]
    assert (search.status, search.action.queries) == ("completed", ["what the user asked"])
    assert [source.url for source in search.action.sources] == ["https://example.com/a", "https://example.com/b"]
    assert google.requests[0].body["tools"] == [{"googleSearch": {}}]


@streaming
def test_logprobs(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(text("One, two", " thrée"))
    options: Any = {"model": "gemini-3-flash-preview", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    response = ask(client_of(agproxy), streamed=streamed, **options)
    tokens = response.output[0].content[0].logprobs
    assert [token.token for token in tokens] == ["One,", " two", " thrée"]
    assert bytes(tokens[2].bytes).decode() == " thrée"
    assert all(token.top_logprobs[0].token == token.token for token in tokens)
    assert {len(token.top_logprobs) for token in tokens} == {2}
    assert google.requests[0].body["generationConfig"] == {"responseLogprobs": True, "logprobs": 2}


def test_image_and_file_are_sent_inline(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": png(), "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQKJSVFT0YK"},
    ]
    ask(client_of(agproxy), streamed=False, input=[{"role": "user", "content": parts}])
    ((_, (_, image, file)),) = contents(google)
    assert image["inlineData"] == {"mimeType": "image/png", "data": png().partition(",")[2]}
    assert file["inlineData"]["mimeType"] == "application/pdf"


def test_images_of_tool_results(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    """As Codex gives back what its view_image saw."""
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'}
    seen = [{"type": "input_image", "image_url": png(), "detail": "original"}]
    result = {"type": "function_call_output", "call_id": "call_1", "output": seen}
    ask(client_of(agproxy), streamed=False, tools=[WEATHER], input=[{"role": "user", "content": "Hi"}, call, result])
    *_, (_, (answered,)), (role, (image,)) = contents(google)
    assert (answered["functionResponse"]["id"], role) == ("call_1", "user")
    assert image["inlineData"]["mimeType"] == "image/png"


# Ends that are not whole.


@streaming
@pytest.mark.parametrize(
    ("reason", "told"), [("MAX_TOKENS", "max_output_tokens"), ("SAFETY", "content_filter"), ("SPII", "content_filter")]
)
def test_incomplete(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, reason: str, told: str, streamed: bool
) -> None:
    google.enqueue(text("Once ", "upon", finish=reason))
    response = last_of(client_of(agproxy), streamed=streamed)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", told)
    assert response.output_text == "Once upon"
    assert [item.status for item in response.output] == ["incomplete"]
    assert response.usage.output_tokens > 0


@streaming
@pytest.mark.parametrize("answer", [blocked("SAFETY"), finished("SAFETY")], ids=["prompt", "answer"])
def test_refusal(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, answer: Any, streamed: bool) -> None:
    google.enqueue(answer)
    response = last_of(client_of(agproxy), streamed=streamed)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")
    (part,) = response.output[0].content
    assert part.type == "refusal"
    assert "SAFETY" in part.refusal
    assert response.output_text == ""


def last_of(client: openai.OpenAI, *, streamed: bool) -> Any:
    """The response, of which the SDK's helper gives only those that are completed."""
    if not streamed:
        return client.responses.create(model="gpt-5.5", input="Hi")
    events: Any = list(client.responses.create(model="gpt-5.5", input="Hi", stream=True))
    return events[-1].response


def test_limit_used_up_by_thinking_says_what_to_raise(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle
) -> None:
    google.enqueue(finished("MAX_TOKENS", usage=Usage(thoughts=50)))
    with pytest.raises(openai.BadRequestError, match="max_output_tokens"):
        ask(client_of(agproxy), streamed=False, max_output_tokens=50)


# Tokens.


def test_tokens_of_an_input_are_counted(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    client = client_of(agproxy)
    earlier = client.responses.create(model="gpt-5.5", input="Remember the number twelve.")
    counted = client.responses.input_tokens.count(
        model="gpt-5.5", input="Which number?", instructions="Be brief.", previous_response_id=earlier.id
    )
    assert (counted.object, counted.input_tokens > 0) == ("response.input_tokens", True)
    request = google.requests[-1]
    assert request.method == "countTokens"
    sent = json.dumps(request.body)
    assert all(words in sent for words in ("twelve", "Hello from fake Google", "Which number?", "Be brief."))
    assert client.responses.input_tokens.count(model="gpt-5.5", input="Hi").input_tokens < counted.input_tokens
