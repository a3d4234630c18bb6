"""Gemini's answer, streamed or not, as events.

Wire: https://ai.google.dev/api/generate-content, ``GenerateContentResponse``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from agproxy.chat import (
    Counted,
    Event,
    Finish,
    FinishReason,
    ImageDelta,
    Metadata,
    OtherChoice,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from agproxy.errors import BadRequest, UnusableAnswer, UpstreamCut, UpstreamError
from agproxy.jsonwire import decode_json
from agproxy.upstreams.gemini_errors import refusal
from agproxy.upstreams.gemini_grounding import citations, searched

BLOCKED = frozenset(
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
        "ESCALATION",
        "MODEL_ARMOR",
    }
)
# CONTINUATION: Gemini 4's word for "there is more than one answer can hold"
# (https://ai.google.dev/gemini-api/docs/generate-content/long-decode).
CUT_SHORT = frozenset({"MAX_TOKENS", "CONTINUATION"})
# The model wrote a call that cannot be used; whatever came with it is not an answer.
BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"}
)


def decode_stream(
    payloads: Iterable[bytes],
    *,
    original_names: Mapping[str, str],
    new_id: Callable[[], str],
    choices: int = 1,
    may_be_cut_empty: bool = False,
    count_first: bool = False,
    on_finished: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Yield the events of one answer, the last of them ``Finish``.

    :param payloads: the JSON text of each ``GenerateContentResponse``; one that was not streamed is a single payload.
    :param original_names: tool names by the names Gemini knows them by.
    :param new_id: makes an id for a call that came without one, as those of Gemini 2.5 do.
    :param choices: how many answers were asked for; there may be fewer.
    :param may_be_cut_empty: see :class:`~agproxy.chat.ChatRequest`, as for ``count_first``.
    :param on_finished: called once each ``finishReason`` has come, after which only a last count of tokens may follow.
    :raises UpstreamCut: when the answer ends before its ``finishReason``, or holds what is no JSON.
    :raises UnusableAnswer: at the end, when there is nothing in it; of several answers, in none of them.
    :raises UpstreamRefusal: when an error object stands in its place.
    """
    answer = _Answer(original_names, new_id, choices, may_be_cut_empty=may_be_cut_empty)
    try:
        for payload in payloads:
            events = answer.read(response(payload))
            if count_first and answer.usage.input_tokens:
                yield Counted(answer.usage)
                count_first = False
            yield from events
            if answer.finished:
                on_finished()
    except UpstreamError:
        if not answer.finished:  # what goes wrong after the end is of no interest
            raise
    yield from answer.finish()


class _Answer:
    """What the chunks so far amount to."""

    def __init__(
        self, original_names: Mapping[str, str], new_id: Callable[[], str], choices: int, *, may_be_cut_empty: bool
    ) -> None:
        self.usage = Usage()
        self._counts: dict[str, Any] = {}
        self._make = partial(_Candidate, original_names, new_id, may_be_cut_empty=may_be_cut_empty)
        self._choices = choices
        self._blocked = ""
        self._first = self._make()
        self._others: dict[int, _Candidate] = {}

    @property
    def finished(self) -> bool:
        """Whether each ``finishReason`` has come that was to be expected."""
        return len(self._others) + 1 >= self._choices and self._ended

    @property
    def _ended(self) -> bool:
        """Whether the ``finishReason`` of each answer that has begun has come."""
        return bool(self._first.reason) and all(other.reason for other in self._others.values())

    def read(self, chunk: Mapping[str, Any]) -> list[Event]:
        """The events of one chunk.

        :raises UpstreamCut: when it is not of the form that the API describes.
        """
        try:
            return list(self._events(chunk))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UpstreamCut("Gemini's answer is not of the form that its API describes") from error

    def _events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if counts := chunk.get("usageMetadata"):
            self._counts.update(counts)  # each tells all of them so far, or should
            self.usage = usage_of(self._counts)
        self._blocked = _text(chunk.get("promptFeedback") or {}, "blockReason") or self._blocked
        for position, candidate in enumerate(chunk.get("candidates") or ()):
            index = _index(candidate, position)
            if index == 0:
                yield from self._first.events(candidate)
                continue
            if not 0 < index < self._choices:
                continue
            if index not in self._others:
                self._others[index] = self._make()
            for event in self._others[index].events(candidate):
                yield OtherChoice(index, event)

    def finish(self) -> Iterator[Event]:
        """The end of the answer: what is known only now, and ``Finish``.

        :raises UpstreamError: when it is none.
        """
        if self._blocked:
            refusal = f"Gemini refused the prompt ({self._blocked})."
            for number in range(1, self._choices):  # the same prompt would be refused to each of them
                yield OtherChoice(number, Finish("content_filter", Usage(), refusal))
            yield Finish("content_filter", self.usage, refusal, note=f"prompt: {self._blocked}")
            return
        if not self._ended:
            raise UpstreamCut("Gemini's answer ended before it was finished")
        fault = self._first.fault()
        if fault is not None and all(other.fault() for other in self._others.values()):
            raise fault
        for number, other in sorted(self._others.items()):
            for event in other.finish(Usage()):
                yield OtherChoice(number, event)
        yield from self._first.finish(self.usage)


