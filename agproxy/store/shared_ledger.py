"""What is under way and has begun, counted for all processes that share a store.

Each process counts its own uses in memory, and tells them to the others in a book: one row a key and process. A use
without limits costs nothing more: what it changes is told every few seconds, in the background. With limits, the book
is asked before the use, and one row written, in one go; several threads that ask at the same time are answered
together. A release is told some ms later.

A row says until when the process's uses count, and is written anew while there are any: a process that was killed
holds nothing for long. While the book cannot be used each process goes by its own counts, and tells them afterwards.
"""

import logging
import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agproxy.store import Offer, Use
from agproxy.store.ledger import MemoryLedger, fewer_in_s, slot_of
from agproxy.store.uses import VOID_S, Row, counts_in, in_flight_of

log = logging.getLogger(__name__)

BEAT_S = 5.0
_TOGETHER_S = 0.02  # releases within it are told together
_AGAIN_S = 0.5  # between two attempts to tell, while the book cannot be used
_WARNING_S = 1.0
_SILENCE_S = 60.0


class Book(Protocol):
    """Where the processes tell each other what they use. None or False says that it cannot be used now."""

    def settle(
        self, asked: Sequence[Sequence[Offer]], own: Mapping[str, Row], *, now: float
    ) -> Sequence[str | None] | None:
        """Find for each who asks, in turn, the first offer that has room, and write this process's new rows.

        :param own: this process's row of each key that is offered.
        :returns: the keys that were found; None for who finds no room.
        """

    def write(self, rows: Mapping[str, Row], *, now: float) -> bool:
        """Write rows of this process, by key."""

    def read(self, key: str) -> list[Row] | None:
        """The rows of the other processes."""


class SharedLedger:
    """A :class:`~agproxy.store.Ledger` of one of several processes.

    :param clock: gives Unix seconds, about the same to all processes.
    :param beat_s: how often what is used is told.
    """

    def __init__(self, clock: Callable[[], float], book: Book, *, beat_s: float = BEAT_S) -> None:
        self._clock = clock
        self._book = book
        self._beat_s = beat_s
        self._own = MemoryLedger(clock)
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # one thread at a time uses the book, so that rows are written in order
        self._asking: list[_Asked] = []
        self._limited: set[str] = set()  # keys whose uses the others wait for
        self._untold: set[str] = set()  # keys whose uses have changed since they were told
        self._alone_since: float | None = None  # since when the book cannot be used, by the monotonic clock
        self._said_alone = False
        self._silent_until = 0.0
        self._worker: _Worker | None = None

    def take(self, offers: Sequence[Offer]) -> str | None:
        limited: list[Offer] = []
        for offer in offers:
            if not (offer.max_in_flight or offer.per_minute):
                key = self._take_limited(limited) if limited else None
                if key is None:
                    key = self._own.take((offer,))
                    self._changed(offer.key)
                return key
            limited.append(offer)
        return self._take_limited(limited) if limited else None

    def release(self, key: str) -> None:
        self._own.release(key)
        self._changed(key)

    def use(self, key: str) -> Use:
        now = self._clock()
        slot = slot_of(now)
        in_flight, begun = self._own.counts(key, slot=slot)
        for row in (self._book.read(key) if self._alone_since is None else None) or ():
            in_flight += in_flight_of(row, now)
            for other, count in row.begun.items():
                if counts_in(slot, other):
                    begun[other] = begun.get(other, 0) + count
        return Use(in_flight, sum(begun.values()), fewer_in_s(begun, now))

    def close(self) -> None:
        """Give back what this process has taken, in the eyes of those who wait for it. It may be used again."""
        with self._turn:  # what is being told is told to its end, for the book is let go of next
            with self._lock:
                worker, self._worker = self._worker, None
                keys = self._limited & {*self._untold, *self._own.under_way()}
                self._untold = set()
                is_alone, self._alone_since = self._alone_since is not None, None
            if worker is not None:
                worker.wake.set()
            if keys and not is_alone:
                now = self._clock()
                self._book.write({key: self._row(key, now)._replace(in_flight=0) for key in keys}, now=now)

    # With limits.

    def _take_limited(self, offers: Sequence[Offer]) -> str | None:
        asked = _Asked(offers)
        if self._alone_since is not None:
            self._answer_alone([asked])
        else:
            with self._lock:
                self._asking.append(asked)
                self._limited.update(offer.key for offer in offers)
            with self._turn:
                if not asked.is_answered:
                    with self._lock:
                        together, self._asking = self._asking, []
                    self._answer(together if asked in together else [asked])
        return asked.key

    def _answer(self, together: Sequence["_Asked"]) -> None:
        """Ask the book for all of them; with the turn."""
        now = self._clock()
        offers = [asked.offers for asked in together]
        own = {offer.key: self._row(offer.key, now) for each in offers for offer in each}
        found = self._book.settle(offers, own, now=now) if self._alone_since is None else None
        if found is None:
            self._set_alone()
            self._answer_alone(together)
            if self._worker is None:  # nothing is to be told, so nobody would find out when that is over
                self._alone_since = None
            else:
                self._worker.wake.set()
            return
        for asked, key in zip(together, found, strict=True):
            if key is not None:
                self._own.count(key, slot=slot_of(now))
                self._changed(key, is_told=True)
            asked.key, asked.is_answered = key, True

    def _answer_alone(self, together: Sequence["_Asked"]) -> None:
        for asked in together:
            asked.key = self._own.take(asked.offers)
            if asked.key is not None:
                self._changed(asked.key)
            asked.is_answered = True

    # In the background.

    def _changed(self, key: str, *, is_told: bool = False) -> None:
        """See to it that the others get to know how much the key is used."""
        if self._worker is not None and key in self._untold and key not in self._limited:
            return  # which `beat` has yet to read
        with self._lock:
            if not is_told:
                self._untold.add(key)
            worker = self._worker
            if worker is None:
                worker = self._worker = _Worker(self, first_s=self._beat_s)
                is_new = True
            else:
                is_new = False
        if is_new and not worker.start():
            self._worker = None
        if not is_told and key in self._limited and self._alone_since is None and not worker.wake.is_set():
            worker.wake.set()

    def beat(self, worker: "_Worker") -> float | None:
        """Tell what has changed, and that what is under way still is.

        :returns: in how many seconds to do so again; None when there is nothing more to tell.
        """
        with self._turn:
            with self._lock:
                if self._worker is not worker:
                    return None
                untold, self._untold = self._untold, set()
                keys = {*untold, *self._own.under_way()}
                if not keys:
                    self._worker = self._alone_since = None
                    return None
            now = self._clock()
            done = self._book.write({key: self._row(key, now) for key in keys}, now=now)
            if done:
                self._alone_since = None
            else:
                self._set_alone()
                with self._lock:
                    self._untold |= untold
        self._say()
        return self._beat_s if done else _AGAIN_S

    def _row(self, key: str, now: float) -> Row:
        return Row(now + VOID_S, *self._own.counts(key, slot=slot_of(now)))

    def _set_alone(self) -> None:
        if self._alone_since is None:
            self._alone_since = time.monotonic()

    def _say(self) -> None:
        now = time.monotonic()
        if self._alone_since is None:
            if self._said_alone:
                log.info("limits of accounts hold for all processes again")
            self._said_alone = False
        elif not self._said_alone and self._limited and now >= max(self._alone_since + _WARNING_S, self._silent_until):
            self._said_alone = True
            self._silent_until = now + _SILENCE_S
            log.warning("limits of accounts hold for each process by itself, while the store cannot be used")


