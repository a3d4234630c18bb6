"""What other gateways get wrong in requests, asked of every protocol, streamed and whole.

The numbers are those of the defects seen in other gateways.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest
import requests

from tests.conversation.table import PDF, PNG
from tests.conversation.talk import CONVERSING, HI, Talk
from tests.conversation.turn import File, JsonObject, Result, Text, Tool
from tests.e2e.conftest import Agproxy
from tests.fake_google import FakeGoogle, RecordedRequest, calls, is_dummy, text
from tests.tongues import TONGUES, Called, Past, Returned, Said, System, post, told

FLASH_25, FLASH_3, LATEST = "gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest"
TRANSLATED = ("chat", "responses", "messages")
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})

each_conversing = pytest.mark.parametrize("protocol", CONVERSING)
each_translated = pytest.mark.parametrize("protocol", TRANSLATED)
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def parts(request: RecordedRequest, kind: str) -> list[JsonObject]:
    """The parts of the contents that hold this, in Google's spelling."""
    return [part for content in request.contents for part in content["parts"] if kind in part]


# Settings and files.

LIMIT_AND_STOP: Mapping[str, JsonObject] = {
    "chat": {"max_tokens": 5000, "stop": ["END", "\n\n"]},
    "completions": {"max_tokens": 5000, "stop": ["END", "\n\n"]},
    "messages": {"max_tokens": 5000, "stop_sequences": ["END", "\n\n"]},
    "gemini": {"generationConfig": {"maxOutputTokens": 5000, "stopSequences": ["END", "\n\n"]}},
}


@both
@pytest.mark.parametrize("protocol", LIMIT_AND_STOP)
def test_3_limit_and_stop_sequences_reach_gemini(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, streamed: bool
) -> None:
    told(agproxy.url, protocol, HI, streamed=streamed, **LIMIT_AND_STOP[protocol])
    config = google.requests[0].canonical["generation_config"]
    assert (config["max_output_tokens"], config["stop_sequences"]) == (5000, ["END", "\n\n"])


@both
@each_conversing
@pytest.mark.parametrize("file", [File("application/pdf", PDF, "book.pdf"), File("image/png", PNG, "a.png")])
def test_3_file_reaches_gemini(agproxy: Agproxy, google: FakeGoogle, protocol: str, file: File, streamed: bool) -> None:
    with closing(Talk(agproxy.url, protocol, google)) as talk:
        talk.say(Text("What is this?"), file, streamed=streamed)
    (sent,) = parts(google.requests[0], "inline_data")
    assert sent["inline_data"] == {"mime_type": file.media_type, "data": file.base64}


EFFORTS: Mapping[str, Mapping[str, JsonObject]] = {
    "chat": {word: {"reasoning_effort": word} for word in ("none", "low", "high")},
    "completions": {word: {"reasoning_effort": word} for word in ("none", "low", "high")},
    "responses": {word: {"reasoning": {"effort": word}} for word in ("none", "low", "high")},
    "messages": {
        "none": {"thinking": {"type": "disabled"}},
        "low": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        "high": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    },
}
DEPTHS: Mapping[str, Mapping[str, JsonObject]] = {
    FLASH_25: {
        "none": {"thinking_budget": 0},
        "low": {"thinking_budget": 1024},
        "high": {"thinking_budget": 24576},
    },
    FLASH_3: {
        "none": {"thinking_level": "MINIMAL"},
        "low": {"thinking_level": "LOW"},
        "high": {"thinking_level": "HIGH"},
    },
    "gemini-2.5-pro": {"none": {"thinking_budget": 128}},  # which cannot do without
}


@pytest.mark.parametrize("protocol", EFFORTS)
@pytest.mark.parametrize(("model", "effort"), [(model, effort) for model in DEPTHS for effort in DEPTHS[model]])
def test_11_effort_is_told_as_the_model_knows_it(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, model: str, effort: str
) -> None:
    told(agproxy.url, protocol, HI, model=model, **EFFORTS[protocol][effort])
    config = google.requests[0].canonical["generation_config"]["thinking_config"]
    config.pop("include_thoughts", None)
    assert config == DEPTHS[model][effort]


# Tools.

LENGTHS = {
    "anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}, {"type": "array", "items": {"type": "string"}}]
}
HARD: JsonObject = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "length": LENGTHS,
        "title": {"type": "string", "default": "x"},
        "big": {"type": "integer", "maximum": 9007199254740991, "exclusiveMinimum": 0},
        "both": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
        "kind": {"const": "fixed"},
        "map": {"type": "object", "propertyNames": {"pattern": "^a"}, "additionalProperties": {"type": "number"}},
    },
    "required": ["length"],
    "additionalProperties": False,
}


