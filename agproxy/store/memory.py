"""State in this process: bounded, gone with it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class MemoryStore:
    """A :class:`~agproxy.store.Store` of dictionaries, one for each kind of key, the least recently put goes first.

    :param clock: gives the time in seconds; only differences count.
    :param max_entries: how many values of one kind are kept.
    """

    def __init__(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._kinds: dict[str, OrderedDict[str, tuple[float, Any]]] = {}

    def get(self, key: str) -> Any:
        with self._lock:
            entries = self._kinds.get(key.partition(":")[0])
            entry = entries.get(key) if entries else None
            if entry is None:
                return None
            until, value = entry
            if until <= self._clock():
                assert entries is not None  # noqa: S101 (there is an entry)
                del entries[key]
                return None
            return value

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        with self._lock:
            entries = self._kinds.setdefault(key.partition(":")[0], OrderedDict())
            entries[key] = (self._clock() + ttl_s, value)
            entries.move_to_end(key)
            while len(entries) > self._max_entries:
                entries.popitem(last=False)

    def delete(self, key: str) -> None:
        with self._lock:
            self._kinds.get(key.partition(":")[0], OrderedDict()).pop(key, None)
