"""Speakers of native Gemini: over plain HTTP, with streams of both forms, and with the ``google-genai`` SDK.

They write the contents themselves, and agproxy hands them on. As careful clients do, they join the texts of a stream,
leave thoughts out of their history, and keep each signature on the part that it came with.
"""

import base64
import json
from typing import Any, Literal

from google import genai
from google.genai import types

from tests.conversation.table import MAX_TOKENS, SYSTEM
from tests.conversation.turn import Call, Effort, File, Finish, Heard, JsonObject, Need, Result, Text, Tokens, Turn
from tests.conversation.wire import Wire

_FINISHES: dict[str, Finish] = {"STOP": "stop", "MAX_TOKENS": "length"}
# Gemini 2.5 is told in numbers how much to think: https://ai.google.dev/gemini-api/docs/openai
_BUDGETS: dict[Effort, int] = {"low": 1024, "medium": 8192}
Form = Literal["sse", "array"]


class _Gemini:
    """The history of a client of Gemini, and its requests."""

    lacks: frozenset[Need] = frozenset()
    keeps_text_signatures = True
    marks_errors = True
    is_native = True

    def __init__(self, model: str) -> None:
        self._model = model
        self._contents: list[JsonObject] = []
        self._calls: tuple[Call, ...] = ()

    def _request(self, turn: Turn) -> JsonObject:
        """What to post, once the turn is part of the history."""
        # Results in the order of their calls, which are told by that alone where they have no ids.
        places = {id(call): place for place, call in enumerate(self._calls)}
        says = sorted(turn.says, key=lambda said: places[id(said.call)] if isinstance(said, Result) else -1)
        self._contents.append({"role": "user", "parts": [_part(said) for said in says]})
        config: JsonObject = {"maxOutputTokens": MAX_TOKENS}
        if turn.thinking is not None:
            config["thinkingConfig"] = {**_depth(self._model, turn.thinking), "includeThoughts": True}
        if turn.schema is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": turn.schema}
        body: JsonObject = {
            "systemInstruction": {"parts": [{"text": SYSTEM}]},
            "contents": self._contents,
            "generationConfig": config,
        }
        if turn.tools:
            declared = [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
                for tool in turn.tools
            ]
            body["tools"] = [{"functionDeclarations": declared}]
        return body

    def _listen(self, chunks: list[JsonObject], turn: Turn) -> Heard:
        """Read an answer, a stream's chunks or one body, and append it to the history."""
        parts = [part for chunk in chunks for part in _candidate(chunk).get("content", {}).get("parts", ())]
        self._contents.append({"role": "model", "parts": _joined(parts)})
        heard = _heard(chunks, parts, turn)
        self._calls = heard.calls
        return heard


class GeminiOverHttp(_Gemini):
    """A client that reads JSON and events by itself.

    :param form: of streams.
    """

    def __init__(self, wire: Wire, model: str, *, form: Form) -> None:
        super().__init__(model)
        self._wire = wire
        self._form = form

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        path = f"/v1beta/models/{self._model}:"
        if not streamed:
            chunks = [self._wire.post(f"{path}generateContent", body)]
        elif self._form == "sse":
            chunks = events(self._wire.stream(f"{path}streamGenerateContent?alt=sse", body))
        else:
            chunks = self._wire.post(f"{path}streamGenerateContent", body)
        return self._listen(chunks, turn)

    def close(self) -> None:
        """Nothing is open."""