class _Candidate:
    """One of the answers that were asked for; nearly always the only one."""

    def __init__(self, original_names: Mapping[str, str], new_id: Callable[[], str], *, may_be_cut_empty: bool) -> None:
        self.reason = self._message = ""
        self._original_names = original_names
        self._new_id = new_id
        self._may_be_cut_empty = may_be_cut_empty
        self._calls = 0
        self._ids: set[str] = set()
        self._said = False
        self._texts: list[tuple[int, str]] = []  # number of the part within its chunk, and its text
        self._grounding: Mapping[str, Any] = {}

    def events(self, candidate: Mapping[str, Any]) -> Iterator[Event]:
        scored = _logprobs(candidate.get("logprobsResult") or {})
        for number, part in enumerate((candidate.get("content") or {}).get("parts") or ()):
            if "functionCall" in part:
                yield from self._call(part)
            elif event := _spoken(part):
                if isinstance(event, TextDelta):
                    self._texts.append((number, event.text))
                    if scored:
                        event.logprobs, scored = scored, ()
                self._said = self._said or _says_something(event)
                yield event
        if scored:
            yield TextDelta("", logprobs=scored)
        # Not always in the last chunk, and often beside no content (BerriAI/litellm#41492).
        grounding = candidate.get("groundingMetadata")
        self._grounding = grounding if isinstance(grounding, dict) and grounding else self._grounding
        self.reason = _text(candidate, "finishReason") or self.reason
        self._message = _text(candidate, "finishMessage") or self._message

    def _call(self, part: Mapping[str, Any]) -> tuple[Event, Event]:
        call = part["functionCall"]
        name, arguments = _text(call, "name"), call.get("args") or {}
        if not name or not isinstance(arguments, dict):
            raise ValueError("a call without a name, or whose arguments are no object")
        call_id = _text(call, "id")
        if not call_id or call_id in self._ids:
            call_id = self._new_id()
        self._ids.add(call_id)
        index = self._calls
        self._calls += 1
        start = ToolCallStart(index, call_id, self._original_names.get(name, name), _metadata(part))
        return start, ToolCallDelta(index, json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))

    def fault(self) -> UnusableAnswer | None:
        """Why it is no answer; known once its ``finishReason`` has come."""
        empty = not self._said and not self._calls and not (self._may_be_cut_empty and self.reason in CUT_SHORT)
        return _fault(self.reason, self._words, empty=empty)

    def finish(self, usage: Usage) -> Iterator[Event]:
        """The citations, the search behind them, and the end; also where it is no answer, beside others that are."""
        fault = self.fault()
        if fault is not None:
            yield Finish("length" if self.reason in CUT_SHORT else "stop", usage, note=fault.message)
            return
        if self._grounding:
            yield from citations(self._grounding, self._texts)
            if search := searched(self._grounding):
                yield search
        yield _finish(self.reason, self._words, usage, said=self._said, calls=self._calls)

    @property
    def _words(self) -> str:
        return f"{self.reason}: {self._message}" if self._message else self.reason


