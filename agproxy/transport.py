"""One HTTP exchange with a model service: requests' adapter, its errors as ours, and a way to stop it.

The lean path is ``HTTPAdapter.send`` with a request prepared by hand: a session would merge cookies, proxies and
netrc of no use here, at twice the cost.
"""

import contextlib
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection

from agproxy import __version__
from agproxy.errors import UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamUnreachable

_MAX_IDLE_CONNECTIONS = 1000  # requests' default of 10 throws a stream's connection away
_READ_BYTES = 65536
_MAX_ERROR_BYTES = 1 << 20


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


class Answer:
    """The answer to one exchange; it must be read to its end or closed.

    :ivar headers: found by lower-case names.
    """

    def __init__(self, response: requests.Response, cancel: Cancel) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers  # which urllib3 finds in any case
        self._response = response
        self._cancel = cancel

    def chunks(self, before_read: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        """Yield the body as it comes.

        :param before_read: called before each read, which may block for long.
        :raises UpstreamTimeout: after too long a silence.
        :raises UpstreamCut: when the connection breaks.
        """
        raw = self._response.raw
        try:
            while True:
                before_read()
                chunk: bytes = raw.read1(_READ_BYTES, decode_content=True)
                if not chunk:
                    break
                yield chunk
        except urllib3.exceptions.ReadTimeoutError as error:
            raise UpstreamTimeout("the model service fell silent in the middle of its answer") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise UpstreamCut("the connection to the model service broke in the middle of its answer") from error
        finally:
            self._cancel.forget()
        if self._cancel.cancelled.is_set():
            raise UpstreamCut("cancelled")  # a shutdown looks like the end of a body without a length

    def error_body(self) -> bytes:
        """The body of an error, at most 1 MiB of it; what cannot be read is left out."""
        body = b""
        with contextlib.suppress(
            UpstreamError
        ):  # the status has been said; words that do not arrive cannot be passed on
            for chunk in self.chunks():
                body += chunk
                if len(body) > _MAX_ERROR_BYTES:
                    break
        self.close()
        return body[:_MAX_ERROR_BYTES]

    def set_timeout(self, seconds: float) -> None:
        """How long a silence may last from now on."""
        self._cancel.set_timeout(seconds)

    def close(self) -> None:
        """Give the connection back, or break it off when the body was not read to its end."""
        self._cancel.forget()
        self._response.close()


class Transport:
    """Connections to model services, kept alive between requests.

    :param proxy: URL of an HTTP proxy, or empty; the environment's proxy variables are not read.
    :param ca_bundle: path of a file of CA certificates, or empty for certifi's.
    """

    def __init__(self, *, connect_timeout_s: float, proxy: str = "", ca_bundle: str = "") -> None:
        self._adapter = _Adapter(ca_bundle)
        self._connect_timeout_s = connect_timeout_s
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, cancel: Cancel) -> Answer:
        """Send ``body``, which is JSON, and return the answer once its headers are there.

        :param timeout_s: how long the first byte, and then each further one, may take.
        :raises UpstreamUnreachable: no connection, or it broke before the answer.
        :raises UpstreamTimeout: connected, but silent.
        """
        request = _prepared("POST", url, {**headers, "Content-Type": "application/json"}, body)
        return self._send(request, timeout_s=timeout_s, cancel=cancel)

    def get(self, url: str, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Fetch ``url``; see :meth:`post`."""
        return self._send(_prepared("GET", url, headers, None), timeout_s=timeout_s, cancel=Cancel())

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _send(self, request: requests.PreparedRequest, *, timeout_s: float, cancel: Cancel) -> Answer:
        try:
            return self._send_once(request, timeout_s=timeout_s, cancel=cancel)
        except requests.ConnectionError as error:
            # The server closed a kept-alive connection just before we used it: that says nothing about the service.
            if not (cancel.reused and not cancel.cancelled.is_set() and _is_reset(error)):
                raise _unreachable(request, error) from error
        except requests.RequestException as error:
            raise _unreachable(request, error) from error
        try:
            return self._send_once(request, timeout_s=timeout_s, cancel=cancel)
        except requests.RequestException as error:
            raise _unreachable(request, error) from error

    def _send_once(self, request: requests.PreparedRequest, *, timeout_s: float, cancel: Cancel) -> Answer:
        cancel.reused = False
        _current.cancel = cancel
        try:
            response = self._adapter.send(
                request, stream=True, timeout=(self._connect_timeout_s, timeout_s), proxies=self._proxies
            )
        except requests.ReadTimeout as error:
            host = urlsplit(request.url or "").hostname
            raise UpstreamTimeout(f"{host} did not answer within {timeout_s:g} s") from error
        finally:
            _current.cancel = None
        return Answer(response, cancel)


def _plain_poll() -> Callable[[], Any] | None:
    """``select.poll``, where there is one; gevent's would make watchers in its loop, for 40 us, though nobody waits."""
    monkey = sys.modules.get("gevent.monkey")
    try:
        plain: Callable[[], Any] = monkey.get_original("select", "poll") if monkey else select.poll
    except AttributeError:  # Windows
        return None
    return plain


_POLL = _plain_poll()

# Which exchange the thread (or greenlet) is in, for the connection classes below.
_current = threading.local()


def _note(sock: socket.socket | None, *, reused: bool) -> None:
    cancel: Cancel | None = getattr(_current, "cancel", None)
    if cancel is not None:
        cancel.note(sock, reused=reused)


def _is_readable(sock: socket.socket, new_poll: Callable[[], Any]) -> bool:
    poll = new_poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _HTTPConnection(HTTPConnection):
    _held: list[Any] | None = None

    def connect(self) -> None:
        super().connect()
        _note(self.sock, reused=False)

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, its head and its body in one go if they are small; else each goes out by itself."""
        held: list[Any] = []
        self._held = held
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        small = sum(len(piece) for piece in held) <= _ONE_GO_BYTES
        for piece in [b"".join(held)] if small else held:
            super().send(piece)

    def send(self, data: Any) -> None:
        """Send bytes, or hold them while a request is put together."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @property
    def is_connected(self) -> bool:
        """Whether the service has kept the connection; an idle one has nothing to read but its end."""
        if _POLL is None:
            return super().is_connected
        return self.sock is not None and not _is_readable(self.sock, _POLL)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """Both."""


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if conn.sock is not None:
            _note(conn.sock, reused=True)
        return super()._make_request(conn, *args, **kwargs)


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if conn.sock is not None:
            _note(conn.sock, reused=True)
        return super()._make_request(conn, *args, **kwargs)


_ONE_GO_BYTES = 1 << 16
_POOLS = MappingProxyType({"http": _HTTPPool, "https": _HTTPSPool})


class _Adapter(HTTPAdapter):
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


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.method = method
    request.url = url
    request.headers = CaseInsensitiveDict({**headers, "User-Agent": f"agproxy/{__version__}"})
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    request.body = body
    request.hooks = default_hooks()
    return request


def _split(url: str) -> tuple[str, str]:
    """An absolute URL as its origin and the rest."""
    start = url.index("/", len("https://"))
    return url[:start], url[start:]


def _is_reset(error: BaseException) -> bool:
    """Whether a closed connection is at the bottom of ``error`` (RemoteDisconnected is a ConnectionResetError)."""
    return any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in _causes(error))


