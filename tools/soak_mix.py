"""The requests of a soak run: which kinds there are, how often each comes, and the bytes of one.

Each hundred requests have the same kinds, in an order of their own, so that each window of a run is like the others.
"""

import json
import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import bench_client
import soak_script
from soak_check import Protocol
from soak_script import Plan

API_KEY = b"unused"  # what bench_client sends
PERIOD = 100
MODELS = ("gemini-flash-latest", "gemini-3-flash-preview", "gemini-2.5-flash", "gpt-4o", "claude-sonnet-4-5")
_PACED_MS = 20  # of streams whose client leaves
STREAMED: tuple[Protocol, ...] = ("chat", "completions", "responses", "messages", "gemini", "array")


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of requests.

    :param events: see ``Plan``, as for ``length``, ``pace_ms``, ``thinks`` and ``calls``.
    :param turns: how many questions and answers come before the last question, with calls among them.
    :param tools: how many are declared.
    :param leave_after: the client goes when it has got so many pieces of the stream; 0 = it stays.
    :param follows: the answer of Responses before it is continued.
    :param status: what must come, when it is an error of the client's making.
    """

    protocol: Protocol
    stream: bool = False
    events: int = 3
    length: int = 120
    pace_ms: int = 0
    thinks: bool = False
    calls: bool = False
    turns: int = 0
    tools: int = 0
    leave_after: int = 0
    follows: bool = False
    status: int = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    :param sent: its bytes.
    :param plan: what has to come; None for those that upstream does not see.
    """

    number: int
    shape: Shape
    sent: bytes
    plan: Plan | None

    @property
    def kind(self) -> str:
        """What its time is counted with."""
        if self.plan is None:
            return "refused"
        return f"{self.shape.protocol} {'stream' if self.shape.stream else 'whole'}"


def _conversing(protocol: Protocol) -> list[tuple[int, Shape]]:
    """What all protocols that know tools have in common."""
    plain, stream = Shape(protocol), Shape(protocol, stream=True, events=12, length=600)
    long = replace(stream, events=150, length=9000)
    called = {"calls": True, "tools": 8}
    return [
        (1, replace(plain, length=20_000)),
        (1, long),
        (1, replace(plain, turns=12, **called)),
        (1, replace(stream, turns=2, **called)),
        (1, replace(stream, thinks=True)),
        (1, replace(stream, events=60, pace_ms=_PACED_MS, leave_after=4)),
    ]


SHAPES: tuple[tuple[int, Shape], ...] = (
    *(
        (count, shape)
        for protocol in ("chat", "messages", "responses", "gemini")
        for count, shape in _conversing(protocol)
    ),
    (12, Shape("chat")),
    (9, Shape("chat", stream=True, events=12, length=600)),
    (9, Shape("messages")),
    (8, Shape("messages", stream=True, events=12, length=600)),
    (5, Shape("responses")),
    (5, Shape("responses", stream=True, events=12, length=600)),
    (2, Shape("responses", follows=True)),
    (6, Shape("gemini")),
    (5, Shape("gemini", stream=True, events=12, length=600)),
    (2, Shape("array", stream=True, events=12, length=600)),
    (3, Shape("completions")),
    (3, Shape("completions", stream=True, events=12, length=600)),
    (1, Shape("completions", stream=True, events=150, length=9000)),
    (2, Shape("chat", status=401)),
    (1, Shape("messages", status=401)),
    (1, Shape("chat", status=404)),  # no such path
    (1, Shape("gemini", status=404)),  # no such model
    (1, Shape("responses", status=400)),
)


def request(number: int, *, seed: int, previous: str = "") -> Request:
    """The request of this number.

    :param previous: the id of an answer of Responses that may be continued, if there is one.
    """
    period, place = divmod(number, PERIOD)
    return made(number, _order(seed, period)[place], previous=previous)


def made(number: int, shape: Shape, *, fails: bool = True, previous: str = "") -> Request:
    """A request of a kind.

    :param fails: whether faults may come in its way.
    """
    plan = Plan(number, shape.events, shape.length, shape.pace_ms, shape.thinks, shape.calls, fails)
    model = MODELS[number % len(MODELS)]
    path, body = _PATHS[shape.protocol], _body(shape, plan, model, previous if shape.follows else "")
    if shape.protocol in ("gemini", "array"):
        model = "no-such-model" if shape.status == 404 else model
        methods = {"array": "streamGenerateContent"}
        method = methods.get(shape.protocol, "streamGenerateContent?alt=sse" if shape.stream else "generateContent")
        path = f"/v1beta/models/{model}:{method}"
    elif shape.status == 404:
        path = "/v1" + path
    elif shape.status == 400:
        body["input"] = 1
    sent = bench_client.post(path, body).replace(
        b"Authorization: Bearer ", _KEYS.get(shape.protocol, b"Authorization: Bearer ")
    )
    if shape.status == 401:
        sent = sent.replace(API_KEY, b"wrong-" + API_KEY, 1)
    return Request(number, shape, sent, plan if shape.status == 200 else None)


