"""State in one SQLite file, shared by all workers of a machine; a restart does not lose it.

Each process has one connection, opened at its first use, so none crosses a fork. A read costs 6 to 9 us, a write 30 us,
and is committed when ``put`` returns: another worker finds it from then on. What every request asks for, the same for
all, is read again after a quarter of a second.

No lock is ever waited for, which would hold up all greenlets of a gevent worker. What the file does not take at once
stands on a shelf in memory, is found there first, and is written by a background thread (a greenlet under gevent,
its disk work in gevent's pool of real threads). That is so for milliseconds when another worker is writing, and for
as long as it takes when the file is locked, the disk full or slow, or the folder not writable: then with one warning,
and one more line when all is well again. A corrupt file is renamed and a new one made.

The background thread also deletes what is over or too much, and moves the WAL into the file.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agproxy.store.shared_ledger import BEAT_S, ProcessLedgers, SharedLedger
from agproxy.store.sqlite_ledger import SqliteBook
from agproxy.store.sqlite_process import Options, ProcessFile

_encode = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so what is half of a surrogate pair passes too


class SqliteStore:
    """A :class:`~agproxy.store.Store` in a file. A value that was got is not to be changed.

    Storage problems never raise; a value that JSON cannot hold does.

    :param path: of the file; it and its folder are made at the first use, for the user alone.
    :param clock: gives Unix seconds, the same to all processes.
    :param max_entries: about how many values of one kind are kept; those go first that end first.
    :param max_bytes: what the file may grow to. Above nine tenths of it, the kind that takes the most room loses
        values. One value may take a 16th of it; a longer one is not kept.
    :param retry_s: how long a file that cannot be used is left alone.
    :param slow_s: a write that takes longer is slow: the next ones are left to the background thread for ``retry_s``.
    :param beat_s: how often a process tells the others what it uses.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.time,
        max_entries: int = 10_000,
        max_bytes: int = 256 << 20,
        retry_s: float = 30.0,
        slow_s: float = 0.25,
        beat_s: float = BEAT_S,
    ) -> None:
        self._options = Options(os.path.abspath(path), clock, max_entries, max_bytes, retry_s, slow_s)
        # By process. What a forked child finds of its parent stays there untouched: closing it would be use, too.
        self._files: dict[int, ProcessFile] = {}
        self.ledger = ProcessLedgers(lambda: SharedLedger(clock, SqliteBook(self._file), beat_s=beat_s))

    def get(self, key: str) -> Any:
        return self._file().get(_clean(key))

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        self._file().put(_clean(key), _encode(value), ttl_s)

    def add(self, key: str, value: Any, *, ttl_s: float) -> Any:
        return self._file().add(_clean(key), _encode(value), ttl_s)

    def delete(self, key: str) -> None:
        self._file().delete(_clean(key))

    def items(self, kind: str) -> dict[str, Any]:
        return self._file().items(_clean(kind))

    def sweep(self) -> None:
        """Delete what is over or too much now; it happens by itself now and then."""
        self._file().sweep()

    def close(self) -> None:
        """Write what still waits, if that can be done at once, and let go of the file; a later use opens it again."""
        self.ledger.close()
        file = self._files.pop(os.getpid(), None)
        if file is not None:
            file.close()

    def _file(self) -> ProcessFile:
        pid = os.getpid()
        return self._files.get(pid) or self._files.setdefault(pid, ProcessFile(self._options))


def default_path(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path | None:
    """Where the store belongs by the platform's convention, or None when the environment names no home."""
    if platform == "win32":
        return Path(environ["LOCALAPPDATA"], "agproxy", "state.db") if environ.get("LOCALAPPDATA") else None
    # "All paths set in these environment variables must be absolute", XDG Base Directory Specification.
    if platform != "darwin" and environ.get("XDG_STATE_HOME", "").startswith("/"):
        return Path(environ["XDG_STATE_HOME"], "agproxy", "state.db")
    folder = "Library/Application Support" if platform == "darwin" else ".local/state"
    return Path(environ["HOME"], folder, "agproxy", "state.db") if environ.get("HOME") else None


def _clean(key: str) -> str:
    """The key as SQLite takes it, without halves of surrogate pairs."""
    return key if key.isascii() else key.encode(errors="backslashreplace").decode()
