"""Finds the addresses of a host, for no longer than one is willing to wait.

``getaddrinfo`` can neither be stopped nor told how long it may take: a resolver that is silent holds it for half a
minute, and more. So it runs in a thread of its own, one for each name, and all who want that name wait for the same.
"""

import contextlib
import socket
import threading
from ipaddress import ip_address

from urllib3.util.connection import allowed_gai_family

_PATIENCE_S = 1.0  # for an answer, where the last one can stand in for it


class Silent(socket.gaierror):
    """The DNS cannot say, for now: it does not answer, or knows of no server that does."""


class _Lookup:
    """One question on its way.

    :ivar addresses: the answer; None when there is none, or none yet.
    :ivar error: why there is none.
    """

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] | None = None
        self.error = socket.gaierror(socket.EAI_AGAIN, "no answer in time")
        self.is_over = threading.Event()


class Names:
    """The names that a process asks for, which are few: they come from the INI."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, _Lookup] = {}
        self._last: dict[str, tuple[str, ...]] = {}

    def addresses(self, host: str, *, timeout_s: float | None) -> tuple[str, ...]:
        """The addresses of ``host``, in the order in which they are to be tried.

        While the DNS fails or is silent, those that it told last count.

        :raises socket.gaierror: there are none; :class:`Silent` when that is not known, in time.
        """
        with contextlib.suppress(ValueError):
            return (str(ip_address(host.strip("[]"))),)
        lookup = self._lookup(host)
        last = self._last.get(host)
        lookup.is_over.wait(timeout_s if last is None else min(timeout_s or _PATIENCE_S, _PATIENCE_S))
        if lookup.addresses is not None:
            return lookup.addresses
        error = lookup.error
        if last is not None and error.errno != socket.EAI_NONAME:
            return last
        kind = Silent if error.errno == socket.EAI_AGAIN else socket.gaierror
        raise kind(*error.args) from error

    def _lookup(self, host: str) -> _Lookup:
        """The question that is on its way, or a new one."""
        with self._lock:
            lookup = self._pending.get(host)
            if lookup is None:
                lookup = _Lookup()
                thread = threading.Thread(target=self._ask, args=(host, lookup), name="agproxy-dns", daemon=True)
                self._pending[host] = lookup
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had; the next request asks again
                    del self._pending[host]
                    lookup.is_over.set()
        return lookup

    def _ask(self, host: str, lookup: _Lookup) -> None:
        try:
            lookup.addresses = self._last[host] = _asked(host)
        except socket.gaierror as error:
            lookup.error = error
        finally:
            with self._lock:
                del self._pending[host]
            lookup.is_over.set()


def _asked(host: str) -> tuple[str, ...]:
    try:
        host.encode("idna")  # as ``getaddrinfo`` does; within it, gevent would print the error
    except UnicodeError as error:  # a label that is empty, or longer than 63 letters
        raise socket.gaierror(socket.EAI_NONAME, "no name that the DNS can know") from error
    found = socket.getaddrinfo(host, None, allowed_gai_family(), socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
