"""Completions to encode, and what a client makes of them: judged by the types of the ``openai`` package."""

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from openai.types import Completion

from agproxy import sse
from agproxy.chat import Event, ReplyMeta
from agproxy.fold import fold
from agproxy.protocols.openai_completions import encode_reply, encode_stream
from agproxy.protocols.openai_completions_request import Asked

Json = Any

META = ReplyMeta("cmpl-1", 1_700_000_000, "gpt-3.5-turbo-instruct")
WITH_USAGE = replace(META, include_usage=True)


def echoing(*prompts: str, choices: int = 1) -> ReplyMeta:
    """That of a request for ``choices`` answers to each of these prompts, with the prompts before them."""
    return replace(META, echo=Asked(choices, prompts))


def reply(*events: Event, meta: ReplyMeta = META) -> Json:
    """The non-streamed body, as a client reads it."""
    body = json.loads(json.dumps(encode_reply(fold(events), meta)))
    Completion.model_validate(body, strict=True)
    return body


def stream(*events: Event, meta: ReplyMeta = META) -> list[Json]:
    """The chunks of a stream that ends well; each is one by the SDK's own types."""
    pieces = list(encode_stream(events, meta))
    assert all(pieces), "an empty piece, which some servers take for the end"
    return decoded(pieces)


def decoded(wire: Iterable[bytes]) -> list[Json]:
    """The chunks of the bytes of a stream that ends well."""
    *chunks, last = sse.decode(wire)
    assert last == b"[DONE]"
    found = [json.loads(chunk) for chunk in chunks]
    for chunk in found:
        validated(chunk)
    return found


def validated(chunk: Json) -> Completion:
    """The chunk as the SDK's type, which has no null for the ``finish_reason`` of a choice that goes on.

    OpenAI streams one all the same, and the SDK, which does not validate, passes it on.
    """
    known = copy.deepcopy(chunk)
    for choice in known["choices"]:
        assert choice.keys() >= {"text", "index", "logprobs", "finish_reason"}
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    return Completion.model_validate(known, strict=True)


def accumulated(chunks: Iterable[Json]) -> list[Json]:
    """The choices of a stream as a careful client puts them together, in the order of their numbers."""
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for piece in chunk["choices"]:
            index = piece["index"]
            whole = choices.setdefault(index, {"text": "", "index": index, "logprobs": None, "finish_reason": None})
            assert whole["finish_reason"] is None, "a choice goes on after its end"
            for name, value in piece.items():
                if name == "index" or value is None:
                    continue
                if name == "logprobs":
                    whole[name] = whole[name] or {array: [] for array in value}
                    for array, more in value.items():
                        whole[name][array] += more
                elif whole.get(name) is None:
                    whole[name] = value
                else:
                    whole[name] += value
    return [choices[index] for index in sorted(choices)]
