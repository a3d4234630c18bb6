"""The fake Google's rules of tools, schemas and settings: what it takes, and what it refuses, in which words."""

import json
from typing import Any

import pytest

from tests.fake_google import Refusal, Rules, validate
from tests.fake_google.bodies import (
    ALIAS,
    ARGON,
    FLASH_3,
    FLASH_25,
    GEMMA,
    HYDROGEN,
    IMAGE_3,
    IMAGE_25,
    LITE_25,
    PRO_25,
    PRO_31,
    PRO_IMAGE_3,
    Json,
    ask,
    config,
    json_schema,
    mode,
    schema,
    thinking,
    tool,
)
from tests.fake_google.families import family_of

LINKED = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"type": "array", "items": leaf}
    return leaf


ACCEPTED: dict[str, tuple[str, Json]] = {
    "enum words in lower case": (FLASH_3, mode(mode="auto")),
    "function without parameters": (FLASH_3, tool()),
    "dotted name": (FLASH_3, tool(name="ns.f:1-a")),
    "schema": (
        FLASH_3,
        schema(
            title={"type": "STRING", "format": "enum", "enum": ["a"]},
            many={"type": "array", "items": {"type": "NUMBER", "format": "float"}},
            either={"anyOf": [{"type": "STRING"}, {"type": "INTEGER", "format": "int64"}], "nullable": True},
        ),
    ),
    "JSON schema": (
        FLASH_3,
        json_schema(
            properties={
                "format": {"type": ["string", "null"], "enum": ["a", 1]},
                "nullable": {"type": "array", "prefixItems": [{"type": "number"}]},
                "any": {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]},
            },
            required=["format"],
            propertyOrdering=["format", "nullable"],
            additionalProperties=False,
        ),
    ),
    "JSON schema of no properties": (FLASH_3, json_schema()),
    "reference": (
        FLASH_3,
        json_schema(properties={"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": {"type": "string"}}}),
    ),
    "anchor": (
        FLASH_3,
        json_schema(properties={"a": {"$ref": "#x"}}, **{"$defs": {"y": {"$anchor": "x", "type": "string"}}}),
    ),
    "cycle below an optional property": (
        FLASH_3,
        json_schema(properties={"a": {"$ref": "#/$defs/node"}}, required=["a"], **{"$defs": {"node": LINKED}}),
    ),
    "32 levels": (FLASH_3, json_schema(properties={"a": nested(30, {"type": "string"})})),
    "any of named functions": (FLASH_3, mode(mode="ANY", allowedFunctionNames=["f"])),
    "validated": (FLASH_3, mode(mode="VALIDATED", allowedFunctionNames=["f"])),
    "search alone": (FLASH_25, ask(tools=[{"googleSearch": {}}])),
    "search with functions, opted in": (
        FLASH_3,
        ask(
            tools=[{"functionDeclarations": [{"name": "f", "description": "d"}]}, {"googleSearch": {}}],
            toolConfig={"includeServerSideToolInvocations": True},
        ),
    ),
    "functions with JSON on family 3": (
        FLASH_3,
        tool()
        | {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}}},
    ),
    "all numbers": (
        FLASH_3,
        config(
            temperature=2,
            topP=0,
            topK=0,
            maxOutputTokens=1,
            candidateCount=1,
            stopSequences=["a"] * 5,
            seed=-1,
            presencePenalty=0,
            frequencyPenalty=0.0,
            responseLogprobs=True,
            logprobs=20,
        ),
    ),
    "eight candidates of 2.5": (FLASH_25, config(candidateCount=8)),
    "logprobs not wanted on 2.5": (FLASH_25, config(responseLogprobs=False)),
    "sampling on Gemini 4": (ARGON, config(temperature=1, topP=1, topK=1)),
    "JSON beside functions on family 3": (
        FLASH_3,
        tool() | {"generationConfig": {"responseMimeType": "application/json"}},
    ),
    "JSON beside search on family 3": (
        FLASH_3,
        ask(tools=[{"googleSearch": {}}], generationConfig={"responseMimeType": "application/json"}),
    ),
    "xhigh of Hydrogen": (HYDROGEN, thinking(thinkingLevel="XHIGH")),
    "minimal of an image model": (IMAGE_3, thinking(thinkingLevel="MINIMAL")),
    "temperature of Gemma": (GEMMA, config(temperature=0.5, maxOutputTokens=10)),
    "continuation": (ARGON, ask(continuationToken="YWJj", store=False)),
    "every category of safety": (
        FLASH_3,
        ask(
            safetySettings=[
                {"category": f"HARM_CATEGORY_{word}", "threshold": "BLOCK_NONE"}
                for word in ("HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "HARASSMENT", "JAILBREAK")
            ]
            + [{"category": "HARM_CATEGORY_CIVIC_INTEGRITY", "threshold": "BLOCK_ONLY_HIGH"}]
        ),
    ),
    "budget": (FLASH_25, thinking(thinkingBudget=0)),
    "dynamic budget": (PRO_25, thinking(thinkingBudget=-1, includeThoughts=True)),
    "budget alone on family 3": (FLASH_3, thinking(thinkingBudget=1024)),
    "level": (FLASH_3, thinking(thinkingLevel="minimal", includeThoughts=True)),
    "level of an alias": (ALIAS, thinking(thinkingLevel="LOW")),
    "response schema": (FLASH_25, config(responseMimeType="application/json", responseSchema={"type": "STRING"})),
    "enum answer": (FLASH_25, config(responseMimeType="text/x.enum", responseSchema={"type": "STRING", "enum": ["a"]})),
    "image settings": (
        "gemini-3-pro-image",
        config(responseModalities=["TEXT", "IMAGE"], imageConfig={"aspectRatio": "16:9", "imageSize": "2K"}),
    ),
    "safety": (FLASH_3, ask(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])),
}

