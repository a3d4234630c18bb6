"""OpenAI Chat Completions: a body to :class:`ChatRequest`.

Wire: OpenAI API reference, "Create chat completion"
(https://developers.openai.com/api/reference/resources/chat), and ``CompletionCreateParams`` of the ``openai`` package.
Google's additions: https://ai.google.dev/gemini-api/docs/openai, ``extra_body``.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from agproxy.chat import ChatRequest, Effort, JsonFormat, Sampling, Thinking
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown
from agproxy.protocols.openai_messages import decode_messages
from agproxy.protocols.openai_tools import decode_functions, decode_tool_choice, decode_tools

# Fields that are read below.
_SERVED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "prompt_cache_key"),
        *("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "web_search_options"),
        *("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "stop", "seed", "n"),
        *("max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"),
        *("response_format", "reasoning_effort", "extra_body", "google"),
    }
)
# Values that ask for nothing beyond what is done anyway; all else that is not served is listed as ignored.
_HARMLESS: dict[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "store": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
_MAX_TOKENS = 2**31 - 1  # GenerationConfig.max_output_tokens is an int32
_MAX_STOP = 5  # GenerationConfig.stop_sequences
_MAX_CHOICES = 8  # GenerationConfig.candidate_count
MAX_TOP_LOGPROBS = 20  # of GenerationConfig.logprobs, and of OpenAI's
# ``ReasoningEffort`` of the ``openai`` package; Gemini has no more than "high". The words of other services for "as
# the model likes" stand beside them.
_EFFORTS: dict[str, Effort | None] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
    "auto": None,
    "default": None,
}


def decode_request(body: Body) -> ChatRequest:
    """The request that ``body`` makes.

    :raises BadRequest: naming the field at fault.
    """
    model = fields.string(body, "model", required=True)
    assert model is not None  # noqa: S101 (required)
    ignored = unserved(body, _SERVED)
    include_usage = stream_usage(body, ignored)
    messages = decode_messages(body, ignored)
    tools, searches = decode_tools(body, ignored)
    searches = _web_search(body, ignored) + searches
    older_calls = not tools and bool(body.get("functions"))
    if older_calls:
        tools, choice, unread = decode_functions(body, ignored), "function_call", ["tool_choice"]
    else:
        choice, unread = "tool_choice", ["functions", "function_call"]
    ignored += [name for name in unread if body.get(name) not in (None, [], "auto")]
    thinking, google = decode_google(body, ignored)
    parallel = body.get("parallel_tool_calls") is None or fields.boolean(body, "parallel_tool_calls")
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=decode_tool_choice(body.get(choice), tools, searches, param=choice, ignored=ignored),
        parallel_calls=parallel and not older_calls,
        older_calls=older_calls,
        sampling=sampling(body, ignored, top_logprobs=_top_logprobs(body, ignored)),
        thinking=with_effort(
            thinking, fields.string(body, "reasoning_effort"), param="reasoning_effort", ignored=ignored
        ),
        json_format=decode_format(body.get("response_format"), "response_format", ignored),
        web_search=searches,
        provider_options=google,
        stream=fields.boolean(body, "stream"),
        include_usage=include_usage,
        session=fields.string(body, "prompt_cache_key") or None,
        ignored=tuple(dict.fromkeys(ignored)),
    )


def unserved(
    body: Body, served: Container[str], harmless: Mapping[str, tuple[object, ...]] = MappingProxyType(_HARMLESS)
) -> list[str]:
    """The fields that ask for something and are none of those ``served``.

    :param harmless: values of others that ask for nothing beyond what is done anyway.
    """
    return [
        name
        for name, value in body.items()
        if name not in served and value is not None and value not in harmless.get(name, ())
    ]


def stream_usage(body: Body, ignored: list[str]) -> bool:
    """Whether ``stream_options`` ask for the usage at the end of a stream."""
    value = body.get("stream_options")
    options = {} if value is None else fields.mapping(value, "stream_options")
    ignored += [f"stream_options.{name}" for name, option in options.items() if name != "include_usage" and option]
    return fields.boolean(options, "include_usage", path="stream_options.")


def sampling(body: Body, ignored: list[str], *, top_logprobs: int | None) -> Sampling:
    """How the answer is sampled.

    :param top_logprobs: as in :class:`Sampling`; Completions have another field for it.
    """
    limit = fields.integer(body, "max_completion_tokens", low=1, high=_MAX_TOKENS)
    older = fields.integer(body, "max_tokens", low=1, high=_MAX_TOKENS)
    if limit is not None and older is not None and older != limit:
        ignored.append("max_tokens")
    sent = fields.integer(body, "seed", low=-(2**63), high=2**63 - 1)
    seed = None if sent is None else sent & 0x7FFFFFFF  # Gemini's is an int32
    if seed != sent:
        ignored.append("seed")
    return Sampling(
        temperature=fields.number(body, "temperature", low=0, high=2),
        top_p=fields.number(body, "top_p", low=0, high=1),
        top_k=fields.integer(body, "top_k", low=0, high=_MAX_TOKENS) or None,
        # Zero asks for nothing, and most models refuse the field.
        presence_penalty=fields.number(body, "presence_penalty", low=-2, high=2) or None,
        frequency_penalty=fields.number(body, "frequency_penalty", low=-2, high=2) or None,
        max_output_tokens=limit if limit is not None else older,
        stop=_stop(body),
        seed=seed,
        choices=fields.integer(body, "n", low=1, high=_MAX_CHOICES) or 1,
        top_logprobs=top_logprobs,
    )


def _top_logprobs(body: Body, ignored: list[str]) -> int | None:
    wanted = fields.integer(body, "top_logprobs", low=0, high=MAX_TOP_LOGPROBS)
    if fields.boolean(body, "logprobs"):
        return wanted or 0
    if wanted:
        ignored.append("top_logprobs")  # which goes with logprobs = true only
    return None


def _stop(body: Body) -> tuple[str, ...]:
    value = body.get("stop")
    if isinstance(value, str):
        value = [value]
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise fields.wrong_type("stop", "a string or an array of strings", value)
    stop = tuple(text for text in value if text)
    if len(stop) > _MAX_STOP:
        raise BadRequest(f"stop takes at most {_MAX_STOP} sequences with Gemini, not {len(stop)}", param="stop")
    return stop


def decode_format(value: object, path: str, ignored: list[str]) -> JsonFormat | None:
    """``response_format``, or ``text.format`` of Responses, whose ``schema`` stands one level higher.

    :param path: the field, for errors; for ``ignored``, to which is added what is not honoured, too.
    """
    if value is None:
        return None
    holder = fields.mapping(value, path)
    kind = holder.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonFormat(_schema(holder, path, ignored))
    if kind == "json_schema":
        inner = holder.get("json_schema")
        if inner is None and "schema" in holder:
            return JsonFormat(_schema(holder, path, ignored))
        if inner is None and "name" in holder:
            raise fields.wrong_type(f"{path}.schema", "an object", None, missing=True)
        path += ".json_schema"
        return JsonFormat(_schema(fields.mapping(inner, path), path, ignored))
    raise BadRequest(
        f"{path}.type must be one of text, json_object, json_schema, not {shown(kind)}", param=f"{path}.type"
    )


def _schema(holder: Body, path: str, ignored: list[str]) -> Body | None:
    """The schema, with the format's description if it has none. ``strict`` is how Gemini takes any schema."""
    value = holder.get("schema")
    schema = None if value is None else fields.mapping(value, f"{path}.schema")
    description = holder.get("description")
    if not description or (schema and schema.get("description") == description):
        return schema
    if schema and not schema.get("description") and isinstance(description, str):
        return {**schema, "description": description}
    ignored.append(f"{path}.description")
    return schema


