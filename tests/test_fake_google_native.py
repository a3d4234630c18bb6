"""The fake Google and the bodies that native clients write: taken as Google takes them, refused as it refuses them."""

import json
from typing import Any

import pytest

from tests.fake_google import DUMMIES, Refusal, Rules, validate
from tests.fake_google.bodies import (
    ALIAS,
    FLASH_3,
    FLASH_25,
    FLASH_36,
    Json,
    ask,
    call,
    config,
    json_schema,
    mode,
    model,
    result,
    schema,
    talk,
    tool,
    user,
)
from tests.fake_google.protojson import canonical

PNG = "iVBORw0KGgoAAAANSUhEUg=="
SKIP = DUMMIES[0]
FUNCTION: Json = {"functionDeclarations": [{"name": "f", "description": "d"}]}
HELLO: Json = {"text": "hi"}

# As google-genai 3.4 for Python, @google/genai 3.1, Gemini CLI 0.61 and @ai-sdk/google 3.0 were seen to send them.
FROM_CLIENTS: dict[str, tuple[str, Json]] = {
    "Python SDK, system instruction": (
        FLASH_3,
        {
            "contents": [{"parts": [HELLO], "role": "user"}],
            "systemInstruction": {"parts": [{"text": "s"}], "role": "user"},
            "generationConfig": {"temperature": 0.1},
        },
    ),
    "Python SDK, image": (
        FLASH_3,
        {"contents": [{"parts": [{"inlineData": {"data": PNG, "mime_type": "image/png"}}, HELLO], "role": "user"}]},
    ),
    "Python SDK, built-in tools apart": (
        FLASH_3,
        ask(tools=[{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}], generationConfig={}),
    ),
    "Python SDK, functions": (
        FLASH_3,
        ask(
            tools=[
                {
                    "functionDeclarations": [
                        {
                            "description": "d",
                            "name": "f",
                            "parameters_json_schema": {"type": "object", "properties": {"a": {"title": "A"}}},
                            "response_json_schema": {"type": "string"},
                        }
                    ]
                },
                {"functionDeclarations": [{"name": "g", "parameters": {"type": "OBJECT", "properties": {}}}]},
            ],
            generationConfig={},
        ),
    ),
    "Python SDK, schema": (
        FLASH_3,
        config(
            responseMimeType="application/json",
            responseSchema={
                "properties": {"a": {"title": "A", "type": "INTEGER"}, "b": {"nullable": True, "type": "STRING"}},
                "property_ordering": ["a", "b"],
                "required": ["a"],
                "title": "T",
                "type": "OBJECT",
            },
        ),
    ),
    "Python SDK, JSON Schema": (
        FLASH_3,
        config(
            responseMimeType="application/json",
            responseJsonSchema={
                "properties": {"a": {"default": None, "anyOf": [{"type": "string"}]}},
                "type": "object",
            },
        ),
    ),
    "Python SDK, history with thoughts": (
        FLASH_3,
        talk(user("a"), model({"text": "Hm.", "thought": True}, "x"), user("b")),
    ),
    "Gemini CLI, router": (
        "gemini-3.5-flash-lite",
        {
            **talk(user("context", "hello"), user("hello")),
            "systemInstruction": {"parts": [{"text": "You are a router."}], "role": "user"},
            "generationConfig": {
                "temperature": 1,
                "topP": 0.95,
                "topK": 64,
                "responseMimeType": "application/json",
                "responseJsonSchema": {
                    "type": "OBJECT",
                    "properties": {"complexity_reasoning": {"type": "STRING"}, "score": {"type": "INTEGER"}},
                    "required": ["score"],
                },
                "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
            },
        },
    ),
    "Gemini CLI, functions": (
        "gemini-3.8-flash",
        json_schema(
            properties={"name": {"type": "string", "enum": ["a"]}},
            required=["name"],
            additionalProperties=False,
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
    ),
    "Gemini CLI, invented ids and the dummy": (
        "gemini-3.8-flash",
        talk(user("a"), model(call("f", SKIP, id="f_1795338632476_0")), user(result("f", id="f_1795338632476_0"))),
    ),
    "AI SDK, functions with a mode": (
        FLASH_3,
        mode([{"functionDeclarations": [{"name": "f", "parameters": {"type": "object"}}]}], mode="AUTO"),
    ),
}

# By hand, from Google's guides, and from older clients.
BY_HAND: dict[str, tuple[str, Json]] = {
    "no role": (FLASH_3, {"contents": [{"parts": [HELLO]}]}),
    "no role beside an instruction": (FLASH_3, {"contents": [{"parts": [HELLO]}], "system_instruction": user("be")}),
    "lone values": (
        FLASH_3,
        {
            "system_instruction": {"parts": {"text": "You are a cat."}},
            "contents": {"parts": HELLO},
            "tools": {"google_search": {}},
            "generationConfig": {"stopSequences": "x"},
        },
    ),
    "snake_case": (
        FLASH_3,
        ask(
            system_instruction={"parts": [{"text": "s"}]},
            generation_config={"max_output_tokens": 9, "thinking_config": {"thinking_level": "low"}},
            safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            tools=[{"function_declarations": [{"name": "f", "parameters": {"type": "object"}}]}],
            tool_config={"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        ),
    ),
    "both spellings side by side": (FLASH_3, config(max_output_tokens=9, topP=1)),
    "call and result without ids": (FLASH_25, talk(user("a"), model(call()), user(result()))),
    "result without the id of its call": (FLASH_3, talk(user("a"), model(call("f", SKIP, id="1")), user(result()))),
    "result in the old role": (
        FLASH_25,
        talk(user("a"), model(call()), {**user(result()), "role": "function"}, model("b"), user("c")),
    ),
    "text before the result": (FLASH_36, talk(user("a"), model(call("f", SKIP)), user("so:", result()))),
    "picture after the result": (
        FLASH_36,
        talk(user("a"), model(call("f", SKIP)), user(result(), {"inlineData": {"mimeType": "image/png", "data": PNG}})),
    ),
    "text after the result, on older models": (FLASH_25, talk(user("a"), model(call()), user(result(), "so?"))),
    "properties that are empty": (FLASH_3, schema()),
    "function without a description": (FLASH_3, tool(description="")),
    "JSON Schema in upper case": (
        FLASH_3,
        tool(parametersJsonSchema={"type": "OBJECT", "properties": {"a": {"type": ["STRING", "null"]}}}),
    ),
    "search and functions": (
        FLASH_3,
        ask(tools=[{"googleSearch": {}}, FUNCTION], toolConfig={"includeServerSideToolInvocations": True}),
    ),
    "code and its result": (
        FLASH_3,
        talk(
            user("a"),
            model(
                {"executableCode": {"id": "c1", "language": "PYTHON", "code": "1"}},
                {"codeExecutionResult": {"id": "c1", "outcome": "OUTCOME_OK", "output": "1"}},
            ),
            user("b"),
        ),
    ),
    "reference to a picture of the result": (
        FLASH_3,
        talk(
            user("a"),
            model(call("f", SKIP)),
            user(
                result(
                    response={"image": {"$ref": "a.png"}},
                    parts=[{"inlineData": {"mimeType": "image/png", "data": PNG, "displayName": "a.png"}}],
                )
            ),
        ),
    ),
    "server of MCP": (FLASH_3, ask(tools=[{"mcpServers": [{"name": "m", "streamableHttpTransport": {"url": "u"}}]}])),
}

# What the rules for a gateway's own requests refuse, and those for native bodies take.
ONLY_NATIVE = [
    *("lone values", "result without the id of its call", "result in the old role", "text before the result"),
    *("picture after the result", "text after the result, on older models", "properties that are empty"),
    *("function without a description", "JSON Schema in upper case"),
]

REFUSED: dict[str, tuple[str, Json, str]] = {
    "labels, which are Vertex's": (FLASH_3, ask(labels={"a": "b"}), 'Unknown name "labels": Cannot find field.'),
    "a system instruction as text": (FLASH_3, ask(systemInstruction="be"), "Invalid value at 'system_instruction'"),
    "one field in both spellings": (FLASH_3, config(topP=1, top_p=1), "field 'top_p' is already set"),
    "several contents without roles": (
        FLASH_3,
        {"contents": [{"parts": [HELLO]}, {"parts": [HELLO]}]},
        "Please use a valid role: user, model.",
    ),
    "role of OpenAI": (FLASH_25, talk(user("a"), {**user("b"), "role": "assistant"}), "Please use a valid role: user,"),
    "the old role of results": (
        FLASH_36,
        talk(user("a"), model(call("f", SKIP)), {**user(result()), "role": "function"}),
        "Role 'function' is not supported. Please use a valid role: SYSTEM, SYSTEM_1, USER,",
    ),
    "the old role of results, by an alias": (
        ALIAS,
        talk(user("a"), model(call("f", SKIP)), {**user(result()), "role": "function"}),
        "Role 'function' is not supported.",
    ),
    "text after the result": (
        FLASH_36,
        talk(user("a"), model(call("f", SKIP)), user(result(), "so?")),
        "Requests ending with a model turn are not supported.",
    ),
    "text between results": (
        FLASH_36,
        talk(user("a"), model(call("f", SKIP), call("g")), user(result(), result("g"), "so?")),
        "Requests ending with a model turn are not supported.",
    ),
    "other ids": (
        FLASH_3,
        talk(user("a"), model(call("f", SKIP, id="1")), user(result(id="2"))),
        "functionResponse.id does not match functionCall.id",
    ),
    "a required property that is none": (
        FLASH_3,
        tool(parameters={"type": "OBJECT", "properties": {}, "required": ["ref"]}),
        "parameters.required[0]: property is not defined",
    ),
    "a keyword of JSON Schema in a Schema": (
        FLASH_3,
        schema(a={"type": "STRING", "const": "x"}),
        "Unknown name \"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value'",
    ),
    "a type that is none": (FLASH_3, json_schema(properties={"a": {"type": "STR"}}), "not a JSON Schema type: 'STR'"),
    "parameters of a list": (
        FLASH_3,
        tool(parametersJsonSchema={"type": "ARRAY"}),
        "parameters schema should be of type OBJECT",
    ),
    "search and functions, unasked": (
        FLASH_3,
        ask(tools=[{"googleSearch": {}}, FUNCTION]),
        "Please enable tool_config.include_server_side_tool_invocations",
    ),
    "search and functions of 2.5": (
        FLASH_25,
        ask(tools=[{"googleSearch": {}}, FUNCTION]),
        "Tool use with function calling is unsupported",
    ),
    "a cache that is not there": (FLASH_3, ask(cachedContent="cachedContents/x"), "CachedContent not found"),
    "a cache beside tools": (
        FLASH_3,
        ask(cached_content="cachedContents/x", tools=[{"googleSearch": {}}]),
        "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.",
    ),
    "a reference to nothing": (
        FLASH_3,
        talk(user("a"), model(call("f", SKIP)), user(result(response={"image": {"$ref": "a.png"}}))),
        "The referenced name `a.png` in function_response.response does not match",
    ),
    "a call without its signature": (
        FLASH_3,
        talk(user("a"), model(call()), user(result())),
        "Function call is missing a thought_signature in functionCall parts.",
    ),
    "a call without its signature, in snake_case": (
        ALIAS,
        talk(
            user("a"),
            {"role": "model", "parts": [{"function_call": {"name": "f"}}]},
            {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"a": 1}}}]},
        ),
        "Additional data, function call `default_api:f` , position 2.",
    ),
    "a foreign signature, in snake_case": (
        FLASH_3,
        talk(
            user("a"),
            {"role": "model", "parts": [{"function_call": {"name": "f"}, "thought_signature": "c2ln"}]},
            user(result()),
        ),
        "Thought signature is not valid.",
    ),
}