@cache
def _cards() -> tuple[Shape, ...]:
    cards = tuple(shape for count, shape in SHAPES for _ in range(count))
    assert len(cards) == PERIOD, len(cards)  # noqa: S101 - the table above
    return cards


_orders: dict[tuple[int, int], list[Shape]] = {}


def _order(seed: int, period: int) -> list[Shape]:
    """The kinds of a hundred requests in their order."""
    if (seed, period) not in _orders:
        _orders.clear()  # they come one after the other
        cards = list(_cards())
        random.Random(f"{seed} {period}").shuffle(cards)  # noqa: S311 - it must be the same in each run
        _orders[seed, period] = cards
    return _orders[seed, period]


# Bodies.

_PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "",
    "array": "",
}
_KEYS = {
    "messages": b"anthropic-version: 2023-06-01\r\nx-api-key: ",
    "gemini": b"x-goog-api-key: ",
    "array": b"x-goog-api-key: ",
}
_QUESTION = "What does a gateway do? Say it in a few words. "
_CALLED = {"number": 1, "words": "naïve", "nested": {"list": [1]}}
_RESULT = "def part(value):\n    return value  # Grüße\n" * 20
_SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "integer", "description": "Which one.", "minimum": 0},
        "words": {"type": "string", "description": "What to look for."},
        "nested": {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string"}}}},
    },
    "required": ["number", "words"],
    "additionalProperties": False,
}


def _body(shape: Shape, plan: Plan, model: str, previous: str) -> dict[str, Any]:
    question = _QUESTION + plan.mark
    body: dict[str, Any] = {"model": model, "stream": shape.stream}
    match shape.protocol:
        case "chat":
            body["messages"] = [*_past(shape, plan), {"role": "user", "content": question}]
        case "completions":
            body["prompt"] = question
        case "responses":
            body["input"] = [*_past(shape, plan), {"role": "user", "content": question}]
            body["store"] = not shape.stream
            if previous:
                body["previous_response_id"] = previous
        case "messages":
            body["max_tokens"] = 4096
            body["messages"] = [*_past(shape, plan), {"role": "user", "content": question}]
            if shape.thinks:
                body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        case _:
            body = {"contents": [*_past(shape, plan), {"role": "user", "parts": [{"text": question}]}]}
    if shape.tools:
        body["tools"] = _tools(shape.protocol, shape.tools)
    return body


def _tools(protocol: Protocol, count: int) -> list[dict[str, Any]]:
    names = [soak_script.TOOL, *(f"tool_{number}" for number in range(1, count))]
    about = "Looks something up. " * 5
    match protocol:
        case "chat":
            functions = [{"name": name, "description": about, "parameters": _SCHEMA} for name in names]
            return [{"type": "function", "function": function} for function in functions]
        case "responses":
            return [{"type": "function", "name": name, "description": about, "parameters": _SCHEMA} for name in names]
        case "messages":
            return [{"name": name, "description": about, "input_schema": _SCHEMA} for name in names]
    declared = [{"name": name, "description": about, "parametersJsonSchema": _SCHEMA} for name in names]
    return [{"functionDeclarations": declared}]


def _past(shape: Shape, plan: Plan) -> list[dict[str, Any]]:
    """What was said before; its beginning tells the conversation, of which there are 500."""
    past: list[dict[str, Any]] = []
    for turn in range(shape.turns):
        words = f"Conversation {plan.number % 500}, question {turn}: " + "what does this part do, and why? " * 10
        past += _turn(shape.protocol, words, f"call_{turn}")
    return past


def _turn(protocol: Protocol, words: str, call_id: str) -> list[dict[str, Any]]:
    """A question, a call, its result and an answer."""
    said = "It maps one value to another. " * 5
    match protocol:
        case "chat":
            function = {"name": soak_script.TOOL, "arguments": json.dumps(_CALLED)}
            calls = [{"id": call_id, "type": "function", "function": function}]
            return [
                {"role": "user", "content": words},
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "tool_call_id": call_id, "content": _RESULT},
                {"role": "assistant", "content": said},
            ]
        case "responses":
            arguments = json.dumps(_CALLED)
            return [
                {"role": "user", "content": words},
                {"type": "function_call", "call_id": call_id, "name": soak_script.TOOL, "arguments": arguments},
                {"type": "function_call_output", "call_id": call_id, "output": _RESULT},
                {"role": "assistant", "content": said},
            ]
        case "messages":
            call = {"type": "tool_use", "id": call_id, "name": soak_script.TOOL, "input": _CALLED}
            result = {"type": "tool_result", "tool_use_id": call_id, "content": _RESULT}
            return [
                {"role": "user", "content": words},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [result]},
                {"role": "assistant", "content": said},
            ]
    called = {"functionCall": {"id": call_id, "name": soak_script.TOOL, "args": _CALLED}}
    response = {"id": call_id, "name": soak_script.TOOL, "response": {"output": _RESULT}}
    return [
        {"role": "user", "parts": [{"text": words}]},
        {"role": "model", "parts": [called]},
        {"role": "user", "parts": [{"functionResponse": response}]},
        {"role": "model", "parts": [{"text": said}]},
    ]
