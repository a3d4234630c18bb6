"""The same request in every protocol, as the body on the wire, and what its answer says.

For tests that ask one thing of all protocols.
``tests/conversation`` has whole clients, which say what their own SDK would and hold the answer to all their rules.
These bodies may hold what no careful client would send: histories of another service, empty texts, results with files.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from agproxy import sse
from tests.conversation.turn import JsonObject, Text, Tool

MODEL = "gemini-3-flash-preview"
# What the clients of each send of themselves, a key aside.
HEADERS: Mapping[str, dict[str, str]] = {
    "chat": {"User-Agent": "OpenAI/Python 3.54.0"},
    "completions": {},
    "responses": {"User-Agent": "codex_exec/0.169.0"},
    "messages": {"User-Agent": "Anthropic/Python 2.12.0", "anthropic-version": "2026-10-21"},
    "gemini": {"User-Agent": "google-genai-sdk/3.4.0 gl-python/3.11", "x-goog-api-client": "google-genai-sdk/3.4.0"},
}


@dataclass(frozen=True, slots=True)
class System:
    """Instructions, wherever they stand."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call of the model.

    :param signature: where the protocol's clients carry the one of Gemini; None for none.
    """

    id: str
    name: str
    arguments: JsonObject
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """The result of a call.

    :param png: base64 of a picture beside the text.
    """

    id: str
    name: str
    text: str
    png: str | None = None


Past = Text | System | Said | Called | Returned


class Tongue(Protocol):
    """One protocol."""

    def path(self, model: str, *, streamed: bool) -> str:
        """Where its requests go."""

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        """A request."""

    def end(self, told: list[JsonObject]) -> tuple[str, ...]:
        """Why an answer ended, in the protocol's words."""

    def ids(self, told: list[JsonObject]) -> list[str]:
        """The answer's id, each time that it stands there."""


class _OpenAI:
    """What both older protocols of OpenAI have in common."""

    def end(self, told: list[JsonObject]) -> tuple[str, ...]:
        choices = [choice for each in told for choice in each.get("choices", ())]
        return tuple(choice["finish_reason"] for choice in choices if choice["finish_reason"])

    def ids(self, told: list[JsonObject]) -> list[str]:
        return [each["id"] for each in told]


class Chat(_OpenAI):
    """Chat Completions."""

    def path(self, model: str, *, streamed: bool) -> str:
        return "/v1/chat/completions"

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        declared = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in tools
        ]
        messages = [self._message(each) for each in past]
        body: JsonObject = {"model": model, "messages": messages, "stream": streamed}
        return {**body, "tools": declared} if declared else body

    def _message(self, said: Past) -> JsonObject:
        match said:
            case Text():
                return {"role": "user", "content": said.text}
            case System():
                return {"role": "system", "content": said.text}
            case Said():
                return {"role": "assistant", "content": said.text}
            case Called():
                function = {"name": said.name, "arguments": json.dumps(said.arguments)}
                call: JsonObject = {"id": said.id, "type": "function", "function": function}
                if said.signature is not None:
                    call["extra_content"] = {"google": {"thought_signature": said.signature}}
                return {"role": "assistant", "content": "", "tool_calls": [call]}
            case Returned():
                return {"role": "tool", "tool_call_id": said.id, "content": _with_picture(said, "text", "image_url")}


class Completions(_OpenAI):
    """Completions, which can say one thing only."""

    def path(self, model: str, *, streamed: bool) -> str:
        return "/v1/completions"

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        (said,) = past
        assert isinstance(said, Text)
        return {"model": model, "prompt": said.text, "stream": streamed}


class Responses:
    """Responses."""

    def path(self, model: str, *, streamed: bool) -> str:
        return "/v1/responses"

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        declared = [
            {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in tools
        ]
        items = [item for each in past for item in self._items(each)]
        body: JsonObject = {"model": model, "input": items, "stream": streamed}
        return {**body, "tools": declared} if declared else body

    def _items(self, said: Past) -> list[JsonObject]:
        match said:
            case Text():
                return [{"role": "user", "content": said.text}]
            case System():
                return [{"role": "developer", "content": said.text}]
            case Said():
                return [{"role": "assistant", "content": said.text}]
            case Called():
                sealed: JsonObject = {"type": "reasoning", "summary": [], "encrypted_content": said.signature}
                arguments = json.dumps(said.arguments)
                call = {"type": "function_call", "call_id": said.id, "name": said.name, "arguments": arguments}
                return [call] if said.signature is None else [sealed, call]
            case Returned():
                output = _with_picture(said, "input_text", "input_image")
                return [{"type": "function_call_output", "call_id": said.id, "output": output}]

    def end(self, told: list[JsonObject]) -> tuple[str, ...]:
        response = told[-1].get("response", told[-1])
        details = response["incomplete_details"] or {}
        return (response["status"], *details.values())

    def ids(self, told: list[JsonObject]) -> list[str]:
        responses = [each.get("response", each) for each in told if "response" in each or "output" in each]
        return [response["id"] for response in responses]


class Messages:
    """Anthropic Messages."""

    def path(self, model: str, *, streamed: bool) -> str:
        return "/v1/messages"

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        declared = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools
        ]
        messages = [self._message(each) for each in past]
        body: JsonObject = {"model": model, "max_tokens": 9999, "messages": messages, "stream": streamed}
        return {**body, "tools": declared} if declared else body

    def _message(self, said: Past) -> JsonObject:
        match said:
            case Text():
                return {"role": "user", "content": [{"type": "text", "text": said.text}]}
            case System():
                return {"role": "system", "content": said.text}
            case Said():
                return {"role": "assistant", "content": [{"type": "text", "text": said.text}]}
            case Called():
                thinking = {"type": "thinking", "thinking": "Hm.", "signature": said.signature}
                call = {"type": "tool_use", "id": said.id, "name": said.name, "input": said.arguments}
                return {"role": "assistant", "content": [call] if said.signature is None else [thinking, call]}
            case Returned():
                content = _with_picture(said, "text", "image")
                return {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": said.id, "content": content}],
                }

    def end(self, told: list[JsonObject]) -> tuple[str, ...]:
        holders = [each.get("delta", each) for each in told]
        return tuple(each["stop_reason"] for each in holders if each.get("stop_reason"))

    def ids(self, told: list[JsonObject]) -> list[str]:
        messages = [each.get("message", each) for each in told]
        return [message["id"] for message in messages if "id" in message]


