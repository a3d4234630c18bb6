"""What a call asks of a model service: an answer, or how many tokens a request has.

The attempt loop is the same for both; they differ in what is sent, where, and how what comes back is read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

from agproxy import sse
from agproxy.chat import ChatRequest, Event, Finish, Usage
from agproxy.unfence import unfenced
from agproxy.upstreams.gemini_native import Native, choices

# One that answers by itself gives pairs of a delay in seconds and bytes.
Play = Iterator[tuple[float, bytes]]


@dataclass(slots=True)
class Terms:
    """On what terms a request is made.

    :param model: the model whose rules hold.
    :param keep_signatures: as ``dropped`` and ``without`` what the service has refused; see ``repairs``.
    :param safety: (category, threshold) that hold where the request has none of its own.
    """

    model: str
    keep_signatures: bool
    dropped: dict[str, frozenset[str]]
    without: frozenset[str]
    safety: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Reading:
    """What is needed to read an answer.

    :param encoded: the request that was sent.
    :param new_id: makes an id for a call that came without one.
    :param is_last: no other answer will be asked for, so that this one counts whatever it is.
    :param on_finished: called once the answer is whole, after which only a last count of tokens may follow.
    """

    encoded: Any
    new_id: Callable[[], str]
    is_last: bool
    on_finished: Callable[[], None]


class Ask(Protocol):
    """One thing that can be asked; ``chat`` is the request as far as the gateway has to know it.

    :ivar is_patient: whether it may wait for an account, and counts where an account is limited.
    :ivar sticks: whether the conversation stays with the account that answers.
    """

    @property
    def is_patient(self) -> bool: ...
    @property
    def sticks(self) -> bool: ...

    def of(self, model: str) -> "Ask":
        """The same, asked of another model."""

    def encode(self, upstream: ModuleType, chat: ChatRequest, terms: Terms) -> Any:
        """The request, an object with ``body``, ``used`` and ``ignored``; see ``upstreams.gemini.EncodedRequest``."""

    def quota(self, model: str) -> str:
        """What the quota that it uses is counted by."""

    def url(self, upstream: ModuleType, base_url: str, model: str, *, stream: bool) -> str:
        """Where it is sent."""

    def body(self, upstream: ModuleType, body: bytes, model: str) -> bytes:
        """What is sent there, of an encoded request."""

    def play(self, upstream: ModuleType, body: bytes, model: str, *, stream: bool) -> Play:
        """The answer of an upstream that answers by itself."""

    def events(
        self, upstream: ModuleType, chunks: Iterator[bytes], chat: ChatRequest, reading: Reading
    ) -> Iterator[Event]:
        """The events that come of the answer's bytes, the last of them ``Finish``."""


class Answering:
    """Asks for an answer."""

    is_patient = True
    sticks = True

    def of(self, model: str) -> Ask:
        return self

    def encode(self, upstream: ModuleType, chat: ChatRequest, terms: Terms) -> Any:
        return upstream.encode_request(
            chat,
            model=terms.model,
            keep_signatures=terms.keep_signatures,
            dropped=terms.dropped,
            without=terms.without,
            safety=terms.safety,
        )

    def quota(self, model: str) -> str:
        return model

    def url(self, upstream: ModuleType, base_url: str, model: str, *, stream: bool) -> str:
        return str(upstream.endpoint(base_url, model, stream=stream))

    def body(self, upstream: ModuleType, body: bytes, model: str) -> bytes:
        return body

    def play(self, upstream: ModuleType, body: bytes, model: str, *, stream: bool) -> Play:
        played: Play = upstream.play(body, model, stream=stream)
        return played

    def events(
        self, upstream: ModuleType, chunks: Iterator[bytes], chat: ChatRequest, reading: Reading
    ) -> Iterator[Event]:
        events: Iterator[Event] = upstream.decode_stream(
            payloads(chunks, stream=chat.stream),
            original_names=reading.encoded.original_names,
            new_id=reading.new_id,
            choices=chat.sampling.choices,
            may_be_cut_empty=chat.may_be_cut_empty,
            count_first=chat.count_first,
            on_finished=reading.on_finished,
        )
        return unfenced(events) if reading.encoded.json_in_words else events


class Counting(Answering):
    """Asks how many tokens a request has; the answer is a ``Finish`` with these."""

    is_patient = False  # an estimate is there at once
    sticks = False

    def quota(self, model: str) -> str:
        return f"{model}:countTokens"  # Google counts these requests by themselves

    def url(self, upstream: ModuleType, base_url: str, model: str, *, stream: bool) -> str:
        return str(upstream.count_endpoint(base_url, model))

    def body(self, upstream: ModuleType, body: bytes, model: str) -> bytes:
        counted: bytes = upstream.encode_count(body, model)
        return counted

    def play(self, upstream: ModuleType, body: bytes, model: str, *, stream: bool) -> Play:
        played: Play = upstream.play_count(body)
        return played

    def events(
        self, upstream: ModuleType, chunks: Iterator[bytes], chat: ChatRequest, reading: Reading
    ) -> Iterator[Event]:
        return iter([Finish("stop", Usage(input_tokens=upstream.decode_count(b"".join(chunks))))])


class Relaying(Answering):
    """Asks what a client has written in the language of the model service, and passes the answer on as it comes.

    An upstream that speaks another language has no ``encode_native``; for it the body would have to become messages.
    """

    def __init__(self, native: Native) -> None:
        self._native = native
        self.is_patient = native.method != "countTokens"
        self._choices = choices(native.body)
        self.sticks = native.method in ("generateContent", "streamGenerateContent")

    def of(self, model: str) -> Ask:
        return Relaying(replace(self._native, model=model, is_mapped=True))

    def encode(self, upstream: ModuleType, chat: ChatRequest, terms: Terms) -> Any:
        return upstream.encode_native(
            self._native,
            model=terms.model,
            keep_signatures=terms.keep_signatures,
            dropped=terms.dropped,
            without=terms.without,
        )

    def quota(self, model: str) -> str:
        return COUNT.quota(model) if self._native.method == "countTokens" else model

    def url(self, upstream: ModuleType, base_url: str, model: str, *, stream: bool) -> str:
        return str(upstream.native_endpoint(base_url, model, self._native.method))

    def play(self, upstream: ModuleType, body: bytes, model: str, *, stream: bool) -> Play:
        played: Play = upstream.play_native(body, model, self._native.method)
        return played

    def events(
        self, upstream: ModuleType, chunks: Iterator[bytes], chat: ChatRequest, reading: Reading
    ) -> Iterator[Event]:
        events: Iterator[Event]
        if self.sticks:
            events = upstream.relay_stream(
                payloads(chunks, stream=chat.stream),
                stream=chat.stream,
                choices=self._choices,
                is_last=reading.is_last,
                on_finished=reading.on_finished,
            )
        else:
            events = upstream.relay_whole(b"".join(chunks))
        return events


ANSWER = Answering()
COUNT = Counting()


def payloads(chunks: Iterator[bytes], *, stream: bool) -> Iterator[bytes]:
    """The JSON texts that an answer's bytes hold: of its events, or the whole body."""
    return sse.decode(chunks) if stream else _whole(chunks)


def _whole(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield b"".join(chunks)
