"""Responses to encode, and what a client makes of them: judged by the types of the ``openai`` package."""

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from agproxy import sse
from agproxy.chat import ChatRequest, Event, ReplyMeta
from agproxy.fold import fold
from agproxy.protocols.openai_responses import decode_request, encode_reply, encode_stream
from agproxy.protocols.openai_responses_request import Echo

Json = Any

LOOK = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": None}
PATCH = {"type": "custom", "name": "patch", "description": "Patches."}
CLOCK = {
    "type": "namespace",
    "name": "clock",
    "description": "",
    "tools": [{"type": "function", "name": "now", "parameters": None}, {"type": "custom", "name": "set"}],
}


def asking(*, earlier: Iterable[Json] = (), **fields: Json) -> ReplyMeta:
    """That of a request with these fields."""
    return meta_of(decode_request({"model": "gpt-5.5", "input": "Hi", **fields}, earlier=earlier))


def meta_of(chat: ChatRequest) -> ReplyMeta:
    """That of a request."""
    freeform = frozenset(tool.name for tool in chat.tools if tool.freeform)
    older = chat.older_calls
    return ReplyMeta("resp_1", 1_700_000_000, chat.model, freeform=freeform, older_calls=older, echo=chat.echo)


META = asking(tools=[LOOK, PATCH, CLOCK])
SEALING = asking(tools=[LOOK, PATCH, CLOCK], include=["reasoning.encrypted_content", "web_search_call.action.sources"])


def of_a_namespace(meta: ReplyMeta) -> ReplyMeta:
    """The same, but the model knows a tool of a namespace as ``now``, as ``answers`` have it."""
    assert isinstance(meta.echo, Echo)
    return replace(meta, echo=replace(meta.echo, names={"now": ("clock", "now")}))


# What the specification of Open Responses (``ResponseResource``) wants in each response, and the most of it not null.
_NULLABLE = frozenset(
    {
        *("completed_at", "error", "incomplete_details", "instructions", "max_output_tokens", "max_tool_calls"),
        *("previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "usage"),
    }
)
_KEYS = _NULLABLE | {
    *("background", "created_at", "frequency_penalty", "id", "metadata", "model", "object", "output"),
    *("parallel_tool_calls", "presence_penalty", "service_tier", "status", "store", "temperature", "text"),
    *("tool_choice", "tools", "top_logprobs", "top_p", "truncation"),
}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def reply(*events: Event, meta: ReplyMeta = META) -> Json:
    """The non-streamed body, as a client reads it, without its ``choices``."""
    body = json.loads(json.dumps(encode_reply(fold(events), meta)))
    del body["choices"]
    return validated(body)


def begun(meta: ReplyMeta) -> Json:
    """The response before there is an answer: what it tells of its request."""
    first = next(iter(encode_stream((), meta)))
    return validated(json.loads(first.partition(b"data: ")[2].partition(b"\n")[0])["response"])


def validated(response: Json) -> Json:
    """A response, which is one by the SDK's types, and by Open Responses' specification."""
    Response.model_validate(response, strict=True)
    assert response.keys() >= _KEYS
    assert [name for name in _KEYS - _NULLABLE if response[name] is None] == []
    assert {"effort", "summary"} <= (response["reasoning"] or {"effort": None, "summary": None}).keys()
    for tool in response["tools"]:
        assert tool["type"] != "function" or tool.keys() >= {"name", "description", "parameters", "strict"}
    for item in response["output"]:
        assert item["id"]
        assert all(value is not None for name, value in item.items() if name != "result"), item
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids)
    return response


def stream(*events: Event, meta: ReplyMeta = META) -> list[Json]:
    """The events of a stream, each one by the SDK's own types."""
    pieces = list(encode_stream(events, meta))
    assert all(pieces), "an empty piece, which some servers take for the end"
    return decoded(pieces)


def decoded(pieces: Iterable[bytes]) -> list[Json]:
    """The events of the bytes of a stream, of which each piece holds whole ones."""
    found: list[Json] = []
    blocks: list[bytes] = []
    for piece in pieces:
        assert piece.endswith(b"\n\n")
        blocks += piece[:-2].split(b"\n\n")
    assert blocks.pop() == b"data: [DONE]"
    for block in blocks:
        if block == sse.PING.strip():
            continue
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        assert event["sequence_number"] == len(found)
        EVENT.validate_python(event, strict=True)
        found.append(event)
    return found


def told(*events: Event, meta: ReplyMeta = META) -> Json:
    """The response that a streamed answer amounts to, which the last event tells too."""
    return accumulated(stream(*events, meta=meta))


def alike(*events: Event, meta: ReplyMeta = META) -> Json:
    """The response to a client, which cannot tell whether it was streamed."""
    assert in_order(told(*events, meta=meta)) == in_order(reply(*events, meta=meta))
    return reply(*events, meta=meta)


def in_order(response: Json) -> Json:
    """With the annotations of each text in one order: a stream may learn of some after the text that they are of."""
    for item in response["output"]:
        for part in item.get("content", ()):
            part.get("annotations", []).sort(key=json.dumps)
    return response


