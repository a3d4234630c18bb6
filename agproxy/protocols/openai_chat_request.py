"""OpenAI Chat Completions: a body to :class:`ChatRequest`.

Wire: OpenAI API reference, "Create chat completion"
(https://developers.openai.com/api/reference/resources/chat), and ``CompletionCreateParams`` of the ``openai`` package.
"""

import json
from typing import Any

from agproxy.chat import (
    AttachmentPart,
    ChatRequest,
    Message,
    Metadata,
    Part,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body, shown

# Fields that are read below.
_SERVED = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "stream",
        "stream_options",
        "prompt_cache_key",
    }
)
# Values that ask for nothing beyond what is done anyway; all else that is not served is listed as ignored.
_HARMLESS: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "response_format": ({"type": "text"},),
}
_MAX_TOKENS = 2**31 - 1  # GenerationConfig.max_output_tokens is an int32
_MAX_DEPTH = 40  # protobuf parsers stop at 100 levels, of which each level of arguments takes two
_MAX_STOP = 5  # GenerationConfig.stop_sequences
# What is read of a message, by its role.
_CONTENT = frozenset({"role", "content"})
_READ = {
    "system": _CONTENT,
    "developer": _CONTENT,
    "user": _CONTENT,
    "assistant": _CONTENT | {"reasoning_content", "refusal", "tool_calls", "function_call", "extra_content"},
    "tool": _CONTENT | {"tool_call_id", "name"},
    "function": _CONTENT | {"name"},
}
_ROLES = tuple(_READ)


def decode_request(body: Body) -> ChatRequest:
    """The request that ``body`` makes.

    :raises BadRequest: naming the field at fault.
    """
    model = fields.string(body, "model", required=True)
    assert model is not None  # noqa: S101 (required)
    ignored = [
        name
        for name, value in body.items()
        if name not in _SERVED and value is not None and value not in _HARMLESS.get(name, ())
    ]
    options = body.get("stream_options")
    options = {} if options is None else fields.mapping(options, "stream_options")
    return ChatRequest(
        model=model,
        messages=_messages(body, ignored),
        tools=(tools := _tools(body, ignored)),
        tool_choice=_tool_choice(body, tools),
        sampling=_sampling(body),
        stream=fields.boolean(body, "stream"),
        include_usage=fields.boolean(options, "include_usage", path="stream_options."),
        session=fields.string(body, "prompt_cache_key") or None,
        ignored=tuple(dict.fromkeys(ignored)),
    )


def decode_arguments(value: object) -> dict[str, Any]:
    """The arguments of a past call as an object, which Gemini demands, whatever the client kept of them.

    What is no JSON object, or none that a google.protobuf.Struct can hold, is kept as text under ``input``: models do
    send broken arguments, and the history must still be accepted (and tell the model what it did).
    """
    if isinstance(value, str):
        text = value
        if not text.strip():
            return {}
        try:
            value = json.loads(text)
            if isinstance(value, str):  # encoded twice
                value = json.loads(value)
            # NaN, Infinity and lone surrogates pass json.loads, but Gemini does not take them.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return {"input": text}
    else:
        text = ""
    if value is None:
        return {}
    if not _fits_struct(value, _MAX_DEPTH):
        return {"input": text or json.dumps(value)}
    return value if isinstance(value, dict) else {"input": value}


