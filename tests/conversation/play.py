"""Lets a speaker hold the conversation, and holds what came of each turn against the table."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any, Protocol

from tests.conversation.gemini import plain_base64
from tests.conversation.speakers import Speaker
from tests.conversation.table import (
    GENERATION_CONFIG,
    LEAST_THINKING,
    MODELS,
    SYSTEM_INSTRUCTION,
    THINKING_CONFIG,
    TOOLS_OF_GEMINI,
    TURNS,
)
from tests.conversation.turn import Call, Heard, JsonObject, Need, Result, Turn
from tests.fake_google import Answer, RecordedRequest
from tests.fake_google.protojson import parse


class Gemini(Protocol):
    """What ``play`` needs of the fake Google."""

    requests: list[RecordedRequest]

    def enqueue(self, *answers: Answer) -> None:
        """Answer the next requests so."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as Gemini gets it, with the table's names for ids and signatures."""

    model: str
    streamed: bool
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one turn.

    :param received: each request that reached Gemini; more than the one expected are repairs or further attempts.
    """

    turn: Turn
    received: list[Request]
    expected: Request
    heard: Heard

    def check(self) -> None:
        """Compare, number by number and type by type.

        :raises AssertionError: naming each place where Gemini received, or the client heard, what is not in the table.
        """
        wanted = {"received": [asdict(self.expected)], "heard": _without_ids(self.turn.heard)}
        found = {"received": [asdict(request) for request in self.received], "heard": _without_ids(self.heard)}
        differences = "\n".join(_differences("", wanted, found))
        assert not differences, f"turn {self.turn.name!r}:\n{differences}"


def play(speaker: Speaker, gemini: Gemini, *, model: str, streamed: bool) -> Iterator[Step]:
    """Hold the conversation up to the first turn that the speaker's protocol cannot say."""
    contents: list[JsonObject] = []
    names: dict[str, str] = {}  # the table's, by the real ids and signatures
    heard_calls: dict[str, Call] = {}  # by the table's names
    for number, turn in enumerate(TURNS):
        needs: frozenset[Need] = turn.needs | ({"history"} if number else set())
        if needs & speaker.lacks:
            return
        gemini.enqueue(turn.answer)
        before = len(gemini.requests)
        heard = speaker.say(
            replace(turn, says=tuple(_real(said, heard_calls) for said in turn.says)), streamed=streamed
        )
        requests = gemini.requests[before:]
        contents += turn.contents
        yield Step(
            turn,
            received=[
                Request(each.model, each.stream, _in_names(_received(each, speaker), names)) for each in requests
            ],
            expected=Request(model, streamed, _expected(turn, contents, speaker, model, known=set(names.values()))),
            heard=heard,
        )
        heard_calls |= {call.id: real for call, real in zip(turn.heard.calls, heard.calls, strict=True)}
        names |= _names(turn, _parts_sent(requests[-1].sent), heard.calls)
        contents.append({"role": "model", "parts": list(turn.remembered)})


def _without_ids(heard: Heard) -> JsonObject:
    return {
        **asdict(heard),
        "usage": heard.usage._asdict(),
        "calls": [{"name": call.name, "arguments": call.arguments} for call in heard.calls],
    }


def _differences(path: str, wanted: Any, found: Any) -> Iterator[str]:
    """Where ``found`` is not what is wanted; ``...`` stands for what is not there."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted | found:
            yield from _differences(f"{path}.{key}".lstrip("."), wanted.get(key, ...), found.get(key, ...))
    elif isinstance(wanted, list) and isinstance(found, list):
        for index, (each_wanted, each_found) in enumerate(zip_longest(wanted, found, fillvalue=...)):
            yield from _differences(f"{path}[{index}]", each_wanted, each_found)
    elif type(wanted) is not type(found) or wanted != found:
        shown = ["nothing" if value is ... else repr(value) for value in (found, wanted)]
        yield f"  {path}: {shown[0]}, not {shown[1]}"


def _real(said: Any, heard_calls: Mapping[str, Call]) -> Any:
    """A result for the call as it was heard."""
    return replace(said, call=heard_calls[said.call.id]) if isinstance(said, Result) else said


def _names(turn: Turn, sent: list[JsonObject], heard: Iterable[Call]) -> dict[str, str]:
    """The table's names for the ids and signatures of one answer."""
    names = {}
    for part in sent:
        if "thoughtSignature" in part and "functionCall" not in part:
            (signed,) = [each for each in turn.remembered if "text" in each and "thoughtSignature" in each]
            names[part["thoughtSignature"]] = signed["thoughtSignature"]
    remembered = [part for part in turn.remembered if "functionCall" in part]
    calls = [part for part in sent if "functionCall" in part]
    for own, part, call in zip(remembered, calls, heard, strict=True):
        real_id = part["functionCall"].get("id") or call.id  # Gemini 2.5 gives none, so that agproxy makes one
        names[real_id] = own["functionCall"]["id"]
        if "thoughtSignature" in part:
            names[part["thoughtSignature"]] = own["thoughtSignature"]
    names.pop("", None)
    return names


