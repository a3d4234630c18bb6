"""Bodies and answers in Gemini's own words, which pass as they are.

Wire: https://ai.google.dev/api/generate-content, .../api/tokens and .../api/embeddings. The JSON of a protobuf may name
a field in either way, ``systemInstruction`` or ``system_instruction``
(https://protobuf.dev/programming-guides/json/), and Google's own SDKs mix the two.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from agproxy.chat import Effort, Event, Finish, FinishReason, Relayed, Thinking, Usage
from agproxy.errors import UnusableAnswer, UpstreamCut, UpstreamError
from agproxy.jsonwire import encode_json
from agproxy.models import needs_thought_signatures
from agproxy.upstreams.gemini_reply import BLOCKED, BROKEN, CUT_SHORT, response, usage_of
from agproxy.upstreams.gemini_request import DUMMY_SIGNATURE, EncodedRequest
from agproxy.upstreams.gemini_thinking import encode_thinking

Body = dict[str, Any]

# What is told of a model that the client did not name, so that its refusal is none of its business: the names that
# ``gemini_settings`` has for what stands in these fields of ``generationConfig``.
_SETTINGS = {
    "thinking": ("thinkingConfig",),
    "penalties": ("presencePenalty", "frequencyPenalty"),
    "logprobs": ("responseLogprobs", "logprobs"),
    "sampling": ("temperature", "topP", "topK"),
    "temperature": ("temperature",),
    "top_p": ("topP",),
    "top_k": ("topK",),
}


@dataclass(frozen=True, slots=True)
class Native:
    """A request in Gemini's own words.

    :param method: ``generateContent``, ``countTokens``, ...
    :param model: the model that is called.
    :param is_mapped: whether the client asked for another.
    :param raw: the body as it came; ``body`` is the object that it holds.
    """

    method: str
    model: str
    is_mapped: bool
    raw: bytes
    body: Body


def encode_native(
    native: Native,
    *,
    model: str,
    keep_signatures: bool = True,
    dropped: Mapping[str, frozenset[str]] | None = None,
    without: frozenset[str] = frozenset(),
) -> EncodedRequest:
    """The body to send: the same bytes, but for the names of another model, and for what Gemini has refused.

    :param model: the Gemini model whose rules hold.
    :param keep_signatures: False takes the thought signatures out; where Gemini demands one, the dummy stands.
    :param dropped: schema keywords to leave out, by the name of the function.
    :param without: settings to do without; only where the client did not choose the model.
    """
    if keep_signatures and not dropped and not native.is_mapped and not _misnamed(native.body, native):
        return EncodedRequest(native.raw, {})
    body = copy.deepcopy(native.body)
    for holder in _misnamed(body, native):
        holder["model"] = f"models/{native.model}"
    request = _request(body, native.method)
    if not keep_signatures:
        _take_signatures_out(request, demanded=needs_thought_signatures(model))
    for function in functions(request):
        if words := (dropped or {}).get(str(function.get("name"))):
            for name in ("parameters", "parametersJsonSchema", "parameters_json_schema"):
                if isinstance(schema := function.get(name), dict):
                    function[name] = _without(schema, words)
    used: set[str] = set()
    ignored: list[str] = []
    if native.is_mapped:
        untold = _translate_thinking(request, model)
        used, ignored = _do_without(request, without)
        ignored += untold
    return EncodedRequest(
        body=native.raw if body == native.body else encode_json(body),
        original_names={},
        used=frozenset(used),
        ignored=tuple(ignored),
    )


def choices(body: Body) -> int:
    """How many answers a request asks for."""
    config = _field(body, "generationConfig")
    count = _field(config, "candidateCount") if isinstance(config, dict) else None
    return count if isinstance(count, int) and count > 0 else 1


def native_endpoint(base_url: str, model: str, method: str) -> str:
    """The URL to post to; what is streamed comes as SSE."""
    query = "?alt=sse" if method == "streamGenerateContent" else ""
    return f"{base_url}/v1beta/models/{quote(model, safe='@')}:{method}{query}"


def relay_stream(
    payloads: Iterable[bytes],
    *,
    stream: bool,
    choices: int = 1,
    is_last: bool = False,
    on_finished: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Yield each piece of an answer as it came, and ``Finish``.

    :param payloads: the JSON text of each ``GenerateContentResponse``; one that was not streamed is a single payload.
    :param stream: what the client sees of it is not taken back.
    :param choices: how many answers were asked for; there may be fewer.
    :param is_last: no other answer will be asked for, so that this one counts if it says anything, be it that a call
        was malformed. What says nothing at all is never a success.
    :param on_finished: called once it is whole, after which only a last count of tokens may follow.
    :raises UpstreamCut: when the answer ends before its ``finishReason``, or holds what is no JSON.
    :raises UnusableAnswer: at the end, when there was nothing in it.
    :raises UpstreamRefusal: when an error object stands in its place.
    """
    answer = _Answer(choices)
    try:
        for payload in payloads:
            answer.read(response(payload))
            yield Relayed(payload, answer.is_seen)
            if answer.is_finished:
                on_finished()
    except UpstreamError:
        if not answer.is_finished:  # what goes wrong after the end is of no interest
            raise
    if not answer.has_ended:
        raise UpstreamCut("Gemini's answer ended before it was finished")
    fault = None if stream and answer.is_seen else answer.fault()
    if fault is not None and not (is_last and (answer.is_seen or fault.finish_reason in BROKEN)):
        raise fault
    yield answer.finish()


