"""State in this process: bounded, gone with it."""

import json
import threading
from collections.abc import Callable
from typing import Any

from agproxy.store.ledger import MemoryLedger
from agproxy.store.shelf import Entry, Shelf


class MemoryStore:
    """A :class:`~agproxy.store.Store` on a shelf. Like the others it keeps JSON, so what is got is what they give.

    :param clock: gives the time in seconds; only differences count.
    :param max_entries: how many values of one kind are kept; the least recently put goes first.
    :param max_bytes: how much JSON is kept; over it, the kind that takes the most room loses values.
    """

    def __init__(self, clock: Callable[[], float], *, max_entries: int = 10_000, max_bytes: int = 64 << 20) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shelf = Shelf(max_entries=max_entries, max_bytes=max_bytes)
        self.ledger = MemoryLedger(clock)

    def get(self, key: str) -> Any:
        with self._lock:
            text = self._text(key)
        return None if text is None else json.loads(text)

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        text = json.dumps(value)
        with self._lock:
            self._shelf.put(Entry(key, self._clock() + ttl_s, text))

    def add(self, key: str, value: Any, *, ttl_s: float) -> Any:
        text = json.dumps(value)
        with self._lock:
            kept = self._text(key)
            if kept is None:
                self._shelf.put(Entry(key, self._clock() + ttl_s, text))
        return json.loads(text if kept is None else kept)

    def delete(self, key: str) -> None:
        with self._lock:
            self._shelf.drop(key)

    def items(self, kind: str) -> dict[str, Any]:
        with self._lock:
            texts = {key.partition(":")[2]: self._text(key) for key in self._shelf.keys_of(kind)}
        return {name: json.loads(text) for name, text in texts.items() if text is not None}

    def close(self) -> None:
        """Nothing to let go of."""

    def _text(self, key: str) -> str | None:
        entry = self._shelf.get(key)
        if entry is None or entry.text is None:
            return None
        if entry.until <= self._clock():
            self._shelf.drop(key)
            return None
        return entry.text
