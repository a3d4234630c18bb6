"""Bodies in Gemini's own words: they pass as they are, but for what has to change in them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.upstreams.gemini_native import Native, choices, encode_native, native_endpoint
from agproxy.upstreams.gemini_request import DUMMY_SIGNATURE, EncodedRequest

Json = Any
OLDER, SIGNING, IMAGING = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-3-pro-image-preview"
# What json.dumps would write otherwise: blanks, escapes, the order of keys, numbers, a key that comes twice.
ODD = (
    '\r\n{ "contents" : [{"parts":[{"text":"\\u00e9é \\/"}],"role":"user"} ], "x":1.0E+2,"a":null,\t"a":[ ],'
    '"generationConfig":{"temperature":-0.0}}\n'
).encode()


def native(
    body: Json, *, method: str = "generateContent", model: str = SIGNING, is_mapped: bool = False, raw: bytes = b""
) -> Native:
    return Native(method, model, is_mapped, raw or json.dumps(body, indent=1).encode(), body)


def sent(encoded: EncodedRequest) -> Json:
    return json.loads(encoded.body)


# Nothing has to change.


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent", "countTokens", "embedContent"])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_bytes_stay_as_they_are(method: str, is_mapped: bool) -> None:
    asked = native(json.loads(ODD), raw=ODD, method=method, is_mapped=is_mapped)
    encoded = encode_native(asked, model=SIGNING)
    assert (encoded.body, encoded.original_names, encoded.ignored) == (ODD, {}, ())


def test_bytes_stay_where_what_is_refused_is_not_there() -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "Hi", "thought": True}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}, {"googleSearch": {}}],
    }
    words = {"f": frozenset({"title"}), "g": frozenset({"type"})}
    asked = native(body, is_mapped=True)
    without = frozenset({"thinking", "sampling"})
    encoded = encode_native(asked, model=SIGNING, keep_signatures=False, dropped=words, without=without)
    assert (encoded.body, encoded.ignored) == (asked.raw, ())


@pytest.mark.parametrize("name", [SIGNING, f"models/{SIGNING}"])
def test_model_that_is_named_rightly_stays_as_it_is_written(name: str) -> None:
    asked = native({"model": name, "requests": [{"model": name}], "generateContentRequest": {"model": name}})
    assert encode_native(asked, model=SIGNING).body == asked.raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("contents", "parts", "text", "role", "tools", "functionDeclarations", "function_declarations"),
                    *("name", "parameters", "properties", "items", "anyOf", "generationConfig", "thinkingConfig"),
                    *("model", "requests", "generateContentRequest", "functionCall", "thoughtSignature", "title"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["contents", "tools", "model", "requests", "generationConfig"]), JSON))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_object_is_encoded_and_none_is_changed_in_place(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    for method in ("generateContent", "countTokens", "batchEmbedContents"):
        for is_mapped in (False, True):
            asked = native(body, method=method, is_mapped=is_mapped)
            kept = encode_native(asked, model=SIGNING, dropped={"None": frozenset({"title"})})
            mended = encode_native(asked, model=SIGNING, keep_signatures=False, without=frozenset({"thinking"}))
            assert isinstance(sent(kept), dict)
            assert isinstance(sent(mended), dict)
    assert body == before


# Names of models.


def test_model_fields_name_the_model_that_is_called() -> None:
    inner = {"model": "models/mine", "contents": [{"parts": [{"text": "models/mine"}]}]}
    counting = native({"generateContentRequest": inner}, method="countTokens", is_mapped=True)
    assert sent(encode_native(counting, model=SIGNING)) == {
        "generateContentRequest": {**inner, "model": f"models/{SIGNING}"}
    }
    counting = native({"generate_content_request": inner}, method="countTokens", is_mapped=True)
    assert sent(encode_native(counting, model=SIGNING))["generate_content_request"]["model"] == f"models/{SIGNING}"
    piece = {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}
    embedding = native({"model": "mine", **piece}, method="embedContent", model="gemini-embedding-001", is_mapped=True)
    named = {"model": "models/gemini-embedding-001", **piece}
    assert sent(encode_native(embedding, model=SIGNING)) == named
    pieces = [{"model": "models/mine", **piece}, {"model": "models/gemini-embedding-001", **piece}, piece]
    batch = native({"requests": pieces}, method="batchEmbedContents", model="gemini-embedding-001", is_mapped=True)
    assert sent(encode_native(batch, model=SIGNING)) == {"requests": [named, named, piece]}


def test_model_field_that_contradicts_the_path_is_googles_to_refuse() -> None:
    asked = native({"model": "models/gemini-1.5-pro", "contents": []})
    assert encode_native(asked, model=SIGNING).body == asked.raw


def test_model_field_with_the_name_of_a_vendor_loses_it() -> None:
    asked = native({"model": f"models/google/{SIGNING}", "contents": []})
    assert sent(encode_native(asked, model=SIGNING)) == {"model": f"models/{SIGNING}", "contents": []}


def test_what_is_no_name_of_a_model_is_googles_to_refuse() -> None:
    asked = native({"model": 5, "requests": [None, 5, {"model": None}], "generateContentRequest": []}, is_mapped=True)
    assert encode_native(asked, model=SIGNING).body == asked.raw


# Thought signatures.


def called(*signatures: str | None, name: str = "functionCall", mark: str = "thoughtSignature") -> Json:
    """A model's turn with calls; one with a signature, or without."""
    calls = [{name: {"name": "f"}, **({} if each is None else {mark: each})} for each in signatures]
    return {"role": "model", "parts": calls}


