"""The fake Google's rules of JSON, message, contents and turns: what it takes, and what it refuses, in which words."""

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fake_google import DUMMIES, Refusal, validate
from tests.fake_google.bodies import (
    ALIAS,
    FLASH_3,
    FLASH_25,
    FLASH_36,
    GEMMA,
    Json,
    ask,
    call,
    config,
    model,
    part,
    result,
    schema,
    talk,
    thinking,
    tool,
    user,
)
from tests.fake_google.signatures import NOT_VALID

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n rest").decode()
SKIP = DUMMIES[0]
FILES = "https://generativelanguage.googleapis.com/v1beta/files"
SHOT: Json = {"inlineData": {"mimeType": "image/png", "data": PNG}}
SOUND: Json = {"inlineData": {"mimeType": "audio/wav", "data": "YQ=="}}

ACCEPTED: dict[str, tuple[str, Json]] = {
    "text": (FLASH_3, ask()),
    "single content without a role": (FLASH_3, {"contents": [{"parts": [{"text": "hi"}]}]}),
    "two user contents in a row": (FLASH_3, talk(user("a"), user("b"))),
    "snake_case names": (FLASH_3, ask(system_instruction={"parts": [{"text": "be"}]}, generation_config={"top_p": 1})),
    "model named in the body": (FLASH_3, ask(model=f"models/{FLASH_3}")),
    "null fields": (FLASH_3, ask(tools=None, systemInstruction=None)),
    "model turn last on older models": (FLASH_3, talk(user("a"), model("b"))),
    "image": (FLASH_3, part({"inlineData": {"mimeType": "image/png", "data": PNG}})),
    "URL-safe base64": (FLASH_3, part({"inlineData": {"mimeType": "text/plain", "data": "-_-_"}})),
    "text document with a charset": (
        FLASH_3,
        part({"inlineData": {"mimeType": "text/csv; charset=utf-8", "data": "YQ"}}),
    ),
    "file by https": (FLASH_3, part({"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}})),
    "file by https without a type": (FLASH_3, part({"fileData": {"fileUri": "https://example.com/a"}})),
    "page by https": (FLASH_3, part({"fileData": {"mimeType": "text/html", "fileUri": "https://example.com/"}})),
    "file of the Files API": (
        FLASH_3,
        part({"fileData": {"mimeType": "audio/mp3", "fileUri": f"{FILES}/abc"}}),
    ),
    "video of YouTube": (FLASH_3, part({"fileData": {"fileUri": "https://www.youtube.com/watch?v=abc"}})),
    "media resolution": (FLASH_3, part({"text": "a", "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}})),
    "call and result": (FLASH_25, talk(user("a"), model(call()), user(result()))),
    "results in another order": (
        FLASH_25,
        talk(user("a"), model(call("f", id="1"), call("g", id="2")), user(result("g", id="2"), result("f", id="1"))),
    ),
    "the same call twice": (
        FLASH_25,
        talk(user("a"), model(call(id="1"), call(id="2")), user(result(id="1"), result(id="2"))),
    ),
    "two steps": (FLASH_25, talk(user("a"), model(call()), user(result()), model("t", call()), user(result()))),
    "media in a result": (FLASH_3, talk(user("a"), model(call(signature=SKIP)), user(result(parts=[SHOT])))),
    "server-side tool parts": (
        FLASH_3,
        talk(
            user("a"),
            model(
                {"toolCall": {"id": "1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"q": "x"}}},
                {"toolResponse": {"id": "1", "toolType": "GOOGLE_SEARCH_WEB", "response": {}}},
                "found",
            ),
            user("b"),
        ),
    ),
    "call of an earlier turn without a signature": (
        FLASH_3,
        talk(user("a"), model(call()), user(result()), model("done"), user("b")),
    ),
    "raw dummy": (FLASH_3, talk(user("a"), model(call(signature=SKIP), call("g")), user(result(), result("g")))),
    "dummy in base64": (
        ALIAS,
        talk(user("a"), model(call(signature=base64.b64encode(DUMMIES[1].encode()).decode())), user(result())),
    ),
}

REFUSED: dict[str, tuple[str, Json | bytes, str]] = {
    # JSON
    "not UTF-8": (FLASH_3, b'{"contents": "\xff"}', "non UTF-8"),
    "not JSON": (FLASH_3, b"{'a': 1}", "Unexpected token"),
    "NaN": (FLASH_3, b'{"generationConfig": {"temperature": NaN}}', "Unexpected token"),
    "a number beyond all": (FLASH_3, b'{"generationConfig": {"temperature": 1e999}}', "Unexpected token"),
    "a key twice": (FLASH_3, b'{"contents": [], "contents": []}', "Unexpected token"),
    "half a surrogate": (FLASH_3, b'{"contents": [{"parts": [{"text": "\\ud800"}]}]}', "unicode"),
    "too deep": (FLASH_3, ask(x=json.loads("[" * 110 + "]" * 110)), "Message too deep"),
    "an array": (FLASH_3, b"[]", "Root element must be a message"),
    # the message
    "unknown field": (FLASH_3, ask(foo=1), 'Unknown name "foo": Cannot find field.'),
    "unknown field inside": (
        FLASH_3,
        schema(a={"type": "STRING", "const": "x"}),
        "\"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value': Cannot find field.",
    ),
    "Python's own name": (FLASH_3, schema(a={"type_": "STRING"}), 'Unknown name "type_"'),
    "list of types": (
        FLASH_3,
        schema(a={"type": ["string", "null"]}),
        "Proto field is not repeating, cannot start list.",
    ),
    "number for text": (FLASH_3, part({"text": 1}), "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 1"),
    "unknown enum word": (FLASH_3, schema(a={"type": "text"}), 'generativelanguage.v1beta.Type), "text"'),
    "unknown thinking level": (FLASH_3, thinking(thinkingLevel="MAX"), "ThinkingLevel"),
    "bad base64": (FLASH_3, part({"inlineData": {"mimeType": "image/png", "data": "a b"}}), "Base64 decoding failed"),
    "both spellings": (FLASH_3, ask(toolConfig={}, tool_config={}), "already set"),
    "seed beyond int32": (FLASH_3, config(seed=2**31), "TYPE_INT32"),
    "boolean for a number": (FLASH_3, config(temperature=True), "TYPE_FLOAT"),
    "opt-in of the wrong type": (FLASH_3, ask(toolConfig={"includeServerSideToolInvocations": "yes"}), "TYPE_BOOL"),
    "enum of numbers": (
        FLASH_3,
        schema(a={"type": "INTEGER", "enum": [1]}),
        "properties[0].value.enum[0]' (TYPE_STRING), 1",
    ),
    "result that is no object": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(response="ok"))),
        "function_response.response' (type.googleapis.com/google.protobuf.Struct)",
    ),
    "another model in the body": (FLASH_3, ask(model="models/other"), "models/other"),
    "displayName of Vertex": (
        FLASH_3,
        part({"inlineData": {"mimeType": "image/png", "data": PNG, "displayName": "x"}}),
        "Cannot find field",
    ),
    # contents
    "no contents": (FLASH_3, {}, "GenerateContentRequest.contents: contents is not specified"),
    "no parts": (FLASH_3, talk(user()), "contents[0].parts: contents.parts must not be empty."),
    "role missing among many": (
        FLASH_3,
        talk(user("a"), {"parts": [{"text": "b"}]}),
        "Please use a valid role: user, model.",
    ),
    "role assistant": (FLASH_3, talk({"role": "assistant", "parts": [{"text": "b"}]}), "Please use a valid role"),
    "role function": (
        FLASH_25,
        talk(user("a"), model(call()), {**user(result()), "role": "function"}),
        "Please use a valid role",
    ),
    "empty text": (
        FLASH_3,
        talk(user("")),
        "contents[0].parts[0].data: required oneof field 'data' must have one initialized field",
    ),
    "empty part": (FLASH_3, part({}), "must have one initialized field"),
    "signature alone": (
        FLASH_3,
        talk(user("a"), model({"thoughtSignature": SKIP}), user("b")),
        "must have one initialized field",
    ),
    "two kinds in a part": (
        FLASH_3,
        part({"text": "a", "fileData": {"fileUri": "https://a/b"}}),
        "oneof field 'data' is already set",
    ),
    "image in the system instruction": (
        FLASH_3,
        ask(systemInstruction=user({"inlineData": {"mimeType": "image/png", "data": PNG}})),
        "System instruction",
    ),
    "system instruction of Gemma": (
        GEMMA,
        ask(systemInstruction=user("a")),
        "Developer instruction is not enabled for models/gemma-3-27b-it",
    ),
    "audio by https": (
        FLASH_3,
        part({"fileData": {"mimeType": "audio/mp3", "fileUri": "https://example.com/a.mp3"}}),
        "Unsupported MIME type: audio/mp3",
    ),
    "bytes by https": (
        FLASH_3,
        part({"fileData": {"mimeType": "application/octet-stream", "fileUri": "https://example.com/a"}}),
        "Unsupported MIME type: application/octet-stream",
    ),
    "bytes of the Files API": (
        FLASH_3,
        part({"fileData": {"mimeType": "application/octet-stream", "fileUri": f"{FILES}/abc"}}),
        "Unsupported MIME type: application/octet-stream",
    ),
    "image of YouTube": (
        FLASH_3,
        part({"fileData": {"mimeType": "image/png", "fileUri": "https://youtu.be/abc"}}),
        "Unsupported MIME type: image/png",
    ),
    "file by an IP address": (FLASH_3, part({"fileData": {"fileUri": "https://192.0.2.7/a"}}), "Cannot fetch content"),
    "file by an IPv6 address": (FLASH_3, part({"fileData": {"fileUri": "https://[::1]/a"}}), "Cannot fetch content"),
    "file of this machine": (FLASH_3, part({"fileData": {"fileUri": "https://localhost/a"}}), "Cannot fetch content"),
    "empty system instruction": (FLASH_3, ask(systemInstruction={"parts": []}), "system_instruction.parts"),
    "gif": (
        FLASH_3,
        part({"inlineData": {"mimeType": "image/gif", "data": "YQ=="}}),
        "Unsupported MIME type: image/gif",
    ),
    "octet-stream": (
        FLASH_3,
        part({"inlineData": {"mimeType": "application/octet-stream", "data": "YQ=="}}),
        "Unsupported MIME type",
    ),
    "no media type": (FLASH_3, part({"inlineData": {"data": "YQ=="}}), "mime_type"),
    "no data": (FLASH_3, part({"inlineData": {"mimeType": "image/png", "data": ""}}), "inline_data.data"),
    "png that is none": (
        FLASH_3,
        part({"inlineData": {"mimeType": "image/png", "data": "YQ=="}}),
        "Unable to process input image",
    ),
    "jpeg that is png": (
        FLASH_3,
        part({"inlineData": {"mimeType": "image/jpeg", "data": PNG}}),
        "Unable to process input image",
    ),
    "file by http": (
        FLASH_3,
        part({"fileData": {"fileUri": "http://example.com/a"}}),
        "Invalid or unsupported file uri",
    ),
    # turns
    "call first": (
        FLASH_25,
        talk(model(call()), user(result())),
        "function call turn comes immediately after a user turn",
    ),
    "call after a model turn": (
        FLASH_25,
        talk(user("a"), model("b"), model(call()), user(result())),
        "function call turn comes",
    ),
    "call of the user": (
        FLASH_25,
        talk(user("a"), user(call()), user(result())),
        "function call turn comes immediately",
    ),
    "result without a call": (
        FLASH_25,
        talk(user("a"), model("b"), user(result())),
        "function response turn comes immediately after",
    ),
    "result of the model": (FLASH_25, talk(user("a"), model(call()), model(result())), "function response turn comes"),
    "too few results": (
        FLASH_25,
        talk(user("a"), model(call(), call("g")), user(result())),
        "number of function response parts",
    ),
    "too many results": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(), result())),
        "number of function response parts",
    ),
    "results in two contents": (
        FLASH_25,
        talk(user("a"), model(call(), call("g")), user(result()), user(result("g"))),
        "number of function response parts",
    ),
    "no results": (FLASH_25, talk(user("a"), model(call()), user("b")), "number of function response parts"),
    "unanswered call last": (FLASH_25, talk(user("a"), model(call())), "number of function response parts"),
    "result of another name": (FLASH_25, talk(user("a"), model(call()), user(result("g"))), "names match"),
    "id lost": (
        FLASH_25,
        talk(user("a"), model(call(id="1")), user(result())),
        "functionResponse.id does not match functionCall.id",
    ),
    "id invented": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(id="1"))),
        "functionResponse.id does not match",
    ),
    "ids crossed": (
        FLASH_25,
        talk(user("a"), model(call("f", id="1"), call("g", id="2")), user(result("f", id="2"), result("g", id="1"))),
        "functionResponse.id does not match",
    ),
    "one id twice": (
        FLASH_25,
        talk(user("a"), model(call(id="1"), call(id="1")), user(result(id="1"), result(id="1"))),
        "Duplicate",
    ),
    "text after the result": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(), "more")),
        "ending with a model turn",
    ),
    "text before the result": (
        FLASH_25,
        talk(user("a"), model(call()), user("more", result())),
        "ending with a model turn",
    ),
    "media in a result on 2.5": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(parts=[SHOT]))),
        "Multimodal function responses are not supported",
    ),
    "sound in a result": (
        FLASH_3,
        talk(user("a"), model(call(signature=SKIP)), user(result(parts=[SOUND]))),
        "Unsupported MIME type: audio/wav",
    ),
    "$ref in a result": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(response={"a": [{"$ref": "#/x"}]}))),
        "The referenced name `#/x` in function_response.response does not match to a display_name",
    ),
    "$defs in a result": (
        FLASH_25,
        talk(user("a"), model(call()), user(result(response={"$defs": {}}))),
        "does not match to a display_name",
    ),
    "dotted name in a call": (
        FLASH_25,
        talk(user("a"), model(call("a.b")), user(result("a.b"))),
        "Invalid function name",
    ),
    "call without a name": (FLASH_25, talk(user("a"), model(call("")), user(result(""))), "Name cannot be empty"),
    "model turn last on 3.6": (
        FLASH_36,
        talk(user("a"), model("b")),
        "Requests ending with a model turn are not supported.",
    ),
    "model turn last on an alias": (ALIAS, talk(user("a"), model("b")), "Requests ending with a model turn"),
    "model turn last on 3.5 lite": ("gemini-3.5-flash-lite", talk(user("a"), model("b")), "ending with a model turn"),
    # signatures
    "no signature": (
        FLASH_3,
        talk(user("a"), model(call()), user(result())),
        "missing a thought_signature in functionCall parts",
    ),
    "no signature on an alias": (
        ALIAS,
        talk(user("a"), model(call()), user(result())),
        "`default_api:f` , position 2.",
    ),
    "no signature in the second step": (
        FLASH_3,
        talk(user("a"), model(call(signature=SKIP)), user(result()), model("t", call()), user(result())),
        "position 4.",
    ),
    "signature on the second call only": (
        FLASH_3,
        talk(user("a"), model(call(), call("g", SKIP)), user(result(), result("g"))),
        "missing a thought_signature",
    ),
    "foreign signature": (FLASH_3, talk(user("a"), model(call(signature="c29tZXRoaW5n")), user(result())), NOT_VALID),
    "foreign signature in an old turn": (
        FLASH_25,
        talk(user("a"), model({"text": "b", "thoughtSignature": "AAAA"}), user("c")),
        NOT_VALID,
    ),
}


