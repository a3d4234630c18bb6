"""How much a Gemini model is told to think: levels from family 3 on, budgets in 2.5, nothing elsewhere.

What is wrong for the model is a 400 (``ThinkingConfig`` in generative_service.proto), so each family gets what it
knows. Levels and budgets: https://ai.google.dev/gemini-api/docs/thinking; what ``reasoning_effort`` means:
https://ai.google.dev/gemini-api/docs/openai#thinking.
"""

from typing import Any

from agproxy.chat import Thinking
from agproxy.models import LATEST, generation, makes_images

_LEVELS = ("minimal", "low", "medium", "high")
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
# Gemini 2.5, by the beginning of the name: (lowest budget above 0, highest, whether 0 turns thinking off).
_RANGES = (
    ("gemini-2.5-flash-lite", 512, 24576, True),
    ("gemini-2.5-flash", 1, 24576, True),
    ("gemini-2.5-pro", 128, 32768, False),
)


def encode_thinking(thinking: Thinking, model: str) -> tuple[dict[str, Any], list[str]]:
    """``thinkingConfig`` for ``model``, empty when nothing is to be said, and the request fields not honoured.

    Effort in words asks for the thoughts too, unless ``show`` says otherwise.
    """
    asked = thinking.effort is not None or thinking.budget_tokens is not None
    if not asked and thinking.show is None:
        return {}, []
    known = generation(model)
    if known is None or known < (2, 5) or "-tts" in model or (makes_images(model) and known < (3, 0)):
        return {}, thinking_fields(thinking)
    config, honoured = _levelled(thinking, model) if known >= (3, 0) else _budgeted(thinking, model)
    stopped = config.get("thinkingBudget") == 0
    wanted = asked and thinking.effort != "none" and thinking.budget_tokens != 0
    show = wanted if thinking.show is None else thinking.show
    if show and not stopped:
        config["includeThoughts"] = True
    return config, [] if honoured else _names(thinking)


def thinking_fields(thinking: Thinking) -> list[str]:
    """The request fields that are not honoured where nothing is said of thinking."""
    return [*_names(thinking), *(["include_thoughts"] if thinking.show else [])]


def _names(thinking: Thinking) -> list[str]:
    if not thinking.is_asked:
        return []
    if thinking.effort is not None:
        return [thinking.field or "reasoning_effort"]
    return [] if thinking.budget_tokens is None else [thinking.field or "thinking_budget"]


def _levelled(thinking: Thinking, model: str) -> tuple[dict[str, Any], bool]:
    """Family 3 and newer, which can think little but not stop; a budget, if alone, is taken too, but not 0."""
    allowed = _allowed(model)
    if thinking.effort in _LEVELS:
        wanted = _LEVELS.index(thinking.effort)
        # The nearest; of two equally near the one that thinks more, as in Google's own table.
        level = min(allowed, key=lambda word: (abs(_LEVELS.index(word) - wanted), -_LEVELS.index(word)))
        return {"thinkingLevel": level}, True
    if thinking.effort == "none" or thinking.budget_tokens == 0:
        return {"thinkingLevel": allowed[0]}, False
    if thinking.budget_tokens is not None:
        return {"thinkingBudget": min(thinking.budget_tokens, _BUDGETS["high"])}, True
    return {}, True


def _allowed(model: str) -> tuple[str, ...]:
    """The levels that a model of family 3 or newer knows, as the pages of the models have them.

    "minimal" is known to every Flash-Lite and to Flash up to 3.6; Pro and what is newer have none, nor is it sent to
    an alias that may be one of them; 3 Pro has no "medium".
    """
    known = generation(model)
    if makes_images(model):
        return ("low", "high") if "-pro" in model else ("minimal", "high")
    if "-pro" in model:
        return ("low", "high") if known == (3, 0) else ("low", "medium", "high")
    if "-flash-lite" in model or ("-flash" in model and known is not None and known <= (3, 6) and known != LATEST):
        return _LEVELS
    return ("low", "medium", "high")


def _budgeted(thinking: Thinking, model: str) -> tuple[dict[str, Any], bool]:
    low, high, can_stop = next(
        (limits for prefix, *limits in _RANGES if model.startswith(prefix)), [_BUDGETS["low"], _BUDGETS["high"], False]
    )
    if thinking.effort == "none" or thinking.budget_tokens == 0:
        return ({"thinkingBudget": 0}, True) if can_stop else ({"thinkingBudget": low}, False)
    if thinking.effort is not None:
        return {"thinkingBudget": _BUDGETS[thinking.effort]}, True
    if thinking.budget_tokens is None:
        return {}, True
    if thinking.budget_tokens == -1:
        return {"thinkingBudget": -1}, True
    return {"thinkingBudget": max(low, min(thinking.budget_tokens, high))}, True
