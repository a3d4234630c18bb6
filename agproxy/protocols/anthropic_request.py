"""Anthropic Messages: a body to :class:`ChatRequest`.

Wire: ``MessageCreateParams`` of the ``anthropic`` package, stable and beta;
https://platform.claude.com/docs/en/api/messages/create.
"""

import json
import re
from dataclasses import dataclass

from agproxy.chat import ChatRequest, Effort, JsonFormat, Sampling, Thinking
from agproxy.errors import BadRequest
from agproxy.protocols import claude_code, fields
from agproxy.protocols.anthropic_content import Reader
from agproxy.protocols.anthropic_tools import decode_tool_choice, decode_tools
from agproxy.protocols.fields import Body, shown

# Fields that are read below, or in what this module imports.
_SERVED = frozenset(
    {
        *("model", "system", "messages", "tools", "tool_choice", "max_tokens", "stop_sequences", "stream"),
        *("temperature", "top_p", "top_k", "thinking", "output_config", "output_format", "metadata", "thread"),
    }
)
# Values that ask for nothing beyond what is done anyway.
_HARMLESS: dict[str, tuple[object, ...]] = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
    "betas": ([],),
    "mcp_servers": ([],),
    "context_management": ({}, {"edits": []}),
    "diagnostics": ({}, {"previous_message_id": None}),
}
_MAX_TOKENS = 2**31 - 1  # GenerationConfig.max_output_tokens is an int32
_MAX_STOP = 5  # GenerationConfig.stop_sequences
_THINKING = frozenset({"type", "display"})
_CONFIG = ("effort", "format")
_EFFORTS: dict[str, Effort] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
# Claude does not think unless it is told to; Gemini does, and would use up a limit below this before it says a word.
_FEW_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Echo:
    """What an encoder wants to know of the request.

    :param thinks: the client asked for thinking, and so takes thinking blocks.
    """

    thinks: bool


def decode_request(body: Body) -> ChatRequest:
    """The request that ``body`` makes.

    :raises BadRequest: naming the field at fault.
    """
    model = fields.string(body, "model", required=True)
    assert model is not None  # noqa: S101 (required)
    if body.get("thread") is not None:
        raise BadRequest(
            "agproxy keeps no threads: leave thread out, and send the whole conversation with each request",
            param="thread",
            code="thread_unsupported_request",
        )
    ignored = [
        name
        for name, value in body.items()
        if name not in _SERVED and value is not None and value not in _HARMLESS.get(name, ())
    ]
    reader = Reader(ignored)
    messages = reader.read(body)
    tools, searches = decode_tools(body, reader.tool_changes, ignored)
    choice, parallel = decode_tool_choice(body, tools, ignored)
    limit = fields.integer(body, "max_tokens", low=0, high=_MAX_TOKENS)
    thinking, budget = _thinking(body, reader.effort, limit, ignored)
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_calls=parallel,
        sampling=Sampling(
            temperature=fields.number(body, "temperature", low=0, high=2),
            top_p=fields.number(body, "top_p", low=0, high=1),
            top_k=fields.integer(body, "top_k", low=0, high=_MAX_TOKENS) or None,
            max_output_tokens=None if limit is None else min(limit + budget, _MAX_TOKENS) or None,
            stop=_stop(body),
        ),
        thinking=thinking,
        json_format=_format(body, ignored),
        web_search=searches,
        stream=fields.boolean(body, "stream"),
        session=_session(body, ignored),
        may_be_cut_empty=True,  # its clients know "max_tokens" as the end of an answer, whatever it holds
        reshapes_calls=claude_code.is_its_own(body),
        count_first=True,
        ignored=tuple(dict.fromkeys(ignored)),
        echo=Echo(thinks=_kind_of_thinking(body) not in (None, "disabled")),
    )


def _stop(body: Body) -> tuple[str, ...]:
    values = fields.array(body, "stop_sequences")
    if not all(isinstance(text, str) for text in values):
        raise fields.wrong_type("stop_sequences", "an array of strings", values)
    stop = tuple(text for text in values if text)
    if len(stop) > _MAX_STOP:
        raise BadRequest(
            f"stop_sequences takes at most {_MAX_STOP} with Gemini, not {len(stop)}", param="stop_sequences"
        )
    return stop


def _kind_of_thinking(body: Body) -> object:
    value = body.get("thinking")
    return None if value is None else fields.mapping(value, "thinking").get("type")


