"""What one process has of a store's file: its connection, what it has just read, and what waits to be written.

Whoever holds the lock waits for nothing but the disk: no log, no pause, no start of a thread, and so no switch to
another greenlet. What there is to say or to start is noted, and done without the lock (``_catch_up``).
"""

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from agproxy.store import sqlite_file
from agproxy.store.recent import Recent, decode
from agproxy.store.shelf import Entry, Shelf, kind_of
from agproxy.store.sqlite_open import OpenFile

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# Before each attempt: another worker's commit holds the lock for 30 us, a batch or a sweep for some ms.
_PAUSES_S = (0.0, 0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.002, 0.003, 0.004)
_LOCKED_PAUSE_S = 0.05
_BACKGROUND_WAIT_S = 1.0  # its thread gets to work mostly while another of this process writes
_CLOSE_S = 1.0
_SILENCE_S = 60.0  # between two warnings, for a disk that works every other second
_LOCKED_WARNING_S = 1.0
_SWEEP_S = 60.0
_SWEEP_SHARE = 32  # this part of max_entries or max_bytes was put: time to sweep
_BATCH = 50
_SHELF_BYTES = 64 << 20


class Options(NamedTuple):
    """See :class:`~agproxy.store.sqlite.SqliteStore`."""

    path: str
    clock: Callable[[], float]
    max_entries: int
    max_bytes: int
    retry_s: float
    slow_s: float


