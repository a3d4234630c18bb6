"""Speakers of OpenAI Completions: over plain HTTP, strict about every chunk, and with the ``openai`` SDK.

There is no conversation in this protocol, only a prompt, and so they say no more than the first turn. Nor does it know
of thinking, so that the model is to do as little of it as it can.
"""

import json
from typing import Any

import openai
from openai.types import Completion

from tests.conversation.table import MAX_TOKENS
from tests.conversation.turn import Finish, Heard, JsonObject, Need, Text, Tokens, Turn
from tests.conversation.wire import ServerEvent, Wire, server_events

_PATH = "/v1/completions"
_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length"}


class _Completions:
    """The requests of a client of Completions."""

    lacks: frozenset[Need] = frozenset({"system", "history", "files", "tools", "thinking", "schema"})
    keeps_text_signatures = False
    marks_errors = False
    is_native = False

    def __init__(self, model: str) -> None:
        self._model = model

    def _request(self, turn: Turn, *, streamed: bool) -> JsonObject:
        (said,) = turn.says
        assert isinstance(said, Text)
        body: JsonObject = {"model": self._model, "prompt": said.text, "max_tokens": MAX_TOKENS}
        if streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


class CompletionsOverHttp(_Completions):
    """A client that reads JSON and events by itself."""

    def __init__(self, wire: Wire, model: str) -> None:
        super().__init__(model)
        self._wire = wire

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn, streamed=streamed)
        reply = _joined(server_events(self._wire.stream(_PATH, body))) if streamed else self._wire.post(_PATH, body)
        assert reply["model"] == self._model
        return _heard(reply)

    def close(self) -> None:
        """Nothing is open."""


class CompletionsOverSdk(_Completions):
    """The ``openai`` package."""

    def __init__(self, url: str, model: str) -> None:
        super().__init__(model)
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=30)

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        told: Any = self._client.completions.create(**self._request(turn, streamed=streamed))
        if not streamed:
            return _heard(told.model_dump())
        *chunks, last = [chunk.model_dump() for chunk in told]
        return _heard(_whole(chunks, last))

    def close(self) -> None:
        self._client.close()


def _heard(reply: JsonObject) -> Heard:
    """A ``text_completion``, as it came or as it was joined from chunks."""
    Completion.model_validate_json(json.dumps(reply), strict=True)
    assert reply["id"].startswith("cmpl-")
    (choice,) = reply["choices"]
    assert (choice["index"], choice["logprobs"]) == (0, None)
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return Heard(
        text=choice["text"],
        finish=_FINISHES[choice["finish_reason"]],
        usage=Tokens(
            input=usage["prompt_tokens"],
            output=usage["completion_tokens"],
            cached=usage["prompt_tokens_details"]["cached_tokens"],
            reasoning=usage["completion_tokens_details"]["reasoning_tokens"],
        ),
    )


def _joined(events: list[ServerEvent]) -> JsonObject:
    """The ``text_completion`` that a stream tells."""
    assert {event.name for event in events} == {""}
    *chunks, end = [event.data for event in events]
    assert end == "[DONE]"
    *spoken, last = [json.loads(chunk) for chunk in chunks]
    return _whole(spoken, last)


def _whole(chunks: list[JsonObject], last: JsonObject) -> JsonObject:
    """The chunks as one.

    :param last: that with the usage.
    """
    head = {name: last[name] for name in ("id", "object", "created", "model")}
    assert last["choices"] == []
    text, finish = "", None
    for chunk in chunks:
        (choice,) = chunk["choices"]
        assert {name: chunk[name] for name in head} == head
        assert chunk["usage"] is None
        assert finish is None, "a chunk after the finish_reason"
        text, finish = text + choice["text"], choice["finish_reason"]
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {**head, "choices": [choice], "usage": last["usage"]}