def response(payload: bytes) -> dict[str, Any]:
    """One ``GenerateContentResponse``.

    :raises UpstreamError: when it is something else, or an error object.
    """
    try:
        chunk = decode_json(payload)
    except BadRequest as error:
        if payload.lstrip()[:1] in (b"{", b"["):
            raise UpstreamCut("Gemini's answer holds a piece that is not whole") from error
        raise UpstreamCut(
            "Gemini's answer holds a piece that is no JSON; is base_url right, is there a proxy in between?"
        ) from error
    if isinstance(chunk, list) and len(chunk) == 1 and isinstance(chunk[0], dict) and chunk[0].get("error"):
        chunk = chunk[0]  # Google wraps some errors in an array
    if not isinstance(chunk, dict):
        raise UpstreamCut("Gemini's answer holds a piece that is no object")
    if chunk.get("error"):
        raise refusal(200, chunk)
    return chunk


def _spoken(part: Mapping[str, Any]) -> TextDelta | ReasoningDelta | ImageDelta | None:
    metadata = _metadata(part)
    text = _text(part, "text")
    if part.get("thought"):  # an image too: image models show drafts among their thoughts
        return ReasoningDelta(text, metadata) if text else None
    blob = part.get("inlineData")
    if blob is not None:
        return ImageDelta(_text(blob, "mimeType") or "image/png", _text(blob, "data"), metadata)
    # A signature may come alone, on an empty text, and does not make its part a thought.
    return TextDelta(text, metadata) if text or metadata else None


def _text(holder: Mapping[str, Any], name: str) -> str:
    """The text ``name``, empty when there is none."""
    value = holder.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _says_something(event: Event) -> bool:
    return isinstance(event, ImageDelta) or (isinstance(event, TextDelta) and bool(event.text))


def _logprobs(result: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    """``LogprobsResult``: what was chosen, and at each place what could have been."""
    alternatives = result.get("topCandidates") or ()
    return tuple(
        TokenLogprob(
            *_scored(chosen),
            top=tuple(TokenLogprob(*_scored(each)) for each in _candidates(alternatives, position)),
        )
        for position, chosen in enumerate(result.get("chosenCandidates") or ())
    )


def _candidates(alternatives: Sequence[Mapping[str, Any]], position: int) -> Sequence[Mapping[str, Any]]:
    return (alternatives[position].get("candidates") or ()) if position < len(alternatives) else ()


def _scored(candidate: Mapping[str, Any]) -> tuple[str, float]:
    return _text(candidate, "token"), float(candidate.get("logProbability") or 0.0)


def _metadata(part: Mapping[str, Any]) -> Metadata | None:
    signature = _text(part, "thoughtSignature")
    return {"google": {"thought_signature": signature}} if signature else None


def _index(candidate: Mapping[str, Any], position: int) -> int:
    """Which answer a candidate is of; without a number, the one of its place."""
    index = candidate.get("index")
    if index is None:
        return position
    if isinstance(index, float) and index.is_integer():
        return int(index)
    if not isinstance(index, int):
        raise TypeError("index is no whole number")
    return index


def _fault(reason: str, words: str, *, empty: bool) -> UnusableAnswer | None:
    if reason in BROKEN:
        return UnusableAnswer(f"Gemini's answer holds a call that cannot be used ({words})", finish_reason=reason)
    if not empty or reason in BLOCKED:
        return None
    if reason == "MAX_TOKENS":
        return UnusableAnswer(
            "the token limit was used up by thinking before any text was written; raise it (max_tokens,"
            " max_completion_tokens or max_output_tokens), or ask for less reasoning",
            finish_reason=reason,
        )
    return UnusableAnswer(f"Gemini's answer is empty ({words})", finish_reason=reason)


def _finish(reason: str, words: str, usage: Usage, *, said: bool, calls: int) -> Finish:
    if reason in BLOCKED:
        refusal = None if said or calls else f"Gemini withheld the answer ({words})."
        return Finish("content_filter", usage, refusal, note=words)
    finish: FinishReason = "length" if reason in CUT_SHORT else "tool_calls" if calls else "stop"
    return Finish(finish, usage, note="" if words in ("STOP", "MAX_TOKENS") else words)


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Gemini counts thoughts beside the answer and tool prompts beside the prompt; cached tokens within the prompt."""

    def count(name: str) -> int:
        value = counts.get(name)
        return value if type(value) is int and value > 0 else 0

    return Usage(
        input_tokens=count("promptTokenCount") + count("toolUsePromptTokenCount"),
        output_tokens=count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cached_tokens=min(count("cachedContentTokenCount"), count("promptTokenCount")),
        reasoning_tokens=count("thoughtsTokenCount"),
    )
