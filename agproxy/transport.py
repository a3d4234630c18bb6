"""One HTTP exchange with a model service: requests' adapter, its errors as ours, and a way to stop it.

The lean path is ``HTTPAdapter.send`` with a request prepared by hand: a session would merge cookies, proxies and
netrc of no use here, at twice the cost.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import requests
import urllib3
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict

from agproxy import __version__, connections, dns
from agproxy.cancel import Cancel
from agproxy.errors import UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamUnreachable

_READ_BYTES = 65536
_MAX_ERROR_BYTES = 1 << 20
_ERROR_SILENCE_S = 5.0
_BLANK = b"\xef\xbb\xbf \t\r\n"  # with a byte order mark, as some pages begin
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)  # requests lets some of the latter through


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
        :raises UpstreamUnreachable: when it is not the model service that answers.
        """
        raw = self._response.raw
        has_begun = False
        try:
            while True:
                before_read()
                chunk: bytes = raw.read1(_READ_BYTES, decode_content=True)
                if not chunk:
                    break
                if not has_begun and self.status == 200 and chunk.lstrip(_BLANK)[:1] == b"<":
                    raise UpstreamUnreachable(
                        f"{urlsplit(self._response.url).hostname} answered with a web page, as no model service does;"
                        " is base_url right, is there a proxy in between?"
                    )
                has_begun = True
                yield chunk
        except urllib3.exceptions.ReadTimeoutError as error:
            raise UpstreamTimeout("the model service fell silent in the middle of its answer") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise UpstreamCut("the connection to the model service broke in the middle of its answer") from error
        finally:
            self._cancel.forget()
        self._cancel.check()  # a shutdown looks like the end of a body without a length

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
        self._adapter = connections.Adapter(ca_bundle)
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
        except _FAILURES as error:
            # The server closed a kept-alive connection just before we used it: that says nothing about the service.
            if not (cancel.reused and not cancel.cancelled.is_set() and _is_reset(error)):
                raise _unreachable(request, error) from error
        try:
            return self._send_once(request, timeout_s=timeout_s, cancel=cancel)
        except _FAILURES as error:
            raise _unreachable(request, error) from error

    def _send_once(self, request: requests.PreparedRequest, *, timeout_s: float, cancel: Cancel) -> Answer:
        cancel.reused = False
        connections.current.cancel = cancel
        try:
            response = self._adapter.send(
                request, stream=True, timeout=(self._connect_timeout_s, timeout_s), proxies=self._proxies
            )
        except requests.ReadTimeout as error:
            host = urlsplit(request.url or "").hostname
            raise UpstreamTimeout(f"{host} did not answer within {timeout_s:g} s") from error
        finally:
            connections.current.cancel = None
        if response.status_code != 200:  # its words, if any, come at once; models do not think about them
            cancel.set_timeout(min(timeout_s, _ERROR_SILENCE_S))
        return Answer(response, cancel)


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


def _is_reset(error: BaseException) -> bool:
    """Whether a closed connection is at the bottom of ``error`` (RemoteDisconnected is a ConnectionResetError)."""
    return any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in _causes(error))


def _unreachable(request: requests.PreparedRequest, error: Exception) -> UpstreamUnreachable:
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
    (dns.Silent, "the DNS does not answer"),
    (urllib3.exceptions.NameResolutionError, "its name is not known to the DNS"),
    (ConnectionRefusedError, "the connection was refused"),
    (urllib3.exceptions.NewConnectionError, "no connection can be made"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection within the time allowed"),
    (ConnectionResetError, "the connection was closed before the answer"),
    (BrokenPipeError, "the connection was closed before the answer"),
    (TimeoutError, "it stopped taking the request"),
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
                raise self._cancel.error
            yield chunk

    def error_body(self) -> bytes:
        """Empty: an answer made here is never an error."""
        return b""

    def set_timeout(self, seconds: float) -> None:
        """Nothing to do: nobody else's silence is awaited."""

    def close(self) -> None:
        """Nothing to give back."""
