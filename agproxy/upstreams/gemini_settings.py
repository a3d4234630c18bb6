"""What a request to Gemini says beside the conversation: sampling, thinking, the answer's format, safety.

Wire: ``GenerationConfig`` and ``SafetySetting`` of google/ai/generativelanguage/v1beta in googleapis/googleapis;
https://ai.google.dev/gemini-api/docs/structured-output and .../safety-settings.

Not every model takes every setting, and which do changes from model to model. What one has refused, in the words that
``gemini_errors.refused_setting`` knows, comes back here in ``without``, by these names (``sampling`` is the three that
follow it):

``penalties logprobs n sampling temperature top_p top_k thinking json_mode json_schema system web_search``
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agproxy.chat import ChatRequest
from agproxy.jsonwire import encode_json
from agproxy.models import LATEST, generation, makes_images
from agproxy.schema import clean
from agproxy.upstreams.gemini_thinking import encode_thinking, thinking_fields

_JSON_ONLY = "Answer with one JSON value and nothing else: no Markdown, no code fence, no words around it."
_JSON_BESIDE_CALLS = "Whenever you answer instead of calling a function, answer with one JSON value and nothing else: "
_NO_WORDS = "no Markdown, no code fence, no words around it."
_SCHEMA = " It must be valid against this JSON Schema: "
_JSON_OBJECT = " It must be an object."
# Keywords of a schema that the model can read but need not follow, and those that ask for nothing.
_WORDS = frozenset({"title", "description"})
_NO_DEMANDS = _WORDS | {"$schema", "$id", "$comment", "$defs", "definitions"}
_ONE_CALL = "Call at most one function at a time, and wait for its result before you call another."

# Refused with "HARM_CATEGORY_CIVIC_INTEGRITY threshold cannot be 5" (one-hub issue 482); BLOCK_NONE blocks no more.
_THRESHOLDS = {("HARM_CATEGORY_CIVIC_INTEGRITY", "OFF"): "BLOCK_NONE"}


@dataclass(slots=True)
class Settings:
    """What comes of a request's settings for one model.

    :param body: fields of the request.
    :param instructions: what the model is told in words, because no field says it.
    :param used: the names, of those above, that the model might refuse.
    :param ignored: request fields that are not honoured.
    :param json_in_words: the model is asked for JSON in words only.
    """

    body: dict[str, Any] = field(default_factory=dict)
    instructions: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    ignored: list[str] = field(default_factory=list)
    json_in_words: bool = False


def encode_settings(
    chat: ChatRequest, *, model: str, without: frozenset[str], safety: tuple[tuple[str, str], ...]
) -> Settings:
    """The settings of ``chat`` as ``model`` takes them.

    :param without: what the model has refused, by the names above.
    :param safety: (category, threshold) that hold where the request has none of its own.
    """
    settings = Settings()
    config = _sampling(chat, model, without, settings)
    if "thinking" not in without:
        thinking, ignored = encode_thinking(chat.thinking, model)
        if thinking:
            config["thinkingConfig"] = thinking
            settings.used.add("thinking")
        settings.ignored += ignored
    else:
        settings.ignored += thinking_fields(chat.thinking)
    if chat.json_format is not None:
        config.update(_json_format(chat, chat.json_format.schema, model, without, settings))
    if not chat.parallel_calls and chat.tools and chat.tool_choice.mode != "none":
        settings.instructions.append(_ONE_CALL)
    if config:
        settings.body["generationConfig"] = config
    google = (chat.provider_options or {}).get("google", {})
    if levels := {
        **dict(safety),
        **{each["category"]: each["threshold"] for each in google.get("safety_settings", ())},
    }:
        settings.body["safetySettings"] = [
            {"category": category, "threshold": _THRESHOLDS.get((category, threshold), threshold)}
            for category, threshold in levels.items()
        ]
    if google.get("cached_content"):
        settings.body["cachedContent"] = google["cached_content"]
    return settings


def _sampling(chat: ChatRequest, model: str, without: frozenset[str], settings: Settings) -> dict[str, Any]:
    sampling = chat.sampling
    config: Mapping[str, Any] = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "maxOutputTokens": _limit(sampling.max_output_tokens, model),
        "stopSequences": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
    }
    kept = {name: value for name, value in config.items() if value is not None}
    for name, wire in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK")):
        if wire in kept and ("sampling" in without or name in without):
            del kept[wire]
            settings.ignored.append(name)
        elif wire in kept:
            settings.used |= {"sampling", name}
            if _ignores_sampling(model):
                settings.ignored.append(name)
    for name, wire in (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
        if wire in kept and "penalties" in without:
            del kept[wire]
            settings.ignored.append(name)
        elif wire in kept:
            settings.used.add("penalties")
    if sampling.top_logprobs is not None:
        if "logprobs" in without:
            settings.ignored.append("logprobs")
        else:
            kept["responseLogprobs"] = True
            if sampling.top_logprobs:
                kept["logprobs"] = sampling.top_logprobs
            settings.used.add("logprobs")
    if sampling.choices > 1 and "n" not in without:
        kept["candidateCount"] = sampling.choices
        settings.used.add("n")
    return kept


def _limit(tokens: int | None, model: str) -> int | None:
    """The limit of tokens, not above what the model can give, beyond which it would refuse the request.

    65,536 is what the page of each model from 2.5 on has, 32,768 of those that make images
    (https://ai.google.dev/gemini-api/docs/models); what it would be from Gemini 4 on goes by the length of the prompt.
    """
    known = generation(model)
    if tokens is None or known is None or known < (2, 5) or known >= (4, 0):
        return tokens
    return min(tokens, 32768 if makes_images(model) else 65536)


def _ignores_sampling(model: str) -> bool:
    """Whether the model ignores ``temperature``, ``top_p`` and ``top_k``.

    They "are deprecated and ignored. In future model generations, supplying these parameters returns an HTTP 400
    error": https://ai.google.dev/gemini-api/docs/latest-model, since 3.6 Flash and 3.5 Flash-Lite.
    """
    known = generation(model)
    if known is None or known == LATEST:
        return False
    return known >= (3, 6) or model.startswith("gemini-3.5-flash-lite")


def _json_format(
    chat: ChatRequest, schema: object, model: str, without: frozenset[str], settings: Settings
) -> dict[str, Any]:
    """JSON mode where the model has it, else words.

    Gemini 2.5 refuses JSON mode beside functions and beside search ("Function calling with a response mime type:
    'application/json' is unsupported"); models of images and speech, and Gemma, have none.
    """
    known = generation(model)
    beside_tools = bool(chat.tools or chat.web_search)
    refused = known is None or makes_images(model) or "-tts" in model or (known < (3, 0) and beside_tools)
    if refused or "json_mode" in without:
        words = _JSON_BESIDE_CALLS + _NO_WORDS if chat.tools else _JSON_ONLY
        words += _JSON_OBJECT if schema is None else _SCHEMA + encode_json(schema).decode()
        settings.instructions.append(words)
        settings.ignored.append("response_format")
        settings.json_in_words = True
        return {}
    settings.used.add("json_mode")
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if schema is None:
        return config
    if "json_schema" in without:
        settings.instructions.append(_JSON_ONLY + _SCHEMA + encode_json(schema).decode())
        settings.ignored.append("response_format.json_schema")
        return config
    if cleaned := clean(schema):
        config["responseJsonSchema"] = cleaned
        settings.used.add("json_schema")
    if cleaned.keys() <= _WORDS and isinstance(schema, dict) and not schema.keys() <= _NO_DEMANDS:
        settings.ignored.append("response_format.json_schema.schema")
    return config