def _parts_sent(sent: Any) -> list[JsonObject]:
    """The parts of an answer, whether it was a stream of chunks or one body."""
    chunks = sent if isinstance(sent, list) else [sent]
    return [part for chunk in chunks for part in chunk["candidates"][0]["content"].get("parts", ())]


# What stands below these names is the client's own.
_OPAQUE = ("args", "response", "parameters_json_schema", "response_json_schema")


def _received(request: RecordedRequest, speaker: Speaker) -> JsonObject:
    """The body of a request, spelled as the table does."""
    if not speaker.is_native:
        return copy.deepcopy(request.body)
    body: JsonObject = _spelled(parse(request.raw, native=True))
    thinking = body["generationConfig"].get("thinkingConfig", {})
    if "thinkingLevel" in thinking:  # a word that stands for a number, and so in any case
        thinking["thinkingLevel"] = thinking["thinkingLevel"].lower()
    for part in [part for content in body["contents"] for part in content["parts"]]:
        if "thoughtSignature" in part:
            part["thoughtSignature"] = plain_base64(part["thoughtSignature"])
    return body


def _spelled(value: Any) -> Any:
    """With names in camelCase; ``google-genai`` mixes both spellings, and Google takes either."""
    if isinstance(value, list):
        return [_spelled(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("_([a-z])", lambda found: found[1].upper(), name): each if name in _OPAQUE else _spelled(each)
        for name, each in value.items()
    }


def _in_names(body: JsonObject, names: Mapping[str, str]) -> JsonObject:
    """A request with the table's names in the place of ids and signatures; strange ones stay as they are."""
    for content in body["contents"]:
        for part in content["parts"]:
            for holder, key in _unforeseeable(part):
                holder[key] = names.get(holder[key], holder[key])
    return body


def _unforeseeable(part: JsonObject) -> list[tuple[JsonObject, str]]:
    """Where a part holds what only a run can tell."""
    places = [(part, "thoughtSignature")]
    places += [(part[kind], "id") for kind in ("functionCall", "functionResponse") if kind in part]
    return [(holder, key) for holder, key in places if key in holder]


def _expected(
    turn: Turn, contents: Iterable[JsonObject], speaker: Speaker, model: str, *, known: set[str]
) -> JsonObject:
    """The body that Gemini must receive.

    :param known: the table's names of those ids and signatures that Gemini gave in this run.
    """
    config = dict(GENERATION_CONFIG)
    if turn.thinking is not None:
        config["thinkingConfig"] = THINKING_CONFIG[turn.thinking][MODELS[model]]
    elif "thinking" in speaker.lacks:
        config["thinkingConfig"] = LEAST_THINKING[model]
    if turn.schema is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": turn.schema}
    expected: JsonObject = {
        "contents": [
            {**content, "parts": [_part(part, speaker, known) for part in content["parts"]]} for content in contents
        ],
        "generationConfig": config,
    }
    if "system" not in speaker.lacks:
        expected["systemInstruction"] = SYSTEM_INSTRUCTION
    if turn.tools:
        expected["tools"] = TOOLS_OF_GEMINI
    return expected


def _part(part: JsonObject, speaker: Speaker, known: set[str]) -> JsonObject:
    """A part of the table as it is to come from this speaker."""
    part = copy.deepcopy(part)
    for holder, key in _unforeseeable(part):
        if holder[key] not in known or ("text" in holder and not speaker.keeps_text_signatures):
            del holder[key]
    response = part.get("functionResponse", {}).get("response", {})
    if "error" in response and not speaker.marks_errors:
        response["output"] = response.pop("error")
    return part
