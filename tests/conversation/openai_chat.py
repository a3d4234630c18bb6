"""Speakers of OpenAI Chat Completions: over plain HTTP, strict about every chunk, and with the ``openai`` SDK.

Each exists twice. One appends the assistant's message to its history as it came. The other, as most clients do, makes
a new message of text and calls, so that ``extra_content`` with its thought signatures is lost.
"""

import json
from typing import Any

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.conversation.table import MAX_TOKENS, SYSTEM
from tests.conversation.turn import Call, File, Finish, Heard, JsonObject, Need, Result, Text, Tokens, Turn
from tests.conversation.wire import ServerEvent, Wire, server_events

_PATH = "/v1/chat/completions"
_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


class _Chat:
    """The history of a client of Chat Completions, and its requests."""

    lacks: frozenset[Need] = frozenset()
    marks_errors = False
    is_native = False

    def __init__(self, model: str, *, keeps_extra_content: bool) -> None:
        self.keeps_text_signatures = keeps_extra_content
        self._model = model
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}]

    def _request(self, turn: Turn, *, streamed: bool) -> JsonObject:
        """What to post, once the turn is part of the history."""
        self._messages += [_tool_message(said) for said in turn.says if isinstance(said, Result)]
        if parts := [_content_part(said) for said in turn.says if not isinstance(said, Result)]:
            is_text = len(parts) == 1 and parts[0]["type"] == "text"
            self._messages.append({"role": "user", "content": parts[0]["text"] if is_text else parts})
        body: JsonObject = {"model": self._model, "messages": self._messages, "max_completion_tokens": MAX_TOKENS}
        if turn.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in turn.tools
            ]
        if turn.thinking is not None:
            body["reasoning_effort"] = turn.thinking
        if turn.schema is not None:
            named = {"name": "answer", "strict": True, "schema": turn.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def _remember(self, message: Any) -> None:
        """Append the assistant's message: an object of JSON, or the SDK's."""
        if not self.keeps_text_signatures:
            message = _remade(message if isinstance(message, dict) else message.model_dump())
        self._messages.append(message)


class ChatOverHttp(_Chat):
    """A client that reads JSON and events by itself."""

    def __init__(self, wire: Wire, model: str, *, keeps_extra_content: bool) -> None:
        super().__init__(model, keeps_extra_content=keeps_extra_content)
        self._wire = wire

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn, streamed=streamed)
        reply = _joined(server_events(self._wire.stream(_PATH, body))) if streamed else self._wire.post(_PATH, body)
        assert reply["model"] == self._model
        self._remember(reply["choices"][0]["message"])
        return _heard(reply, turn)

    def close(self) -> None:
        """Nothing is open."""


class ChatOverSdk(_Chat):
    """The ``openai`` package."""

    def __init__(self, url: str, model: str, *, keeps_extra_content: bool) -> None:
        super().__init__(model, keeps_extra_content=keeps_extra_content)
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=30)

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn, streamed=streamed)
        completion: Any = self._client.chat.completions.create(**body)
        if streamed:
            state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
            for chunk in completion:
                state.handle_chunk(chunk)
            completion = state.current_completion_snapshot  # get_final_completion raises where an answer was cut short
        self._remember(completion.choices[0].message)
        return _heard(completion.model_dump(), turn)

    def close(self) -> None:
        self._client.close()


# Requests.


def _tool_message(result: Result) -> JsonObject:
    return {"role": "tool", "tool_call_id": result.call.id, "content": result.text}


def _content_part(said: Text | File) -> JsonObject:
    if isinstance(said, Text):
        return {"type": "text", "text": said.text}
    url = f"data:{said.media_type};base64,{said.base64}"
    if said.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": said.name, "file_data": url}}


def _remade(message: JsonObject) -> JsonObject:
    """The message of a client that keeps what it knows, and nothing else."""
    remade: JsonObject = {"role": "assistant", "content": message["content"]}
    if message.get("tool_calls"):
        remade["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {name: call["function"][name] for name in ("name", "arguments")},
            }
            for call in message["tool_calls"]
        ]
    return remade


# Answers.


def _heard(reply: JsonObject, turn: Turn) -> Heard:
    """A ``chat.completion``, as it came or as it was joined from chunks."""
    assert reply["id"].startswith("chatcmpl-")
    assert reply["object"] == "chat.completion"
    assert isinstance(reply["created"], int)
    (choice,) = reply["choices"]
    assert choice["index"] == 0
    message, usage = choice["message"], reply["usage"]
    assert message["role"] == "assistant"
    assert message["refusal"] is None
    text = message["content"] or ""
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return Heard(
        text=text,
        reasoning=message.get("reasoning_content") or "",
        calls=tuple(_call(call) for call in message.get("tool_calls") or ()),
        finish=_FINISHES[choice["finish_reason"]],
        usage=Tokens(
            input=usage["prompt_tokens"],
            output=usage["completion_tokens"],
            cached=usage["prompt_tokens_details"]["cached_tokens"],
            reasoning=usage["completion_tokens_details"]["reasoning_tokens"],
        ),
        json=json.loads(text) if turn.schema is not None else None,
    )


def _call(call: JsonObject) -> Call:
    assert call["type"] == "function"
    assert call["id"]
    return Call(call["function"]["name"], json.loads(call["function"]["arguments"]), id=call["id"])


def _joined(events: list[ServerEvent]) -> JsonObject:
    """The ``chat.completion`` that a stream tells, in the only order of chunks that all clients understand."""
    assert {event.name for event in events} == {""}
    *chunks, end = [event.data for event in events]
    assert end == "[DONE]"
    *spoken, last = [json.loads(chunk) for chunk in chunks]
    head = {name: last[name] for name in ("id", "object", "created", "model")}
    assert last == {**head, "choices": [], "usage": last["usage"]}
    assert head["object"] == "chat.completion.chunk"
    message: JsonObject = {"role": None, "content": None, "refusal": None}
    finish = None
    for number, chunk in enumerate(spoken):
        (choice,) = chunk["choices"]
        assert chunk == {**head, "choices": [choice], "usage": None}
        assert (choice["index"], choice["logprobs"]) == (0, None)
        assert finish is None, "a chunk after the finish_reason"
        finish = choice["finish_reason"]
        assert ("role" in choice["delta"]) == (number == 0)
        _add(message, choice["delta"])
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": last["usage"]}


def _add(message: JsonObject, delta: JsonObject) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            calls = message.setdefault(name, [])
            for call in value:
                _add_call(calls, dict(call))
        elif name in ("content", "reasoning_content"):
            message[name] = (message.get(name) or "") + value
        elif value is not None:
            assert name in ("role", "extra_content"), f"an unknown delta: {name}"
            assert message.get(name) is None, f"{name} stands twice"
            message[name] = value


def _add_call(calls: list[JsonObject], delta: JsonObject) -> None:
    """A call begins with all but its arguments, of which the later chunks bring more and nothing else."""
    index = delta.pop("index")
    if index == len(calls):
        assert {"id", "type", "function"} <= delta.keys()
        calls.append({**delta, "function": dict(delta["function"])})
        return
    assert index == len(calls) - 1, "calls are interleaved"
    assert delta == {"function": {"arguments": delta["function"]["arguments"]}}
    calls[index]["function"]["arguments"] += delta["function"]["arguments"]
