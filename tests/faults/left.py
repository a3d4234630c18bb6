"""What must not be left behind when requests are over: connections, threads, counts, and lines that are missing."""

import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agproxy.app import App
from tests.fake_google import FakeGoogle

_PATIENCE_S = 10.0  # how long others may take to notice that something has ended


def connections(app: App, google: FakeGoogle, *, patience_s: float = _PATIENCE_S) -> str:
    """What is wrong with the connections to the fake, or nothing: those that it has must be idle ones of the pool."""
    until = time.monotonic() + patience_s
    while google.open_connections != (idle := _idle(app, google.port)):
        if time.monotonic() > until:
            return f"{google.open_connections} connections are open, of which {idle} are idle"
        time.sleep(0.005)
    return ""


def _idle(app: App, port: int) -> int:
    manager: Any = app._gateway.transport._adapter.poolmanager
    pools = [manager.pools.get(key) for key in manager.pools.keys()]  # noqa: SIM118 - no mapping of the usual kind
    connections = [each for pool in pools if pool and pool.port == port for each in [*pool.pool.queue] if each]
    return sum(_is_open(each.sock) for each in connections)


def _is_open(sock: socket.socket | None) -> bool:
    """Whether the other end has kept it; it may have sent something that nobody asked for."""
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    try:  # of the plain socket, for a TLS one cannot peek
        return not poll.poll(0) or socket.socket.recv(sock, 1, socket.MSG_PEEK) != b""
    except OSError:
        return False


def in_flight(app: App) -> dict[str, int]:
    """How many requests each account has under way."""
    gateway = app._gateway
    pool, ledger = gateway.pool, gateway.store.ledger
    return {account.name: ledger.use(pool.pauses.fingerprint(account)).in_flight for account in pool.accounts}


def counts(app: App) -> str:
    """What is wrong with the counts of requests under way, or nothing."""
    stuck = {account: count for account, count in in_flight(app).items() if count}
    return f"requests count as under way: {stuck}" if stuck else ""


def threads(before: set[threading.Thread], *, patience_s: float = _PATIENCE_S) -> str:
    """Which threads are left of those that were not there before, or nothing."""
    until = time.monotonic() + patience_s
    while left := set(threading.enumerate()) - before:
        if time.monotonic() > until:
            return f"threads are left: {sorted(thread.name for thread in left)}"
        time.sleep(0.005)
    return ""


class AccessLog(logging.Handler):
    """The lines that agproxy logs for requests."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith("id="):
            self.lines.append(line)

    def complaint(self, request_id: str) -> str:
        """What is wrong with the lines of a request, or nothing: there must be one."""
        count = sum(line.startswith(f"id={request_id} ") for line in self.lines)
        return "" if count == 1 else f"{count} lines in the log for {request_id}"


@contextmanager
def access_log() -> Iterator[AccessLog]:
    """The log of the applications that run meanwhile; what else they log stays where it belongs."""
    log = logging.getLogger("agproxy.app")
    handler = AccessLog()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
