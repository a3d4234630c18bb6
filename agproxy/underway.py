"""The requests under way on gunicorn's connections; those whose client has gone are stopped.

A stream learns by a write that its client has gone, but only the second one after the connection's end fails; an
answer that is sent whole is written when all the work is done. So the connections are looked at.
"""

import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from agproxy.connections import POLL
from agproxy.errors import ClientGone
from agproxy.request import Request

_LONGEST_LOOK_S = 10.0
# Linux's word for the end of what a client sends. Elsewhere a connection that is closed for good is still noticed.
_CLIENT_CLOSED = getattr(select, "POLLRDHUP", 0)
_ALWAYS_TOLD = getattr(select, "POLLHUP", 0) | getattr(select, "POLLERR", 0)


class Underway:
    """The requests under way, as far as they came by gunicorn: other servers do not show their connections.

    :ivar at_first: called at the first request, once.
    """

    def __init__(self) -> None:
        self.at_first: Callable[[], None] | None = None
        self._requests: set[Request] = set()
        self._lock = threading.Lock()
        self._is_watched = False
        self._is_ending = False
        self._look_s = _LONGEST_LOOK_S

    def begin(self, request: Request, *, look_s: float) -> None:
        """A request has come.

        :param look_s: seconds after which its client is looked for, again and again.
        """
        if "gunicorn.socket" not in request.environ:
            return
        if (first := self.at_first) is not None:
            self.at_first = None
            first()
        with self._lock:
            self._requests.add(request)
            self._look_s = look_s
            if self._is_watched or self._is_ending:
                return
            self._is_watched = True
        threading.Thread(target=self._watch, name="agproxy-underway", daemon=True).start()

    def end(self, request: Request) -> None:
        """Its answer has been sent, or nobody can be sent it."""
        self._requests.discard(request)

    def requests(self) -> list[Request]:
        """Those under way now."""
        return list(self._requests)

    def sockets(self) -> dict[int, list[Request]]:
        """The same, by the descriptor of their connection; in HTTP/2 several have one."""
        found: dict[int, list[Request]] = {}
        for request in self.requests():
            found.setdefault(request.environ["gunicorn.socket"].fileno(), []).append(request)
        found.pop(-1, None)  # closed
        return found

    def no_longer_watch(self) -> None:
        """Leave clients alone from now on; connections will be shut for reading, which looks as if they had gone."""
        self._is_ending = True

    def stop_those_without_client(self) -> None:
        """Stop the calls of the requests whose client has closed its side of the connection.

        A client that closes only its sending side, and goes on reading, is taken for gone, as nginx and the servers
        written in Go do.
        """
        sockets = self.sockets()
        for descriptor in _closed(sockets):
            for request in sockets[descriptor]:
                if request.call is not None:
                    request.call.cancel.cancel(ClientGone())

    def _watch(self) -> None:
        """Look at the connections now and then, until nothing is under way."""
        while True:
            time.sleep(min(self._look_s, _LONGEST_LOOK_S))
            with self._lock:
                if self._is_ending or not self._requests:
                    self._is_watched = False
                    return
            self.stop_those_without_client()


def _closed(descriptors: Iterable[int]) -> list[int]:
    """Those of the connections whose other side sends no more."""
    if POLL is None:
        return []
    poll: Any = POLL()
    for descriptor in descriptors:
        poll.register(descriptor, _CLIENT_CLOSED)
    return [descriptor for descriptor, seen in poll.poll(0) if seen & (_CLIENT_CLOSED | _ALWAYS_TOLD)]