def _web_search(body: Body, ignored: list[str]) -> tuple[str, ...]:
    value = body.get("web_search_options")
    if value is None:
        return ()
    options = fields.mapping(value, "web_search_options")
    ignored += [
        f"web_search_options.{name}"
        for name, extra in options.items()
        if extra is not None and (name, extra) != ("search_context_size", "medium")
    ]
    return ("web_search_options",)


# Thinking, and what Google's own OpenAI layer takes beyond OpenAI's fields.


def with_effort(thinking: Thinking, effort: str | None, *, param: str, ignored: list[str]) -> Thinking:
    """An effort in words and Google's fields exclude each other; the more exact ones count."""
    if effort is None:
        return thinking
    if effort not in _EFFORTS:
        raise BadRequest(
            f"{param} must be one of none, minimal, low, medium, high, xhigh, max, not {shown(effort)}", param=param
        )
    if thinking.effort is not None or thinking.budget_tokens is not None:
        ignored.append(param)
        return thinking
    return replace(thinking, effort=_EFFORTS[effort])


def decode_google(body: Body, ignored: list[str]) -> tuple[Thinking, dict[str, Any] | None]:
    """``extra_body.google``; SDKs unwrap one ``extra_body``, so that ``google`` may also stand alone."""
    outer = body.get("extra_body")
    holder = {} if outer is None else fields.mapping(outer, "extra_body")
    ignored += [f"extra_body.{name}" for name, given in holder.items() if name != "google" and given is not None]
    path, value = "extra_body.google", holder.get("google")
    if value is None:
        path, value = "google", body.get("google")
    elif body.get("google") is not None:
        ignored.append("google")
    thinking = Thinking()
    options: dict[str, Any] = {}
    for name, given in ({} if value is None else fields.mapping(value, path)).items():
        match name:
            case _ if given is None:
                continue
            case "thinking_config" | "thinkingConfig":
                thinking = _thinking_config(fields.mapping(given, f"{path}.{name}"), f"{path}.{name}.", ignored)
            case "cached_content" | "cachedContent":
                options["cached_content"] = _cached_content(given, f"{path}.{name}")
            case "safety_settings" | "safetySettings":
                options["safety_settings"] = _safety(given, f"{path}.{name}", ignored)
            case _:
                ignored.append(f"{path}.{name}")
    return thinking, {"google": options} if options else None