def answered(name: str = "functionResponse") -> Json:
    return {"role": "user", "parts": [{name: {"name": "f", "response": {}}}]}


def asked_by(text: str = "Hi") -> Json:
    return {"role": "user", "parts": [{"text": text}]}


def unsigned(contents: Json, *, model: str = SIGNING, method: str = "generateContent") -> Json:
    """The contents without their signatures."""
    request = native({"contents": contents}, model=model, method=method)
    return sent(encode_native(request, model=model, keep_signatures=False))["contents"]


def test_signatures_are_taken_out_in_both_spellings() -> None:
    text = {"text": "a", "thoughtSignature": "QQ=="}
    thought = {"text": "b", "thought": True, "thought_signature": "QQ=="}
    contents = [asked_by(), {"role": "model", "parts": [text, thought, {"text": "c"}]}, asked_by()]
    plain = [{"text": "a"}, {"text": "b", "thought": True}, {"text": "c"}]
    assert unsigned(contents) == [asked_by(), {"role": "model", "parts": plain}, asked_by()]


@pytest.mark.parametrize(
    ("call", "response"), [("functionCall", "functionResponse"), ("function_call", "function_response")]
)
@pytest.mark.parametrize("mark", ["thoughtSignature", "thought_signature"])
def test_dummy_stands_on_the_first_call_of_each_step_of_the_current_turn(call: str, response: str, mark: str) -> None:
    old, new = called("QQ==", name=call, mark=mark), called("QQ==", None, name=call, mark=mark)
    late = called(None, name=call)
    contents = [
        asked_by(),
        old,
        answered(response),
        asked_by("Next"),
        new,
        answered(response),
        late,
        answered(response),
    ]
    told = unsigned(contents)
    dummy = {call: {"name": "f"}, "thoughtSignature": DUMMY_SIGNATURE}
    plain = {call: {"name": "f"}}
    assert [content["parts"] for content in told if content["role"] == "model"] == [[plain], [dummy, plain], [dummy]]
    assert [content for content in told if content["role"] == "user"] == [
        *(asked_by(), answered(response), asked_by("Next"), answered(response), answered(response)),
    ]


def test_words_before_the_call_do_not_take_its_dummy() -> None:
    turn = {"role": "model", "parts": [{"text": "Let me see."}, {"functionCall": {"name": "f"}}]}
    told = unsigned([asked_by(), turn, answered()])
    assert told[1]["parts"] == [
        {"text": "Let me see."},
        {"functionCall": {"name": "f"}, "thoughtSignature": DUMMY_SIGNATURE},
    ]