@each_conversing
@pytest.mark.parametrize("model", [FLASH_25, LATEST])
def test_7_schema_is_taken_with_all_its_branches(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, model: str
) -> None:
    google.native = protocol == "gemini"
    told(agproxy.url, protocol, HI, model=model, tools=[Tool("measure", "Measures.", HARD)])
    (tool,) = google.requests[0].canonical["tools"]
    (declared,) = tool["function_declarations"]
    schema = declared["parameters_json_schema"]
    assert set(schema["properties"]) == set(HARD["properties"])
    assert schema["properties"]["length"] == LENGTHS
    assert schema["properties"]["big"]["type"] == "integer"
    assert schema["required"] == ["length"]


# What was called before.


@both
@pytest.mark.parametrize("model", [FLASH_3, LATEST])
@pytest.mark.parametrize(
    "speaker",
    [
        *CONVERSING,
        *("chat, drops extra_content", "responses, stateless", "responses, drops all it can", "responses, stored"),
        "messages, drops thinking",
    ],
)
def test_4_real_signatures_go_back_and_no_dummy_does(
    agproxy: Agproxy, google: FakeGoogle, speaker: str, model: str, streamed: bool
) -> None:
    google.enqueue(calls(("look", {"at": "a"}), ("look", {"at": "b"})), calls(("look", {"at": "c"})), text("So."))
    with closing(Talk(agproxy.url, speaker, google, model=model)) as talk:
        heard = talk.say(streamed=streamed, tools=(LOOK,))
        while heard.calls:
            heard = talk.say(*(Result(call, "x") for call in heard.calls), streamed=streamed, tools=(LOOK,))
    first, second, last = google.requests
    sent = [part["thought_signature"] for part in parts(last, "function_call") if "thought_signature" in part]
    assert len(sent) == 2
    assert not any(is_dummy(signature) for signature in sent)
    assert first.dummies == second.dummies == last.dummies == ()


LOST: tuple[Past, ...] = (
    Text("Look at a."),
    Called("call_1", "look", {"at": "a"}),
    Returned("call_1", "look", "A"),
    Said("It is A."),
    Text("And at b and c?"),
    Called("call_2", "look", {"at": "b"}),
    Returned("call_2", "look", "B"),
    Called("call_3", "look", {"at": "c"}),
    Returned("call_3", "look", "C"),
)


@both
@each_conversing
@pytest.mark.parametrize("model", [FLASH_25, FLASH_3, LATEST])
def test_lost_signatures_are_made_up_for(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, model: str, streamed: bool
) -> None:
    answer = post(agproxy.url, protocol, *LOST, streamed=streamed, model=model, tools=[LOOK])
    assert answer.status_code == 200, answer.text
    last = google.requests[-1]
    assert [content for content, _ in last.dummies] == ([] if model == FLASH_25 else [5, 7])
    for refused in google.requests[:-1]:
        assert protocol == "gemini"  # whose bodies are only changed once Google has refused them
        refused.refusal = None


