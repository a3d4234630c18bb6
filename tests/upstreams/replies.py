"""Answers of Gemini, as bytes and as the events they are read as."""

import json
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agproxy import sse
from agproxy.chat import (
    Event,
)
from agproxy.errors import UnusableAnswer, UpstreamCut, UpstreamRefusal
from agproxy.upstreams.gemini_reply import decode_stream

RECORDED = Path(__file__).parents[1] / "data" / "gemini"


def decoded(
    payloads: Iterable[bytes], names: dict[str, str] | None = None, *, choices: int = 1, **options: Any
) -> Iterator[Event]:
    numbers = count(1)
    new_id = lambda: f"new_{next(numbers)}"  # noqa: E731
    return decode_stream(payloads, original_names=names or {}, new_id=new_id, choices=choices, **options)


def told(payloads: Iterable[bytes], *, choices: int = 1) -> list[Event | type[Exception]]:
    """The events, and the class of the error after them."""
    events: list[Event | type[Exception]] = []
    try:
        for event in decoded(payloads, choices=choices):
            events.append(event)
    except (UpstreamCut, UpstreamRefusal, UnusableAnswer) as error:
        events.append(type(error))
    return events


def payloads(name: str) -> Iterable[bytes]:
    wire = RECORDED.joinpath(name).read_bytes()
    return sse.decode([wire]) if name.endswith(".sse") else [wire]


def failure(payloads: Iterable[bytes]) -> Any:
    with pytest.raises((UpstreamCut, UpstreamRefusal, UnusableAnswer)) as caught:
        list(decoded(payloads))
    return caught.value


def answer(reason: str | None = "STOP", *parts: Any, **candidate: Any) -> bytes:
    """One chunk in Google's format."""
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    finish = {"finishReason": reason} if reason else {}
    return json.dumps({"candidates": [{**content, **finish, **candidate}]}).encode()


def broken_by(error: Exception, *chunks: bytes) -> Iterator[bytes]:
    yield from chunks
    raise error
