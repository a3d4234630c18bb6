"""``agproxy accounts list``: each account's state in words, and why it would not be chosen now."""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agproxy import asks, models, routing
from agproxy.accounts import duration
from agproxy.cli import load_config
from agproxy.cli.check import key_hint, pool_warnings
from agproxy.cli.serve import account_state
from agproxy.config import Account, Config
from agproxy.errors import ConfigError, GatewayError
from agproxy.pauses import Pauses, Rest
from agproxy.store import Store, Use, places
from agproxy.store.memory import MemoryStore

_TITLES = ("name", "type", "project", "key", "priority", "under way", "last minute", "state")


@dataclass(frozen=True, slots=True)
class Standing:
    """One account as it stands now.

    :param state: ``ready``, ``off``, ``out``, ``rests`` or ``full``; the last two are about the model asked for.
    :param words: the same in words, with the reason.
    :param rests: until when it rests, for whatever model.
    :param why_not: why a new conversation would not get it; empty = it would, or may.
    """

    account: Account
    state: str
    words: str
    rests: tuple[Rest, ...]
    use: Use
    why_not: str


def run(args: argparse.Namespace) -> int:
    """Print the accounts, or their JSON."""
    config = load_config(args.config, os.environ)
    store = opened(config, os.environ)
    try:
        model, now = wanted_model(config, store, args.model), time.time()
        found = standings(config, store, model, now)
    finally:
        store.close()
    warnings = [*pool_warnings(config), *filter(None, [places.obstacle(config.store.url, os.environ)])]
    if args.json:
        print(json.dumps(_object(config, found, model, warnings), indent=2))
    else:
        print(report(config, found, model=model, now=now, warnings=warnings))
    return 0


def wanted_model(config: Config, store: Store, name: str | None) -> str:
    """Google's name for the model that a client calls ``name``; None means a usual one that the pool may be asked for.

    :raises ConfigError: nobody knows a model of this name.
    """
    if name is None:
        defaults = (models.FLASH, models.LITE, models.PRO)
        return next((model for model in defaults if any(each.serves(model) for each in config.accounts)), models.FLASH)
    try:
        return routing.resolve(name, rules=config.models, listed=lambda: _listed(store)).model
    except GatewayError as error:
        raise ConfigError(f"--model: {error.message}") from error


def _listed(store: Store) -> list[str]:
    """The names of the models that the running agproxy has found accounts to list."""
    return [str(model["name"]).removeprefix("models/") for kept in store.items("model_list").values() for model in kept]


def is_in_memory(config: Config, environ: Mapping[str, str]) -> bool:
    """Whether the running agproxy keeps its state to itself."""
    return places.address(config.store.url, environ) == "memory:"


def opened(config: Config, environ: Mapping[str, str]) -> Store:
    """The store of the running agproxy; an empty one where there is none yet, for looking shall not make its file."""
    scheme, _, path = places.address(config.store.url, environ).partition(":")
    if scheme == "memory" or (scheme == "sqlite" and not Path(path).exists()):
        return MemoryStore(time.monotonic)
    return places.make(config.store.url, environ)


def standings(config: Config, store: Store, model: str, now: float) -> list[Standing]:
    """How the accounts stand, in the order of the file.

    :param model: the physical model that a new conversation would be for.
    """
    pauses = Pauses(config.accounts, store, started=0.0)
    quota = asks.ANSWER.quota(model)
    rests = {account.name: tuple(pauses.all_of(account, now)) for account in config.accounts}
    uses = {account.name: store.ledger.use(pauses.fingerprint(account)) for account in config.accounts}
    states = {
        account.name: _state(account, _longest(rests[account.name], quota), uses[account.name], now)
        for account in config.accounts
    }
    free = [account for account in config.accounts if states[account.name][0] == "ready" and account.serves(model)]
    first = chosen(config, free)
    found = []
    for account in config.accounts:
        state, words = states[account.name]
        why_not = "" if account in first else _why_not(account, state, model, config.scheduling.pin, first)
        found.append(Standing(account, state, words, rests[account.name], uses[account.name], why_not))
    return found


def chosen(config: Config, free: Sequence[Account]) -> list[Account]:
    """Which of the accounts that are free a new conversation would get; several take turns.

    As :meth:`agproxy.accounts.Pool.take` chooses; whose turn it is, only the running agproxy knows.
    """
    pinned = [account for account in free if account.name == config.scheduling.pin]
    highest = max((account.priority for account in free), default=0)
    return pinned or [account for account in free if account.priority == highest]


def full(account: Account, use: Use) -> str:
    """Which of its limits an account has reached, in words; empty when it has room."""
    if account.max_in_flight and use.in_flight >= account.max_in_flight:
        return f"at its limit: {use.in_flight} of {account.max_in_flight} requests under way"
    if account.requests_per_minute and use.last_minute >= account.requests_per_minute:
        again = duration(use.fewer_in_s)
        return f"at its limit: {use.last_minute} of {account.requests_per_minute} requests a minute; less in {again}"
    return ""


def until(end: float, now: float) -> str:
    """A point in time by the clock of this machine, and how long it is until then: ``until 14:03 (12 min)``."""
    there, here = datetime.fromtimestamp(end).astimezone(), datetime.fromtimestamp(now).astimezone()
    clock = there.strftime("%H:%M" if there.date() == here.date() else "%Y-%m-%d %H:%M")
    return f"until {clock} ({duration(end - now)})"


