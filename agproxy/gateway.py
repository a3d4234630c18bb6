"""The attempt loop: one request, tried with up to three accounts until its answer has begun."""

import logging
import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from agproxy import conversations, retry, routing, signatures
from agproxy.accounts import Pool, Rest, duration, unavailable
from agproxy.asks import ANSWER, Ask, Reading, Terms
from agproxy.cancel import Cancel
from agproxy.catalog import Catalog
from agproxy.chat import (
    ChatRequest,
    Event,
    Failed,
    Finish,
    ImageDelta,
    OtherChoice,
    ReasoningDelta,
    Relayed,
    TextDelta,
    Thinking,
    ToolCallStart,
)
from agproxy.choices import OtherChoices, Shared, alone
from agproxy.config import Account, Config
from agproxy.errors import (
    GatewayError,
    UpstreamCut,
    UpstreamError,
    UpstreamRefusal,
    redact,
)
from agproxy.fold import first_calls
from agproxy.jsonwire import decode_json, encode_json
from agproxy.repairs import Repairs
from agproxy.store import Store
from agproxy.transport import Answer, Playback, Transport
from agproxy.upstreams import UPSTREAMS

log = logging.getLogger(__name__)

_AFTER_FINISH_S = 2.0  # how long the end of an answer that is whole may take
_HEAD_START_S = 0.5  # a refusal takes less


class Gateway:
    """One configuration at work.

    :param clock: gives Unix seconds.
    :param new_id: gives a random id of 24 letters and digits.
    :param used: see :class:`~agproxy.accounts.Pool`.
    """

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        transport: Transport,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        used: dict[str, int],
    ) -> None:
        self.config = config
        self.store = store
        self.transport = transport
        self.clock = clock
        self.new_id = new_id
        self.used = used
        self.families = dict(config.families)
        self.pool = Pool(config.accounts, config.scheduling, store, used)
        self.catalog = Catalog(self.pool, store=store, transport=transport, clock=clock)

    def resolve(self, model: str) -> routing.Resolution:
        """The physical model for the name that a client sent; see :func:`agproxy.routing.resolve`."""
        return routing.resolve(model, rules=self.config.models, listed=self.catalog.listed)

    def resolve_any(self, model: str) -> routing.Resolution:
        """The same among all models that are listed, also those that do not chat."""
        return routing.resolve(model, rules=self.config.models, listed=self.catalog.models)


