"""Stops one exchange with a model service from another thread."""

import contextlib
import socket
import threading


class Cancel:
    """Stops one exchange from another thread: what blocks in it wakes up, at once, and fails."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.reused = False  # the connection in use has served a request before
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._also: list[Cancel] = []

    def also(self, other: "Cancel") -> None:
        """Let ``other`` be cancelled with this one."""
        with self._lock:
            self._also.append(other)
        if self.cancelled.is_set():
            other.cancel()

    def note(self, sock: socket.socket | None, *, reused: bool) -> None:
        """Remember the connection that is in use from now on."""
        with self._lock:
            self._sock = sock
            self.reused = reused
        if self.cancelled.is_set():
            self.cancel()

    def forget(self) -> None:
        """The connection goes back to its pool; it is no longer ours to stop."""
        with self._lock:
            self._sock = None

    def cancel(self) -> None:
        """Stop. ``close`` would not wake a blocked reader; a shutdown does."""
        self.cancelled.set()
        with self._lock:
            sock, self._sock = self._sock, None
            also, self._also = self._also, []
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already, which is what we want
                sock.shutdown(socket.SHUT_RDWR)
        for other in also:
            other.cancel()

    def set_timeout(self, seconds: float) -> None:
        """How long a read may take from now on."""
        with self._lock:
            if self._sock is not None:
                self._sock.settimeout(seconds)
