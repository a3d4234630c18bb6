"""Ends service in order when gunicorn stops the worker that agproxy runs in.

gunicorn's worker waits until the last connection is closed, idle ones included, and is killed when ``graceful_timeout``
is over: streams are cut without a word, and what was to be written at the exit is lost. (With HUP idle clients of the
old worker get an HTML page that they have not asked for.) So its signal handlers are chained: idle connections are
closed, and what does not end in time is told so, in its own protocol.
"""

import _socket
import _thread
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from agproxy.errors import Stopping
from agproxy.underway import Underway

log = logging.getLogger(__name__)

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))
_LOOK_S = 0.2
_IDLE_S = 1.0  # an idle connection may be about to bring a request for so long: nginx waits, too
_TO_TELL_S = 2.5  # before the limit: what is under way is told to end
_TO_END_S = 1.5  # before the limit: the worker looks once a second whether it can go, and writes its state
_DESCRIPTORS = "/dev/fd"

_Handler = Callable[[int, FrameType | None], Any]
_Connection = tuple[int, Any]  # a descriptor and the address at the other end, for descriptors are used again


def install(underway: Underway) -> bool:
    """Let what is under way end in order when the worker that this process is, or becomes, is told to stop.

    Does nothing under other servers.

    :returns: whether this process is a worker.
    """

    def chain() -> None:
        _chain(underway)

    underway.at_first = chain  # with --preload the worker came after the import
    return _chain(underway)


def _chain(underway: Underway) -> bool:
    is_chained = False
    for number in _SIGNALS:
        before = signal.getsignal(number)
        worker: Any = getattr(before, "__self__", None)
        if callable(before) and _is_worker(worker):
            limit_s = worker.cfg.graceful_timeout if number == signal.SIGTERM else 0
            addresses = [listener.getsockname() for listener in worker.sockets]  # they are closed at the first signal
            with contextlib.suppress(ValueError):  # not in the main thread: no signal can be handled
                signal.signal(number, _chained(before, underway, addresses, limit_s))
                signal.siginterrupt(number, number != signal.SIGTERM)  # as gunicorn had it
            is_chained = True
    return is_chained


def _is_worker(candidate: Any) -> bool:
    """Whether it is gunicorn's worker; its master has handlers, too."""
    base = sys.modules.get("gunicorn.workers.base")
    return base is not None and isinstance(candidate, base.Worker)


def _chained(before: _Handler, underway: Underway, addresses: Sequence[Any], limit_s: float) -> _Handler:
    def handler(number: int, frame: FrameType | None) -> None:
        drain = Drain(underway, addresses, started=time.monotonic(), limit_s=limit_s)
        # Not threading.Thread: it waits for its start, which gevent's hub, where signals are handled, must not.
        _thread.start_new_thread(drain.run, ())
        before(number, frame)

    return handler


class Drain:
    """What is done between the signal and the worker's end.

    :param addresses: where the worker listens, as ``getsockname`` has it.
    :param started: monotonic time of the signal, in seconds.
    :param limit_s: seconds after which the worker is killed.
    """

    def __init__(self, underway: Underway, addresses: Sequence[Any], *, started: float, limit_s: float) -> None:
        self._underway = underway
        self._addresses = addresses
        self._tell_at = started + max(limit_s - _TO_TELL_S, limit_s / 2)
        self._cut_at = max(started + limit_s - _TO_END_S, self._tell_at + 0.5)
        self._ends_at = started + limit_s + 1.0
        self._idle_since: dict[_Connection, float] = {}

    def run(self) -> None:
        """Look after the connections until the worker is no more."""
        self._underway.no_longer_watch()
        log.info("stopping requests_under_way=%d", len(self._underway.requests()))
        while (now := time.monotonic()) < self._ends_at:
            self.look(now)
            time.sleep(_LOOK_S)

    def look(self, now: float) -> None:
        """Do what is due.

        :param now: monotonic time in seconds.
        """
        if now >= self._tell_at:
            self._tell()
        busy = self._underway.sockets()
        patience_s = _IDLE_S if now < self._tell_at else 0.0
        idle_before, self._idle_since = self._idle_since, {}
        for connection in _accepted(self._addresses):
            descriptor, _ = connection
            if descriptor not in busy:
                self._idle_since[connection] = idle_before.get(connection, now)
                if now - self._idle_since[connection] >= patience_s:
                    # What has arrived can still be read, so a request that is on its way is served.
                    _shut(descriptor, socket.SHUT_RD)
            elif now >= self._cut_at:  # a client that reads nothing cannot be told anything
                _shut(descriptor, socket.SHUT_RDWR)

    def _tell(self) -> None:
        calls = [request.call for request in self._underway.requests() if request.call is not None]
        late = [call for call in calls if not call.cancel.cancelled.is_set()]
        for call in late:
            call.cancel.cancel(Stopping())
        if late:
            log.warning("stopped requests=%d that did not end in time", len(late))


def _accepted(addresses: Sequence[Any]) -> Iterator[_Connection]:
    """The connections that came in at these addresses, those that have not brought a request yet included.

    gunicorn keeps no list of them, so the descriptors of this process are gone through.
    """
    ports = {_port(address) for address in addresses}
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        with contextlib.suppress(OSError), _plain(int(name)) as sock:  # not a socket, or a listening one
            peer = sock.getpeername()
            if _port(sock.getsockname()) in ports:
                yield int(name), peer


def _port(address: Any) -> Any:
    """The port of an address; of a Unix socket its path."""
    return address[1] if isinstance(address, tuple) else address


def _shut(descriptor: int, how: int) -> None:
    with contextlib.suppress(OSError), _plain(descriptor) as sock:  # its client was faster
        sock.shutdown(how)


@contextlib.contextmanager
def _plain(descriptor: int) -> Iterator[_socket.socket]:
    """The socket of a descriptor, without what gevent adds: its ``shutdown`` would throw into the waiting reader."""
    sock = _socket.socket(fileno=descriptor)
    try:
        yield sock
    finally:
        sock.detach()
