"""What one process has of a store's file: its connection, what it has just read, and what waits to be written.

Whoever holds the lock waits for nothing but the disk: no log, no pause, no start of a thread, and so no switch to
another greenlet. What there is to say or to start is noted, and done without the lock (``_catch_up``).
"""

import json
import logging
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from agproxy.store import sqlite_file
from agproxy.store.shelf import Entry, Shelf, kind_of
from agproxy.store.sqlite_file import UnusableFile, is_busy, is_corrupt

log = logging.getLogger(__name__)

_STEADY = "session:"  # read and put again by each request, mostly unchanged
_OFTEN = ("rest:", "failures:", "refused:", "schemas:", "model_list:")
_FRESH_S = 0.25
_MAX_FRESH = 5_000
_LOOK_S = 1.0  # how often to look whether the file is still the same
# Before each attempt: another worker's commit holds the lock for 30 us, a batch or a sweep for some ms.
_PAUSES_S = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008)
_LOCKED_PAUSE_S = 0.05
_CLOSE_S = 1.0
_SILENCE_S = 60.0  # between two warnings, for a disk that works every other second
_LOCKED_WARNING_S = 1.0
_SWEEP_S = 60.0
_SWEEP_SHARE = 32  # this part of max_entries or max_bytes was put: time to sweep
_BATCH = 50
_SHELF_BYTES = 64 << 20
_REPLACE_PAUSE_S = 3600.0  # a file that is corrupt again so soon is the disk's fault


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
        self._connection: sqlite3.Connection | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._identity: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._fresh: dict[str, tuple[float, Any]] = {}  # by key: end and value of what was read or put
        self._fresh_at = 0.0
        self._steady: dict[str, tuple[float, str]] = {}  # what was read of these, as long as the above
        self._shelf = Shelf(max_entries=self._max_entries, max_bytes=min(_SHELF_BYTES, self._max_bytes))
        self._trouble = ""  # why the file does not take values
        self._said_trouble = self._said_slow = self._said_long = False
        self._silent_until = 0.0
        self._slow_until = 0.0
        self._replaced_at: float | None = None
        self._notes: list[tuple[int, str, tuple[Any, ...]]] = []
        self._wants_work = False
        self._worker: threading.Thread | None = None
        self._closing = threading.Event()
        self._is_closed = False
        self._put_count = self._put_bytes = 0  # since the last sweep
        self._swept_at = self._clock()

    # The three of the interface.

    def get(self, key: str) -> Any:
        now = self._clock()
        is_steady = key.startswith(_STEADY)
        is_often = is_steady or key.startswith(_OFTEN)
        if not 0 <= now - self._fresh_at < _FRESH_S or len(self._fresh) + len(self._steady) > _MAX_FRESH:
            self._fresh, self._steady, self._fresh_at = {}, {}, now
        if is_often:
            kept = self._fresh.get(key)
            if kept is not None:
                return kept[1] if kept[0] > now else None
        for pause_s in _PAUSES_S:
            if pause_s:
                time.sleep(pause_s)
            with self._lock:
                done, until, text = self._read(key, now)
                value = _decode(text) if text is not None and until > now else None
                if is_often and done and not (is_steady and value is None):  # what begins is to be seen at once
                    self._fresh[key] = (until, value)
                if text is not None and is_steady:
                    self._steady[key] = (until, text)
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
        if key.startswith(_STEADY):
            known_until, known_text = self._steady.get(key, (0.0, ""))
            if known_text == text and entry.until - ttl_s / 60 <= known_until <= entry.until:
                return
            self._steady.pop(key, None)
        self._change(entry, sqlite_file.PUT, (key, kind_of(key), entry.until, len(text), text, ttl_s / 60))

    def delete(self, key: str) -> None:
        if self.get(key) is not None or self._shelf or self._trouble:
            self._steady.pop(key, None)
            self._change(Entry(key, 0.0, None), sqlite_file.DELETE, (key,))

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

    def _read(self, key: str, now: float) -> tuple[bool, float, str | None]:
        """Whether an answer was found, and the entry's end and text."""
        waiting = self._shelf.get(key)
        if waiting is not None:
            return True, waiting.until, waiting.text
        if self._trouble and self._connection is None:
            return True, 0.0, None
        try:
            began = time.perf_counter()
            row = sqlite_file.read(self._opened(now), key)
            if time.perf_counter() - began > self._slow_s:
                self._note_slow(time.perf_counter() - began)
        except sqlite_file.ERRORS as error:
            if self._can_retry(error):
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
            self._opened(now).execute(statement, parameters)
            took_s = time.perf_counter() - began
        except sqlite_file.ERRORS as error:
            if not self._is_at_bound(error):
                if self._can_retry(error):
                    return False
                self._fail(str(error))
            self._keep(entry)
            return True
        self._freshen(entry)
        if took_s > self._slow_s:
            self._note_slow(took_s)
            self._slow_until = time.monotonic() + self._retry_s
        self._put_count += 1
        self._put_bytes += len(entry.text or "")
        if self._is_sweep_due(now):
            self._wants_work = True
        return True

    def _is_sweep_due(self, now: float) -> bool:
        return (
            self._put_count * _SWEEP_SHARE > self._max_entries
            or self._put_bytes * _SWEEP_SHARE > self._max_bytes
            or not 0 <= now - self._swept_at < _SWEEP_S
        )

    def _keep(self, entry: Entry) -> None:
        self._shelf.put(entry)
        self._freshen(entry)
        self._wants_work = True

    def _freshen(self, entry: Entry) -> None:
        if entry.key.startswith((*_OFTEN, _STEADY)):
            self._fresh[entry.key] = (entry.until, None if entry.text is None else _decode(entry.text))

    def _opened(self, now: float) -> sqlite3.Connection:
        """The connection, to the file that has the name now."""
        if self._connection is not None:
            if 0 <= now - self._looked_at < _LOOK_S:
                return self._connection
            self._looked_at = now
            found = sqlite_file.identity(self._path)
            if found == self._identity:
                return self._connection
            if found is None:
                self._note(logging.WARNING, "store was deleted, a new one is begun path=%s", self._path)
            self._let_go()
        if self._is_closed:
            raise UnusableFile("it was closed")
        connection = sqlite_file.connect(self._path, max_bytes=self._max_bytes)
        self._connection = connection
        # At the latest when the interpreter ends, and then not in a forked child.
        self._finalizer = weakref.finalize(self, _close_own, connection, os.getpid())
        self._identity = sqlite_file.identity(self._path)
        self._looked_at = now
        return connection

    def _let_go(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._connection = self._finalizer = None
        self._fresh = {}

    def _can_retry(self, error: Exception, *, seen: tuple[int, int] | None = None) -> bool:
        """Whether the error may be gone in a moment: a lock, or a corrupt file that was replaced."""
        if is_busy(error):
            return True
        return is_corrupt(error) and self._replace(str(error), seen)

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

    def _replace(self, reason: str, seen: tuple[int, int] | None) -> bool:
        """Set a corrupt file aside, unless another worker has, so that the next use makes a new one.

        :param seen: which file it was, if not the one that is open.
        """
        opened = seen or (self._identity if self._connection is not None else sqlite_file.identity(self._path))
        self._let_go()
        if sqlite_file.identity(self._path) != opened:
            return True
        now = self._clock()
        if self._replaced_at is not None and now - self._replaced_at < _REPLACE_PAUSE_S:
            return False
        aside = sqlite_file.set_aside(self._path, now=now)
        if aside is None:
            return False
        self._replaced_at = now
        self._note(
            logging.WARNING,
            "store was corrupt, a new one is begun path=%s reason=%s kept=%s",
            self._path,
            reason,
            aside,
        )
        return True

    def _is_at_bound(self, error: Exception) -> bool:
        """Whether not the disk is full, but what we allow ourselves. Then the next sweep makes room."""
        if self._connection is None or not sqlite_file.is_at_bound(self._connection, error):
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
                elif self._can_retry(error, seen=seen):
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
            self._let_go()  # it may be another file
        if self._shelf or self._wants_work:
            return 0.001  # others want to write, too
        self._worker = None
        return None

    def _settle(self, entries: list[Entry], sweeps: bool) -> Exception | None:
        """Write these entries, with a connection of its own: it may run in another thread than all else.

        :returns: what went wrong.
        """
        try:
            connection = sqlite_file.connect(self._path, max_bytes=self._max_bytes)
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
                    more = self._sweep(self._opened(self._clock()))
                except sqlite_file.ERRORS as error:
                    more = self._can_retry(error)
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
            self._is_closed = True
            self._let_go()
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


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # bits that the disk has turned, where SQLite does not notice
        return None


def _close_own(connection: sqlite3.Connection, pid: int) -> None:
    if os.getpid() == pid:
        connection.close()
