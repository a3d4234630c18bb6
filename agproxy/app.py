"""agproxy as a WSGI application: guard, route, key, handler, and one line in the log for each request."""

import atexit
import logging
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from werkzeug import Response

from agproxy import auth, config, guard, last_good, pages, routes
from agproxy.config import Config
from agproxy.errors import ClientGone, GatewayError, MethodNotAllowed, ModelNotFound, NotFound, NoWebSocket
from agproxy.gateway import Gateway
from agproxy.jsonwire import encode_json
from agproxy.request import Request
from agproxy.store import places
from agproxy.transport import Transport
from agproxy.underway import Underway
from agproxy.watcher import CHECK_INTERVAL_S, Watcher

log = logging.getLogger(__name__)

_MAX_RETRY_S = 60.0  # SDKs do not wait longer than this, so a retry of theirs would come in vain
_IGNORED_UNSAFE = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_MAX_IGNORED = 40
_EXPOSED_HEADERS = (
    "X-Mapped-Model, X-Account-Email, X-Agproxy-Ignored, X-Agproxy-Fixed-Path, X-Agproxy-Estimated, X-Agproxy-Local,"
    " X-Request-Id, request-id, Retry-After"
)
_MAX_PATH = 200
_PATH_SAFE = "/:@!$&()*+,;[]"  # all of RFC 3986's "pchar" but "=" and the quote, and the brackets of "[redacted]"
_CLIENT_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "x-goog-api-client")


def create_app(config_path: str | os.PathLike[str] | None = None) -> "App":
    """The application, for any WSGI server, with threads or gevent, at any prefix.

    :param config_path: the INI file; None looks for it as ``agproxy serve`` does.
    :raises ConfigError: the file cannot be used.
    """
    if config_path is not None:
        return App(config.load(Path(config_path), os.environ))

    def find() -> Path | None:
        return config.find(os.environ)

    noted = last_good.load(os.environ)
    return App(noted.last, find=find, began_with=noted.first)


class App:
    """The WSGI callable.

    :param clock: gives Unix seconds.
    :param find: and ``began_with``: see :class:`~agproxy.watcher.Watcher`.
    """

    def __init__(
        self,
        first: Config,
        *,
        clock: Callable[[], float] = time.time,
        find: Callable[[], Path | None] = lambda: None,
        began_with: Config | None = None,
    ) -> None:
        self.underway = Underway()
        self._watcher = Watcher(first, os.environ, find, began_with)
        self._lock = threading.Lock()
        store = places.make((began_with or first).store.url, os.environ)
        atexit.register(store.close)  # what still waits is written then
        self._gateway = Gateway(
            first,
            store=store,
            transport=_transport(first),
            clock=clock,
            new_id=_new_id,
            used={},
            started=float(os.environ.get(config.STARTED) or clock()),
        )

    @property
    def log_level(self) -> str:
        """``level`` of ``[log]``."""
        return self._gateway.config.log.level

    def keep_up(self) -> NoReturn:
        """Take edits over also while no request comes; for a thread of its own."""
        while True:
            time.sleep(CHECK_INTERVAL_S)
            self._current_gateway()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        gateway = self._current_gateway()
        request = Request(environ, id_=f"req_{_new_id()}", server=gateway.config.server, secrets=gateway.config.secrets)
        request.is_local = guard.is_local(environ)
        self.underway.begin(request, look_s=gateway.config.upstream.ping_s)
        try:
            response = _dispatch(gateway, request)
        except GatewayError as error:
            response = _error_response(error, request)
        except Exception:
            log.exception("request failed id=%s path=%s", request.id, _logged_path(request.path, request))
            response = _error_response(GatewayError("agproxy failed; its log says why", code="internal_error"), request)
        _add_headers(response, request, gateway.config)
        if response.is_streamed:
            response.response = _guarded(response.iter_encoded(), request)
        response.call_on_close(lambda: self.underway.end(request))
        response.call_on_close(lambda: _log_access(request, response))
        return response(environ, start_response)

    def _current_gateway(self) -> Gateway:
        """The gateway of the configuration in force; requests under way keep the one they began with."""
        current = self._watcher.current(time.monotonic())
        if current is not self._gateway.config:
            with self._lock:
                if current is not self._gateway.config:
                    self._gateway = _renewed(self._gateway, current)
        return self._gateway


