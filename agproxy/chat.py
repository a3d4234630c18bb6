"""The hub: one conversation, and the events of one answer, in words that belong to no protocol and no upstream.

``protocols/*`` decode a client's body into a :class:`ChatRequest` and encode events for that client;
``upstreams/*`` encode the request for a model service and decode its answer into events. Values are made once and
never changed; a changed copy is made with :func:`dataclasses.replace`.

``provider_metadata`` of a part is opaque to everyone but the upstream that made it. Its shape is that of
``extra_content`` in Google's OpenAI layer, ``{"google": {"thought_signature": "<base64>"}}``
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Metadata = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
Effort = Literal["none", "minimal", "low", "medium", "high"]


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
    """A file: given inline, as standard base64 with padding, or by its public https address.

    :param media_type: ``image/png``; empty where only an address is known, and it does not tell.
    """

    media_type: str
    base64: str = ""
    url: str = ""
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
    """What a tool gave back for the call ``id``; ``name`` is empty where the protocol does not carry it.

    :param is_error: the tool failed, and the parts say how.
    """

    id: str
    name: str
    parts: tuple[TextPart | AttachmentPart, ...]
    is_error: bool = False


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
    """How the answer is sampled; None leaves it to the model.

    :param max_output_tokens: thinking included.
    :param choices: how many answers are wanted.
    :param top_logprobs: how many alternatives are told beside the log probability of each token; None tells neither.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    choices: int = 1
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much the model thinks before it answers; what is None is left to the model.

    :param effort: in words; a model that does not know one takes the nearest it knows.
    :param budget_tokens: a number instead; 0 = not at all, -1 = as the model likes.
    :param show: whether the answer holds the thoughts.
    :param field: the request field that says it, where that is not ``reasoning_effort`` or ``thinking_budget``.
    :param is_asked: False where the protocol wants it so, and not the client: what cannot be had is nothing to be told.
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    show: bool | None = None
    field: str = ""
    is_asked: bool = True


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer is to be JSON.

    :param schema: the JSON Schema it follows, as the client sent it; None = any object.
    """

    schema: object = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for an answer.

    :param model: the name the client asked for.
    :param tool_groups: how many of the tools each element of Gemini's own ``tools`` declares, in their order; empty
        when they are all declared in one.
    :param parallel_calls: whether the answer may hold more than one call.
    :param older_calls: the client knows OpenAI's ``function_call``, and not ``tool_calls`` that replaced it.
    :param json_format: None = text.
    :param web_search: the request fields that ask for a search of the web.
    :param provider_options: what only one kind of upstream understands, by its name; ``{"google": {"cached_content":
        ..., "safety_settings": [...]}}``, as ``extra_body`` of Google's OpenAI layer.
    :param session: what the client gave to tell its conversations apart, or None.
    :param include_usage: a streaming client asked for the usage at the end.
    :param further_messages: more conversations, each answered like the first and beside it (several prompts of
        Completions); their choices are numbered after those of the first.
    :param may_be_cut_empty: an answer that reached its limit of tokens is one, though it holds nothing.
    :param reshapes_calls: the client puts calls into another form before it sends them back.
    :param count_first: the tokens of the request are to be told before its answer, as ``Counted``.
    :param ignored: request fields that will not be honoured, for ``X-Agproxy-Ignored``.
    :param echo: what the encoder of the same protocol wants to know of the request, and nobody else.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_groups: tuple[int, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_calls: bool = True
    older_calls: bool = False
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking()
    json_format: JsonFormat | None = None
    web_search: tuple[str, ...] = ()
    provider_options: Metadata | None = None
    stream: bool = False
    include_usage: bool = False
    session: str | None = None
    further_messages: tuple[tuple[Message, ...], ...] = ()
    may_be_cut_empty: bool = False
    reshapes_calls: bool = False
    count_first: bool = False
    ignored: tuple[str, ...] = ()
    echo: object = None


# The answer.


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer: ``input_tokens`` includes the cached ones, ``output_tokens`` the reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class TokenLogprob:
    """How likely a token was, and the likeliest that could have stood in its place.

    :param logprob: natural logarithm of the probability.
    """

    token: str
    logprob: float
    top: tuple["TokenLogprob", ...] = ()


@dataclass(slots=True)
class TextDelta:
    """More of the answer's text.

    :param logprobs: of the tokens that have come since the last ones; empty when they were not asked for.
    """

    text: str
    provider_metadata: Metadata | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


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
    provider_metadata: Metadata | None = None


@dataclass(slots=True)
class Citation:
    """A web page that bears out characters ``start`` to ``end`` of the answer's text; known at its end only."""

    url: str
    title: str
    start: int
    end: int


@dataclass(slots=True)
class Searched:
    """The model has searched the web.

    :param queries: what it searched for.
    :param urls: the pages it found, as far as they are told.
    :param titles: of these pages, one for each.
    """

    queries: tuple[str, ...]
    urls: tuple[str, ...]
    titles: tuple[str, ...] = ()


@dataclass(slots=True)
class Counted:
    """The request's tokens, as soon as they are known; the ``Finish`` tells them again."""

    usage: Usage


@dataclass(slots=True)
class Relayed:
    """A piece of an answer that is passed on as it came, to a client that speaks the language of the model service.

    :param payload: JSON text.
    :param is_seen: whether a client sees something of it, or of what came before.
    """

    payload: bytes
    is_seen: bool


@dataclass(slots=True)
class Ping:
    """Nothing has come for a while; keeps the client's connection alive."""


@dataclass(slots=True)
class Finish:
    """The answer is whole.

    :param refusal: why there is no answer, when the prompt or the answer was blocked.
    :param note: what the model service says of an end that is out of the ordinary, for the log.
    """

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    refusal: str | None = None
    note: str = field(default="", compare=False)


@dataclass(slots=True)
class Failed:
    """The answer broke off after its first event; ``error`` says why."""

    error: Exception


@dataclass(slots=True)
class OtherChoice:
    """An event of another answer than the first, when several were asked for.

    Its own ``Finish`` comes before that of the first answer, which ends them all and counts the tokens of all.

    :param number: from 1; 0 only for the ``Finish`` of a first answer that is whole while others fail, so that it does
        not end them all.
    """

    number: int
    event: "Event"


Event = (
    TextDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallDelta
    | ImageDelta
    | Citation
    | Searched
    | Counted
    | Relayed
    | Ping
    | OtherChoice
    | Finish
    | Failed
)


@dataclass(frozen=True, slots=True)
class ReplyMeta:
    """What an encoder needs beside the events.

    :param id: the answer's id.
    :param created: Unix seconds.
    :param model: the model name the client sent.
    :param freeform: names of the tools whose calls carry plain text.
    :param older_calls: the client knows ``function_call``, and not ``tool_calls`` that replaced it.
    :param echo: that of the request.
    :param conclude: is shown the whole answer, an object of the wire, before the last of it goes out: to date and to
        keep it.
    """

    id: str
    created: int
    model: str
    include_usage: bool = False
    freeform: frozenset[str] = frozenset()
    older_calls: bool = False
    echo: object = None
    conclude: Callable[[Metadata], None] | None = None
