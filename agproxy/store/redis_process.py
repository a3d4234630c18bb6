"""What one process has of a store on a Redis server: its connections, what it has just read, and what waits there.

Nothing is asked of a server that has just failed: one thread in the background tries it, until it answers again.
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agproxy.store.recent import Recent, decode
from agproxy.store.shelf import Entry, Shelf, kind_of

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# One hash tag, so that all keys are on one node of a cluster and a script may use several.
PREFIX = "agproxy:{v1}:"
_CONNECTIONS = 32
_CONNECT_S = 0.25
_ANSWER_S = 0.5
_WRITE_BACK_S = 10.0  # the time-out of the background thread, which holds up nobody
_SILENCE_S = 60.0  # between two warnings, for a server that comes and goes
_BATCH = 50
_BATCH_BYTES = 8 << 20
_SHELF_BYTES = 64 << 20
_READ_AT_ONCE = 500
_CLOSE_S = 1.0
_LONGEST_S = 10 * 365 * 86400.0
_GRACE_S = 60.0  # for clocks that differ: the server only tidies up, the end of a value is in it
_ERRORS = (redis.RedisError, OSError, ValueError)  # all that redis-py raises, for a name that cannot be one too

# A value is kept with its end before it, and in the order of their ends all keys of a kind stand in an index.
# KEYS: the value's, the index. ARGV: end and text, milliseconds to live, end, now, how many of a kind are kept.
_PUT = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4], 'LIMIT', 0, 3)) do
  redis.call('ZREM', KEYS[2], over)
end
local surplus = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if surplus > 0 then
  local first = redis.call('ZPOPMIN', KEYS[2], surplus)
  for i = 1, #first, 2 do redis.call('DEL', first[i]) end
end
"""
_ADD = f"""
local kept = redis.call('GET', KEYS[1])
local till = kept and tonumber(string.match(kept, '^%S+'))
if till and till > tonumber(ARGV[4]) then return kept end
{_PUT}
return ARGV[1]
"""
_DELETE = "redis.call('DEL', KEYS[1]) redis.call('ZREM', KEYS[2], KEYS[1])"


class Options(NamedTuple):
    """See :class:`~agproxy.store.redis.RedisStore`."""

    url: str
    address: str
    clock: Callable[[], float]
    max_entries: int
    max_value_bytes: int
    retry_s: float


class UnusableServer(Exception):
    """The server was not asked, or did not do what was asked; that has been told."""


