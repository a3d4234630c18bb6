"""One request on its way: encoded, tried until its answer has begun, mended where that helps, its answer decoded."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from agproxy import conversations, models, signatures
from agproxy.asks import ANSWER, Ask, Reading, Terms
from agproxy.attempts import Attempts
from agproxy.cancel import Cancel
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
from agproxy.config import Account
from agproxy.errors import GatewayError, UpstreamError, UpstreamRefusal
from agproxy.fold import first_calls
from agproxy.gateway import Gateway
from agproxy.repairs import Repairs
from agproxy.transport import Answer, Playback
from agproxy.upstreams import UPSTREAMS

log = logging.getLogger(__name__)

_AFTER_FINISH_S = 2.0  # how long the end of an answer that is whole may take
_HEAD_START_S = 0.5  # a refusal takes less


class Call:
    """One request on its way through the pool.

    :param session: the conversation's key; None = the one that ``conversations`` finds.
    :param ask: what is asked.
    :ivar session: the conversation's key.
    """

    def __init__(
        self, gateway: Gateway, chat: ChatRequest, *, model: str, session: str | None = None, ask: Ask = ANSWER
    ) -> None:
        self.cancel = Cancel()
        self.session = conversations.key(chat) if session is None else session
        self._gateway = gateway
        self._given = chat
        self._chat = self._asked = self._signed(chat, model)
        self._attempts = Attempts(
            gateway,
            ask=ask,
            model=model,
            session=self.session,
            is_begun=session is not None or conversations.is_begun(chat),
            cancel=self.cancel,
        )
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
    def account(self) -> Account | None:
        """The account that was tried last, and so the one that answered."""
        return self._attempts.account

    @property
    def model(self) -> str:
        """The model that was asked last, and so the one that answered."""
        return self._attempts.model

    @property
    def attempts(self) -> int:
        """How many requests went upstream, not counting those with a mended body."""
        return self._attempts.count + (self._others.attempts if self._others is not None else 0)

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
        attempts = self._attempts
        if self._first is not None:
            self._follow(self._first)
        model = self.model
        try:
            account = attempts.first()
            self._turn_from(model)
            while True:
                try:
                    yield from self._attempt(account, before_read)
                    return
                except UpstreamError as error:
                    self.cancel.check()  # the client has gone, or agproxy stops
                    if self._started:
                        words = attempts.one_line(error.message)
                        log.warning("answer broke off account=%s model=%s error=%s", account.name, self.model, words)
                        yield Failed(attempts.final(error))
                        return
                    account = self._after(error, account)
        finally:
            attempts.close()

    def _after(self, error: UpstreamError, account: Account) -> Account:
        """The account for the next attempt, with the request as it is to be sent then."""
        model = self.model
        following = self._attempts.after(error, mendable=self._mendable(error, account))
        if following is None:
            assert isinstance(error, UpstreamRefusal)  # noqa: S101 (only those can be mended)
            self._mend(error, account)
            return account
        self._turn_from(model)
        return following

    def _turn_from(self, model: str) -> None:
        """Make the request what it has to be for the model that is asked now, and ask for the others beside it."""
        if self.model != model:
            self._repairs = self._repairs.for_model(self.model)
            self._asked = self._signed(self._given, self.model)
            self._chat = self._asked if self._others is None else alone(self._asked, 0)
        if self._is_split:
            self._ask_for_others(range(1, self._wanted))

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
            keeper = self._keeper(account)
            for event in self._attempts.ask.events(upstream, chunks, self._chat, self._reading(encoded, answer)):
                inner = event.event if isinstance(event, OtherChoice) else event
                if isinstance(inner, Finish) and inner.note:
                    words = self._attempts.one_line(inner.note)
                    log.info("answer ended account=%s model=%s reason=%s", account.name, self.model, words)
                if isinstance(event, Finish):
                    self._attempts.release()
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
                    self._attempts.succeeded()
                    self._proved()
                    yield from held
        finally:
            answer.close()
            self._attempts.release()

    def _reading(self, encoded: Any, answer: "Answer | Playback") -> Reading:
        return Reading(
            encoded,
            new_id=lambda: f"call_{self._gateway.new_id()}",
            is_last=self._attempts.is_last,
            on_finished=lambda: answer.set_timeout(_AFTER_FINISH_S),
        )

    def _send(self, upstream: ModuleType, account: Account, body: bytes) -> "Answer | Playback":
        stream, model = self._chat.stream, self.model
        body = self._attempts.ask.body(upstream, body, model)
        if hasattr(upstream, "play"):
            return Playback(self._attempts.ask.play(upstream, body, model, stream=stream), self.cancel)
        return self._gateway.transport.post(
            self._attempts.ask.url(upstream, account.base_url, model, stream=stream),
            upstream.headers(account.api_key),
            body,
            timeout_s=self._gateway.config.upstream.first_event_timeout_s,
            cancel=self.cancel,
        )

    def _encode(self, upstream: ModuleType) -> Any:
        repairs = self._repairs
        made_for = (upstream, self._chat, self.model, repairs, repairs.count)
        if made_for == self._made_for:  # of each of them it is the same object
            return self._encoded
        terms = Terms(
            model=self._gateway.rules_of(self.model),
            keep_signatures=repairs.keep_signatures,
            dropped=repairs.dropped,
            without=repairs.without,
            safety=self._gateway.config.safety.settings,
        )
        state = (terms.keep_signatures, frozenset(terms.dropped.items()), terms.without)
        self._encoded = self._requests.get(
            (upstream, id(self._chat.messages), self._chat.sampling, self.model, state),
            lambda: self._attempts.ask.encode(upstream, self._chat, terms),
        )
        self._made_for = made_for
        return self._encoded

    # Thought signatures.

    def _signed(self, chat: ChatRequest, model: str) -> ChatRequest:
        return signatures.restored(
            chat, self._gateway.store, self.session, family=models.family(self._gateway.rules_of(model))
        )

    def _keeper(self, account: Account) -> signatures.Keeper:
        return signatures.Keeper(
            self._gateway.store,
            self.session,
            project=self._gateway.pool.pauses.project(account),
            family=models.family(self._gateway.rules_of(self.model)),
            with_arguments=self._chat.reshapes_calls,
        )

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
            calls = {number: Call(self._gateway, alone(self._asked, number), model=self.model) for number in numbers}
            for call in calls.values():
                call._first, call._requests = self, self._requests
                call._attempts.wait_for(len(calls))
            self._attempts.wait_for(len(calls))
            self._chat = alone(self._asked, 0)
            self._others = OtherChoices(calls, self.cancel)

    def _follow(self, first: "Call") -> None:
        """Take over what the first call has learned: what may be refused to all of them is refused to it alone."""
        if self._chat.json_format is not None or self._chat.thinking != Thinking():  # other refusals are remembered
            assert first._accepted is not None  # noqa: S101 (it has others)
            first._accepted.wait(_HEAD_START_S)
        self.cancel.check()
        self._repairs = first._repairs.copy()
        if self.session == first.session:  # the prompts of Completions are conversations of their own
            self._attempts.go_beside(first._attempts)


def _is_seen(event: Event) -> bool:
    """Whether a client sees something of the event; once it does the status line is gone."""
    if isinstance(event, OtherChoice):
        event = event.event
    if isinstance(event, TextDelta | ReasoningDelta):
        return bool(event.text)
    if isinstance(event, Relayed):
        return event.is_seen
    return isinstance(event, ToolCallStart | ImageDelta)
