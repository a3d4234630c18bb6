"""Which accounts rest, until when and why: kept in the store, so that all that share it know.

A rest is of a credential, of a project's quota for a model, or of a credential for a model. What grows with each
failure in a row is remembered beyond its end, until the account answers.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agproxy.config import Account
from agproxy.retry import Verdict, growing_cooldown_s, outage_s
from agproxy.store import Store

log = logging.getLogger(__name__)

_REMEMBERED_S = 6 * 3600.0  # how long failures in a row count after the end of their rest
_PROBE_S = 10.0  # how long one request may try a credential that was refused, before another may
_MAX_SKEW_S = 300.0
_NEW_DAY_S = 600.0  # until when Google may not have begun to count anew
_ANY = "rest:any"  # whether any rest may be remembered
_LONGEST_S = 26 * 3600.0  # a day may have 25 hours


@dataclass(frozen=True, slots=True)
class Rest:
    """Why an account, or nobody, can be taken.

    :param until: Unix seconds when it, or the first one, is free; infinite when none ever will be.
    :param reason: in words, without naming an account.
    :param status: HTTP status that tells the client what kind of reason it is.
    :param model: what it rests for; empty = everything.
    """

    until: float
    reason: str
    status: int
    model: str = ""


class Pauses:
    """The rests of a pool's accounts.

    :param started: when agproxy began, in Unix seconds: a credential that was refused before that is tried again.
    """

    def __init__(self, accounts: Sequence[Account], store: Store, *, started: float) -> None:
        self._store = store
        self._started = started
        self._probing: set[str] = set()  # keys that a request of this process is trying
        self._fingerprints = {account.name: fingerprint(account.api_key or account.name) for account in accounts}
        # By key, so that a section that leaves the project out shares it with one that names it for the same key.
        self._projects = {self._fingerprints[account.name]: account.project for account in accounts if account.project}

    def of(self, accounts: Sequence[Account], model: str, now: float) -> dict[str, Rest | None]:
        """Why each account, by name, cannot answer for the model; None for one that can."""
        if not self._store.get(_ANY):  # which is nearly always so, and asked for each request
            return dict.fromkeys(account.name for account in accounts)
        return {account.name: self._longest(account, model, now) for account in accounts}

    def all_of(self, account: Account, now: float) -> list[Rest]:
        """All rests of an account, for whatever model; for people."""
        found = []
        for name, kept in self._store.items("rest").items():
            for beginning in (self._quota(account, ""), self._model(account, "")):
                if name.startswith(beginning) and self._holds(kept, now):
                    found.append(_rest(kept, name.removeprefix(beginning)))
            if name == self._fingerprints[account.name] and self._holds(kept, now, since=self._started):
                found.append(_rest(kept, ""))
        return sorted(found, key=lambda rest: (rest.model, rest.until))

    def may_try(self, account: Account) -> bool:
        """Whether a request may go to the account: of those that come when its key was refused before, one at a time.

        The others go elsewhere, until that one has shown whether the key is good again.
        """
        key = self._fingerprints[account.name]
        if not self._store.get(_ANY) or not self._store.get(f"rest:{key}"):
            return True
        token = secrets.token_hex(8)
        if self._store.add(f"probe:{key}", token, ttl_s=_PROBE_S) != token:
            return False
        self._probing.add(key)
        return True

    def has_tried(self, account: Account) -> None:
        """The request to the account has ended, whatever came of it: another one may try its key."""
        key = self._fingerprints[account.name]
        if key in self._probing:
            self._probing.discard(key)
            self._store.delete(f"probe:{key}")

    def record(self, account: Account, verdict: Verdict, *, model: str, reason: str, now: float) -> None:
        """Let the account, or its quota for the model, rest as the verdict says.

        :param model: what the quota is counted by.
        """
        match verdict.scope:
            case "quota":
                key = self._quota(account, model)
                if verdict.until_midnight and is_just_after_midnight_pacific(now):
                    until = self._put_growing(key, reason, 429, now, seconds=outage_s)
                elif verdict.until_midnight:
                    until = self._put(key, reason, 429, now, until=next_midnight_pacific(now))
                elif verdict.cooldown_s is not None:
                    until = self._put(key, reason, 429, now, until=now + verdict.cooldown_s)
                else:
                    until = self._put_growing(key, reason, 429, now, seconds=growing_cooldown_s)
            case "model":
                until = self._put(self._model(account, model), reason, 502, now, until=now + (verdict.cooldown_s or 0))
            case "account":
                key = self._fingerprints[account.name]
                until = self._put_growing(key, reason, 502, now, seconds=outage_s, since=self._started)
                self._store.delete(f"probe:{key}")
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

    def clear(self, account: Account, *, model: str, since: float) -> None:
        """The account has answered a request of then: what was recorded until then holds no longer.

        :param since: Unix seconds when the request was sent; one that began before a rest says nothing about it.
        """
        if not self._store.get(_ANY):
            return
        for key in self._keys(account, model):
            kept = self._store.get(f"rest:{key}")
            if kept and not since < kept["at"] <= since + _MAX_SKEW_S:
                self._store.delete(f"rest:{key}")
                if key == self._fingerprints[account.name]:
                    self._store.delete(f"probe:{key}")
                if self._holds(kept, since):
                    log.info("account rests no longer account=%s model=%s", account.name, model)

    def forget(self, account: Account) -> None:
        """Its credential has been accepted: no refusal of it counts any longer."""
        key = self._fingerprints[account.name]
        for name in (f"rest:{key}", f"probe:{key}"):
            self._store.delete(name)

    def fingerprint(self, account: Account) -> str:
        """What names the account's credential in the store."""
        return self._fingerprints[account.name]

    def project(self, account: Account) -> str:
        """What names the account's project in the store; accounts that name none count as a project each."""
        key = self._fingerprints[account.name]
        project = account.project or self._projects.get(key)
        return f"project/{quote(project, safe='')}" if project else key

    def _put_growing(
        self,
        key: str,
        reason: str,
        status: int,
        now: float,
        *,
        seconds: Callable[[int], float],
        since: float = 0.0,
    ) -> float:
        """Record a rest that grows with each failure; those of requests that were under way together count once."""
        kept = self._store.get(f"rest:{key}")
        if kept and self._holds(kept, now, since=since):
            return float(kept["until"])
        failures = (kept["failures"] if kept else 0) + 1
        return self._put(key, reason, status, now, until=now + seconds(failures), failures=failures)

    def _put(self, key: str, reason: str, status: int, now: float, *, until: float, failures: int = 0) -> float:
        """Record a rest, unless there is a longer one.

        :returns: the end of the one that holds.
        """
        if until <= now:
            return until
        kept = self._store.get(f"rest:{key}")
        if kept and kept["until"] >= until and self._holds(kept, now) and not failures:
            return float(kept["until"])
        ttl_s = until - now + (_REMEMBERED_S if failures else 0.0)
        self._store.put(_ANY, True, ttl_s=max(ttl_s, _LONGEST_S))
        rest = {"until": until, "reason": reason, "status": status, "at": now, "failures": failures}
        self._store.put(f"rest:{key}", rest, ttl_s=ttl_s)
        return until

    def _longest(self, account: Account, model: str, now: float) -> Rest | None:
        """The longest of what keeps the account from answering for the model, or None."""
        longest: Rest | None = None
        for key in self._keys(account, model):
            kept = self._store.get(f"rest:{key}")
            if not kept or not self._holds(kept, now):
                continue
            if key == self._fingerprints[account.name] and kept["at"] < self._started:
                self._store.put(f"rest:{key}", {**kept, "until": now}, ttl_s=_REMEMBERED_S)  # for all to see
            elif longest is None or kept["until"] > longest.until:
                longest = _rest(kept, "")
        return longest

    def _holds(self, kept: dict[str, Any], now: float, *, since: float = 0.0) -> bool:
        """Whether a rest is in force; one of the future was recorded before the clock was set back."""
        return bool(kept["until"] > now and since <= kept["at"] <= now + _MAX_SKEW_S)

    def _keys(self, account: Account, model: str) -> tuple[str, str, str]:
        return self._fingerprints[account.name], self._quota(account, model), self._model(account, model)

    def _quota(self, account: Account, model: str) -> str:
        return f"{self.project(account)}/{model}"

    def _model(self, account: Account, model: str) -> str:
        return f"account/{self._fingerprints[account.name]}/{model}"


def _rest(kept: dict[str, Any], model: str) -> Rest:
    return Rest(kept["until"], kept["reason"], kept["status"], model)


def fingerprint(secret: str) -> str:
    """A short name for a secret that does not give it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def next_midnight_pacific(now: float) -> float:
    """When Google's daily quotas begin anew, in Unix seconds.

    "Requests per day (RPD) quotas reset at midnight Pacific time": https://ai.google.dev/gemini-api/docs/rate-limits
    """
    midnight = (_in_pacific(now) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.timestamp()


def is_just_after_midnight_pacific(now: float) -> bool:
    """Whether a quota that is told as used up may be that of the day before: our clock and Google's may differ."""
    return now - _in_pacific(now).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() < _NEW_DAY_S


def _in_pacific(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).astimezone(_pacific())


def _pacific() -> ZoneInfo | timezone:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones: in summer an hour too late, which does no harm
        return timezone(timedelta(hours=-8))