def test_result_with_words_beside_it_is_within_the_turn() -> None:
    results = {"parts": [{"text": "See:"}, answered()["parts"][0]]}  # without a role, as it may be
    told = unsigned([asked_by(), called("QQ=="), results, called("QQ=="), answered()])
    assert [DUMMY_SIGNATURE in json.dumps(content) for content in told] == [False, True, False, True, False]


def test_turn_without_calls_needs_no_dummy() -> None:
    contents = [asked_by(), called("QQ=="), answered(), {"role": "model", "parts": [{"text": "Done."}]}, asked_by()]
    assert DUMMY_SIGNATURE not in json.dumps(unsigned(contents))
    assert "QQ==" not in json.dumps(unsigned(contents))


@pytest.mark.parametrize("model", [OLDER, IMAGING, "gemma-3-27b-it"])
def test_no_dummy_where_the_model_demands_none(model: str) -> None:
    told = unsigned([asked_by(), called("QQ=="), answered()], model=model)
    assert told == [asked_by(), called(None), answered()]


def test_family_of_the_model_decides_about_the_dummy() -> None:
    request = native({"contents": [asked_by(), called("QQ=="), answered()]}, model="my-tuned-model")
    encoded = encode_native(request, model=SIGNING, keep_signatures=False)
    assert sent(encoded)["contents"][1]["parts"][0]["thoughtSignature"] == DUMMY_SIGNATURE


@pytest.mark.parametrize("holder", ["generateContentRequest", "generate_content_request"])
def test_signatures_of_a_request_that_is_counted_are_taken_out(holder: str) -> None:
    inner = {"model": f"models/{SIGNING}", "contents": [asked_by(), called("QQ=="), answered()]}
    request = native({holder: inner}, method="countTokens")
    told = sent(encode_native(request, model=SIGNING, keep_signatures=False))[holder]
    assert told["contents"][1]["parts"][0]["thoughtSignature"] == DUMMY_SIGNATURE


def test_request_within_a_request_counts_where_tokens_are_counted_only() -> None:
    body = {"contents": [asked_by(), called("QQ=="), answered()], "generateContentRequest": {"contents": []}}
    told = sent(encode_native(native(body), model=SIGNING, keep_signatures=False))
    assert told["contents"][1]["parts"][0]["thoughtSignature"] == DUMMY_SIGNATURE


# Schemas.

SCHEMA: Json = {
    "type": "object",
    "title": "T",
    "properties": {
        "title": {"type": "string", "title": "T", "default": "title"},
        "properties": {"type": "object", "properties": {"title": {"title": "T"}}, "title": "T"},
        "items": {"type": "array", "items": {"title": "T", "enum": ["title"]}, "title": "T"},
        "list": {"anyOf": [{"title": "T"}, True], "prefixItems": [{"title": "T", "type": "null"}]},
    },
    "$defs": {"title": {"title": "T", "const": {"title": "kept"}}},
    "additionalProperties": {"title": "T"},
    "required": ["title"],
    "example": {"title": "kept"},
    "default": {"title": "kept"},
}
WITHOUT: Json = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "default": "title"},
        "properties": {"type": "object", "properties": {"title": {}}},
        "items": {"type": "array", "items": {"enum": ["title"]}},
        "list": {"anyOf": [{}, True], "prefixItems": [{"type": "null"}]},
    },
    "$defs": {"title": {"const": {"title": "kept"}}},
    "additionalProperties": {},
    "required": ["title"],
    "example": {"title": "kept"},
    "default": {"title": "kept"},
}


