"""The configuration in force, read again when its files change."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agproxy import last_good
from agproxy.config import Config, check_edit, load
from agproxy.errors import ConfigError
from agproxy.stamps import Stamp, stamp_of
from agproxy.store import places

log = logging.getLogger(__name__)

# Together less than two seconds: whoever asks two seconds after an edit is served by it.
CHECK_INTERVAL_S = 0.5
_SETTLED_S = 1.4


class Watcher:
    """Gives the configuration in force, and reads the file again when it has changed.

    A file that is being written can be read half and still be valid: a change is taken only when it is of some age, and
    the file is still the same after reading.

    :param find: where the file is, as long as there is none.
    :param began_with: what the service was started with, if that was something else.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        find: Callable[[], Path | None] = lambda: None,
        began_with: Config | None = None,
    ) -> None:
        self._config = config
        self._find = find
        self._environ = environ
        self._began_with = began_with or config
        self._tell_of_restart(self._began_with, config)
        self._lock = threading.Lock()
        self._next_check = float("-inf")
        self._seen: tuple[Stamp | None, ...] = ()  # the state at the last check
        self._seen_since = 0.0
        self._refused: tuple[Stamp | None, ...] = ()  # a state that was read, and is no use
        self._gone = False

    def current(self, now: float) -> Config:
        """The configuration in force.

        :param now: monotonic time in seconds.
        """
        if now >= self._next_check and self._lock.acquire(blocking=False):
            try:
                self._next_check = now + CHECK_INTERVAL_S
                if files := self._config.files or self._found():
                    self._check(files, now)
            finally:
                self._lock.release()
        return self._config

    def _found(self) -> tuple[Path, ...]:
        """The file that has come up since the start, if there was none."""
        try:
            path = self._find()
        except ConfigError:  # which the start would have told
            return ()
        return () if path is None else (path,)

    def _check(self, files: tuple[Path, ...], now: float) -> None:
        path = files[0]
        seen = _stamps(files)
        if seen != self._seen:
            self._seen, self._seen_since = seen, now
        if seen[0] is None:
            if not self._gone:
                log.warning("%s is gone or cannot be read; the configuration read before stays in force", path)
            self._gone = True
            return
        self._gone = False
        if seen in (self._config.stamps, self._refused):
            return
        # The files' own times count, for the last check may be long ago. Ours counts where they have none, or one that
        # is ahead, as a file server's may be.
        missing = {file for file, stamp in zip(self._config.files, self._config.stamps, strict=True) if stamp is None}
        looked_at = [stamp for file, stamp in zip(files, seen, strict=True) if stamp or file not in missing]
        if now - self._seen_since < _SETTLED_S and not all(_is_settled(stamp, time.time_ns()) for stamp in looked_at):
            return
        try:
            config = load(path, self._environ)
            check_edit(config, self._config)
        except ConfigError as error:
            if _stamps(files) == seen:
                self._refused = seen
                log.warning("the change is not taken, the configuration before it stays in force: %s", error)
            return
        if config.stamps[0] == seen[0] and config.stamps == _stamps(config.files):
            self._swap(config)

    def _swap(self, config: Config) -> None:
        before, self._config = self._config, config
        last_good.note(config)
        log.info("configuration read again from %s", config.path)
        if _is_demo(config) and not _is_demo(before):
            log.warning("%s names no account: THE ANSWERS ARE MADE UP from now on, no model is called", config.path)
        self._tell_of_restart(before, config)

    def _tell_of_restart(self, before: Config, config: Config) -> None:
        """Say what has changed that is read at the start only."""
        bound = _bound(config)
        if bound not in (_bound(self._began_with), _bound(before)):
            log.warning("restart agproxy to listen on host %s, port %d: both are read only at the start", *bound)
        store = self._store_of(config)
        if store not in (self._store_of(self._began_with), self._store_of(before)):
            shown = places.address(config.store.url, self._environ)
            log.warning("restart agproxy to keep state in %s: [store] is read only at the start", shown)

    def _store_of(self, config: Config) -> str:
        return places.place_of(config.store.url, self._environ)


def _bound(config: Config) -> tuple[str, int]:
    return config.server.host, config.server.port


def _is_demo(config: Config) -> bool:
    """Whether only the demo answers."""
    return all(account.type == "demo" for account in config.accounts)


def _is_settled(state: Stamp | None, now_ns: int) -> bool:
    """Whether a file has been left alone for some time, so that nobody is in the middle of writing it."""
    return state is not None and now_ns - max(state.mtime_ns, state.ctime_ns) > _SETTLED_S * 1e9


def _stamps(files: tuple[Path, ...]) -> tuple[Stamp | None, ...]:
    return tuple(stamp_of(path) for path in files)
