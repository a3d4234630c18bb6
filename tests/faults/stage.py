"""Runs one row of the fault matrix: all protocols at once, each with an agproxy and a fake Google of its own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from werkzeug.test import Client

from agproxy.app import App
from agproxy.config import Account, Config, Scheduling, Store, Upstream
from tests.conversation.talk import HI
from tests.fake_google import FakeGoogle, text
from tests.faults import left
from tests.faults.outcome import WAYS, Kind, Mode, Outcome, Received, judge
from tests.tongues import HEADERS, MODEL, TONGUES

Result = TypeVar("Result")
ANSWER = "The whole answer."
GOOD = text("The ", "whole ", "answer.")
_MAX_MS = 9000.0  # all time-outs that count are far below, and those that must not are above
# Nothing waits so long, but where a fault says so.
_PATIENT = Upstream(connect_timeout_s=10, first_event_timeout_s=20, silence_timeout_s=20, ping_s=20, max_attempts=2)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a client must see.

    :param words: what the words of an error hold.
    """

    kind: Kind
    status: int = 200
    words: str = ""

    def fits(self, outcome: Outcome) -> bool:
        """Whether it is what the client saw."""
        is_status = outcome.status == self.status or (outcome.kind == "broken" and not outcome.status)
        return outcome.kind == self.kind and is_status and self.words in outcome.words


WHOLE = Expected("whole")


def refused(status: int, words: str) -> Expected:
    """An error before the answer began."""
    return Expected("error", status, words)


def broken(status: int, words: str) -> Expected:
    """An error in the stream, in the protocol's form for what would have been this status."""
    return Expected("broken", status, words)


@dataclass(frozen=True)
class Fault:
    """One row.

    :param arrange: makes things go wrong; it may send requests before, which have to succeed.
    :param whole: what a client must see that wants one body.
    :param streamed: what one must see that wants a stream; None for the same.
    :param requests: how many requests are sent to see it.
    :param at_once: send them side by side.
    :param text: what the model says.
    :param around: what holds for the whole row.
    """

    name: str
    arrange: Callable[["Stage"], None]
    whole: Expected
    streamed: Expected | None = None
    requests: int = 1
    at_once: bool = False
    text: str = ANSWER
    around: Callable[[], AbstractContextManager[object]] = nullcontext

    def expected(self, protocol: str, mode: Mode) -> Expected:
        """What a client must see that asks in this way."""
        return self.whole if mode == "whole" or self.streamed is None else self.streamed


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one fault in one protocol.

    :param outcome: of the first request that saw something else than it must, or of the last.
    :param ms: how long the slowest took.
    :param complaints: what is not as it must be.
    """

    outcome: Outcome
    ms: float
    complaints: tuple[str, ...]


@dataclass
class Stage:
    """An agproxy, its client, and the fake Google behind it; a fault changes what it does not want so.

    :param accounts: base URL by name of the account; the key of "a" is ``test-key-a``.
    :param clock: gives agproxy the time (Unix seconds).
    """

    protocol: str
    mode: Mode
    google: FakeGoogle
    stack: contextlib.ExitStack
    log: left.AccessLog
    accounts: dict[str, str] = field(default_factory=dict)
    upstream: Upstream = _PATIENT
    max_wait_s: float = 0.0
    clock: Callable[[], float] = time.time
    complaints: list[str] = field(default_factory=list)
    _app: App | None = None

    @property
    def app(self) -> App:
        """agproxy, made when it is first asked for."""
        if self._app is None:
            pool = tuple(
                Account(name, api_key=f"test-key-{name}", base_url=url, max_in_flight=50)
                for name, url in (self.accounts or {"a": self.google.url}).items()
            )
            scheduling = Scheduling(max_wait_s=self.max_wait_s)
            config = Config(accounts=pool, upstream=self.upstream, scheduling=scheduling, store=Store("memory:"))
            self._app = App(config, clock=self.clock)
            self.stack.callback(self._app._gateway.transport.close)
        return self._app

    def set(self, **upstream: Any) -> None:
        """Other settings of ``[upstream]``."""
        self.upstream = replace(self.upstream, **upstream)

    def ask(self) -> Received:
        """What the client gets that asks one question."""
        tongue = TONGUES[self.protocol]
        streamed = self.mode != "whole"
        path = tongue.path(MODEL, streamed=streamed)
        response = Client(self.app).post(
            path.partition("?")[0] if self.mode == "array" else path,
            json=tongue.body([HI], model=MODEL, streamed=streamed),
            headers=HEADERS[self.protocol],
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
            buffered=True,
        )
        self.complaints += filter(None, [self.log.complaint(response.headers["X-Request-Id"])])
        return Received(response.status_code, response.headers["Content-Type"], response.data)

    def warm_up(self, count: int = 1) -> None:
        """Ask so many questions side by side, which must be answered."""
        assert self.app  # which is made by one
        for received in side_by_side([self.ask] * count):
            self._must_be(WHOLE, received)

    def see(self, expected: Expected) -> None:
        """Ask a question, and see this; it is not the one that the fault is judged by."""
        self._must_be(expected, self.ask())

    def _must_be(self, expected: Expected, received: Received) -> None:
        outcome = judge(self.protocol, self.mode, received, text=ANSWER)
        if not expected.fits(outcome):
            self.complaints.append(f"before the fault: {outcome} ({outcome.words}), not {expected}")


def side_by_side(works: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of these, each of which runs in a thread of its own."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(work) for work in works]]


def run(fault: Fault) -> dict[tuple[str, Mode], Cell]:
    """The row of a fault: a cell for each way to ask."""
    before = set(threading.enumerate())
    with fault.around(), left.access_log() as log:
        cells = side_by_side([partial(_cell, fault, protocol, mode, log) for protocol, mode in WAYS])
    row = dict(zip(WAYS, cells, strict=True))
    if complaint := left.threads(before):
        row = {way: replace(cell, complaints=(*cell.complaints, complaint)) for way, cell in row.items()}
    return row


@contextlib.contextmanager
def opened(protocol: str, mode: Mode, log: left.AccessLog) -> Iterator[Stage]:
    """A stage on which all is well."""
    with contextlib.ExitStack() as stack:
        google = stack.enter_context(FakeGoogle(native=protocol == "gemini"))
        google.default = GOOD
        yield Stage(protocol, mode, google, stack, log)


def _cell(fault: Fault, protocol: str, mode: Mode, log: left.AccessLog) -> Cell:
    expected = fault.expected(protocol, mode)
    with opened(protocol, mode, log) as stage:
        fault.arrange(stage)
        assert stage.app  # which is made by one

        def judged() -> tuple[Outcome, float]:
            began = time.monotonic()
            received = stage.ask()
            return judge(protocol, mode, received, text=fault.text), (time.monotonic() - began) * 1000

        asked = [judged] * fault.requests
        found = side_by_side(asked) if fault.at_once else [each() for each in asked]
        unexpected = [outcome for outcome, _ in found if not expected.fits(outcome)]
        complaints = [f"{outcome} ({outcome.words}), not {expected}" for outcome in unexpected]
        complaints += filter(None, [left.connections(stage.app, stage.google), left.counts(stage.app)])
        slowest_ms = max(ms for _, ms in found)
        if slowest_ms > _MAX_MS:
            complaints.append(f"it took {slowest_ms:.0f} ms")
        return Cell((unexpected or [found[-1][0]])[0], slowest_ms, (*stage.complaints, *complaints))
