"""From an ``Answer`` to the JSON of GenerateContentResponse: ids, signatures and running token counts filled in.

Sources: generative_service.proto (GenerateContentResponse, UsageMetadata); the thought signatures page for what is
signed; usage is running, in each chunk, and the last one counts.
"""

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fake_google.families import Family
from tests.fake_google.refusal import JsonObject
from tests.fake_google.script import Answer, Chunk, PartSpec, Usage
from tests.fake_google.signatures import SignatureLedger

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer depends on besides its script.

    :param project: the project of the key, to which signatures belong.
    :param prompt_tokens: counted from the request.
    :param candidates: how many are asked for.
    """

    model: str
    family: Family
    ledger: SignatureLedger
    project: str
    prompt_tokens: int
    candidates: int = 1
    response_id: str = field(default_factory=lambda: f"resp-{next(_numbers):08d}")


def render(answer: Answer, context: Context) -> list[JsonObject]:
    """The events of a streamed answer; several candidates take turns, an event each."""
    usage = _Running(answer, context)
    streams = [_candidate(answer, number).chunks for number in range(context.candidates)]
    turns = [(index, chunk) for turn in itertools.zip_longest(*streams) for index, chunk in enumerate(turn) if chunk]
    return [
        _response(chunk, context, index, usage.after(chunk, last=position == len(turns) - 1))
        for position, (index, chunk) in enumerate(turns)
    ]


def fold(events: list[JsonObject]) -> JsonObject:
    """What the unary method answers where the streaming one sends ``events``.

    Neighbouring text becomes one part; a signature that came alone in empty text moves to the text before it.
    """
    result: JsonObject = {}
    candidates: dict[int, JsonObject] = {}
    parts: dict[int, list[JsonObject]] = {}
    for event in events:
        for key, value in event.items():
            if key != "candidates":
                result[key] = value
        for each in event.get("candidates", ()):
            index = each["index"]
            candidates.setdefault(index, {}).update({key: value for key, value in each.items() if key != "content"})
            for part in each.get("content", {}).get("parts", ()):
                _append(parts.setdefault(index, []), dict(part))
    if candidates:
        folded = [{"content": _content(parts.get(index, [])), **candidates[index]} for index in sorted(candidates)]
        result = {"candidates": folded, **result}
    return result


def _content(parts: list[JsonObject]) -> JsonObject:
    if len(parts) > 1:
        parts = [part for part in parts if part != {"text": ""}]
    return {"parts": parts, "role": "model"} if parts else {}


def to_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as Google writes it: UTF-8, with ``< > &`` escaped."""
    written = json.dumps(value, ensure_ascii=False, indent=indent)
    for char in "<>&":
        written = written.replace(char, f"\\u{ord(char):04x}")
    return written.encode("utf-8")


def to_array(values: list[Any]) -> list[bytes]:
    """The pieces of a JSON array as Google streams it: ``[{`` and ``,\r\n{`` begin an element, ``]`` stands alone.

    So does an error that comes instead of a stream: ``[{"error": ...}]`` (google-gemini/gemini-cli issue 10513).
    """
    begins = [b",\r\n" if index else b"[" for index in range(len(values))]
    elements = [begin + to_json(value, indent=2) + b"\n" for begin, value in zip(begins, values, strict=True)]
    return [*(elements or [b"["]), b"]"]