class ProcessClient:
    """The store in this process. Keys are UTF-8, values are JSON."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._clock = options.clock
        self._client = _client(options.url, answer_s=_ANSWER_S)
        self._put, self._add, self._delete = (self._client.register_script(text) for text in (_PUT, _ADD, _DELETE))
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()
        self._recent = Recent()
        self._shelf = Shelf(max_entries=options.max_entries, max_bytes=_SHELF_BYTES)
        self._trouble = ""  # why nothing can be put
        self._is_away = False  # nor got
        self._said_trouble = self._said_long = False
        self._silent_until = 0.0
        self._worker: threading.Thread | None = None
        self._closing = threading.Event()

    # What the interface names.

    def get(self, key: str) -> Any:
        now = self._clock()
        known = self._recent.get(key, now)
        if known is not None:
            return known[1] if known[0] > now else None
        asked_at = self._recent.changes
        try:
            entry = self._waiting(key) or _entry(key, self.ask(lambda client: client.get(_value_key(key))))
        except UnusableServer:
            entry = self._waiting(key) or Entry(key, 0.0, None)
        value = decode(entry.text) if entry.text is not None and entry.until > now else None
        with self._lock:
            if not self._is_away:
                self._recent.was_read(key, entry.until, entry.text, value, asked_at=asked_at)
        return value

    def put(self, key: str, text: str, ttl_s: float) -> None:
        if ttl_s <= 0 or self._is_too_long(key, text):
            self.delete(key)
            return
        entry = Entry(key, self._clock() + ttl_s, text)
        if not self._recent.needs_no_put(entry, ttl_s):
            self._change(entry, lambda client: self._send(entry, client))

    def add(self, key: str, text: str, ttl_s: float) -> Any:
        now = self._clock()
        _, kept = self._recent.get(key, now) or (0.0, None)
        if kept is not None or self._is_too_long(key, text):
            return kept
        entry = Entry(key, now + ttl_s, text)
        try:
            script = self._add
            found = _entry(key, self.ask(lambda _: script(self._keys(key), self._arguments(entry)), writes=True))
            with self._lock:
                self._recent.was_changed(found)
        except UnusableServer:
            with self._lock:
                found = self._shelf.get(key) or entry
                if found.until <= now or found.text is None:
                    found = entry
                if found is entry:
                    self._keep(entry)
        return None if found.text is None else decode(found.text)

    def delete(self, key: str) -> None:
        known = self._recent.get(key, self._clock())
        if known is None or known[1] is not None or self._trouble:
            entry = Entry(key, 0.0, None)
            self._change(entry, lambda client: self._send(entry, client))

    def items(self, kind: str) -> dict[str, Any]:
        now = self._clock()
        entries: dict[str, Entry] = {}
        try:
            names: list[Any] = list(self.ask(lambda client: client.zrange(_index_key(kind), 0, -1)))
            for start in range(0, len(names), _READ_AT_ONCE):
                some = names[start : start + _READ_AT_ONCE]
                found: list[Any] = list(self.ask(partial(_read_all, names=some)))
                for name, text in zip(some, found, strict=True):
                    key = name.decode(errors="replace").removeprefix(_value_key(""))
                    entries[key] = _entry(key, text)
        except UnusableServer:
            pass  # which has been told; there is what waits, at least
        with self._lock:
            entries.update((key, entry) for key in self._shelf.keys_of(kind) if (entry := self._shelf.get(key)))
        values = {key: decode(text) for key, until, text in entries.values() if text is not None and until > now}
        return {key.partition(":")[2]: value for key, value in values.items() if value is not None}

    def ask(self, work: Callable[["redis.Redis"], _T], *, writes: bool = False) -> _T:
        """What comes of work with the server.

        :param writes: whether the server is to change something.
        :raises UnusableServer: it failed, now or not long ago.
        """
        if not self._slots.acquire(timeout=_ANSWER_S):
            self._fail(f"no answer within {_ANSWER_S:g} s", is_away=True)
            raise UnusableServer
        try:
            if self._is_away or (writes and self._trouble):
                if self._worker is None:
                    with self._lock:
                        self._start()
                raise UnusableServer
            return work(self._client)
        except _ERRORS as error:
            # What a server answers to a change may hold for changes only: its memory is full, or it is a replica.
            refuses = isinstance(error, redis.ResponseError) and writes
            self._fail(_words(error, self._options.address), is_away=not refuses)
            raise UnusableServer from error
        finally:
            self._slots.release()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            worker = self._worker
        if worker is not None and worker.ident is not None:
            worker.join(_CLOSE_S)
        self._client.connection_pool.disconnect()

    # Changes.

    def _change(self, entry: Entry, work: Callable[["redis.Redis"], None]) -> None:
        try:
            self.ask(work, writes=True)
        except UnusableServer:
            with self._lock:
                self._keep(entry)
            return
        with self._lock:
            self._recent.was_changed(entry)

    def _send(self, entry: Entry, client: "redis.Redis") -> None:
        if entry.text is None:
            self._delete(self._keys(entry.key), client=client)
        else:
            self._put(self._keys(entry.key), self._arguments(entry), client=client)

    def _keys(self, key: str) -> list[str]:
        return [_value_key(key), _index_key(kind_of(key))]

    def _arguments(self, entry: Entry) -> list[str]:
        now = self._clock()
        lives_ms = math.ceil((min(max(entry.until - now, 0.0), _LONGEST_S) + _GRACE_S) * 1000)
        until = repr(entry.until)
        return [f"{until} {entry.text}", str(lives_ms), until, repr(now), str(self._options.max_entries)]

    def _is_too_long(self, key: str, text: str) -> bool:
        if len(text) <= self._options.max_value_bytes:
            return False
        if not self._said_long:
            self._said_long = True
            log.warning("store does not keep so long a value kind=%s bytes=%d", kind_of(key), len(text))
        return True

    # While the server cannot be used.

    def _waiting(self, key: str) -> Entry | None:
        if not self._trouble:
            return None
        with self._lock:
            return self._shelf.get(key)

    def _keep(self, entry: Entry) -> None:
        """Let the entry wait; with the lock."""
        self._shelf.put(entry)
        self._recent.was_changed(entry)
        if not self._trouble:  # it was the last to be told that the server failed
            self._trouble = "it could not be used just now"
        self._start()

    def _fail(self, reason: str, *, is_away: bool) -> None:
        """Leave the server to the background thread."""
        now = time.monotonic()
        with self._lock:
            self._trouble = reason
            self._set_away(self._is_away or is_away)
            says = not self._said_trouble and now >= self._silent_until and not self._closing.is_set()
            if says:
                self._said_trouble = True
                self._silent_until = now + _SILENCE_S
            self._start()
        if says:
            log.warning(
                "store cannot be used url=%s reason=%s; state is kept in memory, and written when it can be",
                self._options.address,
                reason,
            )

    def _start(self) -> None:
        """Start the background thread; with the lock."""
        if self._worker is None and not self._closing.is_set():
            worker = threading.Thread(target=self._work, name="agproxy-store", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # no thread to be had; at the next change, perhaps
                return
            self._worker = worker

    def _work(self) -> None:
        """The background thread: try the server now and then, and write what waits."""
        slow = _client(self._options.url, answer_s=_WRITE_BACK_S)
        pause_s = self._options.retry_s
        while not self._closing.wait(pause_s):
            with self._lock:
                entries = self._shelf.some(_BATCH, max_bytes=_BATCH_BYTES)
            error = self._settle(entries, slow)
            with self._lock:
                is_over = error is None and self._settled(entries)
                says = is_over and self._said_trouble
                self._set_away(error is not None and not isinstance(error, redis.ResponseError))
                if is_over:
                    self._trouble, self._said_trouble, self._worker = "", False, None
            if says:
                log.info("store can be used again url=%s", self._options.address)
            if is_over:
                break
            pause_s = self._options.retry_s if error is not None else 0.0
        slow.connection_pool.disconnect()

    def _settle(self, entries: list[Entry], slow: "redis.Redis") -> Exception | None:
        """Write these entries; what went wrong."""
        try:
            self._client.ping()
            if entries:
                with slow.pipeline(transaction=False) as pipeline:
                    for entry in entries:
                        self._send(entry, pipeline)
                    pipeline.execute()
        except _ERRORS as error:
            return error
        return None

    def _settled(self, entries: list[Entry]) -> bool:
        """Whether nothing waits any longer, so that the server is used again; with the lock."""
        self._shelf.drop_unchanged(entries)
        return not self._shelf

    def _set_away(self, is_away: bool) -> None:
        """Whether nothing can be read either; with the lock."""
        self._is_away = is_away
        if self._recent.is_held and not is_away:
            self._recent.clear()
        self._recent.is_held = is_away


def _client(url: str, *, answer_s: float) -> "redis.Redis":
    alive = {} if url.startswith("unix:") else {"socket_keepalive": True, "socket_keepalive_options": _keep_alive()}
    pool = redis.ConnectionPool.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=answer_s,
        socket_connect_timeout=_CONNECT_S,
        max_connections=2 * _CONNECTIONS,
        **alive,
    )
    return redis.Redis(connection_pool=pool)


def _keep_alive() -> dict[int, int]:
    """Tells soon of a connection that a firewall in between has forgotten."""
    wanted = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def _words(error: Exception, address: str) -> str:
    if isinstance(error, redis.AuthenticationError):
        return f"it refuses the user's name or password ({error})"
    return str(error) or f"{type(error).__name__} at {address}"


def _entry(key: str, found: Any) -> Entry:
    """What was found under the key; what no agproxy has written is nothing."""
    until, _, text = (found or b"").partition(b" ")
    try:
        return Entry(key, float(until), text.decode("ascii"))
    except ValueError:
        return Entry(key, 0.0, None)


def _read_all(client: "redis.Redis", *, names: list[Any]) -> Any:
    return client.mget(names)


def _value_key(key: str) -> str:
    return f"{PREFIX}value:{key}"


def _index_key(kind: str) -> str:
    return f"{PREFIX}kind:{kind}"
