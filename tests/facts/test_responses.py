"""F47 to F51 through the whole app: what a client of Responses hears and sends.

The order of events is held by ``responses_stream.read``, through which each stream goes; here stands what a fact names.
"""

import json

import pytest

from tests.facts.responses_app import LOOK, PATCH, Json, ResponsesApp
from tests.fake_google import DUMMIES, Answer, FakeGoogle, calls, error_event, text, thoughts
from tests.responses_stream import items_of, read, summary_of, text_of
from tests.whole_app import contents

AGENTS: Json = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Other agents.",
    "tools": [{**LOOK, "name": "wait_agent", "description": "Waits."}, {**LOOK, "name": "look"}],
}
ENCRYPTED = "reasoning.encrypted_content"
# What Codex sends, as its release of November 2026 does; but for the end of its texts and of its tools.
CODEX: Json = {
    "model": "gpt-5.5",
    "tools": [
        LOOK,
        PATCH,
        AGENTS,
        {"type": "function", "name": "get_goal", "parameters": {"type": "object", "properties": {}}},
        {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": {}},
        {"type": "web_search", "external_web_access": True, "search_content_types": ["text", "image"]},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium"},
    "store": False,
    "stream": True,
    "include": [ENCRYPTED],
    "prompt_cache_key": "0199-session",
    "text": {"verbosity": "low"},
    "client_metadata": {"session_id": "0199", "turn_id": "1"},
}
BEGINNING: Json = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "developer",
        "content": [{"type": "input_text", "text": "You are Codex."}, {"type": "input_text", "text": "Be safe."}],
        "internal_chat_message_metadata_passthrough": {"turn_id": "1"},
    },
    {"type": "message", "id": "msg_2", "role": "developer", "content": "Be brief."},
    {"role": "user", "content": "<environment_context/>"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write a file."}]},
]
PATCH_TEXT = '*** Begin Patch\n*** Add File: hé.txt\n+"quoted" \\ back\n*** End Patch\n'

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def app(google: FakeGoogle) -> ResponsesApp:
    return ResponsesApp(google)


class TestOrder:
    """F47"""

    def test_of_a_text(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(text("One, ", "two."))
        told = app.told()
        assert told.types == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event["sequence_number"] for event in told.events] == list(range(10))
        assert {event["content_index"] for event in told.of("response.output_text.delta")} == {0}

    def test_items_follow_one_another_as_the_model_makes_them(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(thoughts("Hm.") + text("Let me see.") + calls(("look", {}), ("look", {}), split=True))
        told = app.told(tools=[LOOK])
        added = [(event["output_index"], event["item"]["type"]) for event in told.of("response.output_item.added")]
        assert added == [(0, "reasoning"), (1, "message"), (2, "function_call"), (3, "function_call")]
        done = [event["output_index"] for event in told.of("response.output_item.done")]
        assert done == [0, 1, 2, 3]

    @both
    def test_streams_and_bodies_tell_the_same(self, app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(thoughts("Hm.") + text("Let ", "me see.") + calls(("look", {"at": "é"}), ids=["call-1"]))
        response = app.answer(stream=stream, tools=[LOOK])
        kinds = [item["type"] for item in response["output"]]
        assert kinds == ["reasoning", "message", "function_call"]
        assert (summary_of(response), text_of(response)) == ("Hm.", "Let me see.")
        (call,) = items_of(response, "function_call")
        assert (call["call_id"], json.loads(call["arguments"])) == ("call-1", {"at": "é"})


class TestCalls:
    """F48"""

    @pytest.mark.parametrize("arguments", [{"at": "x"}, {}], ids=["arguments", "none"])
    def test_four_steps(self, app: ResponsesApp, google: FakeGoogle, arguments: Json) -> None:
        google.enqueue(calls(("look", arguments)))
        events = app.told(tools=[LOOK]).events[2:-1]
        assert list(dict.fromkeys(event["type"] for event in events)) == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]
        added, done = events[0]["item"], events[-1]["item"]
        assert (added["name"], added["arguments"], added["status"]) == ("look", "", "in_progress")
        assert (done["name"], json.loads(done["arguments"]), done["status"]) == ("look", arguments, "completed")
        assert done["call_id"] == added["call_id"]

    @both
    def test_equal_calls_are_two(self, app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
        google.enqueue(calls(("look", {"at": "x"}), ("look", {"at": "x"}), ids=False))
        first, second = items_of(app.answer(stream=stream, tools=[LOOK]), "function_call")
        assert first["call_id"] != second["call_id"]


class TestReasoning:
    """F49"""

    def test_summary_is_streamed_before_what_it_led_to(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(thoughts("Hm. ", "Well.") + text("Yes."))
        told = app.told(reasoning={"summary": "auto"})
        assert told.types[2:9] == [
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
        ]
        reasoning, message = told.response["output"]
        assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm. Well."}]
        assert (reasoning["type"], message["type"]) == ("reasoning", "message")
        assert "encrypted_content" not in reasoning
        thinking = google.requests[0].body["generationConfig"]["thinkingConfig"]
        assert thinking["includeThoughts"] is True

    @both
    def test_encrypted_content_carries_the_signatures_of_calls(
        self, google: FakeGoogle, app: ResponsesApp, stream: bool
    ) -> None:
        """It is told at the end of the item only, and whoever gets it back needs no store."""
        google.enqueue(calls(("look", {}), ("look", {}), ids=["call-1", "call-2"]), text("Done."))
        asked: Json = {"tools": [LOOK], "store": False, "include": [ENCRYPTED], "stream": stream}
        response = app.answer(**asked)
        reasoning, *called = response["output"]
        assert reasoning["type"] == "reasoning"
        assert reasoning["encrypted_content"]
        results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "x"} for call in called]
        history = [{"role": "user", "content": "Hi"}, *response["output"], *results]
        another = ResponsesApp(google)
        assert text_of(another.answer(**{**asked, "input": history})) == "Done."
        signed, unsigned = google.requests[1].body["contents"][1]["parts"]
        sent = google.requests[0].sent
        first = (sent[0] if stream else sent)["candidates"][0]["content"]["parts"][0]
        assert signed["thoughtSignature"] == first["thoughtSignature"]
        assert "thoughtSignature" not in unsigned

    @pytest.mark.parametrize("content", ["gAAAAABo-of-openai", "agproxy1.!!!", "agproxy1.bnVsbA=="])
    def test_foreign_encrypted_content_is_dropped(self, app: ResponsesApp, google: FakeGoogle, content: str) -> None:
        foreign = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content}
        called = {"type": "function_call", "call_id": "call-1", "name": "look", "arguments": "{}"}
        result = {"type": "function_call_output", "call_id": "call-1", "output": "x"}
        response = app.post(tools=[LOOK], input=[{"role": "user", "content": "Hi"}, foreign, called, result])
        assert response.status_code == 200
        assert response.headers["X-Agproxy-Ignored"] == "input[].encrypted_content"
        part = google.requests[0].body["contents"][1]["parts"][0]
        assert part["thoughtSignature"] in DUMMIES


class TestEnds:
    """F50"""

    def test_done_is_the_last_line(self, app: ResponsesApp) -> None:
        assert app.post(stream=True).data.endswith(b"\n\ndata: [DONE]\n\n")

    def test_an_item_has_all_its_fields_from_the_start(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(thoughts("Hm.") + text("Let me see.") + calls(("look", {}), ("apply_patch", {"input": "x"})))
        told = app.told(tools=[LOOK, PATCH])
        added, done = (
            [event["item"].keys() for event in told.of(f"response.output_item.{step}")] for step in ("added", "done")
        )
        assert added == done
        assert len(added) == 4

    @pytest.mark.parametrize("answer", [text("Once ", "upon", finish="MAX_TOKENS"), text("Once", finish="SAFETY")])
    @both
    def test_an_item_that_was_cut_short_is_the_last(
        self, app: ResponsesApp, google: FakeGoogle, answer: Answer, stream: bool
    ) -> None:
        google.enqueue(thoughts("Hm.") + answer)
        response = app.answer(stream=stream)
        assert response["status"] == "incomplete"
        assert [item.get("status") for item in response["output"]] == [None, "incomplete"]

    @pytest.mark.parametrize(
        "end", [error_event(503), text(" more", finish=None)], ids=["an error in the stream", "no finish reason"]
    )
    def test_failure_is_an_error_and_a_response_that_failed(
        self, app: ResponsesApp, google: FakeGoogle, end: Answer
    ) -> None:
        google.enqueue(text("Half an", finish=None) + end)
        told = app.told()
        *_, failure, last = told.events
        assert (failure["type"], last["type"]) == ("error", "response.failed")
        assert failure["error"]["message"] == failure["message"] == told.response["error"]["message"]
        assert told.response["error"]["code"] == "server_error"
        (message,) = told.response["output"]
        assert message["status"] == "incomplete"
        assert text_of(told.response).startswith("Half an")


class TestCodex:
    """F51: what it sends is understood, and what it gets it understands."""

    def test_what_it_sends_is_understood(self, app: ResponsesApp, google: FakeGoogle) -> None:
        response = app.post(**{**CODEX, "input": BEGINNING})
        assert response.status_code == 200
        assert read(response.data).types[-1] == "response.completed"
        (request,) = google.requests
        instructions = "".join(part["text"] for part in request.body["systemInstruction"]["parts"])
        places = [instructions.index(words) for words in ("You are Codex.", "Be safe.", "Be brief.")]
        assert places == sorted(places)
        (turn,) = contents(request)
        assert turn == ("user", [{"text": "<environment_context/>"}, {"text": "Write a file."}])
        names = ["look", "apply_patch", "get_goal", "multi_agent_v1__wait_agent", "multi_agent_v1__look"]
        assert request.tool_names == names
        ignored = response.headers["X-Agproxy-Ignored"].split(", ")
        assert "tools[4].tool_search" in ignored
        assert "client_metadata" in ignored

    def test_custom_tools_get_and_give_plain_text(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(calls(("apply_patch", {"input": PATCH_TEXT}), ids=["call-1"]), text("Written."))
        told = app.told(**{**CODEX, "input": BEGINNING})
        (call,) = items_of(told.response, "custom_tool_call")
        assert (call["name"], call["input"], call["call_id"]) == ("apply_patch", PATCH_TEXT, "call-1")
        assert [event["delta"] for event in told.of("response.custom_tool_call_input.delta")] == [PATCH_TEXT]
        result = {"type": "custom_tool_call_output", "call_id": "call-1", "output": "Success."}
        history = [*BEGINNING, *told.response["output"], result]
        assert text_of(app.answer(**{**CODEX, "input": history})) == "Written."
        _, (_, (called,)), (_, (answered,)) = contents(google.requests[1])
        assert called["functionCall"]["args"] == {"input": PATCH_TEXT}
        assert called["thoughtSignature"] not in DUMMIES
        assert answered["functionResponse"]["response"] == {"output": "Success."}

    def test_namespaces_are_told_apart(self, app: ResponsesApp, google: FakeGoogle) -> None:
        google.enqueue(
            calls(("multi_agent_v1__look", {"at": "a"}), ("look", {"at": "b"}), ids=["call-1", "call-2"]),
            text("Seen."),
        )
        called = items_of(app.answer(**{**CODEX, "input": BEGINNING}), "function_call")
        assert [(call["name"], call.get("namespace")) for call in called] == [
            ("look", "multi_agent_v1"),
            ("look", None),
        ]
        results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "x"} for call in called]
        app.answer(**{**CODEX, "input": [*BEGINNING, *called, *results]})
        _, (_, parts), (_, answered) = contents(google.requests[1])
        assert [part["functionCall"]["name"] for part in parts] == ["multi_agent_v1__look", "look"]
        assert [part["functionResponse"]["name"] for part in answered] == ["multi_agent_v1__look", "look"]

    def test_tools_may_stand_in_the_input(self, app: ResponsesApp, google: FakeGoogle) -> None:
        """Responses Lite, which the default model of Codex speaks, has no other place for them."""
        tools = [{"type": "namespace", "name": "functions", "description": "", "tools": [{**PATCH, "name": "exec"}]}]
        given = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": tools}
        google.enqueue(calls(("functions__exec", {"input": "1 + 1"})))
        told = app.told(**{**CODEX, "tools": [], "input": [given, *BEGINNING]})
        (call,) = items_of(told.response, "custom_tool_call")
        assert (call["name"], call["namespace"], call["input"]) == ("exec", "functions", "1 + 1")

    @both
    def test_instructions_come_first(self, app: ResponsesApp, google: FakeGoogle, stream: bool) -> None:
        told = app.answer(stream=stream, instructions="You are Codex.", input=BEGINNING[1:])
        assert told["instructions"] == "You are Codex."
        parts = google.requests[0].body["systemInstruction"]["parts"]
        assert "".join(part["text"] for part in parts).startswith("You are Codex.")
