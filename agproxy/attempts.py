"""With which account, and for which model, a request is tried next, and what its client is told when nobody is left."""

import logging
import math
import random
from dataclasses import replace

from agproxy import retry
from agproxy.accounts import Wanted, duration, unavailable
from agproxy.asks import Ask
from agproxy.cancel import Cancel
from agproxy.config import Account
from agproxy.errors import GatewayError, UpstreamError, UpstreamRefusal, redact
from agproxy.gateway import Gateway
from agproxy.jsonwire import decode_json, encode_json
from agproxy.pauses import Rest

log = logging.getLogger(__name__)

_SPREAD_S = 1.0  # all who wait for one account wake up within this time of each other
_OVERLOADED = (429, 503, 529)


class Attempts:
    """The attempts of one request, one after the other, each with an account that is taken for it.

    :param session: the conversation's key; empty = it is none.
    :param is_begun: whether the conversation is known to be one: its client names it, or it has been answered before.
    :param cancel: ends a wait.
    :ivar model: the model that is asked now.
    :ivar ask: what is asked of it.
    :ivar account: the account that was tried last, and so the one that answered.
    :ivar count: how many requests went upstream, not counting those with a mended body.
    :ivar history: what has gone wrong so far.
    """

    def __init__(self, gateway: Gateway, *, ask: Ask, model: str, session: str, is_begun: bool, cancel: Cancel) -> None:
        self.model = model
        self.ask = ask
        self.account: Account | None = None
        self.count = 0
        self.history = retry.History()
        self._gateway = gateway
        self._pool = gateway.pool
        self._cancel = cancel
        self._session = session if ask.sticks else ""  # that is bound to whoever answers
        self._begins = session if ask.sticks and not is_begun else ""
        self._wanted = Wanted(
            model,
            quota=ask.quota(model),
            session=session,
            claims=bool(session) and ask.sticks and is_begun,
            is_limited=ask.is_patient,
        )
        self._patience_s = gateway.config.scheduling.max_wait_s if ask.is_patient else 0.0
        self._max_count = gateway.config.upstream.max_attempts
        self._tried: set[str] = set()
        self._held: Account | None = None  # taken, and to be given back
        self._since = 0.0  # when it was
        self._cause: GatewayError | None = None  # why the first model did not answer, once it is another's turn

    @property
    def is_last(self) -> bool:
        """Whether an answer counts whatever it is, for none will be asked for after it."""
        return self.history.unusable > 0 or self.count >= self._max_count

    def wait_for(self, others: int) -> None:
        """Have patience for so many requests beside this one: where there is room for one they take turns."""
        self._patience_s *= 1 + others

    def go_beside(self, other: "Attempts") -> None:
        """Be with another request of the same conversation, with the account that it has; only before the first.

        Where the conversation stays is for the other one to say.
        """
        assert other.account is not None  # noqa: S101 (it has begun)
        self._wanted = replace(self._wanted, beside=other.account.name)
        self._session = self._begins = ""

    def first(self) -> Account:
        """The account for the first attempt.

        :raises GatewayError: when there is none.
        """
        if self._begins and not self._pool.begin(self._begins):
            # Conversations go on one request after the other: this is another one that begins in the same way.
            self._wanted = replace(self._wanted, session="")
        return self._begun(self._take(None))

    def after(self, error: UpstreamError, *, mendable: bool) -> Account | None:
        """The account for the next attempt, or None for the same one with a mended request.

        :param mendable: the request can be changed so that this error does not come again.
        :raises GatewayError: when there is none; the cause as the client should see it.
        """
        account = self.account
        assert account is not None  # noqa: S101 (it has just failed)
        verdict = self._noted(error, account, mendable=mendable)
        if verdict.action == "mend":
            self._pool.retake(account, self._wanted, always=True)
            self._held = account
            return None
        if verdict.action == "give_up":
            raise self._last(error) from error
        if self.count >= self._max_count:
            return self._with_other_model(error)
        if verdict.backoff_s:
            self._wait(verdict.backoff_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing
        if verdict.action == "same" and self._pool.retake(account, self._wanted):
            return self._begun(account)
        self._tried.add(account.name)
        if verdict.action == "elsewhere":
            return self._begun(self._elsewhere(error))
        self.history.same_account = 0
        return self._begun(self._take(error))

    def succeeded(self) -> None:
        """The account's answer has begun."""
        assert self.account is not None  # noqa: S101 (it has just answered)
        self._pool.succeeded(self.account, quota=self._wanted.quota, session=self._session, since=self._since)

    def release(self) -> None:
        """The exchange is over: the account has room for another. Does nothing when that was said before."""
        held, self._held = self._held, None
        if held is not None:
            self._pool.release(held, self._wanted)

    def close(self) -> None:
        """No attempt will follow."""
        self.release()
        self._pool.leave(self)
        begins, self._begins = self._begins, ""
        if begins:
            self._pool.begun(begins)

    def one_line(self, words: str) -> str:
        """Words for the log, without the account's key."""
        return redact(" ".join(words.split()), [self.account.api_key] if self.account else [])[:300]

    def final(self, error: UpstreamError) -> GatewayError:
        """The last real cause as the client should see it, with the time after which a retry may work."""
        final = retry.client_error(error)
        secrets = [account.api_key for account in self._gateway.config.accounts if account.api_key]
        final.message = redact(final.message, secrets)
        if isinstance(final, UpstreamRefusal) and final.details:
            final.details = tuple(decode_json(redact(encode_json(final.details).decode(), secrets).encode()))
        if final.status == 429:
            now = self._gateway.clock()
            rest = self._pool.rests(self._wanted, now=now)
            if rest is not None and math.isfinite(rest.until):
                final.retry_after_s, final.retry_at = rest.until - now, rest.until
                final.message += f" (agproxy: the first account is free again in {duration(final.retry_after_s)})"
        return final

    def _last(self, error: UpstreamError) -> GatewayError:
        """What to tell when nobody is left: if another model was asked in the end, why the first one did not answer."""
        return self.final(error) if self._cause is None else self._cause

    def _noted(self, error: UpstreamError, account: Account, *, mendable: bool) -> retry.Verdict:
        """What to do; what the error says about the account is noted for all."""
        words = self.one_line(error.message)
        verdict = retry.decide(error, self.history, mendable=mendable)
        log.info(
            "attempt failed account=%s model=%s attempt=%d action=%s error=%s",
            account.name,
            self.model,
            self.count,
            verdict.action,
            words,
        )
        # Others will read it too, and what a message quotes may be this client's.
        reason = retry.unquoted(words)
        now = self._gateway.clock()
        self._pool.pauses.record(account, verdict, model=self._wanted.quota, reason=reason, now=now)
        if verdict.scope == "quota":  # which is counted for keys that are good
            self._pool.pauses.forget(account)
        self.release()
        return verdict

    def _begun(self, account: Account) -> Account:
        """Count an attempt with an account that was taken."""
        self.account = self._held = account
        self.count += 1
        self._since = self._gateway.clock()
        return account

    def _elsewhere(self, error: UpstreamError) -> Account:
        """Another account that lists the model: one of these from now on."""
        accounts = self._pool.accounts
        without = {each.name for each in accounts if not self._gateway.catalog.holds(each, self.model)} | self._tried
        if all(each.name in without or not each.serves(self.model) for each in accounts):
            raise self._last(error) from error
        self._wanted = replace(self._wanted, without=self._wanted.without | without)
        return self._take(None)

    def _take(self, cause: UpstreamError | None) -> Account:
        """An account for the next attempt; waits for one as long as the patience of ``max_wait_s`` lasts."""
        while True:
            now = self._gateway.clock()
            choice = self._choose(now)
            if isinstance(choice, Account):
                return choice
            wait_s = choice.until - now
            is_long = wait_s > self._patience_s
            if (is_long or self._pool.rests(self._wanted, now=now)) and (model := self._fallback(now)):
                self._turn_to(model, self.final(cause) if cause else unavailable(choice, self.model, wait_s))
                continue
            if is_long:
                raise self._last(cause) if cause else self._cause or unavailable(choice, self.model, wait_s)
            self._patience_s -= wait_s
            self._wait(wait_s + random.uniform(0.0, min(_SPREAD_S, wait_s / 10)))  # noqa: S311 - as above

    def _choose(self, now: float) -> Account | Rest:
        wanted, patience_s = self._wanted, self._patience_s
        choice = self._pool.take(wanted, tried=self._tried, now=now, patience_s=patience_s, who=self)
        if isinstance(choice, Rest) and self._tried:  # everyone has had a try: those who do not rest, once more
            self._tried.clear()
            choice = self._pool.take(wanted, tried=(), now=now, patience_s=patience_s, who=self)
        return choice

    def _wait(self, seconds: float) -> None:
        if self._cancel.cancelled.wait(seconds):
            raise self._cancel.error

    # Other models.

    def _with_other_model(self, error: UpstreamError) -> Account:
        """An account for an attempt with the next model, if the service is out of quota for this one, or overloaded."""
        last = self._last(error)
        model = self._fallback(self._gateway.clock()) if last.status in _OVERLOADED else None
        if model is None:
            raise last from error
        self._turn_to(model, last)
        return self._begun(self._take(error))

    def _fallback(self, now: float) -> str | None:
        """The next model by ``[fallback]`` that somebody can be asked for."""
        if not self.ask.sticks:
            return None
        following = dict(self._gateway.config.fallback)
        model = following.get(self.model)
        while model is not None and self._pool.rests(self._wanted_for(model), now=now):
            model = following.get(model)
        return model

    def _turn_to(self, model: str, cause: GatewayError) -> None:
        log.warning("fallback model=%s to=%s reason=%s", self.model, model, self.one_line(cause.message))
        self._cause = self._cause or cause
        self._wanted = self._wanted_for(model)
        self.model, self.ask = model, self.ask.of(model)
        self.history = retry.History()
        self._tried.clear()
        self._max_count = max(self._max_count, self.count + 1)

    def _wanted_for(self, model: str) -> Wanted:
        return replace(self._wanted, model=model, quota=self.ask.quota(model), without=frozenset())