REFUSED: dict[str, tuple[str, Json, str]] = {
    # tools
    "empty tool": (
        FLASH_3,
        ask(tools=[{}]),
        "tools[0].tool_type: required one_of 'tool_type' must have one initialized field",
    ),
    "empty list of functions": (FLASH_3, ask(tools=[{"functionDeclarations": []}]), "tool_type"),
    "name with a space": (
        FLASH_3,
        tool(name="a b"),
        "function_declarations[0].name: Invalid function name. Must start with",
    ),
    "name that starts with a digit": (FLASH_3, tool(name="1a"), "Invalid function name"),
    "name of 65": (FLASH_3, tool(name="a" * 65), "Invalid function name"),
    "no description": (FLASH_3, tool(description=""), "description"),
    "a name twice": (
        FLASH_3,
        ask(tools=[{"functionDeclarations": [{"name": "f", "description": "d"}]}] * 2),
        "Duplicate function declaration found: f",
    ),
    "both kinds of schema": (
        FLASH_3,
        tool(
            parameters={"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
            parametersJsonSchema={"type": "object"},
        ),
        "only one of parameters and parameters_json_schema",
    ),
    "parameters of another type": (FLASH_3, tool(parameters={"type": "STRING"}), "should be of type OBJECT"),
    "no properties": (FLASH_3, schema(), "parameters.properties: should be non-empty for OBJECT type"),
    "no properties inside": (
        FLASH_3,
        schema(a={"type": "OBJECT"}),
        "properties[a].properties: should be non-empty for OBJECT type",
    ),
    "no type": (FLASH_3, schema(a={"description": "x"}), "properties[a].type: must be specified"),
    "no items": (FLASH_3, schema(a={"type": "ARRAY"}), "properties[a].items: missing field."),
    "format": (
        FLASH_3,
        schema(a={"type": "STRING", "format": "uri"}),
        "only 'enum' and 'date-time' are supported for STRING type",
    ),
    "format of a number": (FLASH_3, schema(a={"type": "INTEGER", "format": "uint8"}), "only 'int32' and 'int64'"),
    "enum of a number": (
        FLASH_3,
        schema(a={"type": "INTEGER", "enum": ["1"]}),
        "properties[a].enum: only allowed for STRING type",
    ),
    "empty enum word": (FLASH_3, schema(a={"type": "STRING", "enum": [""]}), "enum[0]: cannot be empty"),
    "required and undefined": (
        FLASH_3,
        tool(parameters={"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["b"]}),
        "parameters.required[0]: property is not defined",
    ),
    "properties of a string": (
        FLASH_3,
        schema(a={"type": "STRING", "properties": {"b": {"type": "STRING"}}}),
        "only allowed for OBJECT type",
    ),
    "response of a function": (FLASH_3, tool(response={"type": "ARRAY"}), "response.items: missing field."),
    "search with functions": (
        FLASH_3,
        ask(tools=[{"functionDeclarations": [{"name": "f", "description": "d"}], "googleSearch": {}}]),
        "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling.",
    ),
    "search with functions on 2.5": (
        FLASH_25,
        ask(
            tools=[{"functionDeclarations": [{"name": "f", "description": "d"}]}, {"googleSearch": {}}],
            toolConfig={"includeServerSideToolInvocations": True},
        ),
        "Tool use with function calling is unsupported",
    ),
    "old search": (FLASH_3, ask(tools=[{"googleSearchRetrieval": {}}]), "google_search_retrieval is not supported"),
    "mode without functions": (
        FLASH_3,
        mode([], mode="ANY"),
        "Function calling config is set without function_declarations.",
    ),
    "names with AUTO": (FLASH_3, mode(mode="AUTO", allowedFunctionNames=["f"]), "allowed_function_names"),
    "names undeclared": (FLASH_3, mode(mode="ANY", allowedFunctionNames=["g"]), "'g', which is not declared"),
    "functions of Gemma": (GEMMA, tool(), "Function calling is not enabled for models/gemma-3-27b-it"),
    "search of Gemma": (GEMMA, ask(tools=[{"googleSearch": {}}]), "Search as tool is not enabled for this model"),
    "search with JSON on 2.5": (
        FLASH_25,
        ask(tools=[{"googleSearch": {}}], generationConfig={"responseMimeType": "application/json"}),
        "Tool use with a response mime type: 'application/json' is unsupported",
    ),
    "functions with JSON on 2.5": (
        FLASH_25,
        tool() | {"generationConfig": {"responseMimeType": "application/json"}},
        "Function calling with a response mime type: 'application/json' is unsupported",
    ),
    # JSON schema
    "root of another type": (FLASH_3, tool(parametersJsonSchema={"type": "string"}), "should be of type OBJECT"),
    "root without a type": (FLASH_3, tool(parametersJsonSchema={"properties": {}}), "should be of type OBJECT"),
    "unsupported keyword": (FLASH_3, json_schema(**{"$schema": "x"}), "unsupported JSON Schema keyword '$schema'"),
    "nullable": (FLASH_3, json_schema(properties={"a": {"type": "string", "nullable": True}}), "keyword 'nullable'"),
    "const below anyOf": (FLASH_3, json_schema(properties={"a": {"anyOf": [{"const": 1}]}}), "anyOf[0]: unsupported"),
    "keyword in a definition": (FLASH_3, json_schema(**{"$defs": {"x": {"not": {}}}}), "$defs[x]: unsupported"),
    "boolean schema": (
        FLASH_3,
        json_schema(properties={"a": True}),
        "properties[a]: a schema must be an object, not True",
    ),
    "unknown type": (FLASH_3, json_schema(properties={"a": {"type": "STRING"}}), "not a JSON Schema type: 'STRING'"),
    "text for a number": (
        FLASH_3,
        json_schema(properties={"a": {"type": "number", "minimum": "1"}}),
        "minimum: must be a number",
    ),
    "count below zero": (FLASH_3, json_schema(properties={"a": {"type": "array", "minItems": -1}}), "non-negative"),
    "empty anyOf": (FLASH_3, json_schema(properties={"a": {"anyOf": []}}), "must be a non-empty list"),
    "enum of null": (FLASH_3, json_schema(properties={"a": {"enum": [None]}}), "strings and numbers"),
    "required and undefined in JSON schema": (
        FLASH_3,
        json_schema(required=["a"]),
        "required[0]: property is not defined",
    ),
    "reference to nothing": (FLASH_3, json_schema(properties={"a": {"$ref": "#/$defs/x"}}), "does not resolve"),
    "reference elsewhere": (
        FLASH_3,
        json_schema(properties={"a": {"$ref": "https://example.com/x"}}),
        "does not resolve",
    ),
    "reference with company": (
        FLASH_3,
        json_schema(
            properties={"a": {"$ref": "#/$defs/x", "description": "d"}}, **{"$defs": {"x": {"type": "string"}}}
        ),
        "was set alongside unsupported fields",
    ),
    "cycle below a required property": (
        FLASH_3,
        json_schema(
            properties={"a": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": {**LINKED, "required": ["next"]}}}
        ),
        "cyclic references",
    ),
    "cycle of references": (
        FLASH_3,
        json_schema(**{"$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}}),
        "cyclic references",
    ),
    "33 levels": (FLASH_3, json_schema(properties={"a": nested(31, {"type": "string"})}), "nested deeper than 32"),
    # generation config
    "temperature": (FLASH_3, config(temperature=2.1), "temperature must be in the range [0.0, 2.0]."),
    "topP": (FLASH_3, config(topP=1.1), "top_p must be in the range"),
    "topK": (FLASH_3, config(topK=-1), "top_k"),
    "maxOutputTokens": (FLASH_3, config(maxOutputTokens=0), "max_output_tokens must be positive."),
    "candidateCount": (FLASH_3, config(candidateCount=9), "candidate_count"),
    "six stops": (FLASH_3, config(stopSequences=["a"] * 6), "the number of stop_sequences must not exceed 5"),
    "empty stop": (FLASH_3, config(stopSequences=[""]), "stop_sequences[0]"),
    "penalty": (FLASH_3, config(presencePenalty=2), "presence_penalty must be in the range [-2.0, 2.0)."),
    "penalty that is allowed by its range": (FLASH_25, config(presencePenalty=0.5), "Penalty is not enabled for this"),
    "negative penalty": (ALIAS, config(frequencyPenalty=-0.5), "Penalty is not enabled for this model"),
    "logprobs on 2.5": (
        FLASH_25,
        config(responseLogprobs=True),
        "Logprobs is not enabled for models/gemini-2.5-flash",
    ),
    "two candidates on family 3": (
        FLASH_3,
        config(candidateCount=2),
        "Multiple candidates is not enabled for this model",
    ),
    "two candidates of an alias": (ALIAS, config(candidateCount=2), "Multiple candidates is not enabled"),
    "two candidates of an image model": (IMAGE_25, config(candidateCount=2), "Multiple candidates is not enabled"),
    "logprobs alone": (FLASH_3, config(logprobs=1), "only valid if response_logprobs is true"),
    "21 logprobs": (FLASH_3, config(responseLogprobs=True, logprobs=21), "[0, 20]"),
    "budget and level": (
        FLASH_3,
        thinking(thinkingBudget=1, thinkingLevel="LOW"),
        "You can only set only one of thinking budget",
    ),
    "level on 2.5": (FLASH_25, thinking(thinkingLevel="LOW"), "Thinking level is not supported for this model."),
    "minimal on Pro": (PRO_31, thinking(thinkingLevel="MINIMAL"), "'minimal' is not a supported thinking level"),
    "minimal on 3.8": ("gemini-3.8-flash", thinking(thinkingLevel="MINIMAL"), "Allowed values are: low, medium, high."),
    "minimal of an alias": (
        "gemini-flash-latest",
        thinking(thinkingLevel="MINIMAL"),
        "'minimal' is not a supported thinking level for this model. Allowed values are: low, medium, high.",
    ),
    "low of an image model": (IMAGE_3, thinking(thinkingLevel="LOW"), "Allowed values are: minimal, high."),
    "medium of a Pro image model": (PRO_IMAGE_3, thinking(thinkingLevel="MEDIUM"), "Allowed values are: low, high."),
    "xhigh of Argon": (ARGON, thinking(thinkingLevel="XHIGH"), "Allowed values are: low, medium, high."),
    "thinking of a 2.5 image model": (IMAGE_25, thinking(thinkingBudget=0), "thinking is not supported"),
    "thinking of Gemma": (GEMMA, thinking(thinkingBudget=0), "thinking is not supported"),
    "budget 0 on 2.5 Pro": (
        PRO_25,
        thinking(thinkingBudget=0),
        "Budget 0 is invalid. This model only works in thinking mode.",
    ),
    "budget 0 on family 3": (FLASH_3, thinking(thinkingBudget=0), "Budget 0 is invalid."),
    "budget too small": (LITE_25, thinking(thinkingBudget=511), "Please choose a value between 512 and 24576."),
    "budget too large": (FLASH_25, thinking(thinkingBudget=24577), "The thinking budget 24577 is invalid."),
    "budget below": (FLASH_25, thinking(thinkingBudget=-2), "The thinking budget -2 is invalid."),
    "thoughts of none": (
        FLASH_25,
        thinking(thinkingBudget=0, includeThoughts=True),
        "include_thoughts is only enabled",
    ),
    "thinking of a model without": ("gemini-2.0-flash", thinking(includeThoughts=True), "thinking is not supported"),
    "schema without its type": (
        FLASH_3,
        config(responseSchema={"type": "STRING"}),
        "response_mime_type must be application/json",
    ),
    "JSON schema without its type": (
        FLASH_3,
        config(responseJsonSchema={"type": "string"}),
        "response_mime_type must be",
    ),
    "both response schemas": (
        FLASH_3,
        config(
            responseMimeType="application/json",
            responseSchema={"type": "STRING"},
            responseJsonSchema={"type": "string"},
        ),
        "only one of response_schema and response_json_schema",
    ),
    "bad response schema": (
        FLASH_3,
        config(responseMimeType="application/json", responseSchema={"type": "OBJECT"}),
        "generation_config.response_schema.properties: should be non-empty",
    ),
    "bad response JSON schema": (
        FLASH_3,
        config(responseMimeType="application/json", responseJsonSchema={"pattern": "x"}),
        "response_json_schema: unsupported",
    ),
    "JSON of an image model": (IMAGE_25, config(responseMimeType="application/json"), "JSON mode is not enabled for"),
    "JSON of Gemma": (
        GEMMA,
        config(responseMimeType="application/json"),
        "JSON mode is not enabled for models/gemma-3-27b-it",
    ),
    "answer type": (FLASH_3, config(responseMimeType="text/html"), "allowed mimetypes are `text/plain`"),
    "image of a text model": (
        FLASH_3,
        config(responseModalities=["IMAGE"]),
        "does not support the requested response modalities: image",
    ),
    "image settings of a text model": (
        FLASH_3,
        config(imageConfig={"aspectRatio": "1:1"}),
        "not supported for this model",
    ),
    "aspect ratio": ("gemini-3-pro-image", config(imageConfig={"aspectRatio": "3:7"}), "aspect_ratio must be one of"),
    "image size": ("gemini-3-pro-image", config(imageConfig={"imageSize": "8K"}), "Unsupported image_size '8K'."),
    "speech settings of a text model": (FLASH_3, config(speechConfig={"languageCode": "de-DE"}), "Speech config"),
    "safety category": (
        FLASH_3,
        ask(safetySettings=[{"category": "HARM_CATEGORY_MEDICAL", "threshold": "BLOCK_NONE"}]),
        "element predicate failed",
    ),
    "civic integrity off": (
        FLASH_3,
        ask(safetySettings=[{"category": "HARM_CATEGORY_CIVIC_INTEGRITY", "threshold": "OFF"}]),
        "HARM_CATEGORY_CIVIC_INTEGRITY threshold cannot be 5",
    ),
    "a category twice": (
        FLASH_3,
        ask(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}] * 2),
        "more than one setting",
    ),
    "no threshold": (FLASH_3, ask(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT"}]), "threshold"),
    "cached content": (
        FLASH_3,
        ask(cachedContent="cachedContents/x"),
        "CachedContent not found (or permission denied)",
    ),
}


@pytest.mark.parametrize(("name", "body"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_request_is_taken(name: str, body: Json) -> None:
    validate(name, json.dumps(body).encode())


@pytest.mark.parametrize(("name", "body", "words"), REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_in_the_words_of_google(name: str, body: Json, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        validate(name, json.dumps(body).encode())
    assert words in caught.value.message
    assert (caught.value.http_status, caught.value.status) in ((400, "INVALID_ARGUMENT"), (403, "PERMISSION_DENIED"))


def test_findings_of_a_schema_are_listed_together() -> None:
    with pytest.raises(Refusal) as caught:
        validate(FLASH_3, json.dumps(schema(a={"type": "OBJECT"}, b={"type": "ARRAY"})).encode())
    path = "* GenerateContentRequest.tools[0].function_declarations[0].parameters"
    assert caught.value.message == (
        f"{path}.properties[a].properties: should be non-empty for OBJECT type\n"
        f"{path}.properties[b].items: missing field.\n"
    )


def test_keywords_that_google_ignores_pass_in_native_bodies() -> None:
    body = json_schema(properties={"a": {"type": "string", "pattern": "x", "default": 1}}, **{"$schema": "x"})
    validate(FLASH_3, json.dumps(body).encode(), Rules(native=True))


@pytest.mark.parametrize("name", [ARGON, ALIAS, "gemini-flash-latest", "gemini-flash-lite-latest"])
@pytest.mark.parametrize("field", ["temperature", "topP", "topK"])
def test_sampling_can_be_refused_from_gemini_4_on(name: str, field: str) -> None:
    body = json.dumps(config(**{field: 1})).encode()
    with pytest.raises(Refusal, match="is deprecated and not supported for this model"):
        validate(name, body, Rules(refuse_sampling=True))
    validate(FLASH_3, body, Rules(refuse_sampling=True))


@pytest.mark.parametrize("name", ["gemini-flash-latest", "gemini-flash-lite-latest", ALIAS])
def test_an_alias_counts_as_newest(name: str) -> None:
    assert family_of(name).version > family_of(HYDROGEN).version
    assert "minimal" not in family_of(name).thinking_levels or "-lite" in name
