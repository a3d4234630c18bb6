"""Answers of OpenAI Responses, read as the strictest of its clients do.

A stream is put together from its deltas alone; each ``done`` event, and the last event's response, must then say the
same. Types are those of the ``openai`` package, strictly; rules of order are those of its stream helpers in Python and
TypeScript (indexes without gaps, parts announced before their deltas) and of https://www.openresponses.org/specification.
"""

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from tests.conversation.wire import server_events

Json = Any

_EVENTS: dict[str, type[BaseModel]] = {
    get_args(member.model_fields["type"].annotation)[0]: member for member in get_args(get_args(ResponseStreamEvent)[0])
}
_LAST = ("response.completed", "response.incomplete", "response.failed")
# What an item begins with, by its type; what is not named must be known from the start.
_BLANK: dict[str, Json] = {
    "message": {"role": "assistant", "status": "in_progress", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"status": "in_progress", "input": ""},
    "web_search_call": {"status": "in_progress"},
    "image_generation_call": {"status": "in_progress", "result": None},
}
# What may be told at the end of an item only.
_LATE = frozenset({"status", "encrypted_content", "extra_content", "result", "output_format", "action"})
_BLANK_PARTS: dict[str, Json] = {
    "output_text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "refusal": {"type": "refusal", "refusal": ""},
    "summary_text": {"type": "summary_text", "text": ""},
}
# Fields of the response that are known only at its end.
_OF_THE_END = frozenset({"status", "output", "usage", "completed_at", "incomplete_details", "error"})


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream told: its events but for ``[DONE]``, and the response of the last one."""

    events: list[Json]
    response: Json

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Json]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]


def checked(response: Json) -> Json:
    """A whole response, which must be one by the SDK's strict types, and whole in itself.

    :raises AssertionError: it contradicts itself.
    """
    Response.model_validate_json(json.dumps(response), strict=True)
    assert response["object"] == "response"
    assert response["id"].startswith("resp_")
    items, status = response["output"], response["status"]
    assert status in ("completed", "incomplete", "failed")
    ids = [item["id"] for item in items]
    assert len(set(ids)) == len(ids), f"ids stand twice: {ids}"
    call_ids = [item["call_id"] for item in items if "call_id" in item]
    assert len(set(call_ids)) == len(call_ids), f"ids of calls stand twice: {call_ids}"
    states = [item.get("status", "completed") for item in items]
    assert "in_progress" not in states
    assert "incomplete" not in states[:-1] or status == "failed", "an incomplete item is not the last"
    assert "incomplete" not in states or status != "completed", "an incomplete item in a whole response"
    assert (response["error"] is not None) == (status == "failed")
    assert (response["incomplete_details"] is not None) == (status == "incomplete")
    assert (response["completed_at"] is not None) == (status == "completed")
    if usage := response["usage"]:
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert (response["usage"] is None) == (status == "failed")
    return response


def read(stream: bytes) -> Told:
    """The events of a stream, in the only order and form that all clients understand.

    :raises AssertionError: it has another one.
    """
    *named, end = server_events(stream)
    assert (end.name, end.data) == ("", "[DONE]")
    events = [json.loads(each.data) for each in named]
    assert [each.name for each in named] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for each, event in zip(named, events, strict=True):
        assert event["type"] in _EVENTS, f"an unknown event: {event['type']}"
        _EVENTS[event["type"]].model_validate_json(each.data, strict=True)
    created, in_progress, *rest = events
    last = rest.pop()
    assert (created["type"], in_progress["type"]) == ("response.created", "response.in_progress")
    assert last["type"] in _LAST
    begun, ended = created["response"], last["response"]
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    assert in_progress["response"] == begun
    assert _head(begun) == _head(ended)
    assert last["type"] == f"response.{ended['status']}"
    items = _Items(begun)
    has_failed = ended["status"] == "failed"
    if has_failed:
        error = rest.pop()
        assert error["type"] == "error"
        _check_error(error, ended["error"])
    for event in rest:
        items.add(event)
    assert items.open == set() or has_failed, "an item has no end"
    assert ended["output"] == items.whole(has_failed=has_failed)
    return Told(events, checked(ended))


def text_of(response: Json) -> str:
    """All text of a response, as ``output_text`` of the SDKs."""
    return "".join(part["text"] for part in _parts(response, "message", "content") if part["type"] == "output_text")


def summary_of(response: Json) -> str:
    """The thoughts of a response."""
    return "".join(part["text"] for part in _parts(response, "reasoning", "summary"))


def items_of(response: Json, *kinds: str) -> list[Json]:
    """Its output items of these types."""
    return [item for item in response["output"] if item["type"] in kinds]


def _parts(response: Json, kind: str, holder: str) -> Iterable[Json]:
    return (part for item in items_of(response, kind) for part in item[holder])


def _head(response: Json) -> Json:
    return {name: value for name, value in response.items() if name not in _OF_THE_END}


def _check_error(event: Json, of_response: Json) -> None:
    """Flat for the types of the ``openai`` package, nested for its stream and for Open Responses."""
    flat = {name: event[name] for name in ("code", "message", "param")}
    assert event["error"] == {**flat, "type": event["error"]["type"]}
    assert event["message"] == of_response["message"]
    assert isinstance(of_response["type"], str)


class _Items:
    """The output as its deltas tell it.

    :ivar open: the indexes of the items that have not ended.
    """

    def __init__(self, begun: Json) -> None:
        self.open: set[int] = set()
        self._begun = begun
        self._items: list[Json] = []
        self._told: set[tuple[int, str, int]] = set()  # parts of which the end was told: item, event family, part
        self._ended: set[tuple[int, str, int]] = set()

    def whole(self, *, has_failed: bool) -> list[Json]:
        """The items as the last event must have them."""
        items = copy.deepcopy(self._items)
        for index in self.open if has_failed else ():
            if "status" in items[index]:
                items[index]["status"] = "incomplete"
        return items

    def add(self, event: Json) -> None:
        """The next event, neither the first nor the last."""
        kind: str = event["type"]
        if kind == "response.in_progress":  # a sign of life
            assert not self._items, "clients would take it for the beginning"
            assert event["response"] == self._begun
            return
        if kind == "response.output_item.added":
            self._added(event)
            return
        index = event["output_index"]
        item = self._items[index]
        if kind == "response.output_item.done":
            self._done(index, item, event["item"])
            return
        assert index in self.open, f"{kind} after the item's end"
        assert event["item_id"] == item["id"]
        name = kind.removeprefix("response.")
        if name.startswith("web_search_call."):
            assert item["type"] == "web_search_call"
            return
        _STEPS[name](self, index, item, event)

    def _added(self, event: Json) -> None:
        item = event["item"]
        assert event["output_index"] == len(self._items)
        assert item["id"]
        assert item["id"] not in {each["id"] for each in self._items}
        others = {self._items[index]["type"] for index in self.open}
        assert others <= {"function_call", "custom_tool_call"}, "more may come of calls alone, once others have begun"
        blank = _BLANK[item["type"]]
        assert {name: item.get(name, ...) for name in blank} == blank
        assert "encrypted_content" not in item
        self.open.add(len(self._items))
        self._items.append(copy.deepcopy(item))

    def _done(self, index: int, item: Json, done: Json) -> None:
        self.open.remove(index)
        assert {name: value for name, value in done.items() if name not in _LATE} == {
            name: value for name, value in item.items() if name not in _LATE
        }
        assert ("status" in done) == ("status" in item)
        assert done.get("status", "completed") in ("completed", "incomplete")
        for holder, families in (("content", ("content_part",)), ("summary", ("reasoning_summary_part",))):
            ends = {(index, family, number) for family in families for number in range(len(item.get(holder) or ()))}
            assert ends <= self._ended, "a part has no end"
        if item["type"] in ("function_call", "custom_tool_call"):
            assert any(told[0] == index for told in self._told), "the arguments have no end"
        self._items[index] = copy.deepcopy(done)

    # Steps of an item's parts.

    def begin_part(self, index: int, item: Json, event: Json) -> None:
        holder, number = _place(event)
        assert number == len(item[holder])
        part = event["part"]
        assert part == _BLANK_PARTS[part["type"]]
        assert (part["type"] == "summary_text") == (holder == "summary")
        item[holder].append(copy.deepcopy(part))

    def end_part(self, index: int, item: Json, event: Json) -> None:
        holder, number = _place(event)
        family = event["type"].split(".")[1]
        assert event["part"] == item[holder][number]
        assert any(told[0] == index and told[2] == number for told in self._told), "the part ends before its text"
        assert (index, family, number) not in self._ended
        self._ended.add((index, family, number))

    def more(self, index: int, item: Json, event: Json) -> None:
        holder, field, number, family = self._where(item, event)
        assert (index, family, number) not in self._told, "a delta after the end"
        assert event["delta"], "an empty delta"
        holder[field] += event["delta"]
        if "logprobs" in event:
            holder["logprobs"] += event["logprobs"]

    def end(self, index: int, item: Json, event: Json) -> None:
        holder, field, number, family = self._where(item, event)
        assert event[field] == holder[field], "the end tells another text than the deltas"
        if "logprobs" in event:
            assert event["logprobs"] == holder["logprobs"]
        assert (index, family, number) not in self._told
        self._told.add((index, family, number))

    def annotate(self, index: int, item: Json, event: Json) -> None:
        annotations = item["content"][event["content_index"]]["annotations"]
        assert event["annotation_index"] == len(annotations)
        annotations.append(copy.deepcopy(event["annotation"]))

    def _where(self, item: Json, event: Json) -> tuple[Json, str, int, str]:
        """What holds the text, the field that is its text, the number of the part, and the family of the event."""
        family = event["type"].split(".")[1]
        if family in ("function_call_arguments", "custom_tool_call_input"):
            return item, family.rpartition("_")[2], 0, family
        holder, number = _place(event)
        return item[holder][number], "refusal" if family == "refusal" else "text", number, family


def _place(event: Json) -> tuple[str, int]:
    """Whether a part is of the content or of the summary, and its number."""
    if "summary_index" in event:
        return "summary", event["summary_index"]
    return "content", event["content_index"]


_STEPS: dict[str, Callable[[_Items, int, Json, Json], None]] = {
    "content_part.added": _Items.begin_part,
    "content_part.done": _Items.end_part,
    "reasoning_summary_part.added": _Items.begin_part,
    "reasoning_summary_part.done": _Items.end_part,
    "output_text.annotation.added": _Items.annotate,
    **{
        f"{family}.{step}": method
        for family in (
            *("output_text", "refusal", "reasoning_summary_text"),
            *("function_call_arguments", "custom_tool_call_input"),
        )
        for step, method in (("delta", _Items.more), ("done", _Items.end))
    },
}
