"""Speakers of OpenAI Responses: over plain HTTP, strict about every event, and with the ``openai`` SDK.

A client holds its conversation in one of four ways (``Memory``), and each must come to the same. All but the first say
their instructions as a field, which is not carried over by ``previous_response_id``.
"""

import json
from typing import Any, Literal

import openai

from tests.conversation.table import MAX_TOKENS, SYSTEM
from tests.conversation.turn import Call, File, Finish, Heard, JsonObject, Need, Result, Text, Tokens, Turn
from tests.conversation.wire import Wire
from tests.responses_stream import checked, items_of, read, summary_of, text_of

_PATH = "/v1/responses"
_ENCRYPTED = "reasoning.encrypted_content"
# How a client holds its conversation:
# "whole": it sends all items again, as they came; "stateless": the same, but nothing is stored, and thought signatures
# are in the encrypted reasoning; "remade": it sends texts and calls again, and drops all else; "stored": it names the
# response before.
Memory = Literal["whole", "stateless", "remade", "stored"]


class _Responses:
    """The history of a client of Responses, and its requests."""

    lacks: frozenset[Need] = frozenset()
    marks_errors = False
    is_native = False

    def __init__(self, model: str, *, memory: Memory) -> None:
        self.keeps_text_signatures = memory != "remade"
        self._model = model
        self._memory = memory
        self._previous: str | None = None
        self._items: list[Any] = []
        if memory == "whole":
            self._items.append({"role": "developer", "content": SYSTEM})

    def _request(self, turn: Turn) -> JsonObject:
        """What to post, once the turn is part of the history."""
        self._items += [_result(said) for said in turn.says if isinstance(said, Result)]
        if parts := [_content_part(said) for said in turn.says if not isinstance(said, Result)]:
            is_text = len(parts) == 1 and parts[0]["type"] == "input_text"
            self._items.append({"role": "user", "content": parts[0]["text"] if is_text else parts})
        body: JsonObject = {"model": self._model, "input": list(self._items), "max_output_tokens": MAX_TOKENS}
        if self._memory != "whole":
            body["instructions"] = SYSTEM
        if self._memory == "stateless":
            body |= {"store": False, "include": [_ENCRYPTED]}
        if self._memory == "stored" and self._previous is not None:
            body["previous_response_id"] = self._previous
        if turn.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,
                }
                for tool in turn.tools
            ]
        if turn.thinking is not None:
            body["reasoning"] = {"effort": turn.thinking, "summary": "auto"}
        if turn.schema is not None:
            named = {"type": "json_schema", "name": "answer", "strict": True, "schema": turn.schema}
            body["text"] = {"format": named}
        return body

    def _remember(self, output: list[Any], response: JsonObject) -> None:
        """Add an answer to the history.

        :param output: its items: objects of JSON, or the SDK's.
        """
        assert response["previous_response_id"] == (self._previous if self._memory == "stored" else None)
        self._previous = response["id"]
        match self._memory:
            case "stored":
                self._items = []
            case "remade":
                self._items += _remade(response)
            case _:
                self._items += output

    def _heard(self, response: JsonObject, turn: Turn) -> Heard:
        assert response["model"] == self._model
        assert response["store"] == (self._memory != "stateless")
        assert response["instructions"] == (None if self._memory == "whole" else SYSTEM)
        assert [tool["name"] for tool in response["tools"]] == [tool.name for tool in turn.tools]
        thoughts = items_of(response, "reasoning")
        assert all(("encrypted_content" in item) == (self._memory == "stateless") for item in thoughts)
        assert thoughts or not (self._memory == "stateless" and _is_signed(response, self._model))
        return _heard(response, turn)


class ResponsesOverHttp(_Responses):
    """A client that reads JSON and events by itself."""

    def __init__(self, wire: Wire, model: str, *, memory: Memory) -> None:
        super().__init__(model, memory=memory)
        self._wire = wire

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        if streamed:
            response = read(self._wire.stream(_PATH, {**body, "stream": True})).response
        else:
            response = checked(self._wire.post(_PATH, body))
        heard = self._heard(response, turn)
        self._remember(response["output"], response)
        return heard

    def close(self) -> None:
        """Nothing is open."""


class ResponsesOverSdk(_Responses):
    """The ``openai`` package."""

    def __init__(self, url: str, model: str, *, memory: Memory) -> None:
        super().__init__(model, memory=memory)
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=30)

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        response: Any
        if streamed:
            with self._client.responses.stream(**body) as stream:
                last: Any = list(stream)[-1]
            response = last.response  # get_final_response raises where an answer was cut short
        else:
            response = self._client.responses.create(**body)
        heard = self._heard(response.model_dump(exclude_unset=True), turn)
        assert response.output_text == heard.text
        output = [item.model_dump(exclude_unset=True) for item in response.output] if streamed else response.output
        self._remember(output, response.model_dump())
        return heard

    def close(self) -> None:
        self._client.close()


# Requests.


def _result(result: Result) -> JsonObject:
    return {"type": "function_call_output", "call_id": result.call.id, "output": result.text}


def _content_part(said: Text | File) -> JsonObject:
    if isinstance(said, Text):
        return {"type": "input_text", "text": said.text}
    url = f"data:{said.media_type};base64,{said.base64}"
    if said.media_type.startswith("image/"):
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    return {"type": "input_file", "filename": said.name, "file_data": url}


def _remade(response: JsonObject) -> list[JsonObject]:
    """The items of a client that keeps what it knows, and nothing else."""
    remade = []
    for item in response["output"]:
        if item["type"] == "message":
            text = "".join(part["text"] for part in item["content"])
            remade.append({"role": "assistant", "content": text})
        elif item["type"] == "function_call":
            remade.append({name: item[name] for name in ("type", "call_id", "name", "arguments")})
    return remade


# Answers.


def _is_signed(response: JsonObject, model: str) -> bool:
    """Whether Gemini signed its calls: from family 3 on it does."""
    return bool(items_of(response, "function_call")) and not model.startswith("gemini-2.5")


def _heard(response: JsonObject, turn: Turn) -> Heard:
    text = text_of(response)
    calls = tuple(_call(item) for item in items_of(response, "function_call"))
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"]["cache_write_tokens"] == 0
    return Heard(
        text=text,
        reasoning=summary_of(response),
        calls=calls,
        finish=_finish(response, has_calls=bool(calls)),
        usage=Tokens(
            input=usage["input_tokens"],
            output=usage["output_tokens"],
            cached=usage["input_tokens_details"]["cached_tokens"],
            reasoning=usage["output_tokens_details"]["reasoning_tokens"],
        ),
        json=json.loads(text) if turn.schema is not None else None,
    )


def _finish(response: JsonObject, *, has_calls: bool) -> Finish:
    if response["status"] == "incomplete":
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        return "length"
    assert response["status"] == "completed"
    return "tool_calls" if has_calls else "stop"


def _call(item: JsonObject) -> Call:
    assert item["call_id"]
    return Call(item["name"], json.loads(item["arguments"]), id=item["call_id"])
