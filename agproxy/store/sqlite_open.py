"""The connection that a process has to a store's file: opened when it is needed, and to the file that has the name now.

Its owner keeps threads apart, and may not be held up but by the disk: what there is to say is noted.
"""

import logging
import os
import sqlite3
import weakref
from collections.abc import Callable
from typing import Any

from agproxy.store import sqlite_file
from agproxy.store.recent import Recent
from agproxy.store.sqlite_file import UnusableFile, is_busy, is_corrupt

_LOOK_S = 1.0  # how often to look whether the file is still the same
_REPLACE_PAUSE_S = 3600.0  # a file that is corrupt again so soon is the disk's fault


class OpenFile:
    """A file that may be opened, deleted by others, replaced when it is corrupt, and opened again.

    :param recent: what was read of it; cleared when it may be another file.
    :param note: takes what is to be said: level, words, arguments.
    """

    def __init__(
        self,
        path: str,
        *,
        clock: Callable[[], float],
        max_bytes: int,
        recent: Recent,
        note: Callable[..., None],
    ) -> None:
        self.path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._recent = recent
        self._note = note
        self._connection: sqlite3.Connection | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._identity: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._replaced_at: float | None = None
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def connection(self, now: float) -> sqlite3.Connection:
        """The connection, to the file that has the name now.

        :raises UnusableFile: and the others of ``sqlite_file.ERRORS``, when there can be none.
        """
        if self._finalizer is not None and not self._finalizer.alive:
            # The interpreter ends, and something is left to do.
            self._connection = self._finalizer = None
        if self._connection is not None:
            if 0 <= now - self._looked_at < _LOOK_S:
                return self._connection
            self._looked_at = now
            found = sqlite_file.identity(self.path)
            if found == self._identity:
                return self._connection
            if found is None:
                self._note(logging.WARNING, "store was deleted, a new one is begun path=%s", self.path)
            self.let_go()
        if self._is_closed:
            raise UnusableFile("it was closed")
        connection = sqlite_file.connect(self.path, max_bytes=self._max_bytes)
        self._connection = connection
        # At the latest when the interpreter ends, and then not in a forked child.
        self._finalizer = weakref.finalize(self, _close_own, connection, os.getpid())
        self._identity = sqlite_file.identity(self.path)
        self._looked_at = now
        return connection

    def let_go(self) -> None:
        """Close the connection; the next use opens another."""
        if self._finalizer is not None:
            self._finalizer()
        self._connection = self._finalizer = None
        self._recent.clear()

    def close(self) -> None:
        """Close the connection, for good."""
        self._is_closed = True
        self.let_go()

    def can_retry(self, error: Exception, *, seen: tuple[int, int] | None = None) -> bool:
        """Whether the error may be gone in a moment: a lock, or a corrupt file that was replaced.

        :param seen: which file it was, if not the one that is open.
        """
        if is_busy(error):
            return True
        return is_corrupt(error) and self._replace(str(error), seen)

    def is_at_bound(self, error: Exception) -> bool:
        """Whether not the disk is full, but what we allow ourselves."""
        return self._connection is not None and sqlite_file.is_at_bound(self._connection, error)

    def _replace(self, reason: str, seen: tuple[int, int] | None) -> bool:
        """Set a corrupt file aside, unless another worker has, so that the next use makes a new one."""
        opened = seen or (self._identity if self._connection is not None else sqlite_file.identity(self.path))
        self.let_go()
        if sqlite_file.identity(self.path) != opened:
            return True
        now = self._clock()
        if self._replaced_at is not None and now - self._replaced_at < _REPLACE_PAUSE_S:
            return False
        aside = sqlite_file.set_aside(self.path, now=now)
        if aside is None:
            return False
        self._replaced_at = now
        self._note(
            logging.WARNING,
            "store was corrupt, a new one is begun path=%s reason=%s kept=%s",
            self.path,
            reason,
            aside,
        )
        return True


def _close_own(connection: sqlite3.Connection, pid: int) -> None:
    if os.getpid() == pid:
        connection.close()
