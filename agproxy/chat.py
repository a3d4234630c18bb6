"""The hub: one conversation, and the events of one answer, in words that belong to no protocol and no upstream.

``protocols/*`` decode a client's body into a :class:`ChatRequest` and encode events for that client;
``upstreams/*`` encode the request for a model service and decode its answer into events. Values are made once and
never changed; a changed copy is made with :func:`dataclasses.replace`.

``provider_metadata`` of a part is opaque to everyone but the upstream that made it. Its shape is that of
``extra_content`` in Google's OpenAI layer, ``{"google": {"thought_signature": "<base64>"}}``
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Metadata = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


# The conversation.


@dataclass(slots=True)
class TextPart:
    """Text as the client wrote it, or as the model said it."""

    text: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ReasoningPart:
    """The model's thoughts, as far as it showed them."""

    text: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class AttachmentPart:
    """A file given inline: ``media_type`` (``image/png``) and standard base64 with padding."""

    media_type: str
    base64: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ToolCallPart:
    """The model's call of a tool; ``arguments`` is always an object."""

    id: str
    name: str
    arguments: dict[str, Any]
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ToolResultPart:
    """What a tool gave back for the call ``id``; ``name`` is empty where the protocol does not carry it."""

    id: str
    name: str
    parts: tuple[TextPart | AttachmentPart, ...]


Part = TextPart | ReasoningPart | AttachmentPart | ToolCallPart | ToolResultPart


@dataclass(slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]


# What is asked for.


@dataclass(slots=True)
class Tool:
    """A tool the model may call.

    :param parameters: JSON Schema of the arguments as the client sent it, or None.
    :param freeform: True for a "custom" tool, whose input is plain text; its calls hold ``{"input": text}``.
    """

    name: str
    description: str
    parameters: object = None
    freeform: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may (``auto``), must (``required``) or must not (``none``) call; ``names`` limits which."""

    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is sampled; None leaves it to the model. ``max_output_tokens`` includes thinking."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for an answer.

    :param model: the name the client asked for.
    :param session: what the client gave to tell its conversations apart, or None.
    :param include_usage: a streaming client asked for the usage at the end.
    :param ignored: request fields that will not be honoured, for ``X-Agproxy-Ignored``.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    sampling: Sampling = Sampling()
    stream: bool = False
    include_usage: bool = False
    session: str | None = None
    ignored: tuple[str, ...] = ()


# The answer.


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer: ``input_tokens`` includes the cached ones, ``output_tokens`` the reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ReasoningDelta:
    """More of the model's thoughts."""

    text: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ToolCallStart:
    """The model begins call number ``index`` (from 0) of this answer."""

    index: int
    id: str
    name: str
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class ToolCallDelta:
    """More of the JSON text of the arguments of call ``index``."""

    index: int
    arguments: str


@dataclass(slots=True)
class ImageDelta:
    """A whole image of the answer."""

    media_type: str
    base64: str


@dataclass(slots=True)
class Ping:
    """Nothing has come for a while; keeps the client's connection alive."""


@dataclass(slots=True)
class Finish:
    """The answer is whole.

    :param refusal: why there is no answer, when the prompt or the answer was blocked.
    """

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    refusal: str | None = None


@dataclass(slots=True)
class Failed:
    """The answer broke off after its first event; ``error`` says why."""

    error: Exception


Event = TextDelta | ReasoningDelta | ToolCallStart | ToolCallDelta | ImageDelta | Ping | Finish | Failed


@dataclass(slots=True)
class ReplyCall:
    """One whole call of an answer; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str
    provider_metadata: Metadata | None


@dataclass(slots=True)
class Reply:
    """A whole answer. ``provider_metadata`` is that of its text."""

    text: str
    reasoning: str
    calls: tuple[ReplyCall, ...]
    images: tuple[ImageDelta, ...]
    finish: Finish
    provider_metadata: Metadata | None


@dataclass(frozen=True, slots=True)
class ReplyMeta:
    """What an encoder needs beside the events.

    :param id: the answer's id.
    :param created: Unix seconds.
    :param model: the model name the client sent.
    :param freeform: names of the tools whose calls carry plain text.
    """

    id: str
    created: int
    model: str
    include_usage: bool = False
    freeform: frozenset[str] = frozenset()


def fold(events: Iterable[Event]) -> Reply:
    """The whole answer that ``events`` tell, which end in one ``Finish``.

    :raises GatewayError: that of a ``Failed`` event.
    """
    text: list[str] = []
    reasoning: list[str] = []
    images: list[ImageDelta] = []
    starts: list[ToolCallStart] = []
    arguments: dict[int, list[str]] = {}
    metadata: Metadata | None = None
    for event in events:
        match event:
            case TextDelta():
                text.append(event.text)
                metadata = event.provider_metadata or metadata
            case ReasoningDelta():
                reasoning.append(event.text)
            case ToolCallStart():
                starts.append(event)
                arguments[event.index] = []
            case ToolCallDelta():
                arguments[event.index].append(event.arguments)
            case ImageDelta():
                images.append(event)
            case Failed():
                raise event.error
            case Finish():
                calls = tuple(
                    ReplyCall(start.id, start.name, "".join(arguments[start.index]) or "{}", start.provider_metadata)
                    for start in starts
                )
                return Reply("".join(text), "".join(reasoning), calls, tuple(images), event, metadata)
            case Ping():
                pass
    raise ValueError("events ended without Finish or Failed")