class Gemini:
    """Gemini's own protocol, whose bodies hold no other places for instructions than one."""

    def path(self, model: str, *, streamed: bool) -> str:
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if streamed else "generateContent")

    def body(self, past: Iterable[Past], *, model: str, streamed: bool, tools: Iterable[Tool] = ()) -> JsonObject:
        declared = [
            {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
            for tool in tools
        ]
        body: JsonObject = {"contents": [self._content(each) for each in past]}
        return {**body, "tools": [{"functionDeclarations": declared}]} if declared else body

    def _content(self, said: Past) -> JsonObject:
        match said:
            case Text():
                return {"role": "user", "parts": [{"text": said.text}]}
            case Said():
                return {"role": "model", "parts": [{"text": said.text}]}
            case Called():
                signed = {} if said.signature is None else {"thoughtSignature": said.signature}
                call = {"id": said.id, "name": said.name, "args": said.arguments}
                return {"role": "model", "parts": [{"functionCall": call, **signed}]}
            case Returned():
                result = {"id": said.id, "name": said.name, "response": {"output": said.text}}
                return {"role": "user", "parts": [{"functionResponse": result}]}
        raise NotImplementedError(said)

    def end(self, told: list[JsonObject]) -> tuple[str, ...]:
        candidates = [candidate for each in told for candidate in each.get("candidates", ())]
        return tuple(candidate["finishReason"] for candidate in candidates if "finishReason" in candidate)

    def ids(self, told: list[JsonObject]) -> list[str]:
        return [each["responseId"] for each in told]


TONGUES: Mapping[str, Tongue] = {
    "chat": Chat(),
    "completions": Completions(),
    "responses": Responses(),
    "messages": Messages(),
    "gemini": Gemini(),
}


def objects(answer: bytes, *, streamed: bool) -> list[JsonObject]:
    """What an answer tells, whichever form it has: the objects of its events, or the one body."""
    if not streamed:
        return [json.loads(answer)]
    return [json.loads(data) for data in sse.decode([answer]) if data != b"[DONE]"]


def post(
    url: str,
    protocol: str,
    *past: Past,
    streamed: bool = False,
    model: str = MODEL,
    tools: Iterable[Tool] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> requests.Response:
    """The answer to a request.

    :param more: fields of the body, in the protocol's own words.
    """
    tongue = TONGUES[protocol]
    body = tongue.body(past, model=model, streamed=streamed, tools=tools)
    path = tongue.path(model, streamed=streamed)
    return requests.post(url + path, json={**body, **more}, headers=dict(headers or {}), timeout=60)


def told(url: str, protocol: str, *past: Past, streamed: bool = False, **asked: Any) -> list[JsonObject]:
    """What the answer tells to a request that must succeed."""
    response = post(url, protocol, *past, streamed=streamed, **asked)
    assert response.status_code == 200, f"{response.status_code}: {response.text}"
    return objects(response.content, streamed=streamed)


def words_of(protocol: str, body: JsonObject, status: int) -> str:
    """What an error says, in the shape of its protocol.

    :raises AssertionError: it has another shape.
    """
    words: JsonObject = body["error"]
    match protocol:
        case "messages":
            assert body["type"] == "error"
            assert body.keys() == {"type", "error", "request_id"}
            assert words.keys() == {"type", "message"}
        case "gemini":
            assert body.keys() == {"error"}
            assert words.keys() - {"details"} == {"code", "message", "status"}
            assert words["code"] == status
        case _:
            assert body.keys() == {"error"}
            assert words.keys() - {"resets_at"} == {"message", "type", "param", "code"}
    return str(words["message"])


def _with_picture(result: Returned, text_type: str, image_type: str) -> Any:
    """The content of a result: its text, or a text and a picture as parts of these types."""
    if result.png is None:
        return result.text
    url = f"data:image/png;base64,{result.png}"
    picture: Mapping[str, JsonObject] = {
        "image_url": {"image_url": {"url": url}},
        "input_image": {"image_url": url},
        "image": {"source": {"type": "base64", "media_type": "image/png", "data": result.png}},
    }
    return [{"type": text_type, "text": result.text}, {"type": image_type, **picture[image_type]}]