def _unreachable(request: requests.PreparedRequest, error: requests.RequestException) -> UpstreamUnreachable:
    """In our own words: those of the library may hold the proxy's password."""
    host = urlsplit(request.url or "").hostname
    for kind, words in _CAUSES:
        if any(isinstance(cause, kind) for cause in _causes(error)):
            return UpstreamUnreachable(f"cannot reach {host}: {words}")
    return UpstreamUnreachable(f"cannot reach {host}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what it wraps, as an argument, as its ``reason`` or as its cause."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting and len(seen) < 32:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and not any(cause is other for other in seen):
            seen.append(cause)
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (urllib3.exceptions.ProxyError, "the proxy does not answer or refuses"),
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted (see ca_bundle in [upstream])"),
    (ssl.SSLError, "the TLS handshake failed"),
    (urllib3.exceptions.SSLError, "the TLS handshake failed"),
    (urllib3.exceptions.NameResolutionError, "its name is not known to the DNS"),
    (ConnectionRefusedError, "the connection was refused"),
    (urllib3.exceptions.NewConnectionError, "no connection can be made"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection within the time allowed"),
    (ConnectionResetError, "the connection was closed before the answer"),
    (BrokenPipeError, "the connection was closed before the answer"),
)


class Playback:
    """An answer that is made here, piece by piece, with the interface of :class:`Answer`.

    :param script: pairs of a delay in seconds and the bytes that follow it.
    """

    def __init__(self, script: Iterator[tuple[float, bytes]], cancel: Cancel) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self._script = script
        self._cancel = cancel

    def chunks(self, before_read: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        """Yield the pieces, each at its time."""
        for delay_s, chunk in self._script:
            before_read()
            if delay_s and self._cancel.cancelled.wait(delay_s):
                raise UpstreamCut("cancelled")
            yield chunk

    def error_body(self) -> bytes:
        """Empty: an answer made here is never an error."""
        return b""

    def set_timeout(self, seconds: float) -> None:
        """Nothing to do: nobody else's silence is awaited."""

    def close(self) -> None:
        """Nothing to give back."""
