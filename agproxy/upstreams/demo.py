"""A stand-in for Gemini, built in and offline: it answers in Gemini's wire format, so that the whole path runs.

What it says is made up, and says so. ``demo:slow``, ``demo:think`` and ``demo:tool`` in the last message make it
stream slowly, think, or call the first tool.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from agproxy.models import FLASH, LITE, PRO
from agproxy.upstreams.gemini import (
    decode_count,
    decode_error,
    decode_stream,
    encode_count,
    encode_native,
    encode_request,
    estimate,
    is_about_signature,
    is_of_the_model,
    refused_setting,
    relay_stream,
    relay_whole,
    schema_faults,
)

__all__ = [
    "MODELS",
    "play",
    "play_count",
    "play_native",
    "encode_request",
    "encode_count",
    "decode_stream",
    "decode_count",
    "estimate",
    "decode_error",
    "is_about_signature",
    "is_of_the_model",
    "refused_setting",
    "schema_faults",
    "encode_native",
    "relay_stream",
    "relay_whole",
]

MODELS = (
    *(
        {
            "name": f"models/{name}",
            "version": "demo",
            "displayName": f"{name} (agproxy demo)",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "thinking": True,
        }
        for name in (FLASH, LITE, PRO)
    ),
    {
        "name": "models/gemini-embedding-001",
        "version": "demo",
        "displayName": "gemini-embedding-001 (agproxy demo)",
        "inputTokenLimit": 2048,
        "outputTokenLimit": 1,
        "supportedGenerationMethods": ["embedContent", "countTokens"],
    },
)
MARK = "[agproxy demo]"

_SLOW_S = 0.4
_DIMENSIONS = 768
_MAX_CALLS = 3
# Fields whose content is JSON of the client's, or a schema of it.
_OWN_NAMES = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
_HARMLESS = re.compile(r"(?i)(read|get|list|search|look|find|view|show)")
_SNAKE = re.compile(r"_([a-z])")
_SIGNATURE = "YWdwcm94eSBkZW1v"  # base64, as Gemini's are
_HELP = (
    "This answer is made up by agproxy itself: no Gemini account is set up yet. Set GEMINI_API_KEY, or add an account"
    " to agproxy.ini, to reach Gemini. Until then demo:slow, demo:think and demo:tool in a message show a slow stream,"
    " thoughts and a tool call."
)


def play(body: bytes, model: str, *, stream: bool) -> Iterator[tuple[float, bytes]]:
    """Yield the answer to ``body`` as pairs of a delay in seconds and bytes.

    Wire: https://ai.google.dev/api/generate-content, SSE when it is streamed, else one JSON object.
    """
    request = json.loads(body)
    prompt = _prompt(request)
    delay_s = _SLOW_S if "demo:slow" in prompt else 0.0
    parts, reason = _answer(request, prompt)
    usage = _usage(request, parts)
    if not stream:
        whole = _joined(parts)
        yield delay_s * len(parts), json.dumps(_chunk(whole, model, usage, reason)).encode()
        return
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        chunk = _chunk([part], model, usage, reason if last else None)
        yield delay_s, b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"


def play_native(body: bytes, model: str, method: str) -> Iterator[tuple[float, bytes]]:
    """Yield the answer to a body in Gemini's own words.

    Wire: https://ai.google.dev/api/generate-content, .../api/tokens and .../api/embeddings
    """
    try:
        played = list(_native(_camel(json.loads(body)), model, method))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        words = {"code": 400, "message": f"{MARK} this is no request: {error}", "status": "INVALID_ARGUMENT"}
        refused = json.dumps({"error": words}).encode()
        played = [(0.0, b"data: " + refused + b"\r\n\r\n" if method == "streamGenerateContent" else refused)]
    yield from played


def _native(request: dict[str, Any], model: str, method: str) -> Iterator[tuple[float, bytes]]:
    match method:
        case "countTokens":
            counted = request.get("generateContentRequest") or request
            yield from _count(counted)
        case "embedContent":
            yield 0.0, json.dumps({"embedding": _embedding(request)}).encode()
        case "batchEmbedContents":
            wanted = [_embedding(each) for each in request.get("requests") or ()]
            yield 0.0, json.dumps({"embeddings": wanted}).encode()
        case _:
            plain = json.dumps({**request, "contents": _turns(request.get("contents"))}).encode()
            yield from play(plain, model, stream=method == "streamGenerateContent")


def _camel(value: Any) -> Any:
    """A request with the names of its fields in camel case; what holds names of the client's own stays as it is."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {_SNAKE.sub(lambda match: match[1].upper(), name): each for name, each in value.items()}
    return {name: each if name in _OWN_NAMES else _camel(each) for name, each in named.items()}


def _turns(contents: Any) -> list[dict[str, Any]]:
    """Contents with a role and a list of parts each; a single one may be written without the list around it."""
    listed = contents if isinstance(contents, list) else [contents]
    turns = [content for content in listed if isinstance(content, dict)]
    return [{"role": content.get("role") or "user", "parts": _parts(content)} for content in turns]


def _parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    parts = content.get("parts")
    listed = parts if isinstance(parts, list) else [parts]
    return [part for part in listed if isinstance(part, dict)]


