"""What is known about models: generations of Gemini, and what stands in for other vendors' names.

Everything goes by the shape of a name, never by a list of models, because models come and go every few weeks: a
``gemini-4.2-flash`` works on its first day. Only names that Google never gave to a model, and other vendors' names, are
in a table. Its targets are Google's own aliases, which outlive every concrete model. Names checked November 2026 in

- Gemini: https://ai.google.dev/gemini-api/docs/models, .../docs/changelog and .../docs/deprecations
- OpenAI: https://developers.openai.com/api/docs/models and .../api/docs/deprecations
- Anthropic: https://platform.claude.com/docs/en/about-claude/models/overview, .../models/model-ids-and-versions

In patterns ``*`` stands for any run of characters, also none; nothing else is special, and case counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FLASH = "gemini-flash-latest"
LITE = "gemini-flash-lite-latest"
PRO = "gemini-pro-latest"

# The generation of an alias, or of a Gemini name without a number: the rules of family 3 and newer, whatever it points
# at today ("gemini-flash-latest switched to gemini-3-flash-preview", changelog of January 21, 2026).
LATEST = (3, 99)

# The name in ``[models]`` of whatever answers what Claude Code asks beside a conversation.
BACKGROUND = "internal-background-task"

# Tried in order, first match wins. Three tiers, by what the vendor says a model is for:
#   PRO    the vendor's most capable      FLASH  everyday work      LITE  small, cheap, many calls
DEFAULTS: tuple[tuple[str, str], ...] = (
    # Gemini by its product name, which is no model id: "Gemini 3 Flash" is gemini-3-flash-preview, "Gemini 3.1 Pro"
    # gemini-3.1-pro-preview, "Gemini 3 Pro" was gemini-3-pro-preview; 3.1 Flash has image, live and TTS models only.
    ("gemini", FLASH),
    ("gemini-3", FLASH),
    ("gemini-3-flash", FLASH),
    ("gemini-3.1-flash", FLASH),
    ("gemini-flash", FLASH),
    ("gemini-flash-lite", LITE),
    ("gemini-3-pro", PRO),
    ("gemini-3.1-pro", PRO),
    ("gemini-4", PRO),  # its first and so far only model is the frontier one, gemini-4-argon
    ("gemini-pro", PRO),
    # Thinking effort as a part of the name, as Antigravity's model picker has it; the API takes it as a field.
    ("gemini-*-flash-high", FLASH),
    ("gemini-*-flash-low", FLASH),
    ("gemini-*-pro-high", PRO),
    ("gemini-*-pro-low", PRO),
    # Anthropic: claude-opus-5-5, claude-opus-4-5-20251101, claude-3-opus-20240229, claude-3-5-haiku-latest. Fable is
    # for "demanding reasoning", Mythos its sibling for few, Opus for "long-running agentic coding", Sonnet "the best
    # combination of speed and intelligence", Haiku for "high-volume" tasks. The bare words are Claude Code's aliases:
    # https://docs.claude.com/en/docs/claude-code/model-config
    ("claude-*fable*", PRO),
    ("claude-*mythos*", PRO),
    ("claude-*opus*", PRO),
    ("claude-*sonnet*", FLASH),
    ("claude-*haiku*", LITE),
    ("claude-instant*", LITE),
    ("fable", PRO),
    ("opus", PRO),
    ("sonnet", FLASH),
    ("haiku", LITE),
    # OpenAI, small ones first: gpt-5-mini, gpt-5.1-codex-mini, gpt-4.1-nano. Luna, in 5.6 and 6, is the one for
    # cost-sensitive work in high volume (and what gpt-5-nano is to be replaced by); gpt-oss-20b the smaller open model.
    ("gpt-*-mini*", LITE),
    ("gpt-*-nano*", LITE),
    ("gpt-*-luna*", LITE),
    ("gpt-3.5*", LITE),
    ("davinci-*", LITE),  # and babbage-002, of Completions alone
    ("babbage-*", LITE),
    ("gpt-oss-20b*", LITE),
    ("gpt-oss:20b*", LITE),
    ("codex-mini*", LITE),
    ("o1-mini*", LITE),
    ("o3-mini*", LITE),
    ("o4-mini*", LITE),
    # The top: Astra is the flagship since GPT-6. Sol was it in 5.6, where gpt-5.6 is its alias; from GPT-6 on Sol is
    # the everyday model, at a fifth to a quarter of Astra's price, and so FLASH (below).
    ("gpt-*-astra*", PRO),
    ("gpt-5.6", PRO),
    ("gpt-5.6-sol*", PRO),
    ("gpt-*-pro", PRO),
    ("gpt-*-pro-*", PRO),
    ("gpt-4.5*", PRO),
    ("o1*", PRO),
    ("o3*", PRO),
    # Everyday: with Sol (GPT-6 and later; what gpt-5 is to be replaced by), Terra (balanced in 5.6, fast in 6.1) and
    # the Codex variants. What was a flagship once, GPT-4 or GPT-5, is no match for today's everyday model.
    ("gpt-4*", FLASH),
    ("gpt-5*", FLASH),
    ("gpt-6*", FLASH),
    ("gpt-oss*", FLASH),
    ("chatgpt-4o-latest", FLASH),
    ("chat-latest", FLASH),  # "Chat Latest", OpenAI's models page
)

# Kinds of models that no chat model may stand in for, by names of other vendors (OpenAI's models page).
KINDS: tuple[tuple[str, str], ...] = (
    ("*embed*", "an embedding model"),  # text-embedding-3-small, nomic-embed-text
    ("*-image*", "an image model"),  # gpt-image-2.6-flare, chatgpt-image-latest
    ("dall-e*", "an image model"),
    ("*-audio*", "a speech model"),  # gpt-audio-mini, gpt-4o-audio-preview
    ("*-transcribe*", "a speech model"),
    ("*-tts*", "a speech model"),
    ("tts-*", "a speech model"),
    ("whisper*", "a speech model"),
    ("*-realtime*", "a realtime model"),
    ("sora*", "a video model"),
    ("*moderation*", "a moderation model"),
)

# What GET /v1/models offers beside the upstream's own list: the current model of each tier and the names that clients
# and tutorials still default to.
_KNOWN = (
    *(FLASH, LITE, PRO),
    *("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-terra", "gpt-6-luna", "gpt-5.5", "gpt-5", "gpt-5-mini"),
    *("gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"),
    *("claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
)

# gemini-3.8-flash, gemini-4-argon; the aliases; product lines that number otherwise or not at all (gemini-embedding-2,
# gemini-nano-banana-2.1, gemini-omni-flash); and Google's models that are not Gemini.
_GOOGLE = re.compile(
    r"gemini-(?:\d+(?:\.\d+)?-[a-z0-9.-]+"
    r"|[a-z-]+-latest"
    r"|(?:embedding|live|nano-banana|omni|robotics)-[a-z0-9.-]+)"
    r"|(?:gemma|imagen|learnlm|veo)-[a-z0-9.-]+"
)
_NUMBERED = re.compile(r"gemini-(?:live-)?(\d+)(?:\.(\d+))?(?:-|$)")
_FAMILY = re.compile(r"(?:chatgpt|claude|codex|gemini|gpt)(?:-|$)|o\d")
_REASONING = re.compile(r"o\d")
_SMALL_WORDS = frozenset({"haiku", "instant", "lite", "luna", "mini", "nano"})
_TOP_WORDS = frozenset({"argon", "astra", "fable", "mythos", "opus", "pro", "ultra"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A name that a list of models has.

    :param owner: ``google`` for a model of Google's, ``agproxy`` for a name that stands for one.
    :param target: the model that answers for it.
    :param details: how Gemini describes that model (https://ai.google.dev/api/models); empty where it does not.
    """

    name: str
    owner: str
    target: str
    details: Mapping[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """What it can be called with; a model that is not described is taken to answer."""
        methods = self.details.get("supportedGenerationMethods")
        if not self.details:
            return ("generateContent", "countTokens")
        return tuple(str(method) for method in methods) if isinstance(methods, list) else ()

    @property
    def chats(self) -> bool:
        """Whether it answers, and does not only count or embed."""
        return "generateContent" in self.methods


def wildcard(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern whose only special character is ``*``; use its ``fullmatch``."""
    return re.compile(".*".join(re.escape(literal) for literal in pattern.split("*")))


_DEFAULTS = tuple((wildcard(pattern), pattern, target) for pattern, target in DEFAULTS)
_KINDS = tuple((wildcard(pattern), kind) for pattern, kind in KINDS)


def generation(model: str) -> tuple[int, int] | None:
    """The generation of a Gemini model as (major, minor), or None for what is not a Gemini that generates.

    ``gemini-2.5-flash`` is (2, 5), ``gemini-3-flash-preview`` (3, 0), ``gemini-flash-latest`` and other names without a
    number ``LATEST``. Gemma, LearnLM and embedding models are None.
    """
    if not model.startswith("gemini-") or model.startswith("gemini-embedding"):
        return None
    numbered = _NUMBERED.match(model)
    return (int(numbered[1]), int(numbered[2] or 0)) if numbered else LATEST


def family(model: str) -> str:
    """What the models have in common that understand each other's thought signatures: the first number, as text."""
    known = generation(model)
    return "" if known is None else str(known[0])


def needs_thought_signatures(model: str) -> bool:
    """Whether the model refuses a current turn whose function calls came back without their thought signatures.

    "If a required thought signature is not returned when using Gemini 3 models, the model will return a 400 error", and
    "Gemini 3 Pro Image doesn't enforce this validation":
    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thought-signatures
    """
    known = generation(model)
    return known is not None and known >= (3, 0) and not makes_images(model)


def may_need_signed_pictures(model: str) -> bool:
    """Whether the model may refuse a history whose images and texts came back without their thought signatures.

    The page above says that none does, but those of family 3 told users that an "Image part is missing a
    thought_signature" (langchain-ai/langchain-google#1431, archestra-ai/archestra#2548).
    """
    known = generation(model)
    return known is not None and known >= (3, 0) and makes_images(model)


def makes_images(model: str) -> bool:
    """Whether a Google model answers with images: ``gemini-3-pro-image``, ``gemini-nano-banana-2.1``, Imagen.

    Image generation guide: https://ai.google.dev/gemini-api/docs/image-generation
    """
    return model.startswith(("imagen-", "gemini-nano-banana")) or (model.startswith("gemini-") and "-image" in model)


def is_concrete(model: str) -> bool:
    """Whether this is a model name of Google's, to be sent as it is.

    Models that are shut down count too (Google then says so itself), and models that are yet to come.
    """
    return _GOOGLE.fullmatch(model) is not None and default(model) is None


def default(model: str) -> tuple[str, str] | None:
    """The entry of ``DEFAULTS`` that holds for a name, as (pattern, target), or None."""
    if unserved_kind(model):
        return None
    for expression, pattern, target in _DEFAULTS:
        if expression.fullmatch(model):
            return pattern, target
    return None


def unserved_kind(model: str) -> str | None:
    """What kind of model a name of another vendor means ("an image model"), if no chat model can stand in for it."""
    if _GOOGLE.fullmatch(model):
        return None
    return next((kind for expression, kind in _KINDS if expression.fullmatch(model)), None)


def family_default(model: str) -> str | None:
    """The alias for a name that nobody knows but that belongs to a known family, by the words in it; else None.

    ``gpt-9-mini`` is small, ``gemini-ultra`` a top model, ``claude-2.1`` neither. OpenAI's numbered o-models are top.
    """
    if not _FAMILY.match(model):
        return None
    words = set(re.split(r"[-.:@]", model))
    if words & _SMALL_WORDS:
        return LITE
    return PRO if words & _TOP_WORDS or _REASONING.match(model) else FLASH


def known_names() -> tuple[str, ...]:
    """The names that work without configuration and are worth listing, for ``GET /v1/models``."""
    return _KNOWN
