"""The compliance cases of Open Responses, restated, against agproxy and the strict fake.

Their words are those of ``src/lib/compliance-tests.ts`` in https://github.com/openresponses/openresponses: the suite
itself, ``tool-calling-streaming`` (F52) and what pull request 73 adds, by their own ids. Beside what they assert stands
what Google must have received. The WebSocket cases are restated over plain HTTP, which agproxy speaks alone.
"""

import time
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Agproxy
from tests.e2e.test_chat import png
from tests.fake_google import FakeGoogle, RecordedRequest, calls, text
from tests.open_responses import Json, validated, validated_compaction, validated_stream
from tests.responses_stream import checked, items_of, read

MODEL = "gpt-5.5"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place, now.",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state, e.g. Bern"}},
        "required": ["location"],
    },
}
PDF = "JVBERi0xLjEKJSVFT0YK"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def said(role: str, content: Any, **more: str) -> Json:
    return {"type": "message", "role": role, "content": content, **more}


def post(agproxy: Agproxy, path: str = "", **body: Any) -> requests.Response:
    headers = {"Authorization": "Bearer a-key"}
    return requests.post(agproxy.url + "/v1/responses" + path, json=body, headers=headers, timeout=30)


def whole(agproxy: Agproxy, **body: Any) -> Json:
    """A whole answer, by the schemas of Open Responses and of OpenAI."""
    response = post(agproxy, **{"model": MODEL, **body})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["output"]
    return checked(validated(response.json()))


def streamed(agproxy: Agproxy, **body: Any) -> list[Json]:
    """The events of a streamed answer, by the same."""
    response = post(agproxy, **{"model": MODEL, **body, "stream": True})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert read(response.content).response["output"]
    return validated_stream(response.content)


def missed(agproxy: Agproxy, **body: Any) -> None:
    """Continue a response that is not there. Our status is 404; the suite reads the code alone."""
    for stream in (False, True):
        response = post(agproxy, **{"model": MODEL, **body, "stream": stream})
        assert response.status_code == 404
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


def asked(request: RecordedRequest) -> list[tuple[str, str]]:
    """The turns that Google received: role, and text."""
    return [
        (content["role"], "".join(part.get("text", "") for part in content["parts"]))
        for content in request.body["contents"]
    ]


# The suite.