def _renewed(gateway: Gateway, current: Config) -> Gateway:
    old, new = gateway.config.upstream, current.upstream
    same = (old.connect_timeout_s, old.proxy, old.ca_bundle) == (new.connect_timeout_s, new.proxy, new.ca_bundle)
    logging.getLogger("agproxy").setLevel(current.log.level.upper())
    return Gateway(
        current,
        store=gateway.store,
        transport=gateway.transport if same else _transport(current),
        clock=gateway.clock,
        new_id=gateway.new_id,
        used=gateway.used,
        started=gateway.started,
    )


def _transport(current: Config) -> Transport:
    upstream = current.upstream
    return Transport(connect_timeout_s=upstream.connect_timeout_s, proxy=upstream.proxy, ca_bundle=upstream.ca_bundle)


def _new_id() -> str:
    return secrets.token_hex(12)


def _dispatch(gateway: Gateway, request: Request) -> Response:
    server = gateway.config.server
    guard.check(request.environ, server)
    if request.path == "/" and _is_browser(request):
        return _page("agproxy", routes.greeting(request.root_url), 200, request)
    try:
        (handler, protocol, is_health), values = _route(request, fix_paths=server.fix_paths)
    except MethodNotAllowed as error:
        if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket":
            raise NoWebSocket(f"{_path(request)} has no WebSocket; send POST requests") from error
        if request.method != "OPTIONS":
            raise
        return Response(status=204, headers={"Allow": _allow(error)})
    if protocol is not None:
        request.protocol = protocol
    if request.method == "POST":
        guard.check_content_type(request.environ)
    auth.check(
        mode=auth.effective_mode(server.auth_mode, allow_lan_access=server.allow_lan_access),
        key=server.api_key,
        presented=_presented_key(request),
        is_local=request.is_local,
        is_health=is_health,
    )
    return handler(gateway, request, **values)


def _route(request: Request, *, fix_paths: bool) -> tuple[routes.Endpoint, dict[str, Any]]:
    path = _path(request)
    try:
        return routes.match(request.method, path, request)
    except (NotFound, MethodNotAllowed):
        fixed = routes.fixed(request.method, path) if fix_paths else None
        if fixed is None:
            raise
    request.fixed_path = _logged_path(fixed, request)
    log.info(
        "path fixed id=%s path=%s to=%s client=%s",
        request.id,
        _logged_path(path, request),
        request.fixed_path,
        guard.client_address(request.environ, request.trusted_proxies),
    )
    return routes.match(request.method, fixed, request)


def _path(request: Request) -> str:
    """The path as it was sent: ``request.path`` has one slash where there were two."""
    sent: str = request.environ.get("PATH_INFO", "")
    return sent if sent.startswith("//") else request.path


def _presented_key(request: Request) -> str | None:
    return auth.presented_key(request.headers, request.query().get("key"))


def _error_response(error: GatewayError, request: Request) -> Response:
    request.error = error.code or type(error).__name__
    if error.param == "model":
        error.message = request.redacted(error.message)
    is_about_path = isinstance(error, (NotFound, MethodNotAllowed)) and not isinstance(error, ModelNotFound)
    if is_about_path and _is_browser(request):
        title = "agproxy does not have this page" if error.status == 404 else "This is not for browsers"
        response = _page(title, error.message, error.status, request)
    else:
        body = request.protocol.encode_error(error)
        if header := getattr(request.protocol, "REQUEST_ID_HEADER", None):
            body[header.replace("-", "_")] = request.id
        response = Response(encode_json(body), error.status, mimetype="application/json")
    # Not for keys that were refused: to wait mends nothing, and Codex (0.169) would do so for long, without a word.
    if error.retry_after_s is not None and error.status in (429, 503):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    # A key that is refused stays so; Claude Code (2.1.330) would ask for minutes, without a word.
    if error.status == 401 or error.code == "upstream_credentials" or (error.retry_after_s or 0.0) > _MAX_RETRY_S:
        response.headers["X-Should-Retry"] = "false"
        if _sleeps(request):
            response.headers.pop("Retry-After", None)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = _allow(error)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _sleeps(request: Request) -> bool:
    """Whether the client waits as long as it is told, be it a day: OpenCode (1.18), which says nothing meanwhile."""
    return "opencode" in request.headers.get("user-agent", "").lower()