def _fits_struct(value: object, levels: int) -> bool:
    """Whether a Struct can hold ``value``: its numbers are doubles, and parsers bound how deep it may be nested."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_fits_struct(item, levels - 1) for item in inner)
    return not isinstance(value, int) or abs(value) < 2**1023


def _sampling(body: Body) -> Sampling:
    limit = fields.integer(body, "max_completion_tokens", low=1, high=_MAX_TOKENS)
    older = fields.integer(body, "max_tokens", low=1, high=_MAX_TOKENS)
    seed = fields.integer(body, "seed", low=-(2**63), high=2**63 - 1)
    return Sampling(
        temperature=fields.number(body, "temperature", low=0, high=2),
        top_p=fields.number(body, "top_p", low=0, high=1),
        max_output_tokens=limit if limit is not None else older,
        stop=_stop(body),
        seed=None if seed is None else seed & 0x7FFFFFFF,  # Gemini's is an int32
    )


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


# Messages.


def _messages(body: Body, ignored: list[str]) -> tuple[Message, ...]:
    values = fields.array(body, "messages", required=True)
    if not values:
        raise BadRequest("messages is empty; send at least one message", param="messages")
    messages = []
    for position, value in enumerate(values):
        path = f"messages[{position}]"
        message = fields.mapping(value, path)
        role = message.get("role")
        if role not in _ROLES:
            raise BadRequest(f"{path}.role must be one of {', '.join(_ROLES)}, not {shown(role)}", param=f"{path}.role")
        ignored += [f"messages[].{name}" for name, extra in message.items() if extra and name not in _READ[role]]
        messages.append(_message(role, message, path, ignored))
    return tuple(messages)


def _message(role: str, message: Body, path: str, ignored: list[str]) -> Message:
    match role:
        case "system" | "developer":
            return Message("system", tuple(_content(message, path, ("text",), ignored)))
        case "user":
            return Message("user", tuple(_content(message, path, ("text", "image_url"), ignored)))
        case "assistant":
            return Message("assistant", tuple(_assistant(message, path, ignored)))
        case _:
            name = fields.string(message, "name", path=f"{path}.") or ""
            if role == "tool":
                call_id = fields.string(message, "tool_call_id", path=f"{path}.", required=True) or ""
            else:  # the "function" role, which "tool" replaced, knows its call by name only
                call_id = f"function_{name}"
            parts = _content(message, path, ("text", "image_url"), ignored)
            return Message("tool", (ToolResultPart(call_id, name, tuple(parts)),))


def _assistant(message: Body, path: str, ignored: list[str]) -> list[Part]:
    parts: list[Part] = []
    reasoning = fields.string(message, "reasoning_content", path=f"{path}.")
    if reasoning:
        parts.append(ReasoningPart(reasoning))
    parts += _content(message, path, ("text", "refusal"), ignored)
    refusal = fields.string(message, "refusal", path=f"{path}.")
    if refusal:
        parts.append(TextPart(refusal))
    metadata = _metadata(message)
    if metadata:
        last = next((part for part in reversed(parts) if isinstance(part, TextPart)), None)
        if last is None:
            parts.append(TextPart("", metadata))
        else:
            last.provider_metadata = metadata
    for position, value in enumerate(fields.array(message, "tool_calls", path=f"{path}.")):
        parts.append(_tool_call(fields.mapping(value, f"{path}.tool_calls[{position}]"), path, position))
    older = message.get("function_call")
    if older is not None:
        call = fields.mapping(older, f"{path}.function_call")
        name = fields.string(call, "name", path=f"{path}.function_call.", required=True) or ""
        parts.append(ToolCallPart(f"function_{name}", name, decode_arguments(call.get("arguments"))))
    return parts


def _tool_call(call: Body, path: str, position: int) -> ToolCallPart:
    path = f"{path}.tool_calls[{position}]"
    kind = "custom" if call.get("type") == "custom" else "function"
    function = fields.mapping(call.get(kind), f"{path}.{kind}")
    name = fields.string(function, "name", path=f"{path}.{kind}.", required=True) or ""
    if not name:
        raise BadRequest(f"{path}.{kind}.name is empty", param=f"{path}.{kind}.name")
    if kind == "custom":
        arguments: dict[str, Any] = {"input": function.get("input") or ""}
    else:
        arguments = decode_arguments(function.get("arguments"))
    call_id = fields.string(call, "id", path=f"{path}.") or f"{path}"
    return ToolCallPart(call_id, name, arguments, _metadata(call))


def _metadata(holder: Body) -> Metadata | None:
    """``extra_content`` as Google's OpenAI layer defines it, if it is well formed; anything else is not ours."""
    extra = holder.get("extra_content")
    if isinstance(extra, dict) and isinstance(google := extra.get("google"), dict):
        signature = google.get("thought_signature")
        if isinstance(signature, str) and signature:
            return {"google": {"thought_signature": signature}}
    return None


def _content(message: Body, path: str, kinds: tuple[str, ...], ignored: list[str]) -> list[Any]:
    """The parts of ``message["content"]``: a string, null, or an array of parts of the given kinds."""
    content = message.get("content")
    if content is None:
        if message["role"] in ("system", "developer", "user"):
            raise fields.wrong_type(
                f"{path}.content", "a string or an array of parts", content, missing="content" not in message
            )
        return []
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    if not isinstance(content, list):
        raise fields.wrong_type(f"{path}.content", "a string or an array of parts", content)
    parts: list[TextPart | AttachmentPart] = []
    for position, value in enumerate(content):
        where = f"{path}.content[{position}]"
        if isinstance(value, str):
            value = {"type": "text", "text": value}
        part = fields.mapping(value, where)
        kind = part.get("type")
        if kind in ("input_text", "output_text"):  # as in Responses
            kind = "text"
        if kind not in kinds:
            raise BadRequest(
                f"{where}.type must be one of {', '.join(kinds)} here, not {shown(kind)}", param=f"{where}.type"
            )
        if kind == "image_url":
            parts.append(_image(part, where, ignored))
        else:
            text = fields.string(part, kind, path=f"{where}.", required=True)
            if text:
                parts.append(TextPart(text))
    return parts


