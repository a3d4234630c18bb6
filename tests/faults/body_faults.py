"""Faults of what Google, or whoever stands in between, answers: bodies that are cut, of the wrong kind, or none."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fake_google import (
    Answer,
    RecordedRequest,
    cut,
    empty,
    error,
    error_event,
    html,
    no_finish,
    raw,
    text,
)
from tests.fake_google.choose import Script
from tests.faults.connection_faults import BROKE, always, impatient, once
from tests.faults.stage import ANSWER, GOOD, WHOLE, Expected, Fault, broken, refused

_BIG = "x" * 1_000_000
_BIG_ANSWER = text(_BIG)
_JSON = "application/json; charset=UTF-8"
_WORDS = "Something is wrong here."

_NOT_WHOLE = "Gemini's answer holds a piece that is not whole"
_UNFINISHED = "Gemini's answer ended before it was finished"
_EMPTY = "Gemini's answer is empty"
_PAGE = "answered with a web page"
_NO_JSON = "Gemini's answer holds a piece that is no JSON"


def _whole(*pieces: str) -> dict[str, Any]:
    """The body of an answer that is not streamed, of a part for each piece."""
    parts = [{"text": piece} for piece in pieces]
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 3, "totalTokenCount": 4}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def _as_events(request: RecordedRequest) -> Answer:
    """Events, whatever was asked for."""
    return raw(b"data: " + json.dumps(_whole(ANSWER)).encode() + b"\r\n\r\n")


def _as_asked(text: bytes) -> Callable[[RecordedRequest], Answer]:
    """An answer of this text, in the form that was asked for."""
    whole = json.dumps(_whole("TEXT")).encode().replace(b"TEXT", text)
    return lambda request: raw(b"data: " + whole + b"\r\n\r\n" if request.stream else whole)


def _left_open(answer: Answer) -> Script:
    """The connection stays open after the answer, for one that ends it may not be waited for."""
    return lambda request: cut(answer, after_events=99, how="silence") if request.stream else answer


def _as_list(request: RecordedRequest) -> Answer:
    """The answer in two pieces, as Google streams to those who do not ask for events."""
    return Answer(body=[_whole("The whole "), _whole("answer.")])


def _encoded(answer: Answer, encoding: str) -> Answer:
    """The answer, which claims to be compressed so."""
    return replace(answer, headers=(("Content-Encoding", encoding),))


def _of_length(error: int) -> Answer:
    """An answer whose Content-Length is wrong by so much."""
    return GOOD.delivered(framing="length", length_error=error)


def _typed(answer: Answer, content_type: str) -> Answer:
    return replace(answer, content_type=content_type)


def _twice(name: str, answer: Script, whole: Expected, streamed: Expected | None = None) -> tuple[Fault, Fault]:
    """An answer that agproxy asks for again, where its client has not seen anything of it."""
    seen = streamed if streamed is not None and streamed.kind == "broken" else None
    return (
        Fault(f"{name}, once", once(answer), WHOLE, seen),
        Fault(name, always(answer), whole, streamed),
    )


_ERROR = error(503, message=_WORDS)
_SILENT_ERROR = cut(_ERROR, mid_event=True, how="silence")
_LATER_ERROR = text("The ", "whole ", finish=None) + error_event(503, message=_WORDS)
_ZIPPED = GOOD.delivered(is_gzip_unasked=True)
_OVER_HTTP_1_0 = GOOD.delivered(is_http_1_0=True)

BODY_FAULTS: tuple[Fault, ...] = (
    # Cut, although HTTP says that all is there.
    *_twice("truncated JSON", GOOD.delivered(left_out=40), refused(502, _NOT_WHOLE), broken(502, _NOT_WHOLE)),
    *_twice("bytes that are no UTF-8", _as_asked(b"\xff"), refused(502, _NOT_WHOLE)),
    *_twice("no byte at all", raw(b"", content_type=_JSON), refused(502, _NO_JSON), refused(502, _UNFINISHED)),
    *_twice("empty object", Answer(body={}), refused(502, _UNFINISHED)),
    *_twice("no end", no_finish("The ", "whole "), refused(502, _UNFINISHED), broken(502, _UNFINISHED)),
    *_twice("no text", empty("no_parts"), refused(502, _EMPTY)),
    # Something else than an answer.
    *_twice("web page", html(200), refused(502, _PAGE)),
    *_twice("web page that calls itself JSON", _typed(html(200), _JSON), refused(502, _PAGE)),
    *_twice("plain text", raw(b"OK\n", content_type="text/plain"), refused(502, _NO_JSON), refused(502, _UNFINISHED)),
    Fault("redirect to a web page", always(html(302)), refused(502, "HTTP 302")),
    Fault("web page for an error", always(html(503)), refused(503, "HTTP 503")),
    Fault("status that there is not", always(replace(html(200), http_status=999)), refused(502, "HTTP 999")),
    Fault("answer without a body", always(replace(raw(b""), http_status=204)), refused(502, "HTTP 204")),
    Fault("error that does not end", impatient(always(_SILENT_ERROR)), refused(503, "HTTP 503")),
    Fault("error in place of an answer", always(_ERROR), refused(503, _WORDS)),
    Fault("error of status 200", always(Answer(body=_ERROR.body)), refused(503, _WORDS)),
    Fault("error of status 200 in a list", always(Answer(body=[_ERROR.body])), refused(503, _WORDS)),
    Fault("error in a later event", always(_LATER_ERROR), refused(503, _WORDS), broken(503, _WORDS)),
    Fault(
        "error in a later event, then silence",
        always(_left_open(_LATER_ERROR)),
        refused(503, _WORDS),
        broken(503, _WORDS),
    ),
    Fault("web page, then silence", always(_left_open(html(200))), refused(502, _PAGE)),
    Fault("one body in place of events", always(Answer(body=_whole(ANSWER))), WHOLE),
    Fault("list in place of events", always(_as_list), refused(502, "a piece that is no object")),
    Fault("events in place of one body", always(_as_events), refused(502, _NO_JSON), WHOLE),
    Fault("answer that calls itself a web page", always(_typed(GOOD, "text/html")), WHOLE),
    Fault("answer without a type", always(_typed(GOOD, "")), WHOLE),
    # Compressed, which agproxy does not ask for.
    Fault("gzip", always(_ZIPPED), WHOLE),
    Fault("gzip in one piece", always(_ZIPPED.delivered(framing="length")), WHOLE),
    *_twice("gzip that is truncated", _ZIPPED.delivered(framing="length", left_out=60), refused(502, _NOT_WHOLE)),
    *_twice("gzip that is cut", cut(_ZIPPED, mid_event=True), refused(502, BROKE)),
    *_twice("gzip that is none", _encoded(GOOD, "gzip"), refused(502, BROKE)),
    *_twice("gzip that is not told", raw(b"\x1f\x8b\x08\x00", content_type=_JSON), refused(502, ""), refused(502, "")),
    *_twice("unknown compression", _encoded(raw(b"\x0b\x05\x80"), "br"), refused(502, ""), refused(502, "")),
    # Long.
    Fault("line of 1 MB", always(_BIG_ANSWER), WHOLE, text=_BIG),
    Fault("line of 1 MB in small pieces", always(_BIG_ANSWER.delivered(split_writes=2000)), WHOLE, text=_BIG),
    Fault("line of 1 MB, cut", always(cut(_BIG_ANSWER, mid_event=True, how="rst")), refused(502, BROKE)),
    Fault("line of 1 MB, cut, once", once(cut(_BIG_ANSWER, mid_event=True, how="rst")), WHOLE),
    # Strange HTTP.
    Fault("103 before the answer", always(GOOD.delivered(early_hints=1)), WHOLE, requests=2),
    Fault("many 103 before the answer", always(GOOD.delivered(early_hints=20)), WHOLE, requests=2),
    Fault("103 before an error", always(_ERROR.delivered(early_hints=1)), refused(503, _WORDS)),
    Fault("HTTP/1.0", always(_OVER_HTTP_1_0), WHOLE, requests=2),
    *_twice("HTTP/1.0, cut", cut(_OVER_HTTP_1_0, mid_event=True), refused(502, _NOT_WHOLE)),
    *_twice("HTTP/1.0, reset", cut(_OVER_HTTP_1_0, mid_event=True, how="rst"), refused(502, BROKE)),
    *_twice("length that is too long", _of_length(10), refused(502, BROKE), WHOLE),
    *_twice("length that is too short", _of_length(-40), refused(502, _NOT_WHOLE), broken(502, _NOT_WHOLE)),
    Fault("length that is too short, and the next answer", once(_of_length(-1)), WHOLE, requests=2),
)
