"""State that outlives a request: cooldowns, sticky sessions, thought signatures, lists of models."""

from typing import Any, Protocol


class Store(Protocol):
    """Values with a time to live, by key. A key is ``kind:name``; values are what JSON can hold.

    A value that was got is not to be changed: it may be shared.
    """

    def get(self, key: str) -> Any:
        """The value, or None when there is none or its time is over."""

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        """Keep ``value`` for ``ttl_s`` seconds; when it was the same before, perhaps a 60th of that less."""

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""

    def close(self) -> None:
        """Let go of files and connections. The store may be used again."""