class GeminiOverSdk(_Gemini):
    """The ``google-genai`` package."""

    def __init__(self, url: str, model: str) -> None:
        super().__init__(model)
        options = types.HttpOptions(base_url=url, timeout=30_000)
        self._client = genai.Client(api_key="unused", http_options=options)

    def say(self, turn: Turn, *, streamed: bool) -> Heard:
        body = self._request(turn)
        config = types.GenerateContentConfig(
            system_instruction=types.Content.model_validate(body["systemInstruction"]),
            tools=[types.Tool.model_validate(tool) for tool in body.get("tools", ())] or None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            **body["generationConfig"],
        )
        asked: Any = {"model": self._model, "config": config}
        asked["contents"] = [types.Content.model_validate(content) for content in body["contents"]]
        if streamed:
            answers = list(self._client.models.generate_content_stream(**asked))
        else:
            answers = [self._client.models.generate_content(**asked)]
        chunks = [answer.model_dump(mode="json", by_alias=True, exclude_none=True) for answer in answers]
        return self._listen(chunks, turn)

    def close(self) -> None:
        self._client.close()


def events(stream: bytes) -> list[JsonObject]:
    """The chunks of a stream, in the one form that Google's SDKs read.

    :raises AssertionError: it has another form: a comment, an ``event`` line, a ``[DONE]``.
    """
    assert stream.endswith(b"\r\n\r\n"), "the stream ends within an event"
    lines = [line for line in stream.split(b"\r\n") if line]  # blank ones beyond the ends of events keep it alive
    assert all(line.startswith(b"data: {") for line in lines), lines
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


# Requests.


def _depth(model: str, effort: Effort) -> JsonObject:
    return {"thinkingBudget": _BUDGETS[effort]} if "-2.5-" in model else {"thinkingLevel": effort}


def _part(said: Text | File | Result) -> JsonObject:
    match said:
        case Text():
            return {"text": said.text}
        case File():
            return {"inlineData": {"mimeType": said.media_type, "data": said.base64}}
        case Result():
            response = {"error" if said.is_error else "output": said.text}
            named = {"id": said.call.id} if said.call.id else {}
            return {"functionResponse": {**named, "name": said.call.name, "response": response}}


# Answers.


def _candidate(chunk: JsonObject) -> JsonObject:
    (candidate,) = chunk["candidates"]
    found: JsonObject = candidate
    return found


def _joined(parts: list[JsonObject]) -> list[JsonObject]:
    """The parts of a history: a text is one part, signed if any piece of it was."""
    joined: list[JsonObject] = []
    for part in parts:
        if part.get("thought"):
            continue
        last = joined[-1] if joined else {}
        if "text" in part and "text" in last and "thoughtSignature" not in last:
            joined[-1] = {**last, **part, "text": last["text"] + part["text"]}
        elif part != {"text": ""}:
            joined.append(part)
    return joined


def _heard(chunks: list[JsonObject], parts: list[JsonObject], turn: Turn) -> Heard:
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in chunks}) == 1
    *before, last = [_candidate(chunk).get("finishReason") for chunk in chunks]
    assert isinstance(last, str), "no finishReason"
    assert not any(before), "a chunk after the finishReason"
    calls = tuple(_call(part["functionCall"]) for part in parts if "functionCall" in part)
    ids = [call.id for call in calls if call.id]
    assert len(set(ids)) == len(ids), "two calls have one id"
    text = _said(parts, is_thought=False)
    usage = chunks[-1]["usageMetadata"]
    output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + output
    return Heard(
        text=text,
        reasoning=_said(parts, is_thought=True),
        calls=calls,
        finish="tool_calls" if calls and last == "STOP" else _FINISHES[last],
        usage=Tokens(
            input=usage["promptTokenCount"],
            output=output,
            cached=usage.get("cachedContentTokenCount", 0),
            reasoning=usage.get("thoughtsTokenCount", 0),
        ),
        json=json.loads(text) if turn.schema is not None else None,
    )


def _said(parts: list[JsonObject], *, is_thought: bool) -> str:
    return "".join(part["text"] for part in parts if "text" in part and part.get("thought", False) == is_thought)


def _call(call: JsonObject) -> Call:
    return Call(call["name"], call.get("args", {}), id=call.get("id", ""))


def plain_base64(text: str) -> str:
    """Base64 in the usual alphabet: the SDK writes signatures in the one for URLs."""
    return base64.b64encode(base64.urlsafe_b64decode(text)).decode() if set("-_") & set(text) else text
