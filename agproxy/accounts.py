"""The pool: which account answers next, and which ones have to rest.

What one request learns is kept in the store, so that all that share it know; only the order of use is this
process's own.
"""

import hashlib
import itertools
import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agproxy.config import Account, Scheduling
from agproxy.errors import PoolUnavailable
from agproxy.retry import Verdict, growing_cooldown_s, outage_s
from agproxy.store import Store

log = logging.getLogger(__name__)

_SESSION_TTL_S = 3600.0
_FAILURES_TTL_S = 6 * 3600.0
_ANY = "rest:any"  # until when any account rests


@dataclass(frozen=True, slots=True)
class Rest:
    """Why nobody can be taken.

    :param until: Unix seconds when the first one is free; infinite when none ever will be.
    :param reason: in words, without naming an account.
    :param status: HTTP status that tells the client what kind of reason it is.
    """

    until: float
    reason: str
    status: int


class Pool:
    """The accounts of one configuration.

    :param used: when each account, by name, was last taken; lives on when the configuration is read again.
    """

    def __init__(self, accounts: Sequence[Account], scheduling: Scheduling, store: Store, used: dict[str, int]) -> None:
        self.accounts = tuple(account for account in accounts if account.enabled and not account.problem)
        self._all = tuple(accounts)
        self._scheduling = scheduling
        self._store = store
        self._used = used
        self._sequence = itertools.count(max(used.values(), default=0) + 1)
        self._lock = threading.Lock()
        for account in accounts:
            if account.problem:
                log.warning("account is out account=%s reason=%s", account.name, account.problem)
        self._fingerprints = {account.name: fingerprint(account.api_key or account.name) for account in accounts}
        # By key, so that a section that leaves the project out shares it with one that names it for the same key.
        self._projects = {self._fingerprints[account.name]: account.project for account in accounts if account.project}

    def take(
        self, *, model: str, session: str, tried: Collection[str], now: float, patience_s: float
    ) -> Account | Rest:
        """The account for the next attempt, or why there is none.

        Pinned before sticky before the best of the rest, by priority and then by least recent use.

        :param session: tells conversations apart; one keeps its account, whose caches know it. Empty = it is none.
        :param tried: names of accounts that are not to be taken.
        :param patience_s: how long ``cache_first`` may wait for the conversation's own account.
        """
        rests = self._rests(model, now)
        free = {account.name: account for account in self.accounts if not rests[account.name]}
        candidates = {name: account for name, account in free.items() if name not in tried}
        sticky = self._sticky(session)
        resting = rests.get(sticky)
        if self._scheduling.mode == "cache_first" and resting and resting.until - now <= patience_s:
            return resting
        with self._lock:
            for name in (self._scheduling.pin, sticky):
                if name in candidates:
                    return self._taken(candidates[name])
            if candidates:
                return self._taken(min(candidates.values(), key=self._rank))
        if free:
            return Rest(now, "all accounts have been tried", 503)
        return self._first(rests.values())

    def rests(self, *, model: str, now: float) -> Rest | None:
        """Why no account can be taken for the model, or None when one can."""
        rests = self._rests(model, now).values()
        return self._first(rests) if all(rests) else None

    def _rests(self, model: str, now: float) -> dict[str, Rest | None]:
        """Why each account, by name, cannot be taken; None for one that can."""
        if not self._store.get(_ANY):  # which is nearly always so, and asked for each request
            return dict.fromkeys(account.name for account in self.accounts)
        return {account.name: self._rest(account, model, now) for account in self.accounts}

    def _first(self, rests: Iterable[Rest | None]) -> Rest:
        return min((rest for rest in rests if rest), key=lambda rest: rest.until, default=self._nobody())

    def _nobody(self) -> Rest:
        if any(account.problem for account in self._all):  # which may tell paths: not for clients
            return Rest(math.inf, "no account of the pool has a usable key; 'agproxy check' and the log say why", 502)
        return Rest(math.inf, "all accounts of the pool are disabled", 503)

    def _taken(self, account: Account) -> Account:
        self._used[account.name] = next(self._sequence)
        return account

    def _rank(self, account: Account) -> tuple[int, int]:
        return -account.priority, self._used.get(account.name, 0)

    def _sticky(self, session: str) -> str:
        if not session or self._scheduling.mode == "performance_first":
            return ""
        return self._store.get(f"session:{session}") or ""

    # What attempts teach.

    def succeeded(self, account: Account, *, model: str, session: str) -> None:
        """The account answered: its conversation stays with it, and what counted against it is forgotten.

        :param session: empty = the conversation, if any, stays where it is.
        """
        self._store.delete(f"failures:{self._quota(account, model)}")
        self._store.delete(f"failures:{self._fingerprints[account.name]}")
        if session and self._scheduling.mode != "performance_first":
            self._store.put(f"session:{session}", account.name, ttl_s=_SESSION_TTL_S)

    def rest(self, account: Account, verdict: Verdict, *, model: str, reason: str, now: float) -> None:
        """Let the account, or its quota for the model, rest as the verdict says."""
        match verdict.scope:
            case "quota":
                key = self._quota(account, model)
                if verdict.until_midnight:
                    until = next_midnight_pacific(now)
                elif verdict.cooldown_s is not None:
                    until = now + verdict.cooldown_s
                else:
                    until = self._growing(key, growing_cooldown_s, now)
                self._rest_until(f"rest:{key}", until, reason, 429, now)
            case "model":
                until = now + (verdict.cooldown_s or 0.0)
                self._rest_until(f"rest:{self._model(account, model)}", until, reason, 502, now)
            case "account":
                key = self._fingerprints[account.name]
                until = self._growing(key, outage_s, now)
                self._rest_until(f"rest:{key}", until, reason, 502, now)
            case "nothing":
                return
        log.warning(
            "account rests account=%s scope=%s model=%s seconds=%.0f reason=%s",
            account.name,
            verdict.scope,
            model,
            until - now,
            reason,
        )

    def _growing(self, key: str, seconds: Callable[[int], float], now: float) -> float:
        """The end of a rest that grows with each failure; those of requests that were under way together count once."""
        kept = self._store.get(f"rest:{key}")
        if kept and kept["until"] > now:
            return float(kept["until"])
        failures: int = (self._store.get(f"failures:{key}") or 0) + 1
        self._store.put(f"failures:{key}", failures, ttl_s=_FAILURES_TTL_S)
        return now + seconds(failures)

    def _rest_until(self, key: str, until: float, reason: str, status: int, now: float) -> None:
        kept = self._store.get(key)
        if until > now and not (kept and kept["until"] >= until):
            last = max(until, self._store.get(_ANY) or 0.0)
            self._store.put(_ANY, last, ttl_s=last - now)
            self._store.put(key, {"until": until, "reason": reason, "status": status}, ttl_s=until - now)

    def _rest(self, account: Account, model: str, now: float) -> Rest | None:
        """The longest of what keeps the account from answering for the model, or None."""
        longest: Rest | None = None
        for key in (self._fingerprints[account.name], self._quota(account, model), self._model(account, model)):
            kept = self._store.get(f"rest:{key}")
            if kept and kept["until"] > now and (longest is None or kept["until"] > longest.until):
                longest = Rest(kept["until"], kept["reason"], kept["status"])
        return longest

    def fingerprint(self, account: Account) -> str:
        """What names the account's credential in the store."""
        return self._fingerprints[account.name]

    def _quota(self, account: Account, model: str) -> str:
        """Google counts quota by project; accounts that name none count as a project each."""
        key = self._fingerprints[account.name]
        project = account.project or self._projects.get(key)
        return f"project/{project}/{model}" if project else f"{key}/{model}"

    def _model(self, account: Account, model: str) -> str:
        return f"account/{self._fingerprints[account.name]}/{model}"


def fingerprint(secret: str) -> str:
    """A short name for a secret that does not give it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def next_midnight_pacific(now: float) -> float:
    """When Google's daily quotas begin anew, in Unix seconds.

    "Requests per day (RPD) quotas reset at midnight Pacific time": https://ai.google.dev/gemini-api/docs/rate-limits
    """
    local = datetime.fromtimestamp(now, UTC).astimezone(_pacific())
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.timestamp()


def _pacific() -> ZoneInfo | timezone:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones: in summer an hour too late, which does no harm
        return timezone(timedelta(hours=-8))


def unavailable(rest: Rest, model: str, wait_s: float) -> PoolUnavailable:
    """The error of a request that no account can be taken for."""
    if math.isinf(wait_s):
        return PoolUnavailable(f"agproxy cannot answer: {rest.reason}", status=rest.status)
    error = PoolUnavailable(
        f"all accounts rest for {model}; the first is free again in {duration(wait_s)}. Its reason: {rest.reason}",
        status=rest.status,
        retry_after_s=wait_s,
    )
    error.retry_at = rest.until
    return error


def duration(seconds: float) -> str:
    """``34 s``, ``12 min`` or ``7 h 5 min``."""
    whole = int(seconds) + 1
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod((whole + 59) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