def count_tokens(text: str) -> int:
    """A rough count: a token for four characters, at least one."""
    return max(1, (len(text) + 3) // 4)


def _append(parts: list[JsonObject], part: JsonObject) -> None:
    last = parts[-1] if parts else {}
    both_text = "text" in last and "text" in part and last.get("thought") == part.get("thought")
    if both_text and "thoughtSignature" not in last and (part["text"] == "" or "thoughtSignature" not in part):
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    else:
        parts.append(part)


def _candidate(answer: Answer, number: int) -> Answer:
    """The scripted answer of that number, else a copy of the first whose text ends in the number."""
    scripted = (answer, *answer.others)
    if number < len(scripted):
        return scripted[number]
    chunks = [chunk for chunk in answer.chunks if chunk.has_candidate]
    texts = [index for index, chunk in enumerate(chunks) if any(_is_text(spec) for spec in chunk.parts)]
    for index in texts[-1:]:
        *before, last = chunks[index].parts
        numbered = replace(last, part={**last.part, "text": f"{last.part.get('text', '')} ({number})"})
        chunks[index] = replace(chunks[index], parts=(*before, numbered))
    return replace(answer, chunks=tuple(chunks))


def _is_text(spec: PartSpec) -> bool:
    return bool(spec.part.get("text")) and not spec.part.get("thought")


def _response(chunk: Chunk, context: Context, index: int, usage: JsonObject) -> JsonObject:
    if chunk.bare:
        return dict(chunk.response)
    result: JsonObject = {}
    if chunk.has_candidate:
        # Without parts there is no role either: {"content": {}, "finishReason": "STOP"}.
        content = {"parts": [_part(spec, context) for spec in chunk.parts], "role": "model"} if chunk.parts else {}
        candidate: JsonObject = {"content": content} if chunk.has_content else {}
        if chunk.finish is not None:
            candidate["finishReason"] = chunk.finish
        if chunk.finish_message is not None:
            candidate["finishMessage"] = chunk.finish_message
        result["candidates"] = [candidate | {"index": index} | chunk.candidate]
    return {
        **result,
        **{key: value for key, value in chunk.response.items() if key == "promptFeedback"},
        "usageMetadata": usage,
        "modelVersion": context.model,
        "responseId": context.response_id,
        **{key: value for key, value in chunk.response.items() if key != "promptFeedback"},
    }


def _part(spec: PartSpec, context: Context) -> JsonObject:
    part = json.loads(json.dumps(spec.part))
    call = part.get("functionCall")
    signs = spec.sign
    if call is not None:
        gives_id = context.family.is_3_or_newer if spec.call_id is None else spec.call_id
        if gives_id:
            call_id = gives_id if isinstance(gives_id, str) else f"call_{next(_numbers):08x}"
            part["functionCall"] = {"id": call_id, **call}
        if signs is None:
            signs = context.family.is_3_or_newer and not context.family.makes_images
    if signs:
        issued_to = (call["name"], call.get("args", {})) if call is not None else None
        part["thoughtSignature"] = signs if isinstance(signs, str) else context.ledger.issue(context.project, issued_to)
    return dict(part)


class _Running:
    """The usage after each chunk; thoughts count from the first, candidates grow with the text."""

    def __init__(self, answer: Answer, context: Context) -> None:
        self._usage = answer.usage or Usage()
        self._prompt = context.prompt_tokens if self._usage.prompt is None else self._usage.prompt
        self._candidates = 0

    def after(self, chunk: Chunk, *, last: bool) -> JsonObject:
        usage = self._usage
        self._candidates += sum(_tokens_of(spec.part) for spec in chunk.parts)
        candidates = self._candidates
        if usage.candidates is not None:
            candidates = usage.candidates if last else min(candidates, usage.candidates)
        counts = {
            "promptTokenCount": self._prompt,
            "candidatesTokenCount": candidates,
            "totalTokenCount": self._prompt + candidates + usage.thoughts + usage.tool_use,
            "cachedContentTokenCount": usage.cached,
            "toolUsePromptTokenCount": usage.tool_use,
            "thoughtsTokenCount": usage.thoughts,
        }
        # Zero is the default of protobuf and is left out, so candidatesTokenCount can be missing.
        details: JsonObject = {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": self._prompt}]}
        if usage.cached:
            details["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached}]
        return {key: count for key, count in counts.items() if count} | details | {"serviceTier": "standard"}


def _tokens_of(part: JsonObject) -> int:
    if part.get("thought"):
        return 0
    return count_tokens(part["text"]) if part.get("text") else (0 if "text" in part else 10)