class ProcessFile:
    """The store in this process. Keys are without halves of surrogate pairs, values are JSON."""

    def __init__(self, options: Options) -> None:
        self._path, self._clock, self._max_entries, self._max_bytes, self._retry_s, self._slow_s = options
        self._lock = threading.Lock()
        self._recent = Recent()
        self._file = OpenFile(
            self._path, clock=self._clock, max_bytes=self._max_bytes, recent=self._recent, note=self._note
        )
        self._shelf = Shelf(max_entries=self._max_entries, max_bytes=min(_SHELF_BYTES, self._max_bytes))
        self._trouble = ""  # why the file does not take values
        self._said_trouble = self._said_slow = self._said_long = False
        self._silent_until = 0.0
        self._slow_until = 0.0
        self._notes: list[tuple[int, str, tuple[Any, ...]]] = []
        self._wants_work = False
        self._worker: threading.Thread | None = None
        self._closing = threading.Event()
        self._put_count = self._put_bytes = 0  # since the last sweep
        self._swept_at = self._clock()

    # What the interface names.

    def get(self, key: str) -> Any:
        now = self._clock()
        known = self._recent.get(key, now)
        if known is not None:
            return known[1] if known[0] > now else None
        for pause_s in _PAUSES_S:
            if pause_s:
                time.sleep(pause_s)
            with self._lock:
                done, until, text = self._read(key, now)
                value = decode(text) if text is not None and until > now else None
                if done:
                    self._recent.was_read(key, until, text, value, asked_at=self._recent.changes)
            if self._notes or (self._wants_work and self._worker is None):
                self._catch_up()
            if done or self._trouble:
                return value
        return None

    def put(self, key: str, text: str, ttl_s: float) -> None:
        if ttl_s <= 0:
            self.delete(key)
            return
        if len(text) > self._max_bytes // 16:
            if not self._said_long:
                self._said_long = True
                log.warning("store does not keep so long a value kind=%s bytes=%d", kind_of(key), len(text))
            self.delete(key)
            return
        entry = Entry(key, self._clock() + ttl_s, text)
        if not self._recent.needs_no_put(entry, ttl_s):
            self._change(entry, sqlite_file.PUT, (key, kind_of(key), entry.until, len(text), text, ttl_s / 60))

    def add(self, key: str, text: str, ttl_s: float) -> Any:
        now = self._clock()
        kept = self.get(key)
        if kept is not None or len(text) > self._max_bytes // 16:
            return kept
        entry = Entry(key, now + ttl_s, text)
        found = None
        if self._shelf.get(key) is None:
            found = self.attempt(lambda connection: sqlite_file.add(connection, entry, now=now), writes=True)
        with self._lock:
            if found is None:
                found = self._shelf.get(key)
                if found is None or found.until <= now or found.text is None:
                    found = entry
                    self._keep(entry)
            else:
                self._count(entry, now)
            self._recent.was_changed(found)
        self._catch_up()
        return None if found.text is None else decode(found.text)

    def delete(self, key: str) -> None:
        if self.get(key) is not None or self._shelf or self._trouble:
            self._change(Entry(key, 0.0, None), sqlite_file.DELETE, (key,))

    def items(self, kind: str) -> dict[str, Any]:
        now = self._clock()
        written = self.attempt(lambda connection: sqlite_file.read_all(connection, kind), writes=False) or []
        with self._lock:
            waiting = [self._shelf.get(key) for key in self._shelf.keys_of(kind)]
        entries = {entry.key: entry for entry in (*written, *waiting) if entry is not None}
        values = {key: decode(text) for key, until, text in entries.values() if text is not None and until > now}
        return {key.partition(":")[2]: value for key, value in values.items() if value is not None}

    def attempt(self, work: Callable[[sqlite3.Connection], _T], *, writes: bool) -> _T | None:
        """What comes of work on the file, or None when it cannot be used within some ms.

        :param writes: whether it changes something.
        """
        for pause_s in _PAUSES_S[:4] if self._shelf else _PAUSES_S:  # others have waited for this lock before
            if pause_s:
                time.sleep(pause_s)
            with self._lock:
                if self._trouble and (writes or not self._file.is_open):
                    return None
                if writes and time.monotonic() < self._slow_until:
                    return None
                done, result = self._try(work)
            if self._notes or (self._wants_work and self._worker is None):
                self._catch_up()
            if done:
                return result
        return None

    def _change(self, entry: Entry, statement: str, parameters: tuple[Any, ...]) -> None:
        done = False
        for pause_s in _PAUSES_S:
            if pause_s:
                time.sleep(pause_s)
            with self._lock:
                done = self._write(entry, statement, parameters)
            if self._notes or (self._wants_work and self._worker is None):
                self._catch_up()
            if done:
                return
        with self._lock:
            self._keep(entry)
        self._catch_up()

    # With the lock.

    def _try(self, work: Callable[[sqlite3.Connection], _T]) -> tuple[bool, _T | None]:
        """Whether there is no use in another attempt, and what came of this one."""
        began = time.perf_counter()
        try:
            result = work(self._file.connection(self._clock()))
        except sqlite_file.ERRORS as error:
            if self._is_at_bound(error):
                return True, None
            if self._file.can_retry(error):
                return False, None
            self._fail(str(error))
            return True, None
        self._heed(time.perf_counter() - began)
        return True, result

    def _read(self, key: str, now: float) -> tuple[bool, float, str | None]:
        """Whether an answer was found, and the entry's end and text."""
        waiting = self._shelf.get(key)
        if waiting is not None:
            return True, waiting.until, waiting.text
        if self._trouble and not self._file.is_open:
            return True, 0.0, None
        try:
            began = time.perf_counter()
            row = sqlite_file.read(self._file.connection(now), key)
            if time.perf_counter() - began > self._slow_s:
                self._note_slow(time.perf_counter() - began)
        except sqlite_file.ERRORS as error:
            if self._file.can_retry(error):
                return False, 0.0, None
            self._fail(str(error))
            return True, 0.0, None
        return (True, 0.0, None) if row is None else (True, *row)

    def _write(self, entry: Entry, statement: str, parameters: tuple[Any, ...]) -> bool:
        """Write to the file, or, when that has no prospect, to the shelf; False when it may succeed in a moment."""
        now = self._clock()
        if self._shelf or self._trouble or time.monotonic() < self._slow_until:
            self._keep(entry)
            return True
        try:
            began = time.perf_counter()
            self._file.connection(now).execute(statement, parameters)
            took_s = time.perf_counter() - began
        except sqlite_file.ERRORS as error:
            if not self._is_at_bound(error):
                if self._file.can_retry(error):
                    return False
                self._fail(str(error))
            self._keep(entry)
            return True
        self._recent.was_changed(entry)
        self._count(entry, now)
        self._heed(took_s)
        return True

    def _heed(self, took_s: float) -> None:
        """Leave what is to be written to the background thread for some time, if a write took long."""
        if took_s > self._slow_s:
            self._note_slow(took_s)
            self._slow_until = time.monotonic() + self._retry_s

    def _count(self, entry: Entry, now: float) -> None:
        self._put_count += 1
        self._put_bytes += len(entry.text or "")
        if self._is_sweep_due(now):
            self._wants_work = True

    def _is_sweep_due(self, now: float) -> bool:
        return (
            self._put_count * _SWEEP_SHARE > self._max_entries
            or self._put_bytes * _SWEEP_SHARE > self._max_bytes
            or not 0 <= now - self._swept_at < _SWEEP_S
        )

    def _keep(self, entry: Entry) -> None:
        self._shelf.put(entry)
        self._recent.was_changed(entry)
        self._wants_work = True

    def _fail(self, reason: str) -> None:
        """Leave the file to the background thread."""
        self._wants_work = True
        self._trouble = reason
        now = time.monotonic()
        if not self._said_trouble and now >= self._silent_until and not self._closing.is_set():
            self._said_trouble = True
            self._silent_until = now + _SILENCE_S
            self._note(
                logging.WARNING,
                "store cannot be used path=%s reason=%s; state is kept in memory, and written when it can be",
                self._path,
                reason,
            )

    def _is_at_bound(self, error: Exception) -> bool:
        """Whether not the disk is full, but what we allow ourselves. Then the next sweep makes room."""
        if not self._file.is_at_bound(error):
            return False
        self._swept_at = -_SWEEP_S
        return True

    def _note_slow(self, took_s: float) -> None:
        if not self._said_slow:
            self._said_slow = True
            self._note(
                logging.WARNING,
                "store is slow, is its disk? path=%s seconds=%.2f; state is written in the background",
                self._path,
                took_s,
            )

    def _note(self, level: int, words: str, *arguments: Any) -> None:
        self._notes.append((level, words, arguments))

    # Without the lock.

    def _catch_up(self) -> None:
        """Say what was noted, and start the background thread if there is work for it."""
        with self._lock:
            notes, self._notes = self._notes, []
            worker = None
            if self._wants_work and self._worker is None and not self._closing.is_set():
                worker = self._worker = threading.Thread(target=self._work, name="agproxy-store", daemon=True)
        for level, words, arguments in notes:
            log.log(level, words, *arguments)
        if worker is not None:
            try:
                worker.start()
            except RuntimeError:  # no thread to be had; at the next change, perhaps
                self._worker = None

    def _work(self) -> None:
        """The background thread: write what waits and sweep, until there is nothing left to do."""
        locked_since: float | None = None
        pause_s: float | None = 0.0
        while pause_s is not None and not self._closing.wait(pause_s):
            with self._lock:
                self._wants_work = False
                began_at = self._clock()
                entries = self._shelf.some(_BATCH, max_bytes=self._max_bytes // _SWEEP_SHARE)
                sweeps = not entries or self._is_sweep_due(began_at)
            seen = sqlite_file.identity(self._path)
            error = _off_loop(partial(self._settle, entries, sweeps))
            with self._lock:
                if error is None:
                    locked_since = None
                    self._shelf.drop_unchanged(entries)
                    if sweeps:
                        self._put_count = self._put_bytes = 0
                        self._swept_at = began_at
                    pause_s = self._next_pause()
                elif self._file.can_retry(error, seen=seen):
                    locked_since = locked_since or time.monotonic()
                    if time.monotonic() - locked_since > _LOCKED_WARNING_S:
                        self._fail(str(error))
                    pause_s = min(max(2 * pause_s, 0.001), _LOCKED_PAUSE_S)
                else:
                    self._fail(str(error))
                    pause_s = self._retry_s
            self._catch_up()

    def _next_pause(self) -> float | None:
        """How long to wait after a success; None when all is done."""
        if self._trouble:
            if self._said_trouble:
                self._note(logging.INFO, "store can be used again path=%s", self._path)
            self._trouble, self._said_trouble = "", False
            self._file.let_go()  # it may be another file
        if self._shelf or self._wants_work:
            return 0.001  # others want to write, too
        self._worker = None
        return None

    def _settle(self, entries: list[Entry], sweeps: bool) -> Exception | None:
        """Write these entries, with a connection of its own: it may run in another thread than all else.

        :returns: what went wrong.
        """
        try:
            connection = sqlite_file.connect(self._path, max_bytes=self._max_bytes, wait_s=_BACKGROUND_WAIT_S)
            try:
                while sweeps and self._sweep(connection):
                    pass
                try:
                    sqlite_file.write(connection, entries)
                except sqlite3.Error as error:
                    if not sqlite_file.is_at_bound(connection, error):
                        raise
                    while self._sweep(connection):
                        pass
                    sqlite_file.write(connection, entries)
                sqlite_file.checkpoint(connection)
            finally:
                connection.close()
        except sqlite_file.ERRORS as error:
            return error
        return None

    def _sweep(self, connection: sqlite3.Connection) -> bool:
        return sqlite_file.sweep(
            connection, now=self._clock(), max_entries=self._max_entries, max_bytes=self._max_bytes
        )

    def sweep(self) -> None:
        until = time.monotonic() + _CLOSE_S
        more = True
        while more and time.monotonic() < until:
            with self._lock:
                try:
                    more = self._sweep(self._file.connection(self._clock()))
                except sqlite_file.ERRORS as error:
                    more = self._file.can_retry(error)
                    if not more:
                        self._fail(str(error))
            self._catch_up()
            time.sleep(0)

    def close(self) -> None:
        until = time.monotonic() + _CLOSE_S
        while self._shelf and not self._trouble and time.monotonic() < until:
            time.sleep(0.005)  # the background thread is at it
        self._closing.set()
        with self._lock:
            self._file.close()
            worker = self._worker
        if self._shelf and not self._trouble:
            log.warning("store was locked to the end, what waited to be written is lost path=%s", self._path)
        if worker is not None and worker.ident is not None:
            worker.join(_CLOSE_S)


def _off_loop(work: Callable[[], Exception | None]) -> Exception | None:
    """Do disk work where it cannot hold up other greenlets: in gevent's pool of real threads, if gevent has patched."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return work()
    import gevent

    error: Exception | None = gevent.get_hub().threadpool.apply(work)
    return error
