"""Stops one exchange with a model service from another thread, and says why."""

import contextlib
import socket
import threading
from collections.abc import Callable

from agproxy.errors import GatewayError, UpstreamCut


class Cancel:
    """Stops one exchange from another thread: what blocks in it wakes up, at once, and fails.

    :ivar told: called with the reason when there is no connection to stop: one that is being made goes on trying.
    """

    def __init__(self) -> None:
        self.told: Callable[[GatewayError], None] | None = None
        self.cancelled = threading.Event()
        self.reused = False  # the connection in use has served a request before
        self._error: GatewayError | None = None
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._also: list[Cancel] = []

    def also(self, other: "Cancel") -> None:
        """Let ``other`` be cancelled with this one."""
        with self._lock:
            self._also.append(other)
        if self.cancelled.is_set():
            other.cancel(self._error)

    def note(self, sock: socket.socket | None, *, reused: bool) -> None:
        """Remember the connection that is in use from now on."""
        with self._lock:
            self._sock = sock
            self.reused = reused
        if self.cancelled.is_set():
            self.cancel()

    def forget(self) -> None:
        """The connection goes back to its pool; it is no longer ours to stop, nor being stopped."""
        with self._lock:
            self._sock = None

    @property
    def error(self) -> GatewayError:
        """Why it was cancelled, as its client may be told."""
        return self._error or UpstreamCut("cancelled")

    def check(self) -> None:
        """Go on, unless it is cancelled.

        :raises GatewayError: why it was.
        """
        if self.cancelled.is_set():
            raise self.error

    def cancel(self, error: GatewayError | None = None) -> None:
        """Stop. ``close`` would not wake a blocked reader; a shutdown does.

        :param error: why, for a client that still listens; None = there is none. The first reason counts.
        """
        with self._lock:
            if not self.cancelled.is_set():
                self._error = error
                self.cancelled.set()
            sock, self._sock = self._sock, None
            also, self._also = self._also, []
            if sock is not None:  # within the lock: ``forget`` must not let it go before
                with contextlib.suppress(OSError):  # it is closed already, which is what we want
                    sock.shutdown(socket.SHUT_RDWR)
        if sock is None and self.told is not None:
            self.told(self.error)
        for other in also:
            other.cancel(self._error)

    def set_timeout(self, seconds: float) -> None:
        """How long a read may take from now on."""
        with self._lock:
            if self._sock is not None:
                self._sock.settimeout(seconds)
