"""Texts in memory, by key: bounded in number and in bytes, each with its end."""

from collections import OrderedDict
from typing import NamedTuple


class Entry(NamedTuple):
    """What stands under one key.

    :ivar until: when its time is over.
    :ivar text: None says that the key is to be forgotten.
    """

    key: str
    until: float
    text: str | None


class Shelf:
    """Entries by key; when there are too many, the least recently put goes first. Its owner keeps threads apart.

    :param max_entries: how many are kept of one kind, which is what a key begins with: ``kind:name``.
    :param max_bytes: how much text is kept; over it, the kind that takes the most room loses some.
    """

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._kinds: dict[str, OrderedDict[str, Entry]] = {}
        self._bytes: dict[str, int] = {}  # by kind
        self._total_bytes = 0

    def __bool__(self) -> bool:
        return any(self._kinds.values())

    def get(self, key: str) -> Entry | None:
        """The entry, though its time may be over."""
        entries = self._kinds.get(kind_of(key))
        return entries.get(key) if entries else None

    def put(self, entry: Entry) -> None:
        """Keep the entry instead of the one of the same key."""
        kind = kind_of(entry.key)
        self.drop(entry.key)
        entries = self._kinds.setdefault(kind, OrderedDict())
        entries[entry.key] = entry
        self._count(kind, _size(entry))
        if len(entries) > self._max_entries:
            self._drop_oldest(kind)
        while self._total_bytes > self._max_bytes:
            self._drop_oldest(max(self._bytes, key=self._bytes.__getitem__))

    def drop(self, key: str) -> None:
        """Do without the entry, if there is one."""
        kind = kind_of(key)
        entry = self._kinds.get(kind, OrderedDict()).pop(key, None)
        if entry is not None:
            self._count(kind, -_size(entry))

    def keys_of(self, kind: str) -> list[str]:
        """The keys of one kind."""
        return list(self._kinds.get(kind, ()))

    def some(self, count: int, *, max_bytes: int) -> list[Entry]:
        """Up to ``count`` entries, the first of them and no more than ``max_bytes`` with it."""
        found: list[Entry] = []
        for entries in self._kinds.values():
            for entry in entries.values():
                max_bytes -= _size(entry)
                if found and (max_bytes < 0 or len(found) == count):
                    return found
                found.append(entry)
        return found

    def drop_unchanged(self, entries: list[Entry]) -> None:
        """Do without those entries that nobody has replaced."""
        for entry in entries:
            if self.get(entry.key) is entry:
                self.drop(entry.key)

    def _drop_oldest(self, kind: str) -> None:
        _, entry = self._kinds[kind].popitem(last=False)
        self._count(kind, -_size(entry))

    def _count(self, kind: str, size: int) -> None:
        self._bytes[kind] = self._bytes.get(kind, 0) + size
        self._total_bytes += size


def kind_of(key: str) -> str:
    """What the key begins with."""
    return key.partition(":")[0]


def _size(entry: Entry) -> int:
    return len(entry.key) + len(entry.text or "") + 200  # what Python's objects take besides
