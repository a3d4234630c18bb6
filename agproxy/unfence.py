"""Takes the code fence off an answer that was to be bare JSON.

Where a model has no JSON mode it is told in words to write nothing but JSON, and many put it into a Markdown fence all
the same; a client that parses the answer would fail on it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from agproxy.chat import Event, Finish, OtherChoice, Ping, ReasoningDelta, TextDelta

_OPENING = re.compile(r"\s*```[A-Za-z]*[ \t]*\r?\n")
_MAYBE_OPENING = re.compile(r"\s*(`{0,2}|```[A-Za-z]*[ \t]*\r?)")
_CLOSING = re.compile(r"\s*```\s*")
_MAYBE_CLOSING = re.compile(r"\s*`{0,3}\s*$")


def unfenced(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events, without a fence that all of an answer's text stands in."""
    texts: dict[int, _Text] = {}
    for event in events:
        number, inner = (event.number, event.event) if isinstance(event, OtherChoice) else (0, event)
        if isinstance(inner, Ping | ReasoningDelta):
            yield event
            continue
        text = texts.setdefault(number, _Text())
        if not isinstance(inner, TextDelta):
            if rest := text.end() if isinstance(inner, Finish) else text.flush():
                yield _wrapped(TextDelta(rest), number)
            yield event
            continue
        piece = text.add(inner.text)
        if piece or inner.provider_metadata or inner.logprobs:
            yield _wrapped(replace(inner, text=piece), number)


def _wrapped(event: Event, number: int) -> Event:
    return OtherChoice(number, event) if number else event


class _Text:
    """The text of one answer, as far as it is undecided whether it is a fence."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._fenced = False

    def add(self, text: str) -> str:
        """More text; what of all the text so far may be passed on."""
        self._held += text
        if not self._begun:
            if _MAYBE_OPENING.fullmatch(self._held):
                return ""
            self._begun = True
            if opening := _OPENING.match(self._held):
                self._fenced = True
                self._held = self._held[opening.end() :]
        if not self._fenced:
            return self.flush()
        closing = _MAYBE_CLOSING.search(self._held)
        end = closing.start() if closing else len(self._held)
        passed, self._held = self._held[:end], self._held[end:]
        return passed

    def flush(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held

    def end(self) -> str:
        """What was held back, but for the closing fence."""
        held = self.flush()
        return "" if self._fenced and _CLOSING.fullmatch(held) else held
