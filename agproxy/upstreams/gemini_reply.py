"""Gemini's answer, streamed or not, as events.

Wire: https://ai.google.dev/api/generate-content, ``GenerateContentResponse``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agproxy.chat import (
    Event,
    Finish,
    FinishReason,
    ImageDelta,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, UnusableAnswer, UpstreamCut, UpstreamError
from agproxy.jsonwire import decode_json
from agproxy.upstreams.gemini_errors import refusal

_BLOCKED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
# The model wrote a call that cannot be used; whatever came with it is not an answer.
_BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"}
)


def decode_stream(
    payloads: Iterable[bytes], *, original_names: Mapping[str, str], new_id: Callable[[], str]
) -> Iterator[Event]:
    """Yield the events of one answer, the last of them ``Finish``.

    :param payloads: the JSON text of each ``GenerateContentResponse``; one that was not streamed is a single payload.
    :param original_names: tool names by the names Gemini knows them by.
    :param new_id: makes an id for a call that came without one, as those of Gemini 2.5 do.
    :raises UpstreamCut: when the answer ends before its ``finishReason``, or holds what is no JSON.
    :raises UnusableAnswer: at the end, when there is nothing in it.
    :raises UpstreamRefusal: when an error object stands in its place.
    """
    reason = blocked = message = ""
    usage: Mapping[str, Any] = {}
    calls = 0
    said = False
    for chunk in _responses(payloads):
        usage = chunk.get("usageMetadata") or usage
        feedback = chunk.get("promptFeedback") or {}
        blocked = feedback.get("blockReason") or blocked
        for candidate in (chunk.get("candidates") or ())[:1]:
            for part in (candidate.get("content") or {}).get("parts") or ():
                if "functionCall" in part:
                    yield from _call(part, calls, original_names, new_id)
                    calls += 1
                    continue
                event = _said(part)
                if event is not None:
                    said = said or isinstance(event, ImageDelta) or (isinstance(event, TextDelta) and bool(event.text))
                    yield event
            reason = candidate.get("finishReason") or reason
            message = candidate.get("finishMessage") or message
    if blocked:
        yield Finish("content_filter", _usage(usage), f"Gemini refused the prompt ({blocked}).")
        return
    if not reason:
        raise UpstreamCut("Gemini's answer ended before it was finished")
    yield _finish(reason, message, _usage(usage), said=said, calls=calls)


def _responses(payloads: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """The chunks of the answer; what goes wrong after the one with the ``finishReason`` is of no interest."""
    finished = False
    try:
        for payload in payloads:
            try:
                chunk = decode_json(payload)
            except BadRequest as error:
                raise UpstreamCut("Gemini's answer holds a piece that is not whole") from error
            if isinstance(chunk, list) and len(chunk) == 1:
                chunk = chunk[0]  # Google wraps some errors in an array
            if not isinstance(chunk, dict):
                raise UpstreamCut("Gemini's answer holds a piece that is no object")
            if chunk.get("error"):
                raise refusal(200, chunk)
            finished = finished or any(candidate.get("finishReason") for candidate in chunk.get("candidates") or ())
            yield chunk
    except UpstreamError:
        if not finished:
            raise


def _said(part: Mapping[str, Any]) -> TextDelta | ReasoningDelta | ImageDelta | None:
    metadata = _metadata(part)
    blob = part.get("inlineData")
    if blob is not None:
        return ImageDelta(blob.get("mimeType") or "image/png", blob.get("data") or "")
    text = part.get("text") or ""
    if part.get("thought"):
        return ReasoningDelta(text, metadata) if text else None
    # A signature may come alone, on an empty text, and does not make its part a thought.
    return TextDelta(text, metadata) if text or metadata else None


def _call(
    part: Mapping[str, Any], index: int, original_names: Mapping[str, str], new_id: Callable[[], str]
) -> Iterator[Event]:
    call = part["functionCall"]
    name = call.get("name") or ""
    yield ToolCallStart(index, call.get("id") or new_id(), original_names.get(name, name), _metadata(part))
    yield ToolCallDelta(index, json.dumps(call.get("args") or {}, ensure_ascii=False, separators=(",", ":")))


def _metadata(part: Mapping[str, Any]) -> Metadata | None:
    signature = part.get("thoughtSignature")
    return {"google": {"thought_signature": signature}} if signature else None


def _finish(reason: str, message: str, usage: Usage, *, said: bool, calls: int) -> Finish:
    words = f"{reason}: {message}" if message else reason
    if reason in _BROKEN:
        raise UnusableAnswer(f"Gemini's answer holds a call that cannot be used ({words})", finish_reason=reason)
    if reason in _BLOCKED:
        return Finish("content_filter", usage, None if said or calls else f"Gemini withheld the answer ({words}).")
    if not said and not calls:
        if reason == "MAX_TOKENS":
            raise UnusableAnswer(
                "the token limit was used up by thinking before any text was written; raise max_tokens"
                " (max_completion_tokens), or ask for less reasoning",
                finish_reason=reason,
            )
        raise UnusableAnswer(f"Gemini's answer is empty ({words})", finish_reason=reason)
    finish: FinishReason = "length" if reason == "MAX_TOKENS" else "tool_calls" if calls else "stop"
    return Finish(finish, usage)


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Gemini counts thoughts beside the answer and tool prompts beside the prompt; cached tokens within the prompt."""

    def count(name: str) -> int:
        value = counts.get(name)
        return value if isinstance(value, int) and value > 0 else 0

    return Usage(
        input_tokens=count("promptTokenCount") + count("toolUsePromptTokenCount"),
        output_tokens=count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cached_tokens=min(count("cachedContentTokenCount"), count("promptTokenCount")),
        reasoning_tokens=count("thoughtsTokenCount"),
    )
