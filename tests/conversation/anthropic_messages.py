"""Speakers of Anthropic Messages: over plain HTTP, strict about every event, and with the ``anthropic`` SDK.

Each exists twice. One sends the blocks of an answer again as they came, thinking blocks with their signatures among
them; the other, as clients do that take no interest in thoughts, sends its texts and calls alone.
"""

import json
from typing import Any

import anthropic

from tests.conversation.table import MAX_TOKENS, SYSTEM
from tests.conversation.turn import Call, File, Finish, Heard, JsonObject, Need, Result, Text, Tokens, Turn
from tests.conversation.wire import Wire
from tests.messages_stream import blocks_of, checked, read, text_of

_PATH = "/v1/messages"
_FINISHES: dict[str, Finish] = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class _Messages:
    """The history of a client of Messages, and its requests."""

    lacks: frozenset[Need] = frozenset()
    keeps_text_signatures = False  # a block of text has no place for one
    marks_errors = True
    is_native = False

    def __init__(self, model: str, *, keeps_thinking: bool) -> None:
        self._model = model
        self._keeps_thinking = keeps_thinking
        self._messages: list[Any] = []
        self._ids: set[str] = set()

    def _request(self, turn: Turn) -> JsonObject:
        """What to post, once the turn is part of the history."""
        (lone,) = turn.says if len(turn.says) == 1 else (None,)
        content: Any = lone.text if isinstance(lone, Text) else [_block(said) for said in turn.says]
        self._messages.append({"role": "user", "content": content})
        body: JsonObject = {
            "model": self._model,
            "max_tokens": MAX_TOKENS,
            "system": SYSTEM,
            "messages": self._messages,
        }
        if turn.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in turn.tools
            ]
        if turn.thinking is not None:
            body |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": turn.thinking}}
        if turn.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": turn.schema}}
        return body

    def _remember(self, message_id: str, content: list[Any]) -> None:
        """Append the assistant's message.

        :param content: its blocks: objects of JSON, or the SDK's.
        """
        assert message_id not in self._ids, "an id stands twice; Claude Code takes both messages for one"
        self._ids.add(message_id)
        if not self._keeps_thinking:
            content = [block for block in content if _kind(block) != "thinking"]
        self._messages.append({"role": "assistant", "content": content})


class MessagesOverHttp(_Messages):
    """A client that reads JSON and events by itself."""

    def __init__(self, wire: Wire, model: str, *, keeps_thinking: bool) -> None:
        super().__init__(model, keeps_thinking=keeps_thinking)
        self._wire = wire

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        if streamed:
            message = read(self._wire.stream(_PATH, {**body, "stream": True})).message
        else:
            message = checked(self._wire.post(_PATH, body))
        assert message["model"] == self._model
        self._remember(message["id"], message["content"])
        return _heard(message, turn)

    def close(self) -> None:
        """Nothing is open."""


class MessagesOverSdk(_Messages):
    """The ``anthropic`` package."""

    def __init__(self, url: str, model: str, *, keeps_thinking: bool) -> None:
        super().__init__(model, keeps_thinking=keeps_thinking)
        self._client = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, timeout=30)

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        message: Any
        if streamed:
            with self._client.messages.stream(**body) as stream:
                message = stream.get_final_message()
        else:
            message = self._client.messages.create(**body)
        self._remember(message.id, message.content)
        return _heard(message.to_dict(mode="json"), turn)

    def close(self) -> None:
        self._client.close()


# Requests.


def _block(said: Text | File | Result) -> JsonObject:
    match said:
        case Text():
            return {"type": "text", "text": said.text}
        case File():
            kind = "image" if said.media_type.startswith("image/") else "document"
            source = {"type": "base64", "media_type": said.media_type, "data": said.base64}
            return {"type": kind, "source": source}
        case Result():
            block = {"type": "tool_result", "tool_use_id": said.call.id, "content": said.text}
            return {**block, "is_error": True} if said.is_error else block


def _kind(block: Any) -> str:
    kind: str = block["type"] if isinstance(block, dict) else block.type
    return kind


# Answers.


def _heard(message: JsonObject, turn: Turn) -> Heard:
    """A ``message``, as it came or as it was put together."""
    thoughts = blocks_of(message, "thinking")
    assert turn.thinking is not None or not thoughts, "thoughts that nobody asked for"
    text = text_of(message)
    usage = message["usage"]
    return Heard(
        text=text,
        reasoning="".join(block["thinking"] for block in thoughts),
        calls=tuple(Call(block["name"], block["input"], id=block["id"]) for block in blocks_of(message, "tool_use")),
        finish=_FINISHES[message["stop_reason"]],
        usage=Tokens(
            input=usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"],
            output=usage["output_tokens"],
            cached=usage["cache_read_input_tokens"],
            reasoning=usage["output_tokens_details"]["thinking_tokens"],
        ),
        json=json.loads(text) if turn.schema is not None else None,
    )