@pytest.mark.parametrize("holder", ["functionDeclarations", "function_declarations"])
@pytest.mark.parametrize("field", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_keyword_is_dropped_from_schemas_and_from_nothing_else(holder: str, field: str) -> None:
    tools = [{"googleSearch": {}}, {holder: [{"name": "f", "description": "title", field: SCHEMA}]}]
    encoded = encode_native(native({"tools": tools}), model=SIGNING, dropped={"f": frozenset({"title"})})
    assert sent(encoded) == {"tools": [tools[0], {holder: [{"name": "f", "description": "title", field: WITHOUT}]}]}


def test_keyword_is_dropped_for_its_function_only() -> None:
    functions = [{"name": name, "parameters": {"title": "T", "format": "x"}} for name in "fg"]
    request = native({"tools": [{"functionDeclarations": functions}]})
    told = sent(encode_native(request, model=SIGNING, dropped={"g": frozenset({"title", "format"})}))
    assert told["tools"][0]["functionDeclarations"] == [functions[0], {"name": "g", "parameters": {}}]


@pytest.mark.parametrize(
    "inner",
    [
        *({"items": {"title": "T"}}, {"not": {"title": "T"}}, {"if": {"title": "T"}}, {"then": {"title": "T"}}),
        *({"else": {"title": "T"}}, {"additional_properties": {"title": "T"}}),
        *({name: [{"title": "T"}]} for name in ("anyOf", "any_of", "oneOf", "one_of", "allOf", "all_of")),
        *({name: [{"title": "T"}]} for name in ("prefixItems", "prefix_items")),
        *({name: {"a": {"title": "T"}}} for name in ("properties", "$defs", "definitions", "defs")),
    ],
    ids=lambda inner: next(iter(inner)),
)
def test_keyword_is_dropped_wherever_a_schema_may_stand(inner: Json) -> None:
    declared = {"functionDeclarations": [{"name": "f", "parameters": inner}]}
    encoded = encode_native(native({"tools": [declared]}), model=SIGNING, dropped={"f": frozenset({"title"})})
    assert b"title" not in encoded.body


# Settings of a model that the client did not name.


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
@pytest.mark.parametrize(
    ("setting", "fields"),
    [
        ("thinking", {"thinkingConfig": {"thinkingLevel": "LOW"}}),
        ("penalties", {"presencePenalty": 1, "frequency_penalty": 0}),
        ("logprobs", {"responseLogprobs": True, "logprobs": 3}),
        ("temperature", {"temperature": 0}),
        ("top_p", {"topP": 1}),
        ("top_k", {"top_k": None}),
        ("sampling", {"temperature": 1, "top_p": 1, "topK": 3}),
    ],
)
def test_refused_setting_of_a_mapped_model_is_left_out(config: str, setting: str, fields: Json) -> None:
    request = native({config: {"seed": 1, **fields}}, is_mapped=True)
    encoded = encode_native(request, model=SIGNING, without=frozenset({setting}))
    assert sent(encoded) == {config: {"seed": 1}}
    assert sorted(encoded.ignored) == sorted(f"generationConfig.{name}" for name in fields)
    assert setting not in encoded.used
    assert setting in encode_native(request, model=SIGNING).used


def test_settings_that_are_there_are_told() -> None:
    config = {"thinkingConfig": {"thinkingBudget": 512}, "top_p": 1, "frequencyPenalty": 1, "maxOutputTokens": 5}
    request = native({"generationConfig": config}, is_mapped=True)
    encoded = encode_native(request, model=SIGNING, without=frozenset({"logprobs"}))
    assert encoded.body == request.raw
    assert encoded.used == {"thinking", "penalties", "sampling", "top_p"}


def thinking(asked: Json, *, model: str, is_mapped: bool = True) -> tuple[Json, tuple[str, ...]]:
    """What a model is told of thinking, and what is not honoured."""
    encoded = encode_native(native({"generationConfig": asked}, is_mapped=is_mapped), model=model)
    config = sent(encoded)["generationConfig"]
    return config.get("thinkingConfig", config.get("thinking_config")), encoded.ignored


@pytest.mark.parametrize(
    ("model", "asked", "told"),
    [
        (OLDER, {"thinkingLevel": "LOW"}, {"thinkingBudget": 1024}),
        (OLDER, {"thinkingLevel": "high", "includeThoughts": True}, {"thinkingBudget": 24576, "includeThoughts": True}),
        (OLDER, {"thinkingBudget": -1, "includeThoughts": False}, {"thinkingBudget": -1}),
        (OLDER, {"thinkingBudget": 0, "includeThoughts": True}, {"thinkingBudget": 0}),
        (OLDER, {"thinkingBudget": 99999}, {"thinkingBudget": 24576}),
        (SIGNING, {"thinkingLevel": "MEDIUM"}, {"thinkingLevel": "medium"}),
        (SIGNING, {"thinkingBudget": 8192}, {"thinkingBudget": 8192}),
        ("gemini-pro-latest", {"thinkingLevel": "MINIMAL"}, {"thinkingLevel": "low"}),
        (SIGNING, {"includeThoughts": True}, {"includeThoughts": True}),
        (SIGNING, {}, None),
        (SIGNING, {"includeThoughts": False}, None),
    ],
)
def test_model_that_the_client_did_not_name_is_told_in_its_words_how_much_to_think(
    model: str, asked: Json, told: Json
) -> None:
    assert thinking({"thinkingConfig": asked}, model=model)[0] == told
    snake = {
        {"thinkingLevel": "thinking_level", "thinkingBudget": "thinking_budget"}.get(name, name): value
        for name, value in asked.items()
    }
    assert thinking({"thinking_config": snake}, model=model)[0] == told


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("gemma-3-27b-it", {"thinkingBudget": 512}),
        ("gemini-2.0-flash", {"thinkingLevel": "LOW"}),
        (SIGNING, {"thinkingBudget": 0}),
        (SIGNING, {"thinkingLevel": "ULTRA"}),
    ],
)
def test_thinking_that_a_mapped_model_cannot_do_is_told(model: str, asked: Json) -> None:
    (ignored,) = thinking({"thinkingConfig": asked}, model=model)[1]
    assert ignored.startswith("generationConfig.thinkingConfig")


