"""Which physical model answers for the name a client sent: the order of rules, and the refusals."""

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache

from agproxy import models
from agproxy.errors import BadRequest, ModelNotFound, redact

Rules = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,200}")

# "models/" is how Gemini writes names, "publishers/google/models/" how Vertex does; the others are how routers and
# their clients name the vendor: https://docs.litellm.ai/docs/providers, https://openrouter.ai/models
_VENDORS = re.compile(
    r"(?:(?:anthropic|azure|gemini|google|google-ai-studio|google-vertex|litellm_proxy|models|openai|openrouter|publishers"
    r"|vertex|vertex_ai|vertex_ai_beta)/)+(?=.)"
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The model that is called, and in words which rule said so.

    :param is_guessed: it stands in for a name that is not its own, because agproxy knows none better.
    """

    model: str
    rule: str
    is_guessed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Compiled:
    exact: dict[str, Resolution]
    wildcards: tuple[tuple[re.Pattern[str], Resolution], ...]  # the most specific one first


def check_name(model: str) -> None:
    """Refuse a model name that could be anything else: it becomes a part of an upstream URL.

    :raises BadRequest: for characters outside ``[A-Za-z0-9._:/@-]``, for ``..``, when empty or longer than 200.
    """
    if _NAME.fullmatch(model) and ".." not in model:
        return
    model = redact(model)  # before it is cut
    shown = ascii(model if len(model) <= 60 else model[:60] + "...")
    raise BadRequest(
        f"{shown} is not a model name: 1 to 200 of the characters A-Z a-z 0-9 . _ : / @ - are allowed, and no '..'.",
        param="model",
        code="invalid_model",
    )


def resolve(model: str, *, rules: Rules, listed: Callable[[], Collection[str]]) -> Resolution:
    """Find the model for a name: rules, Google's own names, default table, upstream's list, family, in this order.

    A rule holds for the name as sent and for the name without its ``models/`` or vendor prefix. An exact rule comes
    before any wildcard, the wildcard with most characters other than ``*`` before the others, the first in the file
    before its equals. The target of a rule is final: it is not resolved again.

    :param rules: ``[models]`` of the INI as (pattern, target), in the file's order.
    :param listed: gives the names that the upstream lists; called only when rules and tables have no answer.
    :raises BadRequest: the name is not a model name.
    :raises ModelNotFound: nobody knows it, or it is of a kind that no chat model can stand in for.
    """
    check_name(model)
    return _by_tables(model, rules) or _by_upstream(model, rules, frozenset(listed()))


@lru_cache(maxsize=1024)
def _by_tables(model: str, rules: Rules) -> Resolution | None:
    name = _bare(model)
    if rule := _rule(model, name, _compile(rules)):
        return rule
    if models.is_concrete(name):
        return Resolution(name, "concrete Gemini name")
    if entry := models.default(name):
        pattern, target = entry
        return Resolution(target, f"default for {pattern}", is_guessed=True)
    return None


def _by_upstream(model: str, rules: Rules, names: frozenset[str]) -> Resolution:
    name = _bare(model)
    for candidate in (model, name):
        if candidate in names:
            return Resolution(candidate, "listed upstream")
    if kind := models.unserved_kind(name):
        raise ModelNotFound(
            f"'{model}' is {kind}: this kind of model is not served by this route yet, and no chat model stands in "
            f"for it. A rule in [models] of the INI can name a model that does: {model} = <model>.",
            param="model",
        )
    if target := models.family_default(name):
        return Resolution(target, "family fallback", is_guessed=True)
    known = {*names, *models.known_names(), *(pattern for pattern, _ in rules if "*" not in pattern)}
    raise ModelNotFound(_unknown(model, difflib.get_close_matches(name.lower(), sorted(known), n=3)), param="model")


def _bare(model: str) -> str:
    prefix = _VENDORS.match(model)
    return model[prefix.end() :] if prefix else model


@lru_cache(maxsize=8)
def _compile(rules: Rules) -> _Compiled:
    exact: dict[str, Resolution] = {}
    wildcards: list[tuple[int, re.Pattern[str], Resolution]] = []
    for pattern, target in rules:
        resolution = Resolution(target.removeprefix("models/"), f"[models] {pattern} = {target}")
        if "*" in pattern:
            wildcards.append((len(pattern.replace("*", "")), models.wildcard(pattern), resolution))
        else:
            exact.setdefault(pattern, resolution)
    wildcards.sort(key=lambda entry: -entry[0])  # stable: equals stay in the file's order
    return _Compiled(exact, tuple((expression, resolution) for _, expression, resolution in wildcards))


def _rule(model: str, name: str, compiled: _Compiled) -> Resolution | None:
    if found := compiled.exact.get(model) or compiled.exact.get(name):
        return found
    for expression, resolution in compiled.wildcards:
        if expression.fullmatch(model) or expression.fullmatch(name):
            return resolution
    return None


def _unknown(model: str, close: list[str]) -> str:
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return (
        f"No model '{model}' is known here.{hint} Name a Gemini model, such as {models.FLASH}, or add a rule to "
        f"[models] of the INI: {model} = {models.FLASH}."
    )
