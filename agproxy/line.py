"""Those in this process who wait for room at accounts that are limited, in the order in which they came.

Without it whoever comes at the right moment takes the room, which is most often who has just given it back: programs
that ask again as soon as they have an answer would keep it to themselves.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterable


class Line:
    """Who waits, each for any of some accounts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, frozenset[str]] = {}

    def ahead_of(self, who: Hashable) -> Counter[str]:
        """How many wait for each account, by name, that have come before; all of them, for one who is not in line."""
        found: Counter[str] = Counter()
        if self._waiting:
            with self._lock:
                for each, names in self._waiting.items():
                    if each == who:
                        break
                    found.update(names)
        return found

    def join(self, who: Hashable, names: Iterable[str]) -> None:
        """Wait for these; who is in line already keeps the place."""
        with self._lock:
            self._waiting[who] = frozenset(names)

    def leave(self, who: Hashable) -> None:
        """Wait no longer."""
        if self._waiting:
            with self._lock:
                self._waiting.pop(who, None)
