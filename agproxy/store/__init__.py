"""State that outlives a request: cooldowns, sticky sessions, thought signatures, lists of models, what is under way."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Offer(NamedTuple):
    """Something that may be taken if there is room.

    :ivar key: what its uses are counted by.
    :ivar max_in_flight: how many uses may be under way at once; 0 = any number.
    :ivar per_minute: how many may begin within 60 s; 0 = any number.
    """

    key: str
    max_in_flight: int = 0
    per_minute: int = 0


class Use(NamedTuple):
    """How much something is used now, by all who share the store.

    :ivar in_flight: uses under way.
    :ivar last_minute: uses that count as begun within the last 60 s.
    :ivar fewer_in_s: seconds until the first of these counts no longer; 0.0 when there are none.
    """

    in_flight: int
    last_minute: int
    fewer_in_s: float


class Ledger(Protocol):
    """Counts what is under way, and what has begun in the last minute, so that limits hold for all who share it.

    What a process has taken is given back when it dies. When the place where counts are shared cannot be used, each
    process goes by its own: limits are then those of a process, and no request is refused for it.
    """

    def take(self, offers: Sequence[Offer]) -> str | None:
        """Take the first of the offers that has room, in this order, and count the use.

        :returns: its key, or None when there is no room.
        """

    def release(self, key: str) -> None:
        """A use that was taken is over; once for each ``take``."""

    def use(self, key: str) -> Use:
        """How much it is used now."""


class Store(Protocol):
    """Values with a time to live, by key. A key is ``kind:name``; values are what JSON can hold.

    A value that was got is not to be changed: it may be shared.

    :ivar ledger: the counts that go with it.
    """

    @property
    def ledger(self) -> Ledger: ...

    def get(self, key: str) -> Any:
        """The value, or None when there is none or its time is over."""

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        """Keep ``value`` for ``ttl_s`` seconds; when it was the same before, perhaps a 60th of that less."""

    def add(self, key: str, value: Any, *, ttl_s: float) -> Any:
        """Keep ``value`` unless there is one; of several who do so at once, one succeeds.

        :returns: the value that there is now.
        """

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""

    def items(self, kind: str) -> dict[str, Any]:
        """All values of one kind, by name; for people, not for each request."""

    def close(self) -> None:
        """Let go of files and connections. The store may be used again."""
