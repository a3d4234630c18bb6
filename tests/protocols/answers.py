"""Answers to encode, and what a client makes of them: judged by the types of the ``openai`` package."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, get_args

from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agproxy import sse
from agproxy.chat import (
    Citation,
    Event,
    Finish,
    FinishReason,
    ImageDelta,
    OtherChoice,
    Ping,
    ReasoningDelta,
    ReplyMeta,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.fold import fold
from agproxy.protocols.openai_chat import encode_reply, encode_stream

Json = Any

META = ReplyMeta("chatcmpl-1", 1_700_000_000, "gpt-4o", freeform=frozenset({"patch"}))
WITH_USAGE = replace(META, include_usage=True)
OLDER = replace(META, older_calls=True)
SIGNED = {"google": {"thought_signature": "QUJD"}}
USAGE = Usage(input_tokens=20, output_tokens=9, cached_tokens=8, reasoning_tokens=4)
CALL: list[Event] = [ToolCallStart(0, "call_1", "look", SIGNED), ToolCallDelta(0, '{"at":'), ToolCallDelta(0, '"sky"}')]


def reply(*events: Event, meta: ReplyMeta = META) -> Json:
    """The non-streamed body, as a client reads it."""
    body = json.loads(json.dumps(encode_reply(fold(events), meta)))
    ChatCompletion.model_validate(body, strict=True)
    return body


def stream(*events: Event, meta: ReplyMeta = META) -> list[Json]:
    """The chunks of a stream that ends well; each is a chunk by the SDK's own types."""
    pieces = list(encode_stream(events, meta))
    assert all(pieces), "an empty piece, which some servers take for the end"
    *chunks, last = sse.decode(pieces)
    assert last == b"[DONE]"
    decoded = [json.loads(chunk) for chunk in chunks]
    for chunk in decoded:
        validated(chunk)
    return decoded


def validated(chunk: Json) -> ChatCompletionChunk:
    """The chunk as the SDK's type, which does not know the calls of custom tools yet: those count as functions."""
    known = json.loads(json.dumps(chunk))
    for choice in known["choices"]:
        for call in choice["delta"].get("tool_calls") or ():
            if "custom" in call:
                custom = call.pop("custom")
                call["function"] = {"name": custom.get("name"), "arguments": custom.get("input")}
                if "type" in call:
                    assert call["type"] == "custom"
                    call["type"] = "function"
    return ChatCompletionChunk.model_validate(known, strict=True)


# What a careful client puts together.


def accumulated(chunks: Iterable[Json]) -> dict[int, Json]:
    """Message, finish reason and log probabilities of each choice of a stream, by its index."""
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] not in choices:
                assert choice["delta"].get("role") == "assistant", "a choice begins without its role"
                choices[choice["index"]] = {"message": {}, "logprobs": None, "finish_reason": None}
            whole = choices[choice["index"]]
            assert whole["finish_reason"] is None, "a choice goes on after its end"
            whole["finish_reason"] = choice["finish_reason"]
            if choice["logprobs"]:
                whole["logprobs"] = whole["logprobs"] or {"content": [], "refusal": None}
                whole["logprobs"]["content"] += choice["logprobs"]["content"]
            for name, value in choice["delta"].items():
                _add(whole["message"], name, value)
    return choices


def _add(message: Json, name: str, value: Json) -> None:
    if name == "tool_calls":
        calls = message.setdefault("tool_calls", [])
        for piece in value:
            more = {key: piece[key] for key in piece if key != "index"}
            assert piece["index"] <= len(calls), "a call begins without those before it"
            if piece["index"] == len(calls):
                assert piece["id"], "a call begins without its id"
                calls.append(more)
            else:
                _merge(calls[piece["index"]], more)
    elif name == "function_call":
        if name in message:
            _merge(message[name], value)
        else:
            assert value["name"], "a call begins without its name"
            message[name] = dict(value)
    elif name in ("images", "annotations"):
        message.setdefault(name, []).extend(value)
    elif name == "extra_content":
        message[name] = value
    elif value is not None:
        message[name] = message.get(name, "") + value


