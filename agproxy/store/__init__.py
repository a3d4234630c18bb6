"""State that outlives a request: cooldowns, sticky sessions, thought signatures, lists of models."""

from typing import Any, Protocol


class Store(Protocol):
    """Values with a time to live, by key. A key is ``kind:name``; values are what JSON can hold."""

    def get(self, key: str) -> Any:
        """The value, or None when there is none or its time is over."""

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        """Keep ``value`` for ``ttl_s`` seconds."""

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