def relay_whole(payload: bytes) -> Iterator[Event]:
    """Yield an answer that is no ``GenerateContentResponse``, and ``Finish``.

    :raises UpstreamCut: when it is no JSON object.
    """
    response(payload)
    yield Relayed(payload, True)
    yield Finish("stop")


class _Answer:
    """What the pieces so far amount to."""

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self.is_seen = False
        self._has_content = False
        self._blocked = ""
        self._reasons: dict[int, str] = {}
        self._usage = Usage()

    @property
    def has_ended(self) -> bool:
        """Whether the ``finishReason`` of each answer that has begun has come, or the prompt was refused."""
        return bool(self._blocked) or (bool(self._reasons) and all(self._reasons.values()))

    @property
    def is_finished(self) -> bool:
        """Whether each ``finishReason`` has come that was to be expected."""
        return self.has_ended and (bool(self._blocked) or len(self._reasons) >= self._choices)

    def read(self, chunk: Mapping[str, Any]) -> None:
        if isinstance(counts := chunk.get("usageMetadata"), dict):
            self._usage = usage_of(counts)
        feedback = _field(chunk, "promptFeedback")
        if isinstance(feedback, dict):
            self._blocked = str(feedback.get("blockReason") or "") or self._blocked
        for position, candidate in enumerate(_list(chunk.get("candidates"))):
            index = candidate.get("index")
            place = index if isinstance(index, int) else position
            reason = candidate.get("finishReason")
            self._reasons[place] = str(reason or "") or self._reasons.get(place, "")
            content = candidate.get("content")
            for part in _list(content.get("parts")) if isinstance(content, dict) else ():
                says = bool(part.get("text")) or any(name not in _SAYS_NOTHING for name in part)
                self.is_seen = self.is_seen or says
                self._has_content = self._has_content or (says and not part.get("thought"))

    def fault(self) -> UnusableAnswer | None:
        """Why it is no answer, as for those that are translated."""
        reason = next(iter(self._reasons.values()), "")
        if reason in BROKEN:
            return UnusableAnswer(f"Gemini's answer holds a call that cannot be used ({reason})", finish_reason=reason)
        if self._has_content or self._blocked or reason in BLOCKED or reason in CUT_SHORT:
            return None
        return UnusableAnswer(f"Gemini's answer is empty ({reason})", finish_reason=reason)

    def finish(self) -> Finish:
        reason = self._blocked or next(iter(self._reasons.values()), "")
        kind: FinishReason = "length" if reason in CUT_SHORT else "stop"
        if self._blocked or reason in BLOCKED:
            kind = "content_filter"
        return Finish(kind, self._usage, note="" if reason in ("STOP", "MAX_TOKENS") else reason)


_SAYS_NOTHING = ("text", "thought", "thoughtSignature")


# Changes to a body.


def _field(holder: Mapping[str, Any], name: str) -> Any:
    """A field in either spelling."""
    if name in holder:
        return holder[name]
    return holder.get(_snake(name))


