"""The book of a shared ledger in a store's SQLite file: one entry a key and process, ``use:KEY PROCESS``."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from agproxy.store import Offer, sqlite_file
from agproxy.store.ledger import SLOT_S, SLOTS
from agproxy.store.shared_ledger import process_name
from agproxy.store.shelf import Entry
from agproxy.store.sqlite_process import ProcessFile
from agproxy.store.uses import Row, chosen

_KEPT_S = 2 * SLOTS * SLOT_S  # longer than any row says something


class SqliteBook:
    """A :class:`~agproxy.store.shared_ledger.Book` of one process.

    :param file: gives the store's file in this process.
    """

    def __init__(self, file: Callable[[], ProcessFile]) -> None:
        self._file = file
        self._process = process_name()

    def settle(
        self, asked: Sequence[Sequence[Offer]], own: Mapping[str, Row], *, now: float
    ) -> Sequence[str | None] | None:
        def work(connection: sqlite3.Connection) -> list[str | None]:
            with sqlite_file.transaction(connection):
                others = {key: self._read(connection, key) for key in own}
                found = chosen(asked, own, others, now=now)
                counts = Counter(key for key in found if key is not None)
                rows = {key: own[key].with_uses(count, now=now) for key, count in counts.items()}
                sqlite_file.put_all(connection, self._entries(rows, now))
            return found

        return self._file().attempt(work, writes=True)

    def write(self, rows: Mapping[str, Row], *, now: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            sqlite_file.write(connection, self._entries(rows, now))
            return True

        return self._file().attempt(work, writes=True) is not None

    def read(self, key: str) -> list[Row] | None:
        return self._file().attempt(lambda connection: self._read(connection, key), writes=False)

    def _entries(self, rows: Mapping[str, Row], now: float) -> list[Entry]:
        return [Entry(_prefix(key) + self._process, now + _KEPT_S, row.text()) for key, row in rows.items()]

    def _read(self, connection: sqlite3.Connection, key: str) -> list[Row]:
        prefix = _prefix(key)
        entries = sqlite_file.read_those(connection, prefix)
        try:
            return [Row.of(entry.text or "") for entry in entries if entry.key != prefix + self._process]
        except ValueError as error:
            raise sqlite_file.malformed() from error


def _prefix(key: str) -> str:
    """What the entries of a key begin with, and no others."""
    return f"use:{key.replace('%', '%25').replace(' ', '%20')} "
