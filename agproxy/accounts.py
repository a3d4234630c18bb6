"""The pool: which account answers next.

What one request learns is kept in the store, so that all that share it know; only the order of use is this
process's own.
"""

import itertools
import logging
import math
import threading
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

from agproxy.config import Account, Scheduling
from agproxy.errors import GatewayError, ModelNotFound, PoolUnavailable
from agproxy.line import Line
from agproxy.pauses import Pauses, Rest
from agproxy.store import Offer, Store

log = logging.getLogger(__name__)

_SESSION_TTL_S = 3600.0
_LOOK_S = 0.02  # how soon the first in line looks again for room; those behind it, later
_LONGEST_LOOK_S = 0.25
_PROBED_S = 1.0  # ... and for what has become of a request that tries a key again


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an account is wanted for.

    :param model: the model that it is to answer for.
    :param quota: what the quota that is used is counted by.
    :param session: tells conversations apart; one keeps its account, whose caches know it. Empty = it is none.
    :param claims: whether the account that is taken first is the conversation's from then on.
    :param beside: name of the account that answers the same request already, and so the first choice for this one.
    :param is_limited: whether the limits of accounts count for it.
    :param without: names of accounts that cannot answer for the model.
    """

    model: str
    quota: str
    session: str = ""
    claims: bool = False
    beside: str = ""
    is_limited: bool = True
    without: frozenset[str] = frozenset()


class Pool:
    """The accounts of one configuration.

    :param used: when each account, by name, was last taken; lives on when the configuration is read again.
    :param started: when agproxy began, in Unix seconds.
    :ivar accounts: those that serve.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        scheduling: Scheduling,
        store: Store,
        used: dict[str, int],
        *,
        started: float = 0.0,
    ) -> None:
        self.accounts = tuple(account for account in accounts if account.enabled and not account.problem)
        self.pauses = Pauses(accounts, store, started=started)
        self._offers = {account.name: self._offer(account) for account in self.accounts}
        self._all = tuple(accounts)
        self._scheduling = scheduling
        self._store = store
        self._used = used
        self._sequence = itertools.count(max(used.values(), default=0) + 1)
        self._lock = threading.Lock()
        self._beginnings: dict[str, int] = {}
        self._line = Line()
        for account in accounts:
            if account.problem:
                log.warning("account is out account=%s reason=%s", account.name, account.problem)

    def take(
        self, wanted: Wanted, *, tried: Collection[str], now: float, patience_s: float = 0.0, who: Hashable = None
    ) -> Account | Rest:
        """The account for the next attempt, or why there is none; one that is limited is to be given back.

        Pinned before sticky before the best of the rest, by priority and then by least recent use.

        :param tried: names of accounts that are not to be taken.
        :param patience_s: how long ``cache_first`` may wait for the conversation's own account.
        :param who: asks, and is in line when there is no room, until there is some or they ``leave``; None waits not.
        """
        serving = self._serving(wanted)
        rests = self.pauses.of(serving, wanted.quota, now)
        candidates = {each.name: each for each in serving if not rests[each.name] and each.name not in tried}
        sticky = self._sticky(wanted)
        if self._scheduling.mode == "cache_first" and self._scheduling.pin not in candidates:
            own = self._own(candidates.get(sticky), rests.get(sticky), wanted, now, who)
            if isinstance(own, Account) or (own is not None and own.until - now <= patience_s):
                return own
        with self._lock:
            order = self._ordered(candidates, sticky)
            if order:
                self._note_use(order[0])  # whoever comes meanwhile begins with another
        if order and wanted.claims and not sticky and self._scheduling.mode != "performance_first":
            claimed = self._store.add(f"session:{wanted.session}", order[0].name, ttl_s=_SESSION_TTL_S)
            order.sort(key=lambda account: account.name != claimed)
        choice = self._with_room(order, wanted, now, who)
        if isinstance(choice, Account):
            if choice is not order[0]:
                self._note_use(choice)
            return choice
        if not candidates and not all(rests.values()):
            return Rest(now, "all accounts have been tried", 503)
        return self._soonest([choice, *rests.values()], wanted.model)

    def retake(self, account: Account, wanted: Wanted, *, always: bool = False) -> bool:
        """Take this one for another attempt; whether it has room.

        :param always: count it, whether it has or not.
        """
        offer = Offer(self.pauses.fingerprint(account)) if always else self._offers[account.name]
        return not wanted.is_limited or self._store.ledger.take([offer]) is not None

    def release(self, account: Account, wanted: Wanted) -> None:
        """What it was taken for has ended."""
        if wanted.is_limited:
            self._store.ledger.release(self._offers[account.name].key)
        self.pauses.has_tried(account)

    def leave(self, who: Hashable) -> None:
        """They wait for no room any more."""
        self._line.leave(who)

    def begin(self, session: str) -> bool:
        """A conversation begins, as far as can be seen; whether no other one of the same key is beginning now."""
        with self._lock:
            self._beginnings[session] = self._beginnings.get(session, 0) + 1
            return self._beginnings[session] == 1

    def begun(self, session: str) -> None:
        """It has its first answer, or none; once for each ``begin``."""
        with self._lock:
            self._beginnings[session] -= 1
            if not self._beginnings[session]:
                del self._beginnings[session]

    def rests(self, wanted: Wanted, *, now: float) -> Rest | None:
        """Why no account can be taken, or None when one can, though it may have no room now."""
        rests = self.pauses.of(self._serving(wanted), wanted.quota, now).values()
        return self._soonest(rests, wanted.model) if all(rests) else None

    def succeeded(self, account: Account, *, quota: str, session: str, since: float) -> None:
        """The account answered: its conversation stays with it, and what counted against it is forgotten.

        :param session: empty = the conversation, if any, stays where it is.
        :param since: when the request was sent, in Unix seconds.
        """
        self.pauses.clear(account, model=quota, since=since)
        if session and self._scheduling.mode != "performance_first":
            self._store.put(f"session:{session}", account.name, ttl_s=_SESSION_TTL_S)

    def _serving(self, wanted: Wanted) -> Sequence[Account]:
        return [each for each in self.accounts if each.serves(wanted.model) and each.name not in wanted.without]

    def _sticky(self, wanted: Wanted) -> str:
        """The name of the account that the conversation is with, or empty."""
        if self._scheduling.mode == "performance_first":
            return ""
        if wanted.beside or not wanted.session:
            return wanted.beside
        return self._store.get(f"session:{wanted.session}") or ""

    def _own(
        self, account: Account | None, resting: Rest | None, wanted: Wanted, now: float, who: Hashable
    ) -> Account | Rest | None:
        """The conversation's own account, or what would have to be waited for until it is free; None = it has none.

        :param account: it, if it does not rest.
        """
        choice = resting if account is None else self._with_room([account], wanted, now, who)
        if isinstance(choice, Account):
            self._note_use(choice)
        return choice

    def _ordered(self, candidates: dict[str, Account], sticky: str) -> list[Account]:
        """The candidates, those to be taken first in front."""
        left = dict(candidates)
        first = [left.pop(name) for name in (self._scheduling.pin, sticky) if name in left]
        return [*first, *sorted(left.values(), key=self._rank)]

    def _note_use(self, account: Account) -> None:
        self._used[account.name] = next(self._sequence)

    def _rank(self, account: Account) -> tuple[int, int]:
        return -account.priority, self._used.get(account.name, 0)

    def _with_room(self, order: Sequence[Account], wanted: Wanted, now: float, who: Hashable) -> Account | Rest | None:
        """The first that has room, counted as in use, or when one will have; None when there are none."""
        ledger = self._store.ledger
        ahead = self._line.ahead_of(who) if wanted.is_limited else Counter()
        waiting: list[Rest] = []
        left = list(order)
        while left:
            key = ledger.take(self._offered(left, ahead)) if wanted.is_limited else None
            if wanted.is_limited and key is None:
                waiting += [self._full(account, now, ahead[account.name]) for account in left]
                if who is not None:
                    self._line.join(who, (account.name for account in left))
                break
            found = next(each for each in left if not key or self._offers[each.name].key == key)
            if self.pauses.may_try(found):
                self._line.leave(who)
                return found
            if key is not None:
                ledger.release(key)
            left.remove(found)
            waiting.append(Rest(now + _PROBED_S, "its key was refused; a request is trying it again", 502))
        return min(waiting, key=lambda rest: rest.until, default=None)

    def _offered(self, accounts: Sequence[Account], ahead: Counter[str]) -> list[Offer]:
        """What may be taken: as much room as those ahead have to find is left alone."""
        found = []
        for account in accounts:
            offer, before = self._offers[account.name], ahead[account.name]
            if before:
                key, in_flight, per_minute = offer
                if 0 < in_flight <= before or 0 < per_minute <= before:
                    continue
                offer = Offer(key, in_flight and in_flight - before, per_minute and per_minute - before)
            found.append(offer)
        return found

    def _offer(self, account: Account) -> Offer:
        return Offer(self.pauses.fingerprint(account), account.max_in_flight, account.requests_per_minute)

    def _full(self, account: Account, now: float, ahead: int) -> Rest:
        use = self._store.ledger.use(self._offers[account.name].key)
        look_s = min(_LOOK_S * (1 + ahead), _LONGEST_LOOK_S)
        has_had_all = 0 < account.requests_per_minute <= use.last_minute
        if has_had_all or not account.max_in_flight:
            reason = f"it has had its {account.requests_per_minute} requests per minute"
            return Rest(now + (max(use.fewer_in_s, look_s) if has_had_all else look_s), reason, 429)
        return Rest(now + look_s, f"as many requests are under way as it may have: {account.max_in_flight}", 429)

    def _soonest(self, rests: Iterable[Rest | None], model: str) -> Rest:
        return min((rest for rest in rests if rest), key=lambda rest: rest.until, default=self._nobody(model))

    def _nobody(self, model: str) -> Rest:
        if self.accounts:
            return Rest(math.inf, f"no account of the pool may be asked for {model}", 404)
        if any(account.problem for account in self._all):  # which may tell paths: not for clients
            return Rest(math.inf, "no account of the pool has a usable key; 'agproxy check' and the log say why", 502)
        return Rest(math.inf, "all accounts of the pool are disabled", 503)


def unavailable(rest: Rest, model: str, wait_s: float) -> GatewayError:
    """The error of a request that no account can be taken for."""
    if rest.status == 404:
        return ModelNotFound(f"{rest.reason}; see 'models' of the accounts in agproxy's INI", param="model")
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
