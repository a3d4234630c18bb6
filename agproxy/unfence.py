"""Takes the code fence off an answer that was to be bare JSON.

Where a model has no JSON mode it is told in words to write nothing but JSON, and many put it into a Markdown fence all
the same; a client that parses the answer would fail on it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from agproxy.chat import Citation, Event, OtherChoice, Ping, ReasoningDelta, TextDelta, ToolCallDelta

_FENCE = "```"
_MAX_OPENING = 40  # characters from the backticks to the end of the line
_OPENING = re.compile(r"```[A-Za-z0-9]{0,20}[ \t]{0,10}\r?\n")
_MAYBE_OPENING = re.compile(r"`{0,2}|```[A-Za-z0-9]{0,20}[ \t]{0,10}\r?")


def unfenced(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events, without a fence that all of an answer's text stands in."""
    texts: dict[int, _Text] = {}
    for event in events:
        number, inner = (event.number, event.event) if isinstance(event, OtherChoice) else (0, event)
        text = texts.setdefault(number, _Text())
        match inner:
            case Ping() | ReasoningDelta() | ToolCallDelta():
                yield event
            case TextDelta():
                piece = text.add(inner.text)
                if piece or inner.provider_metadata or inner.logprobs:
                    yield _wrapped(replace(inner, text=piece), number)
            case Citation():  # these come after the text
                if rest := text.end():
                    yield _wrapped(TextDelta(rest), number)
                yield _wrapped(replace(inner, start=text.moved(inner.start), end=text.moved(inner.end)), number)
            case _:
                if rest := text.end():
                    yield _wrapped(TextDelta(rest), number)
                yield event


def _wrapped(event: Event, number: int) -> Event:
    return OtherChoice(number, event) if number else event


class _Text:
    """The text of one answer, as far as it is undecided whether it is a fence."""

    def __init__(self) -> None:
        self._held: list[str] = []  # what may be the opening, or, within a fence, what may be the end of it
        self._begun = False
        self._fenced = False
        self._removed = 0  # characters before the text that are gone
        self._passed = 0

    def add(self, text: str) -> str:
        """More text; what of all the text so far may be passed on."""
        if self._begun and not self._fenced:
            return self._pass(text)
        if self._begun and not text.strip("` \t\r\n"):
            self._held.append(text)  # it may all belong to the end
            return ""
        held = "".join((*self._held, text))
        self._held = []
        if not self._begun:
            start = held.lstrip()
            if not start or (len(start) <= _MAX_OPENING and _MAYBE_OPENING.fullmatch(start)):
                self._held = [held]
                return ""
            self._begun = True
            opening = _OPENING.match(start)
            if opening is None:
                return self._pass(held)
            self._fenced = True
            self._removed = len(held) - len(start) + opening.end()
            held = start[opening.end() :]
        body = held.rstrip("` \t\r\n")
        self._held = [held[len(body) :]]
        return self._pass(body)

    def end(self) -> str:
        """What was held back, but for the closing fence."""
        held = "".join(self._held)
        self._held = []
        if self._fenced:
            core = held.rstrip()
            if core.endswith(_FENCE):
                held = core[: -len(_FENCE)].rstrip()
        return self._pass(held)

    def moved(self, index: int) -> int:
        """Where a place of the text as it came is now."""
        return max(0, min(index - self._removed, self._passed))

    def _pass(self, text: str) -> str:
        self._passed += len(text)
        return text