@pytest.mark.parametrize("asked", [{"thinkingLevel": "ULTRA"}, {"thinkingBudget": 0, "thinkingLevel": "LOW"}])
def test_model_that_the_client_named_is_told_what_the_client_says(asked: Json) -> None:
    assert thinking({"thinkingConfig": asked}, model=OLDER, is_mapped=False) == (asked, ())


def test_setting_of_a_model_that_the_client_named_is_googles_to_refuse() -> None:
    request = native({"generationConfig": {"thinkingConfig": {}}})
    encoded = encode_native(request, model=SIGNING, without=frozenset({"thinking"}))
    assert (encoded.body, encoded.used, encoded.ignored) == (request.raw, frozenset(), ())


@pytest.mark.parametrize("holder", ["generateContentRequest", "generate_content_request"])
def test_setting_of_a_request_that_is_counted_is_left_out(holder: str) -> None:
    inner = {"generationConfig": {"topK": 3}}
    request = native({holder: inner}, method="countTokens", is_mapped=True)
    encoded = encode_native(request, model=SIGNING, without=frozenset({"top_k"}))
    assert sent(encoded) == {holder: {"generationConfig": {}}}


# Addresses, and how many answers.


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("generateContent", ":generateContent"),
        ("streamGenerateContent", ":streamGenerateContent?alt=sse"),
        ("countTokens", ":countTokens"),
        ("batchEmbedContents", ":batchEmbedContents"),
    ],
)
def test_address_of_a_method(method: str, end: str) -> None:
    assert native_endpoint("https://g", "gemini-x", method) == f"https://g/v1beta/models/gemini-x{end}"
    assert native_endpoint("https://g", "a/b?c:d@1", method) == f"https://g/v1beta/models/a%2Fb%3Fc%3Ad@1{end}"


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"generationConfig": {"candidateCount": 3}}, 3),
        ({"generation_config": {"candidate_count": 2}}, 2),
        ({}, 1),
        ({"generationConfig": {}}, 1),
        ({"generationConfig": {"candidateCount": 0}}, 1),
        ({"generationConfig": {"candidateCount": "2"}}, 1),
        ({"generationConfig": [2]}, 1),
    ],
)
def test_answers_that_a_request_asks_for_are_counted(body: Json, count: int) -> None:
    assert choices(body) == count
