"""Made-up conversations and answers: each protocol that is translated says and hears the same, whatever they hold."""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agproxy.protocols import anthropic_messages, openai_chat, openai_responses
from agproxy.upstreams import gemini
from tests.conversation.speakers import WITHOUT_SERVER
from tests.conversation.table import PNG
from tests.conversation.turn import Effort, Heard, JsonObject, Result, Text, Tokens, Tool, Turn
from tests.conversation.without_server import WithoutServer
from tests.fake_google import Answer, Rules, Usage, text, validate
from tests.fake_google.script import Chunk, PartSpec
from tests.fake_google.signatures import SignatureLedger
from tests.tongues import TONGUES, Called, Past, Returned, Said, System

PROTOCOLS: Mapping[str, ModuleType] = {
    "chat": openai_chat,
    "responses": openai_responses,
    "messages": anthropic_messages,
}
MODELS = st.sampled_from(["gemini-2.5-flash", "gemini-3-flash-preview", "gemini-flash-latest"])
SCHEMA: JsonObject = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOLS = (Tool("look", "Looks.", SCHEMA), Tool("go", "Goes.", SCHEMA))
WORDS = st.sampled_from(["", "Hi", "é\u2028", "<think>", '{"$ref": "a"}'])
NAMES = st.sampled_from([tool.name for tool in TOOLS])
ARGUMENTS: st.SearchStrategy[JsonObject] = st.sampled_from(
    [{}, {"at": "x"}, {"at": 'é"\\\u0085'}, {"at": "x", "n": [1.5, None, {"$ref": "a"}]}]
)


# What a client says.


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Past, ...]:
    """Anything after a first question: results that come late, never, or for no call; texts without a word."""
    past: list[Past] = [Text("Hi")]
    open_calls: list[Called] = []
    for number in range(draw(st.integers(1, 9))):
        match draw(st.sampled_from(["user", "model", "system", "call", "call", "result", "result", "stray"])):
            case "user":
                past.append(Text(draw(WORDS)))
            case "model":
                past.append(Said(draw(WORDS)))
            case "system":
                past.append(System(draw(WORDS)))
            case "call":
                open_calls.append(Called(f"call_{number}", draw(NAMES), draw(ARGUMENTS)))
                past.append(open_calls[-1])
            case "result" if open_calls:
                call = open_calls.pop(draw(st.integers(0, len(open_calls) - 1)))
                past.append(Returned(call.id, call.name, draw(WORDS), png=draw(st.sampled_from([None, None, PNG]))))
            case "stray":
                past.append(Returned(f"stray_{number}", "look", draw(WORDS)))
    return tuple(past)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(past=conversations(), model=MODELS)
def test_any_conversation_reaches_gemini_as_the_same_contents(past: tuple[Past, ...], model: str) -> None:
    sent = {name: received(name, past, model) for name in PROTOCOLS}
    assert sent["responses"] == sent["chat"]
    assert sent["messages"] == sent["chat"]


def received(protocol: str, past: tuple[Past, ...], model: str) -> tuple[Any, Any]:
    """What Gemini receives, and takes."""
    body = TONGUES[protocol].body(past, model=model, streamed=False, tools=TOOLS)
    chat = PROTOCOLS[protocol].decode_request(json.loads(json.dumps(body)))
    encoded = gemini.encode_request(chat, model=model)
    validate(model, encoded.body, Rules(SignatureLedger(strict_dummies=True)))
    request = json.loads(encoded.body)
    return request["contents"], request.get("systemInstruction")


# What it hears.


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Texts, thoughts and calls in any order and any chunks, with parts that say nothing between them."""
    kinds = draw(st.lists(st.lists(st.sampled_from(["text", "thought", "call", "nothing"]), max_size=3), max_size=6))
    chunks = [Chunk(tuple(draw(parts(kind)) for kind in kinds_of_one)) for kinds_of_one in kinds]
    if not any(kind in ("text", "call") for kinds_of_one in kinds for kind in kinds_of_one):
        chunks.append(Chunk((PartSpec({"text": "So."}),)))
    if draw(st.booleans()):
        chunks.append(Chunk((PartSpec({"text": ""}, sign=True),)))
    chunks[-1] = replace(chunks[-1], finish=draw(st.sampled_from(["STOP", "MAX_TOKENS"])))
    usage = Usage(prompt=draw(st.integers(10, 20)), candidates=5, thoughts=draw(st.integers(0, 3)), cached=4)
    return Answer(tuple(chunks), usage=usage)


@st.composite
def parts(draw: st.DrawFn, kind: str) -> PartSpec:
    """One part; calls are signed as the model's family does it."""
    match kind:
        case "text":
            return PartSpec({"text": draw(WORDS) or "a "})
        case "thought":
            return PartSpec({"text": draw(WORDS) or "Hm. ", "thought": True})
        case "call":
            return PartSpec({"functionCall": {"name": draw(NAMES), "args": draw(ARGUMENTS)}}, sign=None)
    return PartSpec({"text": ""})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(answer=answers(), model=MODELS, thinking=st.sampled_from(["low", None]))
def test_any_answer_is_heard_the_same(answer: Answer, model: str, thinking: Effort | None) -> None:
    told = {}
    for name, module in PROTOCOLS.items():
        for streamed in (False, True):
            found = heard(module, answer, model, thinking, streamed=streamed)
            # Thoughts that nobody asked for are shown by some protocols only.
            told[name, streamed] = found if thinking else replace(found, reasoning="")
    assert told == dict.fromkeys(told, told["chat", False])


def heard(protocol: ModuleType, answer: Answer, model: str, thinking: Effort | None, *, streamed: bool) -> Heard:
    """What a client hears; it then sends the results of all calls, and Gemini takes them."""
    agproxy = WithoutServer(protocol, model=model)
    speaker = WITHOUT_SERVER[protocol](agproxy, model)
    asked = Turn("made up", (Text("Hi"),), (), Answer(), Heard(Tokens(0, 0)), (), tools=TOOLS, thinking=thinking)
    agproxy.enqueue(answer, text("Bye."))
    found = speaker.say(asked, streamed=streamed)
    says = tuple(Result(call, "done") for call in found.calls) or (Text("And?"),)
    assert speaker.say(replace(asked, says=says), streamed=streamed).text == "Bye."
    return found