def _embedding(request: dict[str, Any]) -> dict[str, Any]:
    """Numbers that are the same for the same text, and of length 1 together."""
    words = json.dumps(request.get("content"), sort_keys=True).encode()
    size = min(max(int(request.get("outputDimensionality") or _DIMENSIONS), 1), _DIMENSIONS)
    raw = b"".join(hashlib.sha256(words + bytes([block])).digest() for block in range(size // 32 + 1))[:size]
    values = [(each - 127.5) / 127.5 for each in raw]
    length = math.sqrt(sum(value * value for value in values))
    return {"values": [round(value / length, 8) for value in values]}


def play_count(body: bytes) -> Iterator[tuple[float, bytes]]:
    """Yield how many tokens a request has.

    Wire: https://ai.google.dev/api/tokens
    """
    yield from _count(json.loads(body)["generateContentRequest"])


def _count(request: dict[str, Any]) -> Iterator[tuple[float, bytes]]:
    yield 0.0, json.dumps({"totalTokens": _usage(request, ())["promptTokenCount"]}).encode()


def _prompt(request: dict[str, Any]) -> str:
    """The text of the last user turn that is no tool result."""
    for content in reversed(request["contents"]):
        texts = [part["text"] for part in content["parts"] if "text" in part]
        if content["role"] == "user" and texts:
            return str(texts[-1])  # what the user typed; agents put reminders before it
    return ""


def _answer(request: dict[str, Any], prompt: str) -> tuple[list[dict[str, Any]], str]:
    parts: list[dict[str, Any]] = []
    if "demo:think" in prompt:
        parts.append({"text": "Let me think. This is a demonstration, so it will not take long.", "thought": True})
    results = _results(request)
    call = None if results else _call(request, prompt)
    if call:
        return [*parts, {"functionCall": call, "thoughtSignature": _SIGNATURE}], "STOP"
    if results:
        told = "; ".join(f"{result['name']} gave back {json.dumps(result['response'])[:200]}" for result in results)
        text = f"{MARK} Thank you for the tool results: {told}. {_HELP}"
    else:
        images = sum("inlineData" in part for part in request["contents"][-1]["parts"])
        seen = f" and sent {images} image(s)" if images else ""
        text = f"{MARK} You said {json.dumps(prompt[-300:], ensure_ascii=False)}{seen}. {_HELP}"
    config = request.get("generationConfig") or {}
    if config.get("responseMimeType") == "application/json":
        return [*parts, {"text": json.dumps(_json_answer(config, text), ensure_ascii=False)}], "STOP"
    words, reason = _limited(text, config)
    pieces = [" ".join(words[start : start + 3]) for start in range(0, len(words), 3)]
    parts += [{"text": piece if not number else f" {piece}"} for number, piece in enumerate(pieces)]
    return parts, reason


def _json_answer(config: dict[str, Any], text: str) -> Any:
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return _example(schema) if isinstance(schema, dict) else {"answer": text}


def _results(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool results that came last; the files among them stand in a content of their own."""
    results: list[dict[str, Any]] = []
    for content in reversed(request["contents"]):
        if content["role"] != "user" or any("text" in part for part in content["parts"]):
            break
        results += [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
    return results


def _limited(text: str, generation: dict[str, Any]) -> tuple[list[str], str]:
    """The words of ``text`` up to a stop sequence or the limit of tokens, a word counting as one."""
    for stop in generation.get("stopSequences") or ():
        text = text.split(stop)[0]
    words = text.split(" ")
    limit = generation.get("maxOutputTokens") or len(words)
    return words[:limit], "MAX_TOKENS" if limit < len(words) else "STOP"


def _call(request: dict[str, Any], prompt: str) -> dict[str, Any] | None:
    tools = [tool for holder in request.get("tools") or () for tool in holder.get("functionDeclarations") or ()]
    config = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = config.get("allowedFunctionNames") or [tool["name"] for tool in tools]
    allowed_tools = [tool for tool in tools if tool["name"] in allowed]
    tool = next((tool for tool in allowed_tools if _HARMLESS.match(tool["name"])), next(iter(allowed_tools), None))
    step = sum("functionCall" in part for content in request["contents"] for part in content["parts"])
    # Not for ever: agents quote what they were asked.
    is_wanted = config.get("mode") == "ANY" or ("demo:tool" in prompt and step < _MAX_CALLS)
    if tool is None or config.get("mode") == "NONE" or not is_wanted:
        return None
    return {
        "id": f"demo-{step + 1}-{len(prompt)}",
        "name": tool["name"],
        "args": _example(tool.get("parametersJsonSchema") or tool.get("parameters") or {"type": "object"}),
    }


def _example(schema: dict[str, Any]) -> Any:
    """A value that fits a cleaned schema, the smallest that is easy to make."""
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return _example(schema["anyOf"][0])
    kind = schema.get("type")
    match str(kind[0] if isinstance(kind, list) else kind).lower():  # in upper case in Google's own schemas
        case "object":
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or properties
            return {name: _example(properties[name]) for name in wanted if name in properties}
        case "array":
            items = schema.get("items")
            return [_example(items)] * min(schema.get("minItems", 0), 10) if isinstance(items, dict) else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "demo"


def _joined(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts with the pieces of one text put together."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        if joined and part.keys() == joined[-1].keys() == {"text"}:
            joined[-1] = {"text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def _usage(request: dict[str, Any], parts: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Counts by the rule of thumb of four characters a token."""
    prompt = len(json.dumps(request.get("contents"))) // 4 + 1
    thoughts = sum(len(part["text"]) for part in parts if part.get("thought")) // 4
    answer = sum(len(part.get("text", "")) for part in parts if not part.get("thought")) // 4 + 1
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": answer, "totalTokenCount": prompt + answer + thoughts}
    return {**usage, "thoughtsTokenCount": thoughts} if thoughts else usage


def _chunk(parts: list[dict[str, Any]], model: str, usage: dict[str, int], reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": f"demo of {model}"}