def _list(value: object) -> list[Any]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _request(body: Body, method: str) -> Body:
    """The ``GenerateContentRequest``: the body itself, or what a count of tokens holds."""
    inner = _field(body, "generateContentRequest") if method == "countTokens" else None
    return inner if isinstance(inner, dict) else body


def functions(request: Mapping[str, Any]) -> list[Body]:
    """The declarations of functions in a request."""
    return [
        function for tool in _list(request.get("tools")) for function in _list(_field(tool, "functionDeclarations"))
    ]


def _misnamed(body: Body, native: Native) -> list[Body]:
    """What names the model otherwise in a ``model`` field; what contradicts the path is for Google to refuse."""
    inner = _field(body, "generateContentRequest")
    holders = (body, *([inner] if isinstance(inner, dict) else ()), *_list(body.get("requests")))
    named = [holder for holder in holders if isinstance(holder.get("model"), str)]
    others = [holder for holder in named if holder["model"].removeprefix("models/") != native.model]
    return [each for each in others if native.is_mapped or each["model"].rpartition("/")[2] == native.model]


def _take_signatures_out(request: Body, *, demanded: bool) -> None:
    contents = _list(request.get("contents"))
    for content in contents:
        for part in _list(content.get("parts")):
            part.pop("thoughtSignature", None)
            part.pop("thought_signature", None)
    if not demanded:
        return
    for content in reversed(contents):
        parts = _list(content.get("parts"))
        if content.get("role") == "model":
            call = next((part for part in parts if _field(part, "functionCall")), None)
            if call is not None:
                call["thoughtSignature"] = DUMMY_SIGNATURE
        elif not any(_field(part, "functionResponse") for part in parts):
            return  # the current turn began here


_INNER = ("items", "additionalProperties", "additional_properties", "not", "if", "then", "else")
_INNER_LISTS = ("anyOf", "any_of", "oneOf", "one_of", "allOf", "all_of", "prefixItems", "prefix_items")
_INNER_MAPS = ("properties", "$defs", "definitions", "defs")


def _without(schema: Body, words: frozenset[str]) -> Body:
    """The schema without these keywords; the names of properties are none."""
    kept: Body = {}
    for name, value in schema.items():
        if name in words:
            continue
        if name in _INNER and isinstance(value, dict):
            value = _without(value, words)
        elif name in _INNER_LISTS and isinstance(value, list):
            value = [_without(each, words) if isinstance(each, dict) else each for each in value]
        elif name in _INNER_MAPS and isinstance(value, dict):
            value = {key: _without(each, words) if isinstance(each, dict) else each for key, each in value.items()}
        kept[name] = value
    return kept


def _translate_thinking(request: Body, model: str) -> list[str]:
    """Say in the words of this model how much to think: one that the client did not name may know others.

    :returns: the field, where something in it is not honoured.
    """
    config = _field(request, "generationConfig")
    asked = _field(config, "thinkingConfig") if isinstance(config, dict) else None
    if not isinstance(asked, dict):
        return []
    level, budget, show = (_field(asked, name) for name in ("thinkingLevel", "thinkingBudget", "includeThoughts"))
    effort = _LEVELS.get(level.lower()) if isinstance(level, str) else None
    thinking = Thinking(effort, budget if type(budget) is int and effort is None else None, bool(show))
    for name in ("thinkingConfig", "thinking_config"):
        config.pop(name, None)
    translated, unhonoured = encode_thinking(thinking, model)
    if translated:
        config["thinkingConfig"] = translated
    is_unknown = level is not None and effort is None
    return ["generationConfig.thinkingConfig"] if unhonoured or is_unknown else []


_LEVELS: dict[str, Effort] = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}


def _do_without(request: Body, without: frozenset[str]) -> tuple[set[str], list[str]]:
    """Leave settings out; those that are there by their names, and the fields that are gone."""
    used: set[str] = set()
    gone: list[str] = []
    key = "generationConfig" if "generationConfig" in request else "generation_config"
    config = request.get(key)
    if not isinstance(config, dict):
        return used, gone
    for setting, names in _SETTINGS.items():
        present = [each for name in names for each in dict.fromkeys((name, _snake(name))) if each in config]
        if setting in without:
            for name in present:
                del config[name]
            gone += [f"generationConfig.{name}" for name in present]
        elif present:
            used.add(setting)
    return used, gone


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