def _image(part: Body, where: str, ignored: list[str]) -> AttachmentPart:
    value = part.get("image_url")
    if isinstance(value, str):  # not in the reference, but sent by some clients
        value = {"url": value}
    holder = fields.mapping(value, f"{where}.image_url")
    param = f"{where}.image_url.url"
    url = fields.string(holder, "url", path=f"{where}.image_url.", required=True) or ""
    if holder.get("detail") not in (None, "auto"):
        ignored.append("image_url.detail")
    scheme, _, rest = url.partition(":")
    head, comma, content = rest.partition(",")
    if scheme.lower() != "data" or not comma:
        raise BadRequest(
            "images are taken as data: URLs only (data:image/png;base64,...); agproxy fetches nothing itself",
            param=param,
        )
    media_type, *options = head.split(";")
    if "base64" not in [option.strip().lower() for option in options]:
        raise BadRequest("the image's data: URL must be base64 (data:image/png;base64,...)", param=param)
    return fields.image(media_type.strip(), content, param=param)


# Tools.


def _tools(body: Body, ignored: list[str]) -> tuple[Tool, ...]:
    tools: dict[str, Tool] = {}
    for position, value in enumerate(fields.array(body, "tools")):
        path = f"tools[{position}]"
        holder = fields.mapping(value, path)
        kind = holder.get("type", "function")
        if kind not in ("function", "custom"):
            ignored.append(path)  # a hosted tool that only OpenAI runs
            continue
        flat = kind not in holder and "name" in holder  # as in Responses, which some clients send here too
        declared = holder if flat else fields.mapping(holder.get(kind), f"{path}.{kind}")
        if declared.get("strict"):
            ignored.append("tools[].function.strict")  # Gemini follows schemas, but does not promise to
        tool = _tool(kind, declared, f"{path}.{kind}.")
        if tool.name in tools:
            ignored.append(path)  # Gemini refuses two declarations of one name
            continue
        tools[tool.name] = tool
    return tuple(tools.values())


def _tool(kind: str, holder: Body, path: str) -> Tool:
    name = fields.string(holder, "name", path=path, required=True)
    if not name:
        raise BadRequest(f"{path}name is empty", param=f"{path}name")
    description = fields.string(holder, "description", path=path) or ""
    if kind == "function":
        return Tool(name, description, holder.get("parameters"))
    form = holder.get("format")
    if isinstance(form, dict) and isinstance(grammar := form.get("grammar"), dict):
        description += f"\n\nThe input must follow this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
    return Tool(name, description, _FREEFORM_PARAMETERS, freeform=True)


_FREEFORM_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}


def _tool_choice(body: Body, tools: tuple[Tool, ...]) -> ToolChoice:
    value = body.get("tool_choice")
    if value is None:
        return ToolChoice()
    choice = _decoded_choice(value)
    if choice.mode == "required" and not tools:
        raise BadRequest("tool_choice demands a call, but there are no tools", param="tool_choice")
    known = {tool.name for tool in tools}
    for name in choice.names:
        if name not in known:
            raise BadRequest(f"tool_choice names {shown(name)}, which is not among the tools", param="tool_choice")
    return choice


def _decoded_choice(value: object) -> ToolChoice:
    """Wire: ``ChatCompletionToolChoiceOption``: a word, one function or custom tool, or ``allowed_tools``."""
    match value:
        case "auto" | "none" | "required":
            return ToolChoice(value)
        case "any" | {"type": "any" | "required"}:  # Mistral's and Anthropic's words
            return ToolChoice("required")
        case {"type": "auto" | "none" as mode}:
            return ToolChoice(mode)
        case {"type": "function" | "custom" | "tool", "name": str(name)}:
            return ToolChoice("required", (name,))
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("required", (name,))
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*entries]}}:
            names = []
            for entry in entries:
                match entry:
                    case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
                        names.append(name)
                    case _:
                        raise BadRequest(
                            "tool_choice.allowed_tools.tools holds an entry without a name", param="tool_choice"
                        )
            if not names and mode == "required":
                raise BadRequest("tool_choice demands a call, but allows no tool", param="tool_choice")
            return ToolChoice(mode if names else "none", tuple(names))
    raise BadRequest(
        'tool_choice must be "auto", "none", "required", one named function or custom tool, or allowed_tools',
        param="tool_choice",
    )