@both
@each_conversing
def test_foreign_signature_is_made_up_for(agproxy: Agproxy, google: FakeGoogle, protocol: str, streamed: bool) -> None:
    """Of a real Claude, or of a Gemini that another gateway asked; and beside it one that is lost."""
    foreign = Called("call_2", "look", {"at": "b"}, signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk=")
    past = [foreign if isinstance(said, Called) and said.id == "call_2" else said for said in LOST]
    answer = post(agproxy.url, protocol, *past, streamed=streamed, model=FLASH_3, tools=[LOOK])
    assert answer.status_code == 200, answer.text
    assert [content for content, _ in google.requests[-1].dummies] == [5, 7]
    for refused in google.requests[:-1]:
        assert protocol in ("chat", "gemini")  # where it stands as Gemini's own would
        refused.refusal = None


@both
@each_conversing
@pytest.mark.parametrize(
    "result", ['{"$ref": "#/$defs/a", "$defs": {"a": {}}}', '[{"$ref": "image.png"}]', '{"a": [{"$ref": "x"}]}']
)
def test_14_result_is_one_string_whatever_it_holds(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, result: str, streamed: bool
) -> None:
    past = (HI, Called("call_1", "look", {"at": "a"}), Returned("call_1", "look", result))
    told(agproxy.url, protocol, *past, streamed=streamed, model=FLASH_25, tools=[LOOK])
    assert google.requests[0].results[0]["response"] == {"output": result}


@both
@each_translated
@pytest.mark.parametrize("model", [FLASH_25, FLASH_3])
def test_picture_in_a_result_reaches_gemini(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, model: str, streamed: bool
) -> None:
    past = (HI, Called("call_1", "look", {"at": "a"}), Returned("call_1", "look", "See:", png=PNG))
    told(agproxy.url, protocol, *past, streamed=streamed, model=model, tools=[LOOK])
    assert json.dumps(google.requests[0].body).count(PNG) == 1
    (sent,) = parts(google.requests[0], "function_response")
    assert sent["function_response"]["response"] == {"output": "See:"}


# Instructions in the middle, and nothing at all.

BRIEF = System("Be brief.")
CALL, RETURN = Called("call_1", "look", {"at": "a"}), Returned("call_1", "look", "A")


@both
@each_translated
@pytest.mark.parametrize("model", [FLASH_25, LATEST])
@pytest.mark.parametrize(
    "past",
    [
        (BRIEF, HI),
        (HI, BRIEF),
        (HI, BRIEF, Said("Hello."), Text("How are you?")),
        (HI, Said("Hello."), Text("How are you?"), BRIEF),
        (HI, CALL, BRIEF, RETURN),
        (HI, CALL, RETURN, BRIEF),
        (HI, CALL, RETURN, BRIEF, Said("A."), BRIEF, Text("And b?")),
    ],
    ids=["first", "last of two", "before the model", "last", "before a result", "after a result", "twice"],
)
def test_instruction_may_stand_anywhere(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, past: tuple[Past, ...], model: str, streamed: bool
) -> None:
    told(agproxy.url, protocol, *past, streamed=streamed, model=model, tools=[LOOK])
    request = google.requests[0]
    assert json.dumps(request.body).count("Be brief.") == past.count(BRIEF)
    assert len(parts(request, "function_response")) == past.count(RETURN)


@both
@each_translated
@pytest.mark.parametrize("nothing", [System(""), Text(""), Said("")], ids=lambda said: type(said).__name__)
def test_empty_text_is_no_part(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, nothing: Past, streamed: bool
) -> None:
    past = (HI, nothing, CALL, RETURN, nothing, Text("So?"), nothing)
    told(agproxy.url, protocol, *past, streamed=streamed, model=FLASH_25, tools=[LOOK])
    request = google.requests[0]
    assert all(part["text"] for part in parts(request, "text"))
    assert "".join(part["text"] for part in parts(request, "text")) == "HiSo?"


@pytest.mark.parametrize("protocol", ["chat", "messages"])
def test_marks_for_a_cache_make_none(agproxy: Agproxy, google: FakeGoogle, protocol: str) -> None:
    """Neither is a cache made, for Google refuses small ones, nor is the request refused."""
    mark: Any = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    marked = [{"type": "text", "text": "Hi", **mark}]
    messages = [{"role": "user", "content": marked}]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    bodies: Mapping[str, JsonObject] = {
        "chat": {
            "messages": [{"role": "system", "content": marked}, *messages],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": schema}, **mark}],
        },
        "messages": {
            "system": marked,
            "messages": messages,
            "tools": [{"name": "look", "input_schema": schema, **mark}],
            **mark,
        },
    }
    body = {"model": FLASH_25, "max_tokens": 5000, **bodies[protocol]}
    answer = requests.post(agproxy.url + TONGUES[protocol].path(FLASH_25, streamed=False), json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    assert "cache_control" in answer.headers["X-Agproxy-Ignored"]
    (request,) = google.requests
    assert request.method == "generateContent"
    assert "cached_content" not in request.canonical
    assert "cache_control" not in json.dumps(request.body)


@pytest.mark.parametrize(
    ("protocol", "asked", "ignored"),
    [
        ("chat", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("responses", {"reasoning": {"effort": "none"}}, "reasoning.effort"),
        ("messages", {"thinking": {"type": "disabled"}}, "thinking"),
    ],
)
def test_what_cannot_be_had_is_named_as_the_client_names_it(
    agproxy: Agproxy, google: FakeGoogle, protocol: str, asked: JsonObject, ignored: str
) -> None:
    """Gemini 3 cannot stop thinking."""
    answer = post(agproxy.url, protocol, HI, model=FLASH_3, **asked)
    assert (answer.status_code, answer.headers["X-Agproxy-Ignored"]) == (200, ignored)
