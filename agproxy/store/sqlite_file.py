"""The SQLite file of a store: opened, filled, swept and set aside. All of it may wait for the disk.

Nothing here logs, locks or remembers, so each function may run in any thread with a connection of its own.
"""

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agproxy.store.shelf import Entry, kind_of

# A value that is put again unchanged costs a quarter when it may keep the end it has; the last parameter is by how
# much it may be early.
PUT = """
    INSERT INTO entries (key, kind, until, size, value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET until = excluded.until, size = excluded.size, value = excluded.value
    WHERE value IS NOT excluded.value OR excluded.until NOT BETWEEN until AND until + ?
"""
DELETE = "DELETE FROM entries WHERE key = ?"
_ADD = """
    INSERT INTO entries (key, kind, until, size, value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET until = excluded.until, size = excluded.size, value = excluded.value
    WHERE until <= ?
"""

_APPLICATION_ID = 0x61677079  # "agpy": tells our files from other programs'
_VERSION = 1
_SCHEMA = (
    # The value stands last, so that what is before it is read without a long value's pages.
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, until REAL NOT NULL,"
    " size INTEGER NOT NULL, value TEXT NOT NULL)",
    "CREATE INDEX entries_by_end ON entries (kind, until, size)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_KINDS = """
    WITH RECURSIVE kinds (kind) AS (
        SELECT min(kind) FROM entries
        UNION ALL SELECT (SELECT min(kind) FROM entries WHERE kind > kinds.kind) FROM kinds WHERE kind IS NOT NULL
    )
    SELECT kind FROM kinds WHERE kind IS NOT NULL
"""
# One statement each: two workers that sweep at once do not delete twice as much.
_DELETE_OVER = """
    DELETE FROM entries
    WHERE id IN (SELECT id FROM entries WHERE kind = :kind AND until <= :now ORDER BY until LIMIT :rows)
"""
_DELETE_SURPLUS = """
    DELETE FROM entries WHERE id IN (
        SELECT id FROM entries WHERE kind = :kind ORDER BY until
        LIMIT min(max((SELECT count(*) FROM entries WHERE kind = :kind) - :most, 0), :rows)
    )
"""
_MALFORMED = "malformed row"
_SWEEP_ROWS = 200  # at a time: their commit takes a few ms, in which others cannot write
_FULL_SHARE = 0.9  # of the room, above which the sweep makes some
_WAL_PAGES = (
    10_000  # the sweep moves them to the file long before, and holds nobody up; this is in case it does not run
)
_WAL_KEPT_BYTES = 16 << 20


# https://www.sqlite.org/rescode.html
_BUSY, _LOCKED, _CORRUPT, _FULL, _PROTOCOL, _NOT_A_DATABASE = 5, 6, 11, 13, 15, 26


class UnusableFile(Exception):
    """The file cannot serve as a store; the message says why. Nothing was changed in it."""


ERRORS = (sqlite3.Error, OSError, UnusableFile, UnicodeDecodeError)  # all that may come of the functions below


def connect(path: str, *, max_bytes: int, wait_s: float = 0.0) -> sqlite3.Connection:
    """A connection to the file, which is made when there is none.

    :param max_bytes: what the file may grow to; a write that needs more fails with ``SQLITE_FULL``.
    :param wait_s: how long it waits for a lock; all of the process's threads but this one go on meanwhile.
    :raises UnusableFile: it is something else than ours, or of a later version.
    :raises OSError: it cannot be made or looked at.
    :raises sqlite3.Error: ``SQLITE_BUSY`` when another process is just setting it up, or any other.
    """
    _prepare(path)
    connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection, max_bytes)
    except BaseException as error:
        connection.close()
        # One that is named as a database is replaced; anything else may have been named by mistake.
        if _code(error) == _NOT_A_DATABASE and not path.endswith(_NAMES):
            raise UnusableFile("it is no database") from error
        raise
    return connection


_NAMES = (".db", ".db3", ".sqlite", ".sqlite3")


def identity(path: str) -> tuple[int, int] | None:
    """What tells the file from another that takes its name, or None when there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def read(connection: sqlite3.Connection, key: str) -> tuple[float, str] | None:
    """The end and the text of what stands under the key."""
    row = connection.execute("SELECT until, value FROM entries WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    until, text = row
    if type(until) is not float or type(text) is not str:
        raise malformed()
    return until, text


def read_all(connection: sqlite3.Connection, kind: str) -> list[Entry]:
    """What stands under the keys of one kind."""
    return _entries(connection.execute("SELECT key, until, value FROM entries WHERE kind = ?", (kind,)))


def read_those(connection: sqlite3.Connection, prefix: str) -> list[Entry]:
    """What stands under the keys that begin so; the last character may be any but the last of Unicode."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return _entries(
        connection.execute("SELECT key, until, value FROM entries WHERE key >= ? AND key < ?", (prefix, end))
    )


def _entries(rows: Iterable[tuple[Any, Any, Any]]) -> list[Entry]:
    found = [Entry(*row) for row in rows]
    if any((type(key), type(until), type(text)) != (str, float, str) for key, until, text in found):
        raise malformed()
    return found


def add(connection: sqlite3.Connection, entry: Entry, *, now: float) -> Entry:
    """Put the entry unless there is one that is not over.

    :returns: the one that there is now.
    """
    key, until, text = entry
    row = (key, kind_of(key), until, len(text or ""), text, now)
    if connection.execute(_ADD, row).rowcount:  # which is so nearly always, and costs a third
        return entry
    with transaction(connection):
        connection.execute(_ADD, row)
        kept = read(connection, key)
    return entry if kept is None else Entry(key, *kept)


def write(connection: sqlite3.Connection, entries: list[Entry]) -> None:
    """Put and delete in one transaction."""
    if entries:
        with transaction(connection):
            put_all(connection, entries)


def put_all(connection: sqlite3.Connection, entries: list[Entry]) -> None:
    """Put and delete, in a transaction that has begun."""
    for key, until, text in entries:
        if text is None:
            connection.execute(DELETE, (key,))
        else:
            connection.execute(PUT, (key, kind_of(key), until, len(text), text, 0))


def sweep(connection: sqlite3.Connection, *, now: float, max_entries: int, max_bytes: int) -> bool:
    """Delete some of the values that are over or too many; of one kind, those go first that end first.

    :returns: whether there may be more to delete.
    """
    more = False
    for (kind,) in connection.execute(_KINDS).fetchall():
        over = connection.execute(_DELETE_OVER, {"kind": kind, "now": now, "rows": _SWEEP_ROWS}).rowcount
        (count,) = connection.execute("SELECT count(*) FROM entries WHERE kind = ?", (kind,)).fetchone()
        if count > max_entries:
            connection.execute(_DELETE_SURPLUS, {"kind": kind, "most": max_entries, "rows": _SWEEP_ROWS})
        more = more or over == _SWEEP_ROWS or count > max_entries + _SWEEP_ROWS
    most_bytes = int(max_bytes * _FULL_SHARE)
    if _used_bytes(connection) > most_bytes:
        more = _make_room(connection, most_bytes) or more
    return more


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move what was written from the WAL into the file, so that the WAL begins anew."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def set_aside(path: str, *, now: float) -> str | None:
    """Rename a corrupt file, with what belongs to it; only the latest such file is kept.

    :returns: its new name, or None when it cannot be renamed.
    """
    target = f"{path}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    try:
        for earlier in Path(path).parent.iterdir():
            if earlier.name.startswith(f"{Path(path).name}.corrupt-"):
                earlier.unlink()
        for suffix in ("-wal", "-shm", ""):  # the file last: who finds none makes a new one
            if os.path.exists(path + suffix):
                os.replace(path + suffix, target + suffix)
    except OSError:  # as on Windows, where another worker has it open
        return None
    return target


def is_busy(error: Exception) -> bool:
    """Whether somebody else holds a lock."""
    return _code(error) in (_BUSY, _LOCKED, _PROTOCOL)


def malformed() -> sqlite3.DatabaseError:
    """The error for what no agproxy has written."""
    return sqlite3.DatabaseError(_MALFORMED)


def is_corrupt(error: Exception) -> bool:
    """Whether the file is none of SQLite's, or no longer."""
    if isinstance(error, UnicodeDecodeError) or _code(error) in (_CORRUPT, _NOT_A_DATABASE):
        return True
    return str(error).startswith((_MALFORMED, "no such table", "Could not decode"))


def is_at_bound(connection: sqlite3.Connection, error: Exception) -> bool:
    """Whether it is ``max_bytes`` that leaves no room, not the disk."""
    if _code(error) != _FULL:
        return False
    with contextlib.suppress(sqlite3.Error):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (most,) = connection.execute("PRAGMA max_page_count").fetchone()
        return bool(pages > most * 0.8)
    return False


def _code(error: BaseException) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _prepare(path: str) -> None:
    """Make the folder and the file, for its owner alone, before SQLite does: the WAL takes the file's mode."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        for suffix in ("-wal", "-shm"):  # of a file that somebody deleted: they would spoil the new one
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
        with contextlib.suppress(FileExistsError):  # another worker was first
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        return
    if stat.S_ISLNK(state.st_mode):
        owner, state = state.st_uid, os.stat(path)
        if hasattr(os, "geteuid") and {owner, state.st_uid} != {os.geteuid()}:
            raise UnusableFile("it is a link that is not, or leads to a file that is not, of the user agproxy runs as")
    if not stat.S_ISREG(state.st_mode):
        raise UnusableFile("it is a folder" if stat.S_ISDIR(state.st_mode) else "it is no regular file")
    # By name: to open and close the file ourselves would drop the locks that this process has on it.
    if os.name != "nt" and state.st_mode & 0o077 and state.st_uid == os.geteuid():
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(path + suffix, 0o600)


def _set_up(connection: sqlite3.Connection, max_bytes: int) -> None:
    # The tables first: another process may be making them now, and the rest together with them.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and application != _APPLICATION_ID:
        raise UnusableFile("it is another program's database")
    if version > _VERSION:
        raise UnusableFile(f"a later agproxy made it (version {version} of the file, this one knows {_VERSION})")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise UnusableFile("its file system cannot share memory between processes (SQLite's WAL needs that)")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    for pragma in (
        "synchronous = NORMAL",
        "secure_delete = FAST",  # what was deleted is overwritten where that costs no further page
        f"wal_autocheckpoint = {_WAL_PAGES}",
        f"journal_size_limit = {_WAL_KEPT_BYTES}",
        f"max_page_count = {max(max_bytes // page_bytes, 16)}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    if version == 0:
        with transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for statement in _SCHEMA if version == 0 else ():
                connection.execute(statement)


def _used_bytes(connection: sqlite3.Connection) -> int:
    page_bytes, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(page_bytes * (pages - free))


def _make_room(connection: sqlite3.Connection, most_bytes: int) -> bool:
    """Delete values of the kind that takes the most room; says whether it was not enough."""
    largest = connection.execute(
        "SELECT kind FROM entries GROUP BY kind ORDER BY sum(size + 100) DESC LIMIT 1"
    ).fetchone()
    if largest is None:
        return False
    sizes = connection.execute(
        "SELECT id, CAST(size AS INTEGER) FROM entries WHERE kind = ? ORDER BY until LIMIT ?", (*largest, _SWEEP_ROWS)
    ).fetchall()
    with transaction(connection):
        excess = _used_bytes(connection) - most_bytes  # another worker may just have done it
        for id_, size in sizes:
            if excess <= 0:
                break
            connection.execute("DELETE FROM entries WHERE id = ?", (id_,))
            excess -= size + 100
    return excess > 0


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is done within is done together, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have done it already
            connection.execute("ROLLBACK")
        raise
