"""Answers to encode as Anthropic Messages, and what a client makes of them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from agproxy.chat import Citation, Counted, Event, Finish, ReplyMeta, Searched, Usage
from agproxy.fold import fold
from agproxy.protocols.anthropic_messages import decode_request, encode_reply, encode_stream
from tests.messages_stream import Told, checked, read
from tests.protocols.answers import TEXTS, answers

Json = Any


def asking(**fields: Json) -> ReplyMeta:
    """That of a request with these fields."""
    chat = decode_request({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "Hi"}], **fields})
    return ReplyMeta("msg_1", 1_700_000_000, chat.model, echo=chat.echo)


PLAIN = asking()
THINKING = asking(thinking={"type": "adaptive"})


def reply(*events: Event, meta: ReplyMeta = PLAIN) -> Json:
    """The whole message, as a client reads it."""
    return checked(json.loads(json.dumps(encode_reply(fold(events), meta))))


def told(*events: Event, meta: ReplyMeta = PLAIN) -> Told:
    """What a stream tells."""
    pieces = list(encode_stream(events, meta))
    assert all(pieces), "an empty piece, which some servers take for the end"
    return read(b"".join(pieces))


def alike(*events: Event, meta: ReplyMeta = PLAIN) -> Json:
    """The message to a client, which cannot tell whether it was streamed."""
    streamed, whole = told(*events, meta=meta).message, reply(*events, meta=meta)
    assert streamed == whole
    return whole


def middle(*events: Event, meta: ReplyMeta = PLAIN) -> list[Json]:
    """The events of a stream between its beginning and its end."""
    first, *between, delta, stop = told(*events, Finish("stop"), meta=meta).events
    assert [event["type"] for event in (first, delta, stop)] == ["message_start", "message_delta", "message_stop"]
    return between


# Any answers.

COUNTS = st.integers(0, 10**9)
# What is cached is a part of the input, and thoughts are one of the output.
USAGES = st.tuples(COUNTS, COUNTS, COUNTS, COUNTS).map(lambda n: Usage(n[0] + n[2], n[1] + n[3], n[2], n[3]))
PAGES = st.lists(st.tuples(TEXTS, TEXTS), max_size=2)
SEARCHES = st.builds(
    lambda queries, pages: Searched(tuple(queries), tuple(u for u, _ in pages), tuple(t for _, t in pages)),
    st.lists(TEXTS, max_size=2),
    PAGES,
)


@st.composite
def any_answers(draw: st.DrawFn) -> list[Event]:
    """The events of an answer, searches and citations anywhere."""
    *events, last = draw(answers(freeform=False))
    assert isinstance(last, Finish)
    usage = draw(USAGES)
    counted = [Counted(replace(usage, output_tokens=0, reasoning_tokens=0))] if draw(st.booleans()) else []
    return [*counted, *events, replace(last, usage=usage)]


@st.composite
def usual_answers(draw: st.DrawFn) -> list[Event]:
    """The events of an answer as an upstream gives them, at whose end it tells what was found on the web."""
    *events, last = draw(any_answers())
    kept = [event for event in events if not isinstance(event, Citation | Searched)]
    return [*kept, *draw(st.lists(SEARCHES, max_size=1)), last]


def without_searches(message: Json) -> Json:
    """The message without what was searched for, which a stream tells later than a body does."""
    searches = ("server_tool_use", "web_search_tool_result")
    return {**message, "content": [block for block in message["content"] if block["type"] not in searches]}


def kinds(blocks: Iterable[Json]) -> list[str]:
    """The types of blocks, or of events."""
    return [block["type"] for block in blocks]
