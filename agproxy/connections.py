"""Connections to model services for requests' adapter: known to whom may have to stop them, and cheap."""

import http.client
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as plain

from agproxy.cancel import Cancel
from agproxy.dns import Names

_MAX_IDLE_CONNECTIONS = 1000  # requests' default of 10 throws a stream's connection away
_ONE_GO_BYTES = 1 << 16


def _plain_poll() -> Callable[[], Any] | None:
    """``select.poll``, where there is one; gevent's would make watchers in its loop, for 40 us, though nobody waits."""
    monkey = sys.modules.get("gevent.monkey")
    try:
        plain: Callable[[], Any] = monkey.get_original("select", "poll") if monkey else select.poll
    except AttributeError:  # Windows
        return None
    return plain


POLL = _plain_poll()

# Which exchange the thread (or greenlet) is in, for the connection classes below.
current = threading.local()
_NAMES = Names()


def _is_readable(sock: socket.socket, new_poll: Callable[[], Any]) -> bool:
    poll = new_poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _HTTPResponse(http.client.HTTPResponse):
    """An answer, without the interim ones before it (RFC 9110, section 15.2), of which the library knows 100 only."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = http.client.SWITCHING_PROTOCOLS < status < http.client.OK
        return version, http.client.CONTINUE if is_interim else status, reason


class _HTTPConnection(HTTPConnection):
    _held: list[Any] | None = None
    _cancel: Cancel | None = None  # that of the exchange in which it is
    response_class = _HTTPResponse

    def connect(self) -> None:
        """Connect, and shake hands where TLS is spoken; whatever goes wrong with that is said as what it is."""
        try:
            super().connect()
        except TimeoutError as error:  # else taken for a service that does not answer
            raise ConnectTimeoutError(self, "the handshake took too long") from error
        except ConnectionError as error:
            raise ssl.SSLError("the connection broke in the handshake") from error
        self.note(reused=False)

    def note(self, *, reused: bool) -> None:
        """Let the exchange that the thread is in stop the connection."""
        self._cancel = getattr(current, "cancel", None)
        if self._cancel is not None:
            self._cancel.note(self.sock, reused=reused)

    def forget(self) -> None:
        """The exchange is over: whoever stops it from now on must not stop the next one."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel.forget()

    def _new_conn(self) -> socket.socket:
        """As urllib3 does it, but that the name is not looked up for longer than a connection may take."""
        failure: OSError | None = None
        try:
            for address in _NAMES.addresses(self._dns_host, timeout_s=self.timeout):
                try:
                    return plain.create_connection(
                        (address, self.port), self.timeout, self.source_address, self.socket_options
                    )
                except OSError as error:
                    failure = error
            raise failure or OSError("the name has no address")
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "the connection took too long") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request in one go if it is small, else in pieces, each of which must get away in time.

        The time for a connection holds for them, and Python's ``sendall`` counts it for all that it is given: minutes
        of upload over a slow line would count as one silence.
        """
        held: list[Any] = []
        self._held = held
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        small = sum(len(piece) for piece in held) <= _ONE_GO_BYTES
        for piece in [b"".join(held)] if small else held:
            view = memoryview(piece)
            for start in range(0, len(view), _ONE_GO_BYTES):
                super().send(view[start : start + _ONE_GO_BYTES])

    def send(self, data: Any) -> None:
        """Send bytes, or hold them while a request is put together."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @property
    def is_connected(self) -> bool:
        """Whether the service has kept the connection; an idle one has nothing to read but its end."""
        if POLL is None:
            return super().is_connected
        return self.sock is not None and not _is_readable(self.sock, POLL)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """Both."""


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if conn.sock is not None:
            conn.note(reused=True)
        return super()._make_request(conn, *args, **kwargs)

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back, which happens with the last bytes of an answer, before they are read on."""
        if conn is not None:
            conn.forget()
        super()._put_conn(conn)


class _HTTPSPool(_HTTPPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = MappingProxyType({"http": _HTTPPool, "https": _HTTPSPool})


class Adapter(HTTPAdapter):
    """An adapter with our connection classes and one TLS context.

    requests would load the CA bundle anew for each connection, which costs 33 ms of CPU.
    """

    def __init__(self, ca_bundle: str) -> None:
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._pools: dict[str, Any] = {}
        super().__init__(pool_connections=64, pool_maxsize=_MAX_IDLE_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"ssl_context": self._tls()} if host["scheme"] == "https" else {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool of the request's host, found once: the way there is the same for every request."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        origin, _ = _split(request.url or "")
        pool = self._pools.get(origin)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._pools[origin] = pool
        return pool

    def close(self) -> None:
        """Forget the pools, which closes their idle connections."""
        self._pools.clear()
        super().close()

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """What stands in the request line."""
        return super().request_url(request, proxies) if proxies else _split(request.url or "")[1]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, without cookies and a guess of its encoding, which nobody asks for."""
        response = requests.Response()
        response.status_code, response.reason = resp.status, resp.reason
        response.headers = resp.headers
        response.raw, response.request, response.url = resp, req, req.url or ""
        return response

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context verifies."""

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self._ca_bundle or certifi.where())
            return self._context


def _split(url: str) -> tuple[str, str]:
    """An absolute URL as its origin and the rest."""
    start = url.index("/", len("https://"))
    return url[:start], url[start:]
