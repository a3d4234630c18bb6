"""The configuration in force, read again when its files change."""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from agproxy.config import Config, Stamp, load, stamp_of
from agproxy.errors import ConfigError
from agproxy.store import places

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 1.0
_SETTLED_NS = 2 * 10**9


class Watcher:
    """Gives the configuration in force, and reads the file again when it has changed.

    A file that is being written can be read half and still be valid: a change is taken only when it is some seconds
    old, or two checks in a row saw the same state of the file, and another one after reading.
    """

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._bound = (config.server.host, config.server.port)
        self._store = self._store_of(config)
        self._lock = threading.Lock()
        self._next_check = float("-inf")
        self._pending: tuple[Stamp | None, ...] = ()  # a changed state, seen once
        self._refused: tuple[Stamp | None, ...] = ()  # a state that was read, and is no use
        self._gone = False

    def current(self, now: float) -> Config:
        """The configuration in force.

        :param now: monotonic time in seconds.
        """
        if now >= self._next_check and self._config.files and self._lock.acquire(blocking=False):
            try:
                self._next_check = now + _CHECK_INTERVAL_S
                self._check(self._config.files)
            finally:
                self._lock.release()
        return self._config

    def _check(self, files: tuple[Path, ...]) -> None:
        path = files[0]
        seen, before = _stamps(files), self._pending
        self._pending = ()
        if seen[0] is None:
            if not self._gone:
                log.warning("%s is gone or cannot be read; the configuration read before stays in force", path)
            self._gone = True
            return
        self._gone = False
        if seen in (self._config.stamps, self._refused):
            return
        now_ns = time.time_ns()
        if seen != before and not all(stamp is None or _is_settled(stamp, now_ns) for stamp in seen):
            self._pending = seen
            return
        try:
            config = load(path, self._environ)
        except ConfigError as error:
            if _stamps(files) == seen:
                self._refused = seen
                log.warning("the change is not taken, the configuration before it stays in force: %s", error)
            return
        if config.stamps[0] == seen[0] and config.stamps == _stamps(config.files):
            self._swap(config)

    def _swap(self, config: Config) -> None:
        before, self._config = self._config, config
        log.info("configuration read again from %s", config.path)
        bound = (config.server.host, config.server.port)
        if bound not in (self._bound, (before.server.host, before.server.port)):
            log.warning("restart agproxy to listen on host %s, port %d: both are read only at the start", *bound)
        store = self._store_of(config)
        if store not in (self._store, self._store_of(before)):
            log.warning("restart agproxy to keep state in %s: [store] is read only at the start", store)

    def _store_of(self, config: Config) -> str:
        return places.address(config.store.url, self._environ)


def _is_settled(state: Stamp, now_ns: int) -> bool:
    """Whether a file has been left alone for some time, so that nobody is in the middle of writing it."""
    return now_ns - max(state.mtime_ns, state.ctime_ns) > _SETTLED_NS


def _stamps(files: tuple[Path, ...]) -> tuple[Stamp | None, ...]:
    return tuple(stamp_of(path) for path in files)