def _allow(error: MethodNotAllowed) -> str:
    return ", ".join((*error.allow, "OPTIONS"))


def _is_browser(request: Request) -> bool:
    """Whether somebody opened the address in a browser; programs get JSON, also those that accept anything."""
    if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("accept", "").lower():
        return False
    accepted = request.accept_mimetypes
    return accepted.quality("text/html") > accepted.quality("application/json") and not any(
        name in request.headers for name in _CLIENT_HEADERS
    )


def _page(title: str, message: str, status: int, request: Request) -> Response:
    root_url = request.root_url
    text = pages.page(title, message, root_url=root_url, bases=routes.bases(root_url))
    headers = {"Content-Security-Policy": pages.POLICY, "Cache-Control": "no-store"}
    return Response(text.encode("utf-8", "replace"), status, headers, mimetype="text/html")


def _add_headers(response: Response, request: Request, current: Config) -> None:
    headers = response.headers
    headers["X-Request-Id"] = request.id
    if header := getattr(request.protocol, "REQUEST_ID_HEADER", None):
        headers[header] = request.id
    headers["X-Content-Type-Options"] = "nosniff"
    if request.fixed_path:
        headers["X-Agproxy-Fixed-Path"] = request.fixed_path
    if request.mapped_model:
        headers["X-Mapped-Model"] = _ascii(request.mapped_model)
    if request.ignored:
        names = [_IGNORED_UNSAFE.sub("_", name)[:64] for name in request.ignored[:_MAX_IGNORED]]
        headers["X-Agproxy-Ignored"] = ", ".join(names)
    expose = current.server.expose_account
    if request.account and (expose == "on" or (expose == "auto" and request.is_local)):
        headers["X-Account-Email"] = _ascii(request.account)
    origin = guard.allowed_origin(request.environ, current.server)
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = headers.get("Allow", "")
            asked = request.headers.get("Access-Control-Request-Headers", "")
            headers["Access-Control-Allow-Headers"] = re.sub(r"[^A-Za-z0-9,_ -]", "", asked)


def _guarded(chunks: Iterable[bytes], request: Request) -> Iterator[bytes]:
    """The stream; a fault of ours in its middle is told in it, for a server would simply cut the connection."""
    try:
        yield from chunks
    except GeneratorExit:  # a server closes it before its end when nobody reads on
        request.error = request.error or ClientGone.default_code
        raise
    except Exception:
        log.exception("stream failed id=%s", request.id)
        request.error = "internal_error"
        yield request.protocol.encode_failure(GatewayError("agproxy failed; its log says why", code="internal_error"))


def _log_access(request: Request, response: Response) -> None:
    call = request.call
    log.log(
        logging.DEBUG if request.is_quiet else logging.INFO,
        "id=%s method=%s path=%s client=%s protocol=%s model=%s account=%s status=%d attempts=%d first_event_ms=%s"
        " total_ms=%.0f%s",
        request.id,
        quote(request.method, safe="", errors="replace")[:20],
        _logged_path(request.path, request),
        guard.client_address(request.environ, request.trusted_proxies),
        request.protocol.NAME,
        request.mapped_model or "-",
        call.account.name if call and call.account else "-",
        response.status_code,
        call.attempts if call else 0,
        "-" if request.first_event_s is None else f"{request.first_event_s * 1000:.0f}",
        (time.monotonic() - request.started) * 1000,
        f" error={request.error}" if request.error else "",
    )


def _logged_path(path: str, request: Request) -> str:
    """A path in plain characters, so that it stays one word of its line, and without keys."""
    if path in routes.PLAIN_PATHS:
        return path
    return quote(request.redacted(path), safe=_PATH_SAFE, errors="replace")[:_MAX_PATH]


def _ascii(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)