def judge(name: str, body: Json, *, native: bool = True) -> None:
    """Hold the body against the rules."""
    validate(name, json.dumps(body).encode(), Rules(native=native))


@pytest.mark.parametrize(("name", "body"), FROM_CLIENTS.values(), ids=FROM_CLIENTS)
def test_what_native_clients_send_is_taken(name: str, body: Json) -> None:
    judge(name, body)


@pytest.mark.parametrize(("name", "body"), BY_HAND.values(), ids=BY_HAND)
def test_what_people_write_is_taken(name: str, body: Json) -> None:
    judge(name, body)


@pytest.mark.parametrize("case", ONLY_NATIVE)
def test_a_gateway_s_own_requests_are_held_against_stricter_rules(case: str) -> None:
    name, body = BY_HAND[case]
    with pytest.raises(Refusal):
        judge(name, body, native=False)


@pytest.mark.parametrize(("name", "body", "words"), REFUSED.values(), ids=REFUSED)
def test_what_google_refuses_is_refused_of_native_clients_too(name: str, body: Json, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        judge(name, body)
    assert words in caught.value.message


def test_both_spellings_are_read_alike() -> None:
    camel = ask(systemInstruction=user("s"), generationConfig={"topP": 1, "thinkingConfig": {"thinkingLevel": "LOW"}})
    snake = ask(
        system_instruction=user("s"), generation_config={"top_p": 1, "thinkingConfig": {"thinking_level": "low"}}
    )
    assert canonical(camel) == canonical(snake)


@pytest.mark.parametrize("value", [{"text": "a"}, [{"text": "a"}]])
def test_a_lone_value_is_read_as_a_list_of_one(value: Any) -> None:
    assert canonical({"contents": {"parts": value}}, native=True) == {"contents": [{"parts": [{"text": "a"}]}]}


@pytest.mark.parametrize("value", [[], [1], ["a", {}]])
def test_a_list_inside_a_list_is_no_lone_value(value: Any) -> None:
    with pytest.raises(Refusal, match=r"Invalid value at 'contents\[0\]\.parts\[0\]'"):
        canonical({"contents": [{"parts": [value]}]}, native=True)
