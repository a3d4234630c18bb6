"""What a client of Chat Completions asks for and Gemini receives: settings, tools and their schemas.

The numbers are those of ``test_protocol_facts``.
"""

import json

import pytest

from tests.fake_google import (
    KNOWN_MODELS,
    FakeGoogle,
    calls,
    text,
    thoughts,
)
from tests.whole_app import HELLO, Json, WholeApp, called, contents, result

FLASH_25, FLASH_3, LATEST = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest"
LOOK: Json = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {}}}}}
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class TestSettings:
    def test_roles_are_user_and_model_and_instructions_are_text(self, app: WholeApp, google: FakeGoogle) -> None:
        """F1"""
        messages = [
            {"role": "system", "content": "Be kind."},
            *HELLO,
            {"role": "assistant", "content": "Hello."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "Bye"},
        ]
        app.post(messages=messages)
        assert [role for role, _ in contents(google.requests[0])] == ["user", "model", "user"]
        instruction = google.requests[0].body["systemInstruction"]
        assert instruction == {"parts": [{"text": "Be kind."}, {"text": "Be brief."}]}

    def test_picture_in_an_instruction_is_refused(self, app: WholeApp, google: FakeGoogle) -> None:
        """F1"""
        picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        failure = app.error(messages=[{"role": "system", "content": [picture]}, *HELLO])
        assert (failure["status"], failure["param"]) == (400, "messages[0].content[0].type")
        assert google.requests == []

    @pytest.mark.parametrize(
        ("stop", "sent"),
        [
            (["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e"]),
            (["a", "", "b", "", "c", "", "d", "e"], ["a", "b", "c", "d", "e"]),
            ("\n\n", ["\n\n"]),
            *((nothing, None) for nothing in ("", [], [""], ["", ""], None)),
        ],
        ids=repr,
    )
    def test_stop_sequences_are_five_at_most_and_none_is_empty(
        self, app: WholeApp, google: FakeGoogle, stop: Json, sent: list[str] | None
    ) -> None:
        """F2"""
        assert app.post(stop=stop).status_code == 200
        assert google.requests[0].body.get("generationConfig", {}).get("stopSequences") == sent

    def test_sixth_stop_sequence_is_refused_clearly(self, app: WholeApp, google: FakeGoogle) -> None:
        """F2"""
        failure = app.error(stop=["a", "b", "c", "d", "e", "f"])
        assert (failure["status"], failure["param"]) == (400, "stop")
        assert "at most 5" in failure["message"]
        assert google.requests == []

    @pytest.mark.parametrize(("asked", "sent"), [(None, None), (0, None), (1, 1), (20, 20)])
    def test_alternatives_of_tokens_go_with_response_logprobs(
        self, app: WholeApp, google: FakeGoogle, asked: int | None, sent: int | None
    ) -> None:
        """F3"""
        app.post(logprobs=True, top_logprobs=asked)
        config = google.requests[0].body["generationConfig"]
        assert (config["responseLogprobs"], config.get("logprobs")) == (True, sent)

    @pytest.mark.parametrize("model", KNOWN_MODELS)
    @pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
    def test_effort_never_brings_what_the_model_refuses(
        self, app: WholeApp, google: FakeGoogle, model: str, effort: str
    ) -> None:
        """F4 F5 F6 F7 and defect 11: a level for 3 and newer, a budget for 2.5, nothing for those that do not think."""
        assert app.post(model=model, reasoning_effort=effort).status_code == 200
        config = google.requests[0].body.get("generationConfig", {}).get("thinkingConfig", {})
        thinks = not model.startswith("gemma") and model != "gemini-2.5-flash-image"
        key = "thinkingBudget" if model.startswith("gemini-2") else "thinkingLevel"
        assert config.keys() - {"includeThoughts"} == ({key} if thinks else set())
        assert "imageConfig" not in google.requests[0].body.get("generationConfig", {})

    @pytest.mark.parametrize("effort", ["none", "high"])
    def test_level_and_budget_are_never_sent_together(self, app: WholeApp, google: FakeGoogle, effort: str) -> None:
        """F5 F7: what Google's own fields say counts more than ``reasoning_effort``."""
        for model in (FLASH_25, FLASH_3, LATEST):
            app.post(model=model, reasoning_effort=effort, google={"thinking_config": {"thinking_budget": 2000}})
        sent = [request.body["generationConfig"]["thinkingConfig"] for request in google.requests]
        assert sent == [{"thinkingBudget": 2000, "includeThoughts": True}] * 3

    @pytest.mark.parametrize("place", ["extra_body", "extra_body unwrapped by the SDK"])
    def test_googles_extension_object(self, app: WholeApp, google: FakeGoogle, place: str) -> None:
        """F8 F11: the doubled ``extra_body`` of Python samples is unwrapped once by the SDK."""
        harassment = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
        twice = [{**harassment, "threshold": "BLOCK_ONLY_HIGH"}, harassment]
        fields = {"google": {"thinking_config": {"thinking_level": "low"}, "safety_settings": twice}}
        app.post(**({"extra_body": fields} if place == "extra_body" else fields))
        body = google.requests[0].body
        assert body["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "low", "includeThoughts": True}
        assert body["safetySettings"] == [harassment]

    @both
    def test_thoughts_are_asked_for_with_the_effort_and_kept_apart(
        self, app: WholeApp, google: FakeGoogle, stream: bool
    ) -> None:
        """F9"""
        google.enqueue(thoughts("Hm. ", "Well.") + text("Yes.", sign=True), text("Yes."))
        message = app.answer(stream=stream, reasoning_effort="low")["message"]
        assert (message["reasoning_content"], message["content"]) == ("Hm. Well.", "Yes.")
        app.answer(stream=stream)
        asked = [request.body.get("generationConfig", {}).get("thinkingConfig") for request in google.requests]
        assert asked == [{"thinkingLevel": "low", "includeThoughts": True}, None]

    def test_each_part_holds_one_kind_of_thing(self, app: WholeApp, google: FakeGoogle) -> None:
        """F10"""
        pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
        content = [
            {"type": "text", "text": "Compare"},
            {"type": "image_url", "image_url": {"url": pixel}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
        ]
        app.post(messages=[{"role": "user", "content": content}])
        ((_, parts),) = contents(google.requests[0])
        assert [list(part) for part in parts] == [["text"], ["inlineData"], ["fileData"]]

    @both
    def test_only_streams_ask_for_server_sent_events(self, app: WholeApp, google: FakeGoogle, stream: bool) -> None:
        """F12: without ``alt=sse`` Google streams a JSON array; with it, lines end in CRLF and nothing says [DONE]."""
        google.enqueue(text("One, ", "two.").delivered(crlf=True))
        assert app.answer(stream=stream)["message"]["content"] == "One, two."
        assert (google.requests[0].stream, google.requests[0].sse) == (stream, stream)

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
    def test_schema_of_an_answer_goes_with_its_type_and_in_one_field(
        self, app: WholeApp, google: FakeGoogle, model: str
    ) -> None:
        """F20"""
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        app.post(model=model, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
        assert google.requests[0].body["generationConfig"] == {
            "responseMimeType": "application/json",
            "responseJsonSchema": schema,
        }


class TestTools:
    @staticmethod
    def declared(google: FakeGoogle) -> list[Json]:
        (tool,) = google.requests[-1].body["tools"]
        return list(tool["functionDeclarations"])

    def parameters(self, app: WholeApp, google: FakeGoogle, schema: Json, model: str = FLASH_3) -> Json:
        """What becomes of the parameters of a tool."""
        tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}
        assert app.post(model=model, tools=[tool]).status_code == 200
        (declaration,) = self.declared(google)
        assert declaration.keys() <= {"name", "description", "parametersJsonSchema"}
        return declaration.get("parametersJsonSchema")

    @both
    @pytest.mark.parametrize("name", ["1st", "-dash", "a.b:c", "größe", "x" * 90, "mcp__a__b", "_a"])
    def test_any_name_goes_and_comes_back(self, app: WholeApp, google: FakeGoogle, name: str, stream: bool) -> None:
        """F13: letters, digits, underscores and dashes, the first no digit and no dash, 64 at most."""
        tools = [{"type": "function", "function": {"name": each}} for each in (name, "a_b_c")]
        google.enqueue(lambda request: calls((request.tool_names[0], {})))
        answer = app.answer(stream=stream, tools=tools, tool_choice={"type": "function", "function": {"name": name}})
        (made,) = answer["message"]["tool_calls"]
        assert made["function"]["name"] == name
        given = google.requests[0].tool_names
        calling = google.requests[0].body["toolConfig"]["functionCallingConfig"]
        assert calling == {"mode": "ANY", "allowedFunctionNames": [given[0]]}
        assert len(set(given)) == 2
        google.enqueue(text("Done."))
        app.post(tools=tools, messages=[*HELLO, answer["message"], result(made["id"])])
        _, (_, model_parts), (_, results) = contents(google.requests[1])
        assert model_parts[0]["functionCall"]["name"] == results[0]["functionResponse"]["name"] == given[0]

    @pytest.mark.parametrize("description", [None, "", " \n"], ids=repr)
    def test_missing_description_is_supplied(self, app: WholeApp, google: FakeGoogle, description: str | None) -> None:
        """F14"""
        app.post(tools=[{"type": "function", "function": {"name": "look", "description": description}}])
        assert self.declared(google) == [{"name": "look", "description": "The function look."}]

    def test_keywords_that_gemini_does_not_know_are_not_sent(self, app: WholeApp, google: FakeGoogle) -> None:
        """F15 F16: one unknown key fails the whole request; ``const``, bounds and references are rewritten."""
        schema = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "kind": {"const": "a"},
                "count": {"type": "integer", "exclusiveMinimum": 0, "maximum": 2**53 - 1, "multipleOf": 2},
                "point": {"$ref": "#/$defs/point", "description": "Where."},
                "when": {"type": "string", "format": "uri", "pattern": "^h", "minLength": 1},
            },
            "required": ["kind", "count", "nobody"],
            "additionalProperties": False,
            "propertyNames": {"pattern": "^[a-z]"},
            "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "x-vendor": 1}},
        }
        sent = self.parameters(app, google, schema)
        assert sent["properties"]["kind"] == {"type": "string", "enum": ["a"]}
        assert sent["properties"]["count"]["minimum"] == 1
        assert sent["properties"]["point"] == {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "description": "Where.",
        }
        assert sent["required"] == ["kind", "count"]
        words = json.dumps(sent)
        assert not any(
            f'"{key}"' in words for key in ("$schema", "$ref", "$defs", "const", "propertyNames", "x-vendor")
        )

    def test_cycle_of_references_ends(self, app: WholeApp, google: FakeGoogle) -> None:
        """F16"""
        node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
        sent = self.parameters(
            app, google, {"type": "object", "properties": {"n": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
        )
        assert "$ref" not in json.dumps(sent)
        assert sent["properties"]["n"]["properties"]["next"]["type"] == "object"

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({"enum": [1, 2]}, {"type": "integer", "enum": [1, 2]}),
            ({"type": "integer", "enum": ["1", "2"]}, {"type": "integer", "enum": [1, 2]}),
            ({"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ],
    )
    def test_enum_has_a_type_and_values_that_fit_it(
        self, app: WholeApp, google: FakeGoogle, given: Json, sent: Json
    ) -> None:
        """F17: numbers stay numbers, for ``parametersJsonSchema`` takes them, and strings alone are for ``Schema``."""
        assert self.parameters(app, google, {"type": "object", "properties": {"a": given}})["properties"] == {"a": sent}

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "object", "properties": {"a": {"type": "string"}, "b": True, "c": False}},
            {"a": {"type": "string"}, "b": {}},
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {"not": False}}},
        ],
        ids=["booleans", "bare map", "negation"],
    )
    def test_malformed_schemas_of_tool_servers_are_normalised(
        self, app: WholeApp, google: FakeGoogle, schema: Json
    ) -> None:
        """F18"""
        sent = self.parameters(app, google, schema)
        assert sent["type"] == "object"
        assert sent["properties"]["a"] == {"type": "string"}
        assert isinstance(sent["properties"]["b"], dict)
        assert "c" not in sent["properties"]

    @both
    def test_arguments_named_like_keywords_are_left_alone(
        self, app: WholeApp, google: FakeGoogle, stream: bool
    ) -> None:
        """F19: in the schema of a tool, in a call of the past, and in the call that comes back."""
        names = ["title", "format", "default", "const", "$ref", "pattern", "type", "properties", "enum"]
        properties = {name: {"type": "string"} for name in names}
        arguments = dict.fromkeys(names, "x")
        past = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": json.dumps(arguments)}}
        tool = {"type": "function", "function": {"name": "look", "parameters": {"properties": properties}}}
        google.enqueue(calls(("look", arguments)))
        answer = app.answer(stream=stream, model=FLASH_25, tools=[tool], messages=[*HELLO, called(past), result("c1")])
        assert self.declared(google)[0]["parametersJsonSchema"]["properties"] == properties
        assert contents(google.requests[0])[1][1][0]["functionCall"]["args"] == arguments
        assert json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"]) == arguments

    @both
    def test_one_call_at_a_time_is_all_the_client_and_the_history_see(
        self, app: WholeApp, google: FakeGoogle, stream: bool
    ) -> None:
        """F22"""
        google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "b"}), split=True), text("Done."))
        body: Json = {"tools": [LOOK], "parallel_tool_calls": False, "stream": stream}
        answer = app.answer(**body)
        (made,) = answer["message"]["tool_calls"]
        assert (json.loads(made["function"]["arguments"]), answer["finish_reason"]) == ({"at": "a"}, "tool_calls")
        app.answer(**body, messages=[*HELLO, answer["message"], result(made["id"])])
        assert "at most one function" in json.dumps(google.requests[0].body["systemInstruction"])
        assert len(contents(google.requests[1])[1][1]) == 1

    @pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
    def test_functions_are_kept_and_search_goes(self, app: WholeApp, google: FakeGoogle, model: str) -> None:
        """F23"""
        response = app.post(model=model, tools=[LOOK, {"type": "web_search"}])
        assert [list(tool) for tool in google.requests[0].body["tools"]] == [["functionDeclarations"]]
        assert response.headers["X-Agproxy-Ignored"] == "tools[1]"
