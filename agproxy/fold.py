"""The events of an answer, folded into one whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agproxy.chat import (
    Citation,
    Counted,
    Event,
    Failed,
    Finish,
    ImageDelta,
    Metadata,
    OtherChoice,
    Ping,
    ReasoningDelta,
    Relayed,
    Searched,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallStart,
)


@dataclass(slots=True)
class ReplyCall:
    """One whole call of an answer; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str
    provider_metadata: Metadata | None


@dataclass(slots=True)
class Reply:
    """A whole answer.

    :param provider_metadata: that of its text.
    :param others: the other answers, when several were asked for.
    :param parts: all that it is made of once more, in order: runs of deltas joined, each call with its arguments where
        it began.
    """

    text: str
    reasoning: str
    calls: tuple[ReplyCall, ...]
    images: tuple[ImageDelta, ...]
    finish: Finish
    provider_metadata: Metadata | None
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    others: tuple["Reply", ...] = ()
    parts: tuple[Event, ...] = field(default=(), compare=False)


def fold(events: Iterable[Event]) -> Reply:
    """The whole answer that ``events`` tell, which end in one ``Finish``.

    :raises GatewayError: that of a ``Failed`` event.
    """
    text: list[str] = []
    reasoning: list[str] = []
    images: list[ImageDelta] = []
    starts: list[ToolCallStart] = []
    arguments: dict[int, list[str]] = {}
    citations: list[Citation] = []
    logprobs: list[TokenLogprob] = []
    others: dict[int, list[Event]] = {}
    metadata: Metadata | None = None
    parts: list[Event] = []
    for event in events:
        match event:
            case TextDelta() | ReasoningDelta() | ToolCallStart() | ImageDelta() | Searched():
                parts.append(event)
        match event:
            case TextDelta():
                text.append(event.text)
                logprobs += event.logprobs
                metadata = event.provider_metadata or metadata
            case ReasoningDelta():
                reasoning.append(event.text)
            case ToolCallStart():
                starts.append(event)
                arguments[event.index] = []
            case ToolCallDelta():
                arguments[event.index].append(event.arguments)
            case ImageDelta():
                images.append(event)
            case Citation():
                citations.append(event)
            case OtherChoice():
                others.setdefault(event.number, []).append(event.event)
            case Failed():
                raise event.error
            case Finish():
                calls = tuple(
                    ReplyCall(start.id, start.name, "".join(arguments[start.index]) or "{}", start.provider_metadata)
                    for start in starts
                )
                return Reply(
                    text="".join(text),
                    reasoning="".join(reasoning),
                    calls=calls,
                    images=tuple(images),
                    finish=event,
                    provider_metadata=metadata,
                    citations=tuple(citations),
                    logprobs=tuple(logprobs),
                    others=tuple(fold(others[number]) for number in sorted(others)),
                    parts=tuple(_joined(parts, calls)),
                )
            case Searched() | Counted() | Relayed() | Ping():
                pass
    raise ValueError("events ended without Finish or Failed")


def _joined(parts: Iterable[Event], calls: Iterable[ReplyCall]) -> Iterator[Event]:
    """The parts with runs of deltas put together, and each call followed by its arguments."""
    whole = iter(calls)
    run: list[TextDelta | ReasoningDelta] = []
    for part in parts:
        # What comes after an empty piece is not put to it: the two may belong to different runs of text.
        if run and (type(part) is not type(run[-1]) or not run[0].text):
            yield _run(run)
            run = []
        match part:
            case TextDelta() | ReasoningDelta():
                run.append(part)
            case ToolCallStart():
                yield part
                yield ToolCallDelta(part.index, next(whole).arguments)
            case _:
                yield part
    if run:
        yield _run(run)


def _run(pieces: list[TextDelta | ReasoningDelta]) -> Event:
    text = "".join(piece.text for piece in pieces)
    metadata = next((piece.provider_metadata for piece in reversed(pieces) if piece.provider_metadata), None)
    if isinstance(pieces[0], ReasoningDelta):
        return ReasoningDelta(text, metadata)
    logprobs = tuple(logprob for piece in pieces if isinstance(piece, TextDelta) for logprob in piece.logprobs)
    return TextDelta(text, metadata, logprobs)


def first_calls(events: Iterable[Event]) -> Iterator[Event]:
    """The events without all calls of an answer but its first, for a client that takes one at a time."""
    for event in events:
        inner = event.event if isinstance(event, OtherChoice) else event
        if not isinstance(inner, ToolCallStart | ToolCallDelta) or inner.index == 0:
            yield event
