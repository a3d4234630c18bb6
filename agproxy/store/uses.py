"""What processes tell each other about their uses: the rows, and what may be taken by them."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from agproxy.store import Offer
from agproxy.store.ledger import SLOTS, slot_of

VOID_S = 20.0  # uses of a process that says nothing any more count so long
MAX_SKEW_S = 60.0  # between the clocks of two machines


class Row(NamedTuple):
    """What one process says about its uses of one key.

    :ivar until: Unix seconds until which those under way count.
    :ivar begun: how many began in each slot that still counts.
    """

    until: float
    in_flight: int
    begun: Mapping[int, int]

    def with_uses(self, count: int, *, now: float) -> "Row":
        """The row when so many uses more have begun now."""
        slot = slot_of(now)
        return Row(now + VOID_S, self.in_flight + count, {**self.begun, slot: self.begun.get(slot, 0) + count})

    def text(self) -> str:
        """``until in_flight slot:count slot:count``"""
        return " ".join((f"{self.until:.3f} {self.in_flight}", *(f"{slot}:{n}" for slot, n in self.begun.items())))

    @classmethod
    def of(cls, text: str) -> "Row":
        """The row of a text.

        :raises ValueError: it is none.
        """
        until, in_flight, *slots = text.split(" ")
        return cls(float(until), int(in_flight), {int(slot): int(n) for slot, n in (each.split(":") for each in slots)})


def in_flight_of(row: Row, now: float) -> int:
    """How many of another process's uses count as under way."""
    return row.in_flight if now < row.until <= now + VOID_S + MAX_SKEW_S else 0


def counts_in(slot: int, other: int) -> bool:
    """Whether what another process began in a slot counts in this one; its clock may be somewhat ahead."""
    return abs(other - slot) < SLOTS


def chosen(
    asked: Sequence[Sequence[Offer]], own: Mapping[str, Row], others: Mapping[str, Collection[Row]], *, now: float
) -> list[str | None]:
    """The first offer of each who asks that has room, when those before have taken theirs.

    :param others: the rows of the other processes, by key.
    """
    slot = slot_of(now)
    in_flight = {key: own[key].in_flight + sum(in_flight_of(row, now) for row in rows) for key, rows in others.items()}
    begun = {
        key: sum(n for row in (own[key], *rows) for other, n in row.begun.items() if counts_in(slot, other))
        for key, rows in others.items()
    }
    found: list[str | None] = []
    for offers in asked:
        for key, max_in_flight, per_minute in offers:
            is_full = max_in_flight and in_flight[key] >= max_in_flight
            if is_full or (per_minute and begun[key] >= per_minute):
                continue
            in_flight[key] += 1
            begun[key] += 1
            found.append(key)
            break
        else:
            found.append(None)
    return found
