"""State on a Redis server, or any that speaks its protocol: shared by the workers of all machines that use it.

A call costs 40 to 60 us of this process's time and one way over the network and back. What every request asks for, the
same for all, is asked again after a quarter of a second. ``put`` returns when the server has the value.

Each process has its own connections, opened when they are needed, so none crosses a fork. No call waits for more than
half a second. When the server is silent or gone, or refuses what is written, values stand on a shelf in memory, are
found there first, and are written when the server can be used again: with one warning, and one more line then. What
was known of other processes' doing in that moment is believed until then.

The clocks of the machines are to agree: the end of a value is in it, and each process goes by its own clock.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

from agproxy.store.redis_ledger import RedisBook
from agproxy.store.redis_process import Options, ProcessClient
from agproxy.store.shared_ledger import BEAT_S, ProcessLedgers, SharedLedger

_encode = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so what is half of a surrogate pair passes too


class RedisStore:
    """A :class:`~agproxy.store.Store` on a server. A value that was got is not to be changed.

    Problems with the server never raise; a value that JSON cannot hold does.

    :param url: as redis-py takes it: ``redis://USER:PASSWORD@HOST:PORT/DATABASE``, ``rediss://`` for TLS, or
        ``unix:///PATH?db=DATABASE``.
    :param address: the same without a password, for the log.
    :param clock: gives Unix seconds, about the same to all machines.
    :param max_entries: how many values of one kind are kept; those go first that end first.
    :param max_value_bytes: a longer value is not kept.
    :param retry_s: how often a server that failed is tried again.
    :param beat_s: how often a process tells the others what it uses.
    """

    def __init__(
        self,
        url: str,
        *,
        address: str = "",
        clock: Callable[[], float] = time.time,
        max_entries: int = 10_000,
        max_value_bytes: int = 16 << 20,
        retry_s: float = 1.0,
        beat_s: float = BEAT_S,
    ) -> None:
        self._options = Options(url, address, clock, max_entries, max_value_bytes, retry_s)
        self._clients: dict[int, ProcessClient] = {}  # by process
        self.ledger = ProcessLedgers(lambda: SharedLedger(clock, RedisBook(self._client), beat_s=beat_s))

    def get(self, key: str) -> Any:
        return self._client().get(_clean(key))

    def put(self, key: str, value: Any, *, ttl_s: float) -> None:
        self._client().put(_clean(key), _encode(value), ttl_s)

    def add(self, key: str, value: Any, *, ttl_s: float) -> Any:
        return self._client().add(_clean(key), _encode(value), ttl_s)

    def delete(self, key: str) -> None:
        self._client().delete(_clean(key))

    def items(self, kind: str) -> dict[str, Any]:
        return self._client().items(_clean(kind))

    def close(self) -> None:
        """Let go of the connections; a later use opens others."""
        self.ledger.close()
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _client(self) -> ProcessClient:
        pid = os.getpid()
        return self._clients.get(pid) or self._clients.setdefault(pid, ProcessClient(self._options))


def _clean(key: str) -> str:
    """The key as UTF-8 can hold it, without halves of surrogate pairs."""
    return key if key.isascii() else key.encode(errors="backslashreplace").decode()