def _merge(holder: Json, more: Json) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _merge(holder[name], value)
        else:
            holder[name] += value


def comparable(message: Json) -> Json:
    """Without the difference between null, "" and absent, which clients do not make."""
    return {name: value for name, value in message.items() if value not in (None, "", [])}


# Answers.

TEXTS = st.text(max_size=6) | st.sampled_from(["a\nb", '"\\', "\u2028", "🦊", "[DONE]", "data: x\n\n"])
SIGNATURES = st.sampled_from([None, SIGNED])
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=2)
SCORES = st.floats(-9999.0, 0)
ALTERNATIVES = st.lists(st.builds(TokenLogprob, TEXTS, SCORES), max_size=2).map(tuple)
LOGPROBS = st.just(()) | st.lists(st.builds(TokenLogprob, TEXTS, SCORES, ALTERNATIVES), max_size=2).map(tuple)
CITATIONS = st.builds(Citation, TEXTS, TEXTS, st.integers(0, 99), st.integers(0, 99))
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS)
SEARCHES = st.builds(Searched, *2 * (st.lists(TEXTS, max_size=2).map(tuple),))
KINDS = ("text", "reasoning", "call", "piece", "image", "citation", "search", "ping")


@st.composite
def answers(draw: st.DrawFn, *, freeform: bool) -> list[Event]:
    """The events of an answer as an upstream gives them: calls begin in order, their pieces may interleave."""
    events: list[Event] = []
    open_calls: list[tuple[int, list[str]]] = []
    calls = 0
    names = ["look", "now", "patch"] if freeform else ["look", "now"]
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=12)):
        match kind:
            case "text":
                events.append(TextDelta(draw(TEXTS), draw(SIGNATURES), draw(LOGPROBS)))
            case "reasoning":
                events.append(ReasoningDelta(draw(TEXTS)))
            case "image":
                events.append(ImageDelta("image/png", draw(st.sampled_from(["QQ==", "QUJD"]))))
            case "citation":
                events.append(draw(CITATIONS))
            case "search":
                events.append(draw(SEARCHES))
            case "ping":
                events.append(Ping())
            case "call":
                name = draw(st.sampled_from(names))
                written = {"input": draw(TEXTS)} if name == "patch" else draw(ARGUMENTS)
                arguments = json.dumps(written, ensure_ascii=draw(st.booleans()))
                cut = draw(st.integers(0, len(arguments)))
                events.append(ToolCallStart(calls, f"call_{calls}", name, draw(SIGNATURES)))
                open_calls.append((calls, [arguments[:cut], arguments[cut:]]))
                calls += 1
            case _:
                if open_calls:
                    index, pieces = draw(st.sampled_from(open_calls))
                    if pieces:
                        events.append(ToolCallDelta(index, pieces.pop(0)))
    for index, pieces in open_calls:
        events += [ToolCallDelta(index, piece) for piece in pieces]
    reason: FinishReason = draw(st.sampled_from(get_args(FinishReason)))
    refusal = draw(st.none() | st.just("Gemini refused the prompt (SAFETY)."))
    return [*events, Finish(reason, draw(USAGES), refusal)]


@st.composite
def several_answers(draw: st.DrawFn, *, freeform: bool = True) -> list[Event]:
    """Up to three answers at once, each in its order; the first ends last."""
    first = draw(answers(freeform=freeform))
    waiting = [first[:-1]]
    for number in range(1, draw(st.integers(1, 3))):
        waiting.append([OtherChoice(number, event) for event in draw(answers(freeform=freeform))])
    merged: list[Event] = []
    while waiting := [events for events in waiting if events]:
        merged.append(draw(st.sampled_from(waiting)).pop(0))
    return [*merged, first[-1]]