def rest_words(rest: Rest, now: float) -> str:
    """A rest in words."""
    if rest.model:
        return f"rests {until(rest.until, now)} for {rest.model}: {rest.reason}"
    return f"rests {until(rest.until, now)}, or until its key changes or agproxy starts again: {rest.reason}"


def report(config: Config, found: Sequence[Standing], *, model: str, now: float, warnings: Sequence[str] = ()) -> str:
    """The table, what a new conversation would get, and warnings."""
    rows = [_TITLES, *(_row(standing) for standing in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    left = sum(width + 2 for width in widths[:-1]) * " "
    lines = [
        f"config    {config.path or 'none; the defaults hold'}",
        f"store     {places.address(config.store.url, os.environ)}",
        f"model     {model}",
        "",
    ]
    lines.append(_line(rows[0], widths).upper())
    for row, standing in zip(rows[1:], found, strict=True):
        lines.append(_line(row, widths))
        shown = standing.words
        lines += [left + words for rest in standing.rests if (words := rest_words(rest, now)) != shown]
        if standing.why_not and standing.state == "ready":  # of the others the state says it
            lines.append(f"{left}not chosen: {standing.why_not}")
    lines += ["", f"next      {next_words(config, found, model, now)}"]
    if is_in_memory(config, os.environ):
        lines.append("note      state is in memory: who rests, and what is under way, only the running agproxy knows")
    return "\n".join([*lines, *(f"warning   {warning}" for warning in warnings)])


def next_words(config: Config, found: Sequence[Standing], model: str, now: float) -> str:
    """Which account a new conversation would get, and why."""
    names = [standing.account.name for standing in found if not standing.why_not]
    wanted = f"a new conversation for {model}"
    if len(names) > 1:
        return f"{wanted} gets {', '.join(names[:-1])} or {names[-1]}, whichever was used the longest ago"
    if names == [config.scheduling.pin]:
        return f"{wanted} gets {names[0]}, which is pinned"
    if names:
        others = any(each.why_not.endswith("has a higher priority") for each in found)
        return f"{wanted} gets {names[0]}, {'whose priority is the highest' if others else 'the only one that can now'}"
    quota = asks.ANSWER.quota(model)
    ends = [rest.until for each in found if each.state == "rests" and (rest := _longest(each.rests, quota))]
    following = dict(config.fallback).get(model)
    instead = f"; [fallback] asks {following} instead" if following else ""
    if any(each.state == "full" for each in found):
        return f"{wanted} waits for room, up to {config.scheduling.max_wait_s:g} s{instead}"
    if ends:
        return f"{wanted} gets no account {until(min(ends), now)}{instead}"
    return f"{wanted} gets no account{instead}"


def _state(account: Account, rest: Rest | None, use: Use, now: float) -> tuple[str, str]:
    plain = account_state(account)
    if plain != "ready":
        return plain.partition(":")[0], plain
    if rest is not None:
        return "rests", rest_words(rest, now)
    limit = full(account, use)
    return ("full", limit) if limit else ("ready", plain)


def _longest(rests: Sequence[Rest], quota: str) -> Rest | None:
    """The longest rest that counts for a model's quota."""
    return max((rest for rest in rests if rest.model in ("", quota)), key=lambda rest: rest.until, default=None)


def _why_not(account: Account, state: str, model: str, pin: str, first: Sequence[Account]) -> str:
    """Why not this one, which is none of those that would be chosen first."""
    if state == "off":
        return f"it is disabled; `agproxy accounts enable {account.name}` changes that"
    if state == "out":
        return "its key cannot be used"
    if not account.serves(model):
        return f"its models are {', '.join(account.models)}"
    if state == "rests":
        return "it rests"
    if state == "full":
        return "it has no room"
    return f"{pin} is pinned" if first[0].name == pin else f"{first[0].name} has a higher priority"


def _row(standing: Standing) -> tuple[str, ...]:
    account, use = standing.account, standing.use
    return (
        account.name,
        account.type,
        account.project,
        key_hint(account).removeprefix("key "),
        str(account.priority),
        _of(use.in_flight, account.max_in_flight),
        _of(use.last_minute, account.requests_per_minute),
        standing.words,
    )


def _of(count: int, limit: int) -> str:
    return f"{count} of {limit}" if limit else str(count)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()


def _object(config: Config, found: Sequence[Standing], model: str, warnings: Sequence[str]) -> dict[str, Any]:
    """The same for programs; times are Unix seconds."""
    return {
        "config": str(config.path) if config.path else None,
        "model": model,
        "next": [standing.account.name for standing in found if not standing.why_not],
        "state_is_known": not is_in_memory(config, os.environ),
        "accounts": [
            {
                "name": standing.account.name,
                "type": standing.account.type,
                "source": standing.account.source,
                "email": standing.account.email,
                "project": standing.account.project,
                "key": key_hint(standing.account),
                "priority": standing.account.priority,
                "pinned": standing.account.name == config.scheduling.pin,
                "state": standing.state,
                "words": standing.words,
                "why_not": standing.why_not,
                "rests": [{"model": rest.model, "until": rest.until, "reason": rest.reason} for rest in standing.rests],
                "in_flight": standing.use.in_flight,
                "max_in_flight": standing.account.max_in_flight,
                "last_minute": standing.use.last_minute,
                "requests_per_minute": standing.account.requests_per_minute,
            }
            for standing in found
        ],
        "warnings": list(warnings),
    }