class Call:
    """One request on its way through the pool.

    :param session: the conversation's key; None = the one that ``conversations`` finds.
    :param ask: what is asked.
    :ivar account: the one that was tried last, and so the one that answered.
    :ivar session: the conversation's key.
    :ivar attempts: how many requests went upstream, not counting those with a mended body.
    """

    def __init__(
        self, gateway: Gateway, chat: ChatRequest, *, model: str, session: str | None = None, ask: Ask = ANSWER
    ) -> None:
        self.account: Account | None = None
        self.attempts = 0
        self.cancel = Cancel()
        self._gateway = gateway
        self.session = conversations.key(chat) if session is None else session
        self._chat = self._asked = signatures.restored(chat, gateway.store, self.session)
        self._model = model
        self._ask = ask
        self._quota = ask.quota(model)
        self._tried: set[str] = set()
        self._history = retry.History()
        self._patience_s = gateway.config.scheduling.max_wait_s if ask.is_patient else 0.0
        self._started = False
        self._repairs = Repairs(chat, model=model, store=gateway.store)
        self._encoded: Any = None  # the last request that was made
        self._made_for: tuple[Any, ...] = ()  # what it was made for
        self._requests = Shared()  # all of them: rotation sends the same bytes again
        self._wanted = chat.sampling.choices * (1 + len(chat.further_messages))
        self._accepted = threading.Event() if self._wanted > 1 else None  # for the calls for the others
        self._others: OtherChoices | None = None
        self._first: Call | None = None  # the call that this is one of the others of; its answer is told when whole
        if self._is_split:
            self._chat = alone(self._chat, 0)

    @property
    def _is_split(self) -> bool:
        """Whether each answer is asked for by a call of its own."""
        return bool(self._asked.further_messages) or "n" in self._repairs.without

    @property
    def ignored(self) -> tuple[str, ...]:
        """The request fields that are not honoured, as far as is known, by the names that the hub has for them."""
        return tuple(dict.fromkeys((*self.unread, *self.unhonoured)))

    @property
    def unread(self) -> tuple[str, ...]:
        """Those of them that were not read, by the client's own names."""
        return self._chat.ignored

    @property
    def unhonoured(self) -> tuple[str, ...]:
        """Those of them that the upstream does not honour."""
        return (*(self._encoded.ignored if self._encoded else ()), *self._repairs.ignored)

    def check(self) -> None:
        """Encode the request, before any account is asked for.

        :raises BadRequest: when it holds what no upstream of the pool could answer.
        """
        for account in self._gateway.pool.accounts[:1]:
            self._encode(UPSTREAMS[account.type])

    def estimate(self) -> int:
        """About how many tokens the request has, where nobody can be asked."""
        upstream = next((UPSTREAMS[account.type] for account in self._gateway.pool.accounts), UPSTREAMS["gemini"])
        tokens: int = upstream.estimate(self._encode(upstream).body)
        return tokens

    def events(self, before_read: Callable[[], None] = lambda: None) -> Iterator[Event]:
        """The events of the answer. Until the first that a client could see, a failure leads to another attempt.

        :param before_read: called before each read that may block.
        :raises GatewayError: when all attempts failed before that; later failures are a ``Failed`` event.
        """
        events = self._answer(before_read)
        if self._wanted > 1:
            events = self._with_others(events, before_read)
        return events if self._chat.parallel_calls else first_calls(events)

    def _answer(self, before_read: Callable[[], None]) -> Iterator[Event]:
        if self._first is not None:
            self._follow(self._first)
        if self._is_split:
            self._ask_for_others(range(1, self._wanted))
        account = self._take(None)
        while True:
            self.account = account
            self.attempts += 1
            try:
                yield from self._attempt(account, before_read)
                return
            except UpstreamError as error:
                if self.cancel.cancelled.is_set():  # the client has gone
                    raise
                if self._started:
                    words = _one_line(error.message, account)
                    log.warning("answer broke off account=%s model=%s error=%s", account.name, self._model, words)
                    yield Failed(self._final(error))
                    return
                account = self._after(error, account)

    def _with_others(self, events: Iterator[Event], before_read: Callable[[], None]) -> Iterator[Event]:
        """The answer, and before its end the others that were asked for beside it, where the model gives too few."""
        missing = set(range(1, self._wanted))
        try:
            for event in events:
                if isinstance(event, OtherChoice):
                    missing.discard(event.number)
                elif isinstance(event, Finish):
                    self._ask_for_others(sorted(missing))
                if isinstance(event, Finish) and self._others is not None:
                    tell = self._others.whole if self._chat.stream else self._others.events
                    try:
                        yield from tell(before_read)
                    except GatewayError as error:
                        if self._chat.stream:
                            yield OtherChoice(0, event)  # it is whole, but not the end of all
                        yield Failed(error)
                        return
                    self.attempts += self._others.attempts
                    event = replace(event, usage=self._others.usage(event.usage))
                yield event
        finally:
            if self._others is not None:
                self._others.stop()
            if self._accepted is not None:
                self._accepted.set()  # nobody shall wait for it any more

    def _attempt(self, account: Account, before_read: Callable[[], None]) -> Iterator[Event]:
        upstream = UPSTREAMS[account.type]
        encoded = self._encode(upstream)
        answer = self._send(upstream, account, encoded.body)
        try:
            if answer.status != 200:
                now = self._gateway.clock()
                raise upstream.decode_error(answer.status, answer.headers, answer.error_body(), now=now)
            if self._accepted is not None:
                self._accepted.set()
            if not self._chat.stream:  # the headers come with the answer, so nothing is left to be waited for
                answer.set_timeout(self._gateway.config.upstream.silence_timeout_s)
            chunks = answer.chunks(before_read)
            held: list[Event] = []
            heard = False
            keeper = signatures.Keeper(self._gateway.store, self.session, with_arguments=self._chat.reshapes_calls)
            for event in self._ask.events(upstream, chunks, self._chat, self._reading(encoded, answer)):
                inner = event.event if isinstance(event, OtherChoice) else event
                if isinstance(inner, Finish) and inner.note:
                    words = _one_line(inner.note, account)
                    log.info("answer ended account=%s model=%s reason=%s", account.name, self._model, words)
                keeper.note(event)
                if self._started:
                    yield event
                    continue
                held.append(event)
                if isinstance(event, Finish) or (self._chat.stream and not heard and _is_seen(event)):
                    heard = True
                    answer.set_timeout(self._gateway.config.upstream.silence_timeout_s)
                    if self._first is not None and not isinstance(event, Finish):
                        continue
                    self._started = True
                    self._gateway.pool.succeeded(
                        account, model=self._quota, session=self.session if self._ask.sticks else ""
                    )
                    self._proved()
                    yield from held
        finally:
            answer.close()

    def _reading(self, encoded: Any, answer: "Answer | Playback") -> Reading:
        return Reading(
            encoded,
            new_id=lambda: f"call_{self._gateway.new_id()}",
            is_last=self._history.unusable > 0 or self.attempts >= self._gateway.config.upstream.max_attempts,
            on_finished=lambda: answer.set_timeout(_AFTER_FINISH_S),
        )

    def _send(self, upstream: ModuleType, account: Account, body: bytes) -> "Answer | Playback":
        stream, model = self._chat.stream, self._model
        body = self._ask.body(upstream, body, model)
        if hasattr(upstream, "play"):
            return Playback(self._ask.play(upstream, body, model, stream=stream), self.cancel)
        return self._gateway.transport.post(
            self._ask.url(upstream, account.base_url, model, stream=stream),
            upstream.headers(account.api_key),
            body,
            timeout_s=self._gateway.config.upstream.first_event_timeout_s,
            cancel=self.cancel,
        )

    def _encode(self, upstream: ModuleType) -> Any:
        repairs = self._repairs
        made_for = (upstream, self._chat, repairs, repairs.count)
        if made_for == self._made_for:  # of each of them it is the same object
            return self._encoded
        terms = Terms(
            model=self._gateway.families.get(self._model, self._model),
            keep_signatures=repairs.keep_signatures,
            dropped=repairs.dropped,
            without=repairs.without,
            safety=self._gateway.config.safety.settings,
        )
        state = (terms.keep_signatures, frozenset(terms.dropped.items()), terms.without)
        self._encoded = self._requests.get(
            (upstream, id(self._chat.messages), self._chat.sampling, state),
            lambda: self._ask.encode(upstream, self._chat, terms),
        )
        self._made_for = made_for
        return self._encoded

    # After a failed attempt.

    def _after(self, error: UpstreamError, account: Account) -> Account:
        """The account for the next attempt.

        :raises GatewayError: when there is none; the cause as the client should see it.
        """
        words = _one_line(error.message, account)
        verdict = retry.decide(error, self._history, mendable=self._mendable(error, account))
        log.info(
            "attempt failed account=%s model=%s attempt=%d action=%s error=%s",
            account.name,
            self._model,
            self.attempts,
            verdict.action,
            words,
        )
        # Others will read it too, and what a message quotes may be this client's.
        reason = retry.unquoted(words)
        self._gateway.pool.rest(account, verdict, model=self._quota, reason=reason, now=self._gateway.clock())
        if verdict.action == "mend" and isinstance(error, UpstreamRefusal):
            self._mend(error, account)
            self.attempts -= 1  # a repair is not an attempt
            return account
        if verdict.action == "give_up" or self.attempts >= self._gateway.config.upstream.max_attempts:
            raise self._final(error) from error
        if verdict.backoff_s:
            self._wait(verdict.backoff_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing
        if verdict.action == "same":
            return account
        self._tried.add(account.name)
        if verdict.action == "elsewhere":
            for other in self._gateway.pool.accounts:
                if other.name not in self._tried and self._gateway.catalog.holds(other, self._model):
                    return other
            raise self._final(error) from error
        self._history.same_account = 0
        return self._take(error)

    def _take(self, cause: UpstreamError | None) -> Account:
        """An account for the next attempt; waits for one as long as the patience of ``max_wait_s`` lasts."""
        while True:
            now = self._gateway.clock()
            choice = self._choose(now)
            if isinstance(choice, Account):
                return choice
            wait_s = choice.until - now
            if wait_s > self._patience_s:
                if cause is not None:
                    raise self._final(cause) from cause
                raise unavailable(choice, self._model, wait_s)
            self._patience_s -= wait_s
            self._wait(wait_s)

    def _choose(self, now: float) -> Account | Rest:
        take = self._gateway.pool.take
        choice = take(model=self._quota, session=self.session, tried=self._tried, now=now, patience_s=self._patience_s)
        if isinstance(choice, Rest) and self._tried:  # everyone has had a try: those who do not rest, once more
            self._tried.clear()
            choice = take(model=self._quota, session=self.session, tried=(), now=now, patience_s=self._patience_s)
        return choice

    def _wait(self, seconds: float) -> None:
        if self.cancel.cancelled.wait(seconds):
            raise UpstreamCut("cancelled")

    def _final(self, error: UpstreamError) -> GatewayError:
        """The last real cause as the client should see it, with the time after which a retry may work."""
        final = retry.client_error(error)
        final.message = redact(final.message, self._secrets())
        if isinstance(final, UpstreamRefusal) and final.details:
            final.details = tuple(decode_json(redact(encode_json(final.details).decode(), self._secrets()).encode()))
        if final.status == 429:
            now = self._gateway.clock()
            rest = self._gateway.pool.rests(model=self._quota, now=now)
            if rest is not None and math.isfinite(rest.until):
                final.retry_after_s, final.retry_at = rest.until - now, rest.until
                final.message += f" (agproxy: the first account is free again in {duration(final.retry_after_s)})"
        return final

    def _secrets(self) -> list[str]:
        return [account.api_key for account in self._gateway.config.accounts if account.api_key]

    # Repairs of the request.

    def _mendable(self, error: UpstreamError, account: Account) -> bool:
        if not isinstance(error, UpstreamRefusal):
            return False
        upstream = UPSTREAMS[account.type]
        return self._repairs.can_mend(error, upstream, used=self._encode(upstream).used)

    def _mend(self, error: UpstreamRefusal, account: Account) -> None:
        upstream = UPSTREAMS[account.type]
        self._repairs.mend(error, upstream, used=self._encode(upstream).used)
        if "n" in self._repairs.without:
            self._ask_for_others(range(1, self._wanted))

    def _proved(self) -> None:
        """The request was accepted: what was mended in it, the next ones need not try."""
        if not self._repairs.keep_signatures:
            signatures.refused(self._asked, self._gateway.store, self.session)
        self._repairs.proved()

    # Other answers.

    def _ask_for_others(self, numbers: Sequence[int]) -> None:
        """Ask for the answers of these numbers by calls of their own, and for one by this; only once."""
        if self._others is None and numbers:
            calls = {number: Call(self._gateway, alone(self._asked, number), model=self._model) for number in numbers}
            for call in calls.values():
                call._first, call._requests = self, self._requests
            self._chat = alone(self._asked, 0)
            self._others = OtherChoices(calls, self.cancel)

    def _follow(self, first: "Call") -> None:
        """Take over what the first call has learned: what may be refused to all of them is refused to it alone."""
        if self._chat.json_format is not None or self._chat.thinking != Thinking():  # other refusals are remembered
            assert first._accepted is not None  # noqa: S101 (it has others)
            first._accepted.wait(_HEAD_START_S)
        if self.cancel.cancelled.is_set():
            raise UpstreamCut("cancelled")
        self._repairs = first._repairs.copy()


def _is_seen(event: Event) -> bool:
    """Whether a client sees something of the event; once it does the status line is gone."""
    if isinstance(event, OtherChoice):
        event = event.event
    if isinstance(event, TextDelta | ReasoningDelta):
        return bool(event.text)
    if isinstance(event, Relayed):
        return event.is_seen
    return isinstance(event, ToolCallStart | ImageDelta)


def _one_line(words: str, account: Account) -> str:
    """Words for the log, without the account's key."""
    return redact(" ".join(words.split()), [account.api_key])[:300]
