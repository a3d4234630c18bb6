"""What is under way in this process, and what has begun in the last minute: counted in memory."""

import threading
from collections.abc import Callable, Sequence

from agproxy.store import Offer, Use

SLOT_S = 5.0
SLOTS = 13  # with the present one they are 60 to 65 s, so that no 60 s have more than their share


class MemoryLedger:
    """A :class:`~agproxy.store.Ledger` of one process.

    :param clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight: dict[str, int] = {}
        self._begun: dict[str, dict[int, int]] = {}  # by slot of the clock

    def take(self, offers: Sequence[Offer]) -> str | None:
        with self._lock:
            slot = slot_of(self._clock())
            for offer in offers:
                begun = self._counting(offer.key, slot)
                if offer.max_in_flight and self._in_flight.get(offer.key, 0) >= offer.max_in_flight:
                    continue
                if offer.per_minute and sum(begun.values()) >= offer.per_minute:
                    continue
                self._count(offer.key, begun, slot)
                return offer.key
        return None

    def count(self, key: str, *, slot: int) -> None:
        """Count a use that there was room for.

        :param slot: in which it began.
        """
        with self._lock:
            self._count(key, self._counting(key, slot), slot)

    def release(self, key: str) -> None:
        with self._lock:
            left = self._in_flight.get(key, 0) - 1
            if left > 0:
                self._in_flight[key] = left
            else:
                self._in_flight.pop(key, None)

    def use(self, key: str) -> Use:
        now = self._clock()
        in_flight, begun = self.counts(key, slot=slot_of(now))
        return Use(in_flight, sum(begun.values()), fewer_in_s(begun, now))

    def counts(self, key: str, *, slot: int) -> tuple[int, dict[int, int]]:
        """How many uses are under way, and how many began in each slot that still counts in this one."""
        with self._lock:
            return self._in_flight.get(key, 0), self._counting(key, slot).copy()

    def under_way(self) -> list[str]:
        """What is used now."""
        with self._lock:
            return list(self._in_flight)

    def _count(self, key: str, begun: dict[int, int], slot: int) -> None:
        self._in_flight[key] = self._in_flight.get(key, 0) + 1
        begun[slot] = begun.get(slot, 0) + 1

    def _counting(self, key: str, slot: int) -> dict[int, int]:
        """The slots that still count; a clock that was set back leaves none that are yet to come."""
        begun = self._begun.setdefault(key, {})
        for old in [old for old in begun if not slot - SLOTS < old <= slot]:
            del begun[old]
        return begun


def slot_of(now: float) -> int:
    """The slot of the clock that a time belongs to."""
    return int(now // SLOT_S)


def fewer_in_s(begun: dict[int, int], now: float) -> float:
    """Seconds until the first slot counts no longer; 0.0 when there is none."""
    return max((min(begun) + SLOTS) * SLOT_S - now, 0.0) if begun else 0.0
