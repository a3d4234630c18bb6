"""OpenAI Responses: a body to :class:`ChatRequest`.

Wire: OpenAI API reference, "Create a model response" (https://developers.openai.com/api/reference/resources/responses),
``ResponseCreateParams`` of the ``openai`` package, and https://www.openresponses.org/specification.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agproxy.chat import ChatRequest, JsonFormat, Message, Sampling, TextPart
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown
from agproxy.protocols.openai_chat_request import (
    decode_format,
    decode_google,
    stream_usage,
    unserved,
    with_effort,
)
from agproxy.protocols.openai_responses_items import decode_items, listed_tools
from agproxy.protocols.openai_responses_tools import Toolbox, decode_choice, decode_tools, told_choice

_SERVED = frozenset(
    {
        *("model", "input", "instructions", "previous_response_id", "store", "metadata", "include", "stream"),
        *("stream_options", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "top_logprobs"),
        *("presence_penalty", "frequency_penalty", "max_output_tokens", "reasoning", "text", "prompt_cache_key"),
        *("extra_body", "google"),
    }
)
# Values that ask for nothing beyond what is done anyway; all else that is not served is listed as ignored.
_HARMLESS: dict[str, tuple[object, ...]] = {
    "background": (False,),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
    "moderation": ({},),
    "context_management": ([],),
}
# What would change the whole answer, and cannot be done.
_REFUSED = {
    "background": "agproxy answers while the client waits; send background: false, and stream: true for long answers",
    "conversation": "agproxy keeps no conversations; send previous_response_id, or the whole input",
    "prompt": "prompts stored at OpenAI are not known here; send the text as instructions and input",
}
_MAX_TOKENS = 2**31 - 1
_MAX_TOP_LOGPROBS = 20
_LOGPROBS = "message.output_text.logprobs"
_ENCRYPTED = "reasoning.encrypted_content"
_SOURCES = "web_search_call.action.sources"
_SUMMARIES = ("auto", "concise", "detailed")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # of the Response object
_ECHOED = ("prompt_cache_key", "safety_identifier", "user")  # as they are, if they are texts


@dataclass(frozen=True, slots=True)
class Echo:
    """What the answer's encoder wants to know of its request.

    :param fields: of the Response object, all that are known before there is an answer.
    :param names: the namespace of a tool and its name there, by the name that the model was given.
    :param encrypted: whether reasoning items carry thought signatures.
    :param sources: whether the pages that a search found are told.
    :param is_chat: the body was one of Chat Completions, so its client may read the stream as one.
    """

    fields: Body
    names: Mapping[str, tuple[str, str]]
    encrypted: bool = False
    sources: bool = False
    is_chat: bool = False


def decode_request(body: Body, *, earlier: Iterable[Body] = ()) -> ChatRequest:
    """The request that ``body`` makes.

    :param earlier: the items of the conversation that ``previous_response_id`` continues.
    :raises BadRequest: naming the field at fault.
    :raises NotStored: the input refers to an item that is not there.
    """
    model = fields.string(body, "model", required=True)
    assert model is not None  # noqa: S101 (required)
    _refuse(body)
    ignored = unserved(body, _SERVED, _HARMLESS)
    include_usage = stream_usage(body, ignored)
    items = [("previous_response_id", item) for item in earlier] + input_items(body)
    listed = listed_tools(items)
    box = decode_tools([("tools", fields.array(body, "tools")), *listed], ignored)
    messages = _instructions(body) + decode_items(items, box.given, ignored)
    if not any(part for message in messages for part in message.parts):
        raise BadRequest("input holds no text, file or tool result to answer", param="input")
    include = _include(body, ignored)
    choice = decode_choice(body.get("tool_choice"), box, ignored)
    thinking, google = decode_google(body, ignored)
    reasoning = _reasoning(body, ignored)
    thinking = with_effort(thinking, reasoning["effort"], param="reasoning.effort", ignored=ignored)
    if thinking.show is None:
        thinking = replace(thinking, show=reasoning["summary"] is not None)
    text_format = _text_format(body, ignored)
    sampling = _sampling(body, include)
    parallel = body.get("parallel_tool_calls") is None or fields.boolean(body, "parallel_tool_calls")
    store = body.get("store") is None or fields.boolean(body, "store")
    known = {
        "instructions": body.get("instructions"),
        "max_output_tokens": sampling.max_output_tokens,
        "metadata": _metadata(body),
        "parallel_tool_calls": parallel,
        "previous_response_id": fields.string(body, "previous_response_id"),
        "reasoning": {**reasoning, "effort": reasoning["effort"] if reasoning["effort"] in _EFFORTS else None},
        "store": store,
        "text": {"format": _told_format(text_format)},
        "tool_choice": told_choice(body.get("tool_choice"), box),
        **_sampled(sampling),
        "tools": box.echo,
        **{name: value for name in _ECHOED if isinstance(value := body.get(name), str)},
    }
    echo = Echo(known, box.names, encrypted=_ENCRYPTED in include, sources=_SOURCES in include)
    return ChatRequest(
        model=model,
        messages=tuple(messages),
        tools=tuple(box.tools.values()),
        tool_choice=choice,
        parallel_calls=parallel,
        sampling=sampling,
        thinking=thinking,
        json_format=decode_format(text_format, "text.format", ignored),
        web_search=tuple(box.searches),
        provider_options=google,
        stream=fields.boolean(body, "stream"),
        include_usage=include_usage,
        session=fields.string(body, "prompt_cache_key") or None,
        ignored=tuple(dict.fromkeys(ignored)),
        echo=echo,
    )


def _text_format(body: Body, ignored: list[str]) -> object:
    """``text.format`` as it was sent."""
    value = body.get("text")
    text = {} if value is None else fields.mapping(value, "text")
    ignored += [
        f"text.{name}" for name, extra in text.items() if name != "format" and extra and (name, extra) != _MEDIUM
    ]
    return text.get("format")


_MEDIUM = ("verbosity", "medium")


def _refuse(body: Body) -> None:
    for name, why in _REFUSED.items():
        if body.get(name) not in (None, False):
            raise BadRequest(f"{name} is not served: {why}", param=name, code="unsupported_parameter")


def with_chat_echo(chat: ChatRequest) -> ChatRequest:
    """A request that came as a body of Chat Completions, to be answered here; a response is one answer."""
    ignored = chat.ignored
    if chat.sampling.choices > 1:
        ignored = (*ignored, "n")
    return replace(chat, sampling=replace(chat.sampling, choices=1), ignored=ignored, echo=_chat_echo(chat))


def _chat_echo(chat: ChatRequest) -> Echo:
    names = [tool.name for tool in chat.tools]
    box = Toolbox(dict(zip(names, chat.tools, strict=True)))
    choice: object = chat.tool_choice.mode
    if chat.tool_choice.names:
        tools = [{"type": "function", "name": name} for name in chat.tool_choice.names]
        choice = {"type": "allowed_tools", "mode": chat.tool_choice.mode, "tools": tools}
    known = {
        "instructions": None,
        "max_output_tokens": chat.sampling.max_output_tokens,
        "metadata": {},
        "parallel_tool_calls": chat.parallel_calls,
        "previous_response_id": None,
        "reasoning": {"effort": chat.thinking.effort, "summary": None},
        "store": False,
        "text": {"format": _chat_format(chat.json_format)},
        "tool_choice": told_choice(choice, box),
        "tools": [_told_tool(tool.name, tool.description, tool.parameters, tool.freeform) for tool in chat.tools],
        **_sampled(chat.sampling),
    }
    return Echo(fields=known, names={}, is_chat=True)


def _chat_format(wanted: JsonFormat | None) -> Body:
    if wanted is None:
        return {"type": "text"}
    if wanted.schema is None:
        return {"type": "json_object"}
    return _told_format({"type": "json_schema", "schema": wanted.schema})


def _told_tool(name: str, description: str, parameters: object, freeform: bool) -> Body:
    if freeform:
        return {"type": "custom", "name": name, "description": description}
    parameters = parameters if isinstance(parameters, dict) else None
    return {"type": "function", "name": name, "description": description, "parameters": parameters, "strict": None}


def input_items(body: Body) -> list[tuple[str, Any]]:
    """The items of ``input``, each with its path; a string is a message of the user.

    :raises BadRequest: when there is nothing to answer at all.
    """
    value = body.get("input")
    if isinstance(value, str):
        if not value:
            raise BadRequest("input is empty; send a text, or an array of items", param="input")
        return [("input", {"type": "message", "role": "user", "content": value})]
    if isinstance(value, list):
        if not value and not body.get("previous_response_id") and not body.get("instructions"):
            raise BadRequest("input is empty; send at least one item", param="input")
        return [(f"input[{position}]", item) for position, item in enumerate(value)]
    if value is None and (body.get("previous_response_id") or body.get("instructions")):
        return []
    raise fields.wrong_type("input", "a string or an array of items", value, missing="input" not in body)


def _instructions(body: Body) -> list[Message]:
    text = fields.string(body, "instructions")
    return [Message("system", (TextPart(text),))] if text else []


def _include(body: Body, ignored: list[str]) -> frozenset[str]:
    wanted = fields.array(body, "include")
    for position, name in enumerate(wanted):
        if not isinstance(name, str):
            raise fields.wrong_type(f"include[{position}]", "a string", name)
        if name not in (_LOGPROBS, _ENCRYPTED, _SOURCES):
            ignored.append(f"include[].{name}")
    return frozenset(wanted)


def _reasoning(body: Body, ignored: list[str]) -> Body:
    """``effort`` and ``summary``, of which None was not said."""
    value = body.get("reasoning")
    reasoning = {} if value is None else fields.mapping(value, "reasoning")
    read = ("effort", "summary", "generate_summary")
    ignored += [f"reasoning.{name}" for name, extra in reasoning.items() if extra and name not in read]
    effort = fields.string(reasoning, "effort", path="reasoning.")
    summary = fields.string(reasoning, "summary", path="reasoning.")
    summary = summary or fields.string(reasoning, "generate_summary", path="reasoning.")  # its older name
    if summary == "none":
        summary = None
    if summary is not None and summary not in _SUMMARIES:
        raise BadRequest(
            f"reasoning.summary must be one of {', '.join(_SUMMARIES)}, not {shown(summary)}", param="reasoning.summary"
        )
    return {"effort": effort, "summary": summary}


def _sampling(body: Body, include: Iterable[str]) -> Sampling:
    top_logprobs = fields.integer(body, "top_logprobs", low=0, high=_MAX_TOP_LOGPROBS) or None
    if top_logprobs is None and _LOGPROBS in include:
        top_logprobs = 0
    return Sampling(
        temperature=fields.number(body, "temperature", low=0, high=2),
        top_p=fields.number(body, "top_p", low=0, high=1),
        presence_penalty=fields.number(body, "presence_penalty", low=-2, high=2) or None,
        frequency_penalty=fields.number(body, "frequency_penalty", low=-2, high=2) or None,
        max_output_tokens=fields.integer(body, "max_output_tokens", low=1, high=_MAX_TOKENS),
        top_logprobs=top_logprobs,
    )


def _sampled(sampling: Sampling) -> Body:
    """The settings that the Response object tells, none of them null."""
    return {
        "temperature": 1.0 if sampling.temperature is None else float(sampling.temperature),
        "top_p": 1.0 if sampling.top_p is None else float(sampling.top_p),
        "presence_penalty": float(sampling.presence_penalty or 0),
        "frequency_penalty": float(sampling.frequency_penalty or 0),
        "top_logprobs": sampling.top_logprobs or 0,
    }


def _metadata(body: Body) -> Body:
    value = body.get("metadata")
    metadata = {} if value is None else fields.mapping(value, "metadata")
    for name, text in metadata.items():
        if not isinstance(text, str):
            raise fields.wrong_type(f"metadata.{name[:64]}", "a string", text)
    return metadata


def _told_format(value: object) -> Body:
    if not isinstance(value, dict) or value.get("type") not in ("json_object", "json_schema"):
        return {"type": "text"}
    if value["type"] == "json_object":
        return {"type": "json_object"}
    inner = value["json_schema"] if isinstance(value.get("json_schema"), dict) else value
    told: Body = {"type": "json_schema", "name": "answer", "description": None, "schema": {}, "strict": False}
    return {**told, **{name: inner[name] for name, kind in _FORMAT.items() if isinstance(inner.get(name), kind)}}


_FORMAT = {"name": str, "schema": dict, "strict": bool, "description": str}