def _thinking(
    body: Body, of_message: tuple[str, object] | None, limit: int | None, ignored: list[str]
) -> tuple[Thinking, int]:
    """How much to think, and the tokens for it that come on top of ``max_tokens``: for Gemini these are one limit."""
    effort = _effort(body, of_message, ignored)
    kind = _kind_of_thinking(body)
    read = _THINKING | {"budget_tokens"} if kind == "enabled" else _THINKING
    ignored += [
        f"thinking.{name}" for name, extra in (body.get("thinking") or {}).items() if name not in read and extra
    ]
    if kind in ("adaptive", "between_tools"):
        return Thinking(effort, show=_is_shown(body)), 0
    if kind == "enabled":
        path = "thinking."
        budget = fields.integer(body["thinking"], "budget_tokens", low=0, high=_MAX_TOKENS, path=path)
        if budget is None:
            raise fields.wrong_type("thinking.budget_tokens", "a whole number", None, missing=True)
        if effort is not None:
            ignored.append("output_config.effort")  # the more exact one counts
        return Thinking(budget_tokens=budget, show=_is_shown(body)), budget
    if kind == "disabled":
        if effort is not None:
            ignored.append("output_config.effort")
        return Thinking("none", show=False, field="thinking"), 0
    if kind is not None:
        raise BadRequest(
            f"thinking.type must be one of enabled, adaptive, between_tools, disabled, not {shown(kind)}",
            param="thinking.type",
        )
    if effort is None and limit is not None and limit < _FEW_TOKENS:
        return Thinking("none", show=False, is_asked=False), 0
    return Thinking(effort, show=None if effort is None else False), 0


def _is_shown(body: Body) -> bool:
    """Whether the client wants to see the thoughts; ``omitted`` wants the signatures alone."""
    return fields.string(body["thinking"], "display", path="thinking.") != "omitted"


def _effort(body: Body, of_message: tuple[str, object] | None, ignored: list[str]) -> Effort | None:
    config = {} if body.get("output_config") is None else fields.mapping(body["output_config"], "output_config")
    ignored += [f"output_config.{name}" for name, extra in config.items() if name not in _CONFIG and extra]
    path, value = of_message or ("output_config.effort", config.get("effort"))
    if value is None:
        return None
    if not isinstance(value, str) or value not in _EFFORTS:
        raise BadRequest(
            f"{path} must be one of {', '.join(_EFFORTS)}, not {shown(value)}",
            param=path,
        )
    return _EFFORTS[value]


def _format(body: Body, ignored: list[str]) -> JsonFormat | None:
    """``output_config.format``, or ``output_format``, as it was called in beta."""
    config = body.get("output_config") or {}
    older = body.get("output_format")
    if config.get("format") is not None and older is not None:
        ignored.append("output_format")
    for path, value in (("output_config.format", config.get("format")), ("output_format", older)):
        if value is None:
            continue
        holder = fields.mapping(value, path)
        if holder.get("type") != "json_schema":
            raise BadRequest(f"{path}.type must be json_schema, not {shown(holder.get('type'))}", param=f"{path}.type")
        ignored += [f"{path}.{name}" for name, extra in holder.items() if name not in ("type", "schema") and extra]
        return JsonFormat(fields.mapping(holder.get("schema"), f"{path}.schema"))
    return None


_SESSION_IN_ID = re.compile(r"_session_([0-9A-Za-z-]+)$")


def _session(body: Body, ignored: list[str]) -> str | None:
    """The conversation that ``metadata.user_id`` names.

    Claude Code writes JSON there, with ``session_id`` (2.1.330), or wrote ``user_..._session_<id>``. An id that names
    no session is all that is known.
    """
    metadata = {} if body.get("metadata") is None else fields.mapping(body["metadata"], "metadata")
    ignored += [f"metadata.{name}" for name, value in metadata.items() if name != "user_id" and value]
    user_id = fields.string(metadata, "user_id", path="metadata.") or None
    if user_id is None:
        return None
    try:
        held = json.loads(user_id)
    except (ValueError, RecursionError):
        found = _SESSION_IN_ID.search(user_id)
        return found[1] if found else user_id
    if isinstance(held, dict):
        session = held.get("session_id")
        return session if isinstance(session, str) and session else None
    return user_id