class ProcessLedgers:
    """The :class:`~agproxy.store.Ledger` of whichever process uses it: a forked child begins anew.

    :param make: makes that of a process.
    """

    def __init__(self, make: Callable[[], SharedLedger]) -> None:
        self._make = make
        self._by_pid: dict[int, SharedLedger] = {}

    def take(self, offers: Sequence[Offer]) -> str | None:
        return self._here().take(offers)

    def release(self, key: str) -> None:
        self._here().release(key)

    def use(self, key: str) -> Use:
        return self._here().use(key)

    def close(self) -> None:
        """Give back what this process has taken, in the eyes of others."""
        ledger = self._by_pid.get(os.getpid())
        if ledger is not None:
            ledger.close()

    def _here(self) -> SharedLedger:
        pid = os.getpid()
        return self._by_pid.get(pid) or self._by_pid.setdefault(pid, self._make())


class _Asked:
    """Who waits for room."""

    __slots__ = ("is_answered", "key", "offers")

    def __init__(self, offers: Sequence[Offer]) -> None:
        self.offers = offers
        self.key: str | None = None
        self.is_answered = False


class _Worker:
    """The thread that tells; it ends when there is nothing to tell, or nobody has the ledger any longer."""

    def __init__(self, ledger: SharedLedger, *, first_s: float) -> None:
        self._first_s = first_s
        self._ledger = weakref.ref(ledger)
        self.wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agproxy-ledger", daemon=True)

    def start(self) -> bool:
        """Whether there was a thread to be had."""
        try:
            self._thread.start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        pause_s: float | None = self._first_s
        while pause_s is not None:
            if self.wake.wait(pause_s):
                time.sleep(_TOGETHER_S)
                self.wake.clear()
            pause_s = self._beat()

    def _beat(self) -> float | None:
        ledger = self._ledger()
        return None if ledger is None else ledger.beat(self)


def process_name() -> str:
    """What tells this process, or this use of a store in it, from all others; without a space."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}".replace(" ", "")