def test_basic_response(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = whole(agproxy, input=[said("user", "Greet me in three words.")])
    assert response["status"] == "completed"
    assert asked(google.requests[0]) == [("user", "Greet me in three words.")]


def test_assistant_phase(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = whole(
        agproxy,
        input=[
            said("assistant", "The note holds the number.", phase="commentary"),
            said("assistant", "It is four.", phase="final_answer"),
            said("user", "Again, the number alone."),
        ],
    )
    assert response["status"] == "completed"
    texts = "".join(words for _, words in asked(google.requests[0]))
    assert texts.index("note holds") < texts.index("four.") < texts.index("Again")


def test_response_output_phase_schema() -> None:
    """A fixture of the suite: no request is made."""
    part = {"type": "output_text", "text": "The answer is four.", "annotations": []}
    phases = ("commentary", "final_answer")
    message = {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    usage_details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    nulls = ("incomplete_details", "previous_response_id", "instructions", "error", "max_output_tokens")
    validated(
        {
            **dict.fromkeys([*nulls, "max_tool_calls", "safety_identifier", "prompt_cache_key"]),
            "id": "resp_phase_schema",
            "object": "response",
            "created_at": 1764967971,
            "completed_at": 1764967972,
            "status": "completed",
            "model": MODEL,
            "output": [{**message, "id": f"msg_{phase}", "phase": phase} for phase in phases],
            "tools": [],
            "tool_choice": "auto",
            "truncation": "disabled",
            "parallel_tool_calls": True,
            "text": {"format": {"type": "text"}},
            **dict.fromkeys(("presence_penalty", "frequency_penalty", "top_logprobs"), 0),
            **dict.fromkeys(("top_p", "temperature"), 1),
            "reasoning": {"effort": None, "summary": None},
            "usage": {**usage, **usage_details},
            "store": True,
            "background": False,
            "service_tier": "default",
            "metadata": {},
        }
    )


def test_streaming_response(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("1, ", "2, ", "3, ", "4, ", "5."))
    events = streamed(agproxy, input=[said("user", "One to five, please.")])
    assert events[-1]["type"] == "response.completed"
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == ["1, ", "2, ", "3, ", "4, ", "5."]


def test_system_prompt(agproxy: Agproxy, google: FakeGoogle) -> None:
    sailor = "Answer as a sailor would."
    response = whole(agproxy, input=[said("system", sailor), said("user", "Good morning.")])
    assert response["status"] == "completed"
    assert google.requests[0].body["systemInstruction"]["parts"] == [{"text": sailor}]


def test_tool_calling(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(calls(("get_weather", {"location": "Bern"})))
    response = whole(agproxy, input=[said("user", "Is it raining in Bern?")], tools=[WEATHER])
    (call,) = items_of(response, "function_call")
    assert call["name"] == "get_weather"
    assert response["tools"] == [{**WEATHER, "strict": None}]
    assert google.requests[0].tool_names == ["get_weather"]


def test_image_input(agproxy: Agproxy, google: FakeGoogle) -> None:
    question = {"type": "input_text", "text": "What do you see in this image? Answer in one sentence."}
    picture = {"type": "input_image", "image_url": png()}
    assert whole(agproxy, input=[said("user", [question, picture])])["status"] == "completed"
    image = google.requests[0].body["contents"][0]["parts"][1]
    assert image == {"inlineData": {"mimeType": "image/png", "data": png().partition(",")[2]}}


def test_multi_turn(agproxy: Agproxy, google: FakeGoogle) -> None:
    turns = [
        ("user", "My name is Alice."),
        ("assistant", "Hello Alice! Nice to meet you. How can I help you today?"),
        ("user", "What is my name?"),
    ]
    assert whole(agproxy, input=[said(*turn) for turn in turns])["status"] == "completed"
    assert asked(google.requests[0]) == [("model" if role == "assistant" else role, words) for role, words in turns]


def test_compact_response(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = post(
        agproxy,
        "/compact",
        model=MODEL,
        prompt_cache_key="openresponses-compact-test",
        input=[
            said("user", "We start on Monday, and tell the shop before."),
            said("assistant", "Monday it is; the shop will know."),
        ],
    )
    assert response.status_code == 200, response.text
    body = validated_compaction(response.json())
    assert [item["type"] for item in body["output"]].count("compaction") == 1
    assert "X-Agproxy-Ignored" not in response.headers
    words = "".join(words for _, words in asked(google.requests[0]))
    assert "start on Monday" in words
    assert "the shop will know" in words


def test_compact_missing_model(agproxy: Agproxy, google: FakeGoogle) -> None:
    response = post(agproxy, "/compact", input=[said("user", "Make it short.")])
    assert response.status_code in (400, 422)
    assert response.json()["error"]["param"] == "model"
    assert google.requests == []


# F52.


def test_tool_calling_streaming(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(calls(("get_weather", {"location": "Bern"})))
    events = streamed(agproxy, input=[said("user", "Is it raining in Bern?")], tools=[WEATHER])
    steps = [event["type"] for event in events if event.get("item", {}).get("type") == "function_call"]
    assert steps == ["response.output_item.added", "response.output_item.done"]
    kinds = {event["type"] for event in events}
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds


# Pull request 73.


def test_function_call_roundtrip(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(calls(("get_weather", {"location": "Bern"})), text("64 degrees."))
    first = whole(
        agproxy,
        input="Ask the tool for the weather in Bern.",
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "get_weather"},
    )
    (call,) = items_of(first, "function_call")
    assert first["tool_choice"] == {"type": "function", "name": "get_weather"}
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "64 degrees and clear"}
    second = whole(agproxy, previous_response_id=first["id"], input=[result])
    assert (second["status"], second["previous_response_id"]) == ("completed", first["id"])
    assert google.requests[1].results[0]["response"] == {"output": "64 degrees and clear"}
    assert [content["role"] for content in google.requests[1].body["contents"]] == ["user", "model", "user"]


def test_file_input(agproxy: Agproxy, google: FakeGoogle) -> None:
    question = {"type": "input_text", "text": "Read the attached file and answer with its title only."}
    name = "openresponses-fixture.pdf"
    file = {"type": "input_file", "filename": name, "file_data": f"data:application/pdf;base64,{PDF}"}
    assert whole(agproxy, input=[said("user", [question, file])])["status"] == "completed"
    sent = google.requests[0].body["contents"][0]["parts"][1]
    assert sent == {"inlineData": {"mimeType": "application/pdf", "data": PDF}}


def test_previous_response_id(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("OK"), text("walnut"))
    first = whole(agproxy, input="The word of the day is walnut.")
    question = "What code word did I ask you to remember?"
    second = whole(agproxy, input=question, previous_response_id=first["id"])
    assert second["status"] == "completed"
    assert asked(google.requests[1]) == [
        ("user", "The word of the day is walnut."),
        ("model", "OK"),
        ("user", question),
    ]


# The two of pull request 73 that are optional: vector stores, and pages that OpenAI has stored, agproxy has not.


@pytest.mark.parametrize(
    ("tool", "include"),
    [
        ({"type": "file_search", "vector_store_ids": ["vs_1"]}, "file_search_call.results"),
        ({"type": "web_search", "external_web_access": False}, "web_search_call.action.sources"),
    ],
)
def test_hosted_search_is_left_out_and_said_so(agproxy: Agproxy, google: FakeGoogle, tool: Json, include: str) -> None:
    choice = {"type": tool["type"]}
    response = post(agproxy, model=MODEL, input="Find it.", tools=[tool], tool_choice=choice, include=[include])
    assert response.status_code == 200
    assert validated(response.json())["tools"] == []
    assert f"tools[0].{tool['type']}" in response.headers["X-Agproxy-Ignored"]
    assert "tools" not in google.requests[0].body


# Fields that no case of the suite sends.


def test_everything_that_can_be_set_is_told_by_the_schema(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text('{"a":1}'))
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]}
    form = {"type": "json_schema", "name": "a", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    response = whole(
        agproxy,
        input="Hi",
        instructions="Be brief.",
        max_output_tokens=100,
        metadata={"topic": "demo"},
        parallel_tool_calls=False,
        prompt_cache_key="key",
        reasoning={"effort": "low", "summary": "detailed"},
        safety_identifier="bob",
        store=False,
        temperature=0,
        text={"format": form},
        tool_choice=allowed,
        tools=[WEATHER],
        top_p=0.5,
    )
    told = {name: value for name, value in response.items() if name in _SET}
    assert told == {
        "instructions": "Be brief.",
        "max_output_tokens": 100,
        "metadata": {"topic": "demo"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "key",
        "reasoning": {"effort": "low", "summary": "detailed"},
        "safety_identifier": "bob",
        "store": False,
        "temperature": 0,
        "text": {"format": {**form, "description": None, "strict": False}},
        "tool_choice": allowed,
        "tools": [{**WEATHER, "strict": None}],
        "top_p": 0.5,
    }


_SET = frozenset(
    {
        *("instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "prompt_cache_key", "reasoning"),
        *("safety_identifier", "store", "temperature", "text", "tool_choice", "tools", "top_p"),
    }
)


# The WebSocket cases.


def test_websocket_is_refused_at_once(agproxy: Agproxy, google: FakeGoogle) -> None:
    began = time.monotonic()
    response = agproxy.get("/v1/responses", headers=HANDSHAKE)
    assert response.status_code == 426
    assert time.monotonic() - began < 5
    assert response.json()["error"]["code"] == "websocket_not_supported"
    assert google.requests == []


def test_websocket_response(agproxy: Agproxy, google: FakeGoogle) -> None:
    events = streamed(agproxy, input=[said("user", "One to three.")])
    assert events[-1]["type"] == "response.completed"


def test_websocket_sequential_responses(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("first"), text("second"))
    with requests.Session() as session:
        for word in ("first", "second"):
            body = {"model": MODEL, "store": False, "input": f"Reply with exactly: {word}", "stream": True}
            response = session.post(agproxy.url + "/v1/responses", json=body, timeout=30)
            last = validated_stream(response.content)[-1]
            assert last["type"] == "response.completed"
            assert last["response"]["output"][0]["content"][0]["text"] == word


def test_websocket_continuation(agproxy: Agproxy, google: FakeGoogle) -> None:
    """Without a connection that holds it, what is not stored cannot be continued; what is stored can."""
    google.enqueue(text("OK"), text("cobalt"))
    remember, recall = "Remember the code word: cobalt. Reply with OK.", "What is the code word?"
    first = streamed(agproxy, input=remember)[-1]["response"]
    second = streamed(agproxy, store=False, previous_response_id=first["id"], input=recall)[-1]["response"]
    assert second["status"] == "completed"
    assert asked(google.requests[1]) == [("user", remember), ("model", "OK"), ("user", recall)]
    missed(agproxy, store=False, previous_response_id=second["id"], input="And now?")


def test_websocket_reconnect_store_false_recovery(agproxy: Agproxy, google: FakeGoogle) -> None:
    first = streamed(agproxy, store=False, input="The word is tin.")[-1]["response"]
    missed(agproxy, store=False, previous_response_id=first["id"], input="And after that?")
    recovered = streamed(agproxy, store=False, input=[said("user", "Start anew.")])
    assert recovered[-1]["type"] == "response.completed"


def test_websocket_previous_response_not_found(agproxy: Agproxy, google: FakeGoogle) -> None:
    missed(agproxy, store=False, previous_response_id="resp_openresponses_missing_1", input="Is anybody there?")
    assert google.requests == []


def test_websocket_failed_continuation_evicts_cache(agproxy: Agproxy, google: FakeGoogle) -> None:
    first = streamed(agproxy, store=False, input="The word is ash.")[-1]["response"]
    orphan = {"type": "function_call_output", "call_id": "call_openresponses_missing", "output": "No matching call."}
    missed(agproxy, store=False, previous_response_id=first["id"], input=[orphan])
    missed(agproxy, store=False, previous_response_id=first["id"], input="And now?")
    assert len(google.requests) == 1


def test_websocket_compact_new_chain(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(text("The code word is chalk."), text("compacted"))
    compacted = post(
        agproxy,
        "/compact",
        model=MODEL,
        input=[
            said("user", [{"type": "input_text", "text": "The word for later is chalk."}]),
            said("assistant", [{"type": "output_text", "text": "OK."}]),
            said("user", [{"type": "input_text", "text": "Sum it up for later."}]),
        ],
    )
    assert compacted.status_code == 200, compacted.text
    output = validated_compaction(compacted.json())["output"]
    last = said("user", "Go on from here.")
    events = streamed(agproxy, store=False, input=[*output, last], tools=[])
    assert events[-1]["type"] == "response.completed"
    words = "".join(words for _, words in asked(google.requests[1]))
    assert "The code word is chalk." in words
    assert words.endswith("Go on from here.")