def _thinking_config(config: Body, path: str, ignored: list[str]) -> Thinking:
    config = {_SNAKE.get(name, name): value for name, value in config.items()}
    ignored += [path + name for name, given in config.items() if name not in _SNAKE.values() and given is not None]
    level = fields.string(config, "thinking_level", path=path)
    effort = None if level is None else _EFFORTS.get(level.lower())
    if level is not None and effort is None:
        raise BadRequest(
            f"{path}thinking_level must be one of minimal, low, medium, high, not {shown(level)}",
            param=f"{path}thinking_level",
        )
    budget = fields.integer(config, "thinking_budget", low=-1, high=_MAX_TOKENS, path=path)
    if budget is not None and effort is not None:
        raise BadRequest(f"{path}thinking_budget and thinking_level exclude each other", param=f"{path}thinking_budget")
    show = None if config.get("include_thoughts") is None else fields.boolean(config, "include_thoughts", path=path)
    return Thinking(effort, budget, show)


_SNAKE = {
    **{name: name for name in ("thinking_level", "thinking_budget", "include_thoughts")},
    "thinkingLevel": "thinking_level",
    "thinkingBudget": "thinking_budget",
    "includeThoughts": "include_thoughts",
}


def _safety(value: object, path: str, ignored: list[str]) -> list[dict[str, str]]:
    """Settings as the Gemini API has them: ``[{"category": "HARM_CATEGORY_...", "threshold": "BLOCK_..."}]``."""
    if not isinstance(value, list):
        raise fields.wrong_type(path, "an array", value)
    settings = []
    for position, entry in enumerate(value):
        where = f"{path}[{position}]"
        setting = fields.mapping(entry, where)
        for name, words in _SAFETY.items():
            word = fields.string(setting, name, path=f"{where}.", required=True)
            if word not in words:
                raise BadRequest(
                    f"{where}.{name} must be one of {', '.join(words)}, not {shown(word)}", param=f"{where}.{name}"
                )
        settings.append({name: setting[name] for name in _SAFETY})
        ignored += [f"{path}[].{name}" for name, extra in setting.items() if extra and name not in _SAFETY]
    return settings


# ``HarmCategory`` and ``SafetySetting.HarmBlockThreshold``. Checked here, for Google's refusal quotes what was sent.
_SAFETY = {
    "category": tuple(
        f"HARM_CATEGORY_{name}"
        for name in (
            "HARASSMENT",
            "HATE_SPEECH",
            "SEXUALLY_EXPLICIT",
            "DANGEROUS_CONTENT",
            "CIVIC_INTEGRITY",
            "JAILBREAK",
        )
    ),
    "threshold": ("OFF", "BLOCK_NONE", "BLOCK_ONLY_HIGH", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_LOW_AND_ABOVE"),
}


def _cached_content(value: object, path: str) -> str:
    if not isinstance(value, str) or not _CACHED_CONTENT.fullmatch(value):
        raise BadRequest(f"{path} must be a name such as cachedContents/abc123, not {shown(value)}", param=path)
    return value


_CACHED_CONTENT = re.compile(r"cachedContents/[A-Za-z0-9-]{1,64}")
