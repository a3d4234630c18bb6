"""What the fake shall answer: builders for answers, as values.

An ``Answer`` says what the model does (chunks of parts, or an error) and how its bytes travel (``Delivery``). Answers
join with ``+``: ``thoughts("hm") + text("Hello") + calls(("f", {}))``. The modifiers ``slow`` ``cut`` and
``Answer.delivered`` change how one travels. Ids, signatures and token counts are filled in when it is sent
(``render``), for they depend on the request.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.fake_google.refusal import JsonObject

How = Literal["fin", "rst", "silence"]
Framing = Literal["chunked", "length", "close"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where and how the connection ends too early.

    :param after_events: whole events (or pieces of ``raw``, or, of one body, 0) sent before the end; -1 means not even
        a status line.
    :param mid_event: half of the next event is sent as well.
    :param how: ``fin`` closes, ``rst`` resets, ``silence`` stays open and says nothing until the client goes.
    """

    after_events: int
    mid_event: bool = False
    how: How = "fin"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the bytes of an answer travel.

    :param headers_s: seconds before the status line.
    :param first_byte_s: seconds between the headers and the first byte of the body.
    :param between_s: seconds between two events, or pieces of ``raw``.
    :param between_writes_s: seconds between two writes of the body: with ``split_writes``, a slow drip.
    :param crlf: SSE lines end in CRLF, as Google's do; else in LF.
    :param split_writes: bytes a write (each its own HTTP chunk), 0 for one write an event; cuts UTF-8 sequences.
    :param gzip: compress, if the client accepts it.
    :param is_gzip_unasked: compress, whatever the client accepts.
    :param framing: chunked, Content-Length (all at once), or a body that ends with the connection.
    :param close: say ``Connection: close`` and close.
    :param stale: say nothing of closing, but close the idle connection right after the answer.
    :param early_hints: how many 103 come before the answer (RFC 8297).
    :param is_http_1_0: answer as HTTP/1.0 does, whose body ends with the connection.
    :param left_out: bytes of the body's end, compressed or not, that never come although its framing is in order.
    :param length_error: what is added to the true Content-Length.
    """

    headers_s: float = 0.0
    first_byte_s: float = 0.0
    between_s: float = 0.0
    between_writes_s: float = 0.0
    crlf: bool = True
    split_writes: int = 0
    gzip: bool = False
    is_gzip_unasked: bool = False
    framing: Framing | None = None
    close: bool = False
    stale: bool = False
    early_hints: int = 0
    is_http_1_0: bool = False
    left_out: int = 0
    length_error: int = 0
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of the whole answer; the stream reports a running count in each chunk.

    :param prompt: includes ``cached``; None counts the request's text.
    :param candidates: without ``thoughts``; None counts the answer's text.
    """

    prompt: int | None = None
    candidates: int | None = None
    thoughts: int = 0
    cached: int = 0
    tool_use: int = 0


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part of an answer.

    :param part: its JSON without id and signature.
    :param sign: with a fresh signature, without, or with this text.
    :param call_id: True for a fresh id, a text for that one; None does as the model's family does.
    """

    part: JsonObject
    sign: bool | str | None = False
    call_id: bool | str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of the stream, one GenerateContentResponse.

    :param finish: the finishReason, or None.
    :param candidate: more fields of the candidate (``groundingMetadata``).
    :param response: more fields of the response (``promptFeedback``).
    :param has_candidate: False leaves ``candidates`` out.
    :param has_content: False leaves ``content`` out of the candidate.
    :param bare: ``response`` is all there is, without usage and ids.
    """

    parts: tuple[PartSpec, ...] = ()
    finish: str | None = None
    finish_message: str | None = None
    candidate: JsonObject = field(default_factory=dict)
    response: JsonObject = field(default_factory=dict)
    has_candidate: bool = True
    has_content: bool = True
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the fake: ``chunks``, or a ``body`` (JSON value or bytes) with its status.

    :param body: a JSON value is sent as JSON, bytes as they are, a tuple of bytes piece by piece as if each were an
        event; None means that ``chunks`` count.
    :param others: the other candidates, for a request that asks for several.
    """

    chunks: tuple[Chunk, ...] = ()
    others: tuple["Answer", ...] = ()
    usage: Usage | None = None
    http_status: int = 200
    body: Any = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery()

    def __add__(self, other: "Answer") -> "Answer":
        """Both in one stream: the first loses its finishReason, and its way to travel, to the second."""
        head = list(self.chunks)
        if head and head[-1].finish and other.chunks:
            head[-1] = replace(head[-1], finish=None, finish_message=None)
            if head[-1].parts == (_EMPTY_TEXT,):
                head.pop()
        delivery = other.delivery if other.delivery != Delivery() else self.delivery
        return replace(self, chunks=(*head, *other.chunks), usage=other.usage or self.usage, delivery=delivery)

    def delivered(self, **changes: Any) -> "Answer":
        """A copy with other ``Delivery`` fields: ``text("x").delivered(crlf=False, split_writes=1)``."""
        return replace(self, delivery=replace(self.delivery, **changes))


_EMPTY_TEXT = PartSpec({"text": ""})


def text(
    *pieces: str,
    usage: Usage | None = None,
    finish: str | None = "STOP",
    finish_message: str | None = None,
    sign: bool | str = False,
    candidate: JsonObject | None = None,
) -> Answer:
    """Text, one event a piece; the last carries the finishReason.

    :param sign: end with a part of empty text that carries a signature alone, as Gemini 3 streams do.
    :param candidate: more fields of the last candidate (``groundingMetadata``, ``citationMetadata``).
    """
    chunks = [Chunk((PartSpec({"text": piece}),)) for piece in pieces]
    if sign:
        chunks.append(Chunk((PartSpec({"text": ""}, sign=sign),)))
    return _finished(chunks, usage, finish, finish_message, candidate)


def thoughts(*pieces: str, usage: Usage | None = None, finish: str | None = "STOP", sign: bool | str = False) -> Answer:
    """Thought summaries, one event a piece; alone they are an answer of thoughts only."""
    chunks = [Chunk((PartSpec({"text": piece, "thought": True}),)) for piece in pieces]
    if sign:
        chunks.append(Chunk((PartSpec({"text": ""}, sign=sign),)))
    return _finished(chunks, usage, finish, None, None)


def calls(
    *wanted: tuple[str, JsonObject],
    ids: bool | list[str] | None = None,
    split: bool = False,
    tail: bool = False,
    sign: bool | list[bool | str] | None = None,
    usage: Usage | None = None,
    finish: str | None = "STOP",
) -> Answer:
    """Function calls, each a (name, args) pair.

    :param ids: give each an id, none, or these; None does as the family does (3 and newer: yes).
    :param split: one event a call, else all in one.
    :param tail: end with an event of empty text that carries the finishReason, as Gemini 3 streams do.
    :param sign: sign the first only, none, or as listed (a text is used as it is); None does as the family does.
    """
    specs = []
    for index, (name, args) in enumerate(wanted):
        if isinstance(sign, list):
            signed: bool | str | None = sign[index] if index < len(sign) else False
        else:
            signed = sign if index == 0 else False
        call_id = ids[index] if isinstance(ids, list) else ids
        specs.append(PartSpec({"functionCall": {"name": name, "args": args}}, sign=signed, call_id=call_id))
    chunks = [Chunk((spec,)) for spec in specs] if split else [Chunk(tuple(specs))]
    if tail:
        chunks.append(Chunk((_EMPTY_TEXT,)))
    return _finished(chunks, usage, finish, None, None)


def parts(*wanted: JsonObject, usage: Usage | None = None, finish: str | None = "STOP") -> Answer:
    """Any parts (``inlineData``, ``executableCode``, ...) as given, in one event."""
    return _finished([Chunk(tuple(PartSpec(part) for part in wanted))], usage, finish, None, None)


def image(data: str, mime_type: str = "image/png") -> Answer:
    """A generated image.

    :param data: base64.
    """
    return parts({"inlineData": {"mimeType": mime_type, "data": data}})


def chunk(*wanted: JsonObject, finish: str | None = None, usage: Usage | None = None, **response: Any) -> Answer:
    """One event with these parts and no finishReason unless given: to be joined with others by ``+``.

    :param response: more top-level fields of the response.
    """
    return Answer((Chunk(tuple(PartSpec(part) for part in wanted), finish=finish, response=response),), usage=usage)


def candidates(first: Answer, *others: Answer) -> Answer:
    """Answers side by side, for a ``candidateCount`` above one; what it asks for beyond them are numbered copies."""
    return replace(first, others=others)


def finished(reason: str, message: str | None = None, *, usage: Usage | None = None) -> Answer:
    """No parts, only a finishReason (any of ``Candidate.FinishReason``) and perhaps a finishMessage."""
    return Answer((Chunk(finish=reason, finish_message=message),), usage=usage)


def blocked(reason: str = "SAFETY", message: str | None = None) -> Answer:
    """A blocked prompt: no candidates, ``promptFeedback`` in the first chunk."""
    feedback: JsonObject = {"blockReason": reason}
    if message is not None:
        feedback["blockReasonMessage"] = message
    return Answer((Chunk(response={"promptFeedback": feedback}, has_candidate=False),))


def empty(kind: Literal["no_parts", "no_candidates", "no_events", "empty_text"] = "no_parts") -> Answer:
    """Nothing to hand on, in one of the ways Gemini does it."""
    return Answer(
        {
            "no_parts": (Chunk(finish="STOP"),),
            "no_candidates": (Chunk(has_candidate=False),),
            "no_events": (),
            "empty_text": (Chunk((_EMPTY_TEXT,), finish="STOP"),),
        }[kind]
    )


def counted(total: int, **more: Any) -> Answer:
    """What countTokens answers: ``google.enqueue(counted(7, cachedContentTokenCount=3), method="countTokens")``."""
    return Answer(body={"totalTokens": total, **more})


def no_finish(*pieces: str) -> Answer:
    """Text whose stream ends without any finishReason."""
    return text(*pieces, finish=None)


def _finished(
    chunks: list[Chunk],
    usage: Usage | None,
    finish: str | None,
    finish_message: str | None,
    candidate: JsonObject | None,
) -> Answer:
    if chunks and (finish is not None or candidate):
        chunks[-1] = replace(chunks[-1], finish=finish, finish_message=finish_message, candidate=candidate or {})
    return Answer(tuple(chunks), usage=usage)


def slow(answer: Answer, *, headers_s: float = 0.0, first_byte_s: float = 0.0, between_s: float = 0.0) -> Answer:
    """The answer, with pauses before the status line, before the body and between events."""
    return answer.delivered(headers_s=headers_s, first_byte_s=first_byte_s, between_s=between_s)


def cut(answer: Answer, *, after_events: int = 0, mid_event: bool = False, how: How = "fin") -> Answer:
    """The answer, ended too early; see ``Cut``."""
    return answer.delivered(cut=Cut(after_events, mid_event, how))


def hang_up(how: How = "fin") -> Answer:
    """No answer at all: not even a status line."""
    return Answer(delivery=Delivery(cut=Cut(-1, how=how)))
