"""OpenAI Completions: a body to :class:`ChatRequest`.

Wire: OpenAI API reference, "Create completion"
(https://developers.openai.com/api/reference/resources/completions), and ``CompletionCreateParams`` of the ``openai``
package. Fields that Chat Completions take beyond these (``top_k``, ``reasoning_effort``, ``response_format``,
``extra_body.google``, ...) mean the same here.

Gemini's models chat, so each prompt is the one message of a user. No instruction goes with it: the models that OpenAI
still serves here follow what the prompt says (gpt-3.5-turbo-instruct), and other gateways do the same (LiteLLM). Only
to fill the gap before a ``suffix``, as autocompletion in editors does, has to be asked for in words.

Without ``max_tokens`` there is no limit, while OpenAI's default is 16 tokens: what Gemini thinks counts too, and would
leave no room for an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from agproxy.chat import ChatRequest, Message, TextPart, Thinking
from agproxy.errors import BadRequest
from agproxy.protocols import fields
from agproxy.protocols.fields import Body
from agproxy.protocols.openai_chat_request import (
    MAX_TOP_LOGPROBS,
    decode_format,
    decode_google,
    sampling,
    stream_usage,
    unserved,
    with_effort,
)

# Fields that are read below.
_SERVED = frozenset(
    {
        *("model", "prompt", "suffix", "echo", "stream", "stream_options", "prompt_cache_key"),
        *("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "stop", "seed", "n", "best_of"),
        *("max_tokens", "max_completion_tokens", "logprobs"),
        *("response_format", "reasoning_effort", "extra_body", "google"),
    }
)
_MAX_ANSWERS = 128  # to all prompts; each may be a call of its own
_PROMPT = "a string or an array of strings"
_FILL = (
    "The user's message is a text with a gap, marked {gap}. Answer with the text that belongs into the gap and with"
    " nothing else: no explanation, no code fence, nothing of what stands before or behind the gap. Your answer takes"
    " the place of the mark exactly as it is, so mind spaces, line breaks and indentation."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the encoder has to know of the request.

    :param choices: how many answers to each prompt; they are numbered one prompt after the other.
    :param prompts: what comes before the text of the answers to each; empty unless ``echo`` asks for it.
    """

    choices: int = 1
    prompts: tuple[str, ...] = ()

    def before(self, index: int) -> str:
        """What comes before the text of choice ``index``."""
        return self.prompts[index // self.choices] if self.prompts else ""


def decode_request(body: Body) -> ChatRequest:
    """The request that ``body`` makes.

    :raises BadRequest: naming the field at fault.
    """
    model = fields.string(body, "model", required=True)
    assert model is not None  # noqa: S101 (required)
    ignored = unserved(body, _SERVED)
    include_usage = stream_usage(body, ignored)
    suffix = fields.string(body, "suffix") or ""
    prompts = _prompts(body, may_be_empty=bool(suffix))
    thinking, options = decode_google(body, ignored)
    # OpenAI's limit is 5, others have more.
    top_logprobs = fields.integer(body, "logprobs", low=0, high=MAX_TOP_LOGPROBS)
    settings = sampling(body, ignored, top_logprobs=top_logprobs)
    _check_number(len(prompts), settings.choices)
    _check_best_of(body, settings.choices, ignored)
    echo = fields.boolean(body, "echo")
    if echo and top_logprobs is not None:
        ignored.append("logprobs")  # those of the prompt's tokens, which Gemini does not tell
    first, *others = _conversations(prompts, suffix)
    effort = fields.string(body, "reasoning_effort")
    return ChatRequest(
        model=model,
        messages=first,
        further_messages=tuple(others),
        sampling=settings,
        thinking=_thinking(with_effort(thinking, effort, param="reasoning_effort", ignored=ignored)),
        json_format=decode_format(body.get("response_format"), "response_format", ignored),
        provider_options=options,
        stream=fields.boolean(body, "stream"),
        include_usage=include_usage,
        session=fields.string(body, "prompt_cache_key") or None,
        ignored=tuple(dict.fromkeys(ignored)),
        echo=Asked(settings.choices, tuple(prompts) if echo else ()),
    )


def _thinking(thinking: Thinking) -> Thinking:
    """As little as the model can, unless something is said of it.

    This API knows no thinking, and its clients ask for few tokens (some for 16), which thoughts would use up.
    """
    return Thinking("none", show=False, is_asked=False) if thinking == Thinking() else thinking


def _prompts(body: Body, *, may_be_empty: bool) -> list[str]:
    value = body.get("prompt")
    if value is None:
        if body.get("messages") is not None:
            raise BadRequest(
                "messages belong to /v1/chat/completions; this path, /v1/completions, takes a prompt", param="messages"
            )
        # OpenAI begins a document of its own; Gemini has to be asked something.
        raise fields.wrong_type("prompt", _PROMPT, value, missing=True)
    if isinstance(value, str):
        prompts, paths = [value], ["prompt"]
    elif isinstance(value, list):
        prompts, paths = value, [f"prompt[{position}]" for position in range(len(value))]
    else:
        raise fields.wrong_type("prompt", _PROMPT, value)
    if not prompts:
        raise BadRequest("prompt is an empty array; send at least one string", param="prompt")
    for path, prompt in zip(paths, prompts, strict=True):
        if _is_tokens(prompt):
            raise BadRequest(
                "prompt holds token ids, which mean something to OpenAI's models only; send the text",
                param="prompt",
                code="invalid_type",
            )
        if not isinstance(prompt, str):
            raise fields.wrong_type(path, "a string", prompt)
        if not prompt and not may_be_empty:
            raise BadRequest(f"{path} is empty; Gemini has to be asked something", param=path)
    return prompts


def _is_tokens(value: object) -> bool:
    """Whether an element of ``prompt`` is a token, or a prompt that is made of tokens."""
    return isinstance(value, list) or (isinstance(value, int) and not isinstance(value, bool))


def _check_number(prompts: int, choices: int) -> None:
    if prompts * choices > _MAX_ANSWERS:
        each = f" with n = {choices}" if choices > 1 else ""
        raise BadRequest(
            f"prompt holds {prompts} texts{each}; agproxy gives at most {_MAX_ANSWERS} answers to a request",
            param="prompt",
        )


def _check_best_of(body: Body, choices: int, ignored: list[str]) -> None:
    """The best of more answers than are given cannot be found: Gemini does not always tell log probabilities."""
    best_of = fields.integer(body, "best_of", low=1, high=_MAX_ANSWERS)
    if best_of is None or best_of == choices:
        return
    if best_of < choices:
        raise BadRequest(f"best_of must not be less than n, which is {choices}, but is {best_of}", param="best_of")
    ignored.append("best_of")


def _conversations(prompts: Sequence[str], suffix: str) -> list[tuple[Message, ...]]:
    if not suffix:
        return [(_user(prompt),) for prompt in prompts]
    texts = (*prompts, suffix)
    marks = (f"<<GAP{number or ''}>>" for number in count())
    gap = next(mark for mark in marks if not any(mark in text for text in texts))
    system = Message("system", (TextPart(_FILL.format(gap=gap)),))
    return [(system, _user(f"{prompt}{gap}{suffix}")) for prompt in prompts]


def _user(text: str) -> Message:
    return Message("user", (TextPart(text),))