WORDS = [
    "type",
    "properties",
    "required",
    "items",
    "anyOf",
    "enum",
    "$ref",
    "$defs",
    "a",
    "text",
    "parts",
    "role",
    "functionCall",
    "functionResponse",
    "name",
    "args",
]
PLACES: list[Callable[[Any], Json]] = [
    lambda value: {"contents": value},
    lambda value: {"contents": [value, user("a"), value]},
    lambda value: {"contents": [{"role": "user", "parts": [value]}]},
    lambda value: {"contents": [user("a"), model(call()), user({"functionResponse": value})]},
    lambda value: tool(parameters=value),
    lambda value: tool(parametersJsonSchema={"type": "object", "properties": {"a": value}, "$defs": {"a": value}}),
    lambda value: ask(generationConfig=value, tools=value),
]


@pytest.mark.parametrize(("name", "body"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_request_is_taken(name: str, body: Json) -> None:
    validate(name, json.dumps(body).encode())


@pytest.mark.parametrize(("name", "body", "words"), REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_in_the_words_of_google(name: str, body: Json | bytes, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        validate(name, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert words in caught.value.message
    assert (caught.value.http_status, caught.value.status) in ((400, "INVALID_ARGUMENT"), (403, "PERMISSION_DENIED"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "object", "#", "a", "#/properties/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, database=None)
@given(value=JSON_VALUES, place=st.sampled_from(PLACES))
def test_whatever_is_sent_is_taken_or_refused(value: Any, place: Callable[[Any], Json]) -> None:
    with contextlib.suppress(Refusal):
        validate(FLASH_3, json.dumps(place(value)).encode())


def test_unknown_fields_are_listed_together_with_their_violations() -> None:
    with pytest.raises(Refusal) as caught:
        validate(FLASH_3, json.dumps(ask(foo=1, generationConfig={"bar": 2})).encode())
    one = 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'
    two = "Invalid JSON payload received. Unknown name \"bar\" at 'generation_config': Cannot find field."
    assert caught.value.body() == {
        "error": {
            "code": 400,
            "message": f"{one}\n{two}",
            "status": "INVALID_ARGUMENT",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"description": one}, {"field": "generation_config", "description": two}],
                }
            ],
        }
    }