# What a careful client puts together.

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_BEGINNINGS: dict[str, Json] = {  # of an item, by its type
    "message": {"role": "assistant", "status": "in_progress", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"status": "in_progress", "input": ""},
    "web_search_call": {"status": "in_progress"},
    "image_generation_call": {"status": "in_progress", "result": None},
}
_PARTS: dict[str, Json] = {
    "output_text": {"text": "", "annotations": [], "logprobs": []},
    "refusal": {"refusal": ""},
    "summary_text": {"text": ""},
}
# What no delta tells, but the end of the item.
_OF_THE_END = frozenset({"status", "extra_content", "encrypted_content", "result", "output_format", "action"})


def accumulated(events: list[Json]) -> Json:
    """The response as its events tell it bit by bit, which the last event must tell alike."""
    created, in_progress, *rest = events
    last = rest.pop()
    assert (created["type"], in_progress["type"]) == ("response.created", "response.in_progress")
    assert last["type"] in _ENDS
    assert last["type"] == f"response.{last['response']['status']}"
    begun = validated(created["response"])
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    items = _Items()
    for event in (in_progress, *rest):
        if event["type"] == "response.in_progress":
            assert event["response"] == begun
            assert not items.whole, "clients would begin anew"
        elif event["type"] != "error":
            items.add(event)
    is_cut = last["type"] == "response.failed"
    assert (rest[-1:] != [] and rest[-1]["type"] == "error") == is_cut
    ended = validated(last["response"])
    for index in items.open:
        assert is_cut, "an item without its end"
        item, known = items.whole[index], ended["output"][index]
        item |= {name: known[name] for name in _OF_THE_END & known.keys()}
        assert item.get("status") in (None, "incomplete")
    assert ended["output"] == items.whole
    assert {name: ended[name] for name in begun if name not in _CHANGED} == {
        name: begun[name] for name in begun if name not in _CHANGED
    }
    return ended


_CHANGED = frozenset({"status", "output", "usage", "completed_at", "incomplete_details", "error"})


class _Items:
    """The items so far.

    :ivar whole: as the deltas tell them.
    :ivar open: the indexes of those that have not ended.
    """

    def __init__(self) -> None:
        self.whole: list[Json] = []
        self.open: set[int] = set()
        self._unfinished: set[tuple[int, str]] = set()  # what was begun of an item, by the names of its events

    def add(self, event: Json) -> None:
        _, family, *step = event["type"].split(".")
        if family == "output_item":
            self._begin(event) if step == ["added"] else self._end(event)
            return
        index = event["output_index"]
        item = self.whole[index]
        assert event["item_id"] == item["id"]
        if step == ["annotation", "added"]:  # may come after the item's end: a search tells late what it bore out
            annotations = item["content"][event["content_index"]]["annotations"]
            assert event["annotation_index"] == len(annotations)
            annotations.append(event["annotation"])
            return
        assert index in self.open, f"{event['type']} of an item that has ended"
        if family == "web_search_call":
            assert (item["type"], step) == ("web_search_call", ["completed"])
        elif family.endswith("_part"):
            self._part(event, item, family, step)
        else:
            self._delta(event, item, family, step)

    def _begin(self, event: Json) -> None:
        item = event["item"]
        assert event["output_index"] == len(self.whole)
        assert item["id"] not in [each["id"] for each in self.whole]
        assert {name: item[name] for name in _BEGINNINGS[item["type"]]} == _BEGINNINGS[item["type"]]
        assert not {"extra_content", "encrypted_content"} & item.keys()
        self.open.add(event["output_index"])
        self.whole.append(copy.deepcopy(item))

    def _end(self, event: Json) -> None:
        index, item = event["output_index"], event["item"]
        self.open.remove(index)
        assert not [name for number, name in self._unfinished if number == index]
        assert {name: value for name, value in item.items() if name not in _OF_THE_END} == {
            name: value for name, value in self.whole[index].items() if name not in _OF_THE_END
        }
        assert item.get("status", "completed") in ("completed", "incomplete")
        assert ("status" in item) == (item["type"] != "reasoning")
        self.whole[index] = copy.deepcopy(item)

    def _part(self, event: Json, item: Json, family: str, step: list[str]) -> None:
        parts, number = _place(event, item)
        key = event["output_index"], f"{family} {number}"
        if step == ["added"]:
            assert number == len(parts)
            kind = event["part"]["type"]
            assert event["part"] == {"type": kind, **_PARTS[kind]}
            parts.append(copy.deepcopy(event["part"]))
            self._unfinished.add(key)
        else:
            assert event["part"] == parts[number]
            self._unfinished.remove(key)

    def _delta(self, event: Json, item: Json, family: str, step: list[str]) -> None:
        name = {"refusal": "refusal", "function_call_arguments": "arguments", "custom_tool_call_input": "input"}
        field = name.get(family, "text")
        holder, number = (item, 0) if field in ("arguments", "input") else _place(event, item)
        if field not in ("arguments", "input"):
            holder = holder[number]
        key = event["output_index"], family
        if step == ["delta"]:
            holder[field] += event["delta"]
            holder.get("logprobs", []).extend(event.get("logprobs", ()))
            self._unfinished.add(key)
        else:
            assert step == ["done"]
            assert event[field] == holder[field]
            assert event.get("logprobs", []) == holder.get("logprobs", [])
            self._unfinished.remove(key)


def _place(event: Json, item: Json) -> tuple[Json, int]:
    """The parts that an event is about, and the number of the one."""
    if "summary_index" in event:
        return item["summary"], event["summary_index"]
    return item["content"], event["content_index"]
