"""Who may reach agproxy at all: checks on the request's head, before any work.

agproxy is a local service that spends its operator's money, so a web page that the operator visits must not be able
to use it: neither directly (``Origin``, ``Sec-Fetch-Site``) nor by a name that was made to point here (``Host``;
DNS rebinding).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from agproxy.config import Server
from agproxy.errors import BadRequest, Forbidden, UnsupportedMedia, redact
from agproxy.options import Network

Environ = Mapping[str, Any]

# Any of these means that the request came through a proxy, so its address says nothing about where it began.
_FORWARDED = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_ORIGINAL_FORWARDED_FOR",
    "HTTP_X_ORIGINAL_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_CLUSTER_CLIENT_IP",
    "HTTP_X_ENVOY_EXTERNAL_ADDRESS",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_FASTLY_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_CF_RAY",
    "HTTP_VIA",
)
# RFC 9110, 7.2: a name or an address, an IPv6 one in brackets, and perhaps a port.
_HOST = re.compile(r"([a-z0-9._-]+|\[[^\[\]@]+\])(?::[0-9]*)?")
_JSON_TYPES = ("application/json", "text/json")


def check(environ: Environ, server: Server) -> None:
    """Refuse a request that is not meant for agproxy, or that a foreign web page sends.

    :raises Forbidden: saying which option would let it in.
    """
    _check_host(environ.get("HTTP_HOST"), environ, server)
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if not raw.startswith("/") and "://" in raw:  # absolute form (RFC 9112, 3.2.2): its authority counts like Host
        _check_host(_authority(raw), environ, server)
    _check_origin(environ, server)


def _check_host(host: str | None, environ: Environ, server: Server) -> None:
    if not host:
        raise BadRequest("the request has no Host header", code="invalid_host")
    host = host.lower()
    match = _HOST.fullmatch(host)
    name = match[1] if match else ""
    if (
        name == "localhost"
        or name.endswith(".localhost")
        or host in server.allowed_hosts
        or name in server.allowed_hosts
    ):
        return
    address = _address(name.strip("[]"))
    if address is not None and (address.is_loopback or server.allow_lan_access):
        return  # a name can be made to point anywhere, an address cannot
    port = environ.get("SERVER_PORT") or server.port  # what it was told to listen on may differ from the file
    raise Forbidden(
        f"agproxy does not answer for the host {_shown(name or host)}. Use http://127.0.0.1:{port}, or, if this"
        " name is yours, add it to allowed_hosts in [server] of agproxy.ini",
        code="host_not_allowed",
    )


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError as error:
        raise BadRequest(f"the request's target {_shown(url)} is not a URL", code="invalid_host") from error


def _check_origin(environ: Environ, server: Server) -> None:
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        own = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}".lower()
        if origin.lower() != own and origin.lower() not in server.allowed_origins:
            raise Forbidden(
                f"requests of the web page {_shown(origin)} are refused. If it is yours, add its origin to"
                " allowed_origins in [server] of agproxy.ini",
                code="origin_not_allowed",
            )
    elif environ.get("HTTP_SEC_FETCH_SITE") == "cross-site":
        raise Forbidden("requests from other web sites are refused", code="cross_site")


def allowed_origin(environ: Environ, server: Server) -> str | None:
    """The request's origin if the operator has allowed it, for the CORS headers."""
    origin: str | None = environ.get("HTTP_ORIGIN")
    return origin if origin is not None and origin.lower() in server.allowed_origins else None


def check_content_type(environ: Environ) -> None:
    """Refuse a body that says it is not JSON. A form of another site could send one without asking first.

    :raises UnsupportedMedia: naming the type.
    """
    content_type = environ.get("CONTENT_TYPE") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if (
        media_type
        and media_type not in _JSON_TYPES
        and not (media_type.startswith("application/") and media_type.endswith("+json"))
    ):
        raise UnsupportedMedia(f"the body must be application/json, not {_shown(media_type)}")


def is_local(environ: Environ) -> bool:
    """Whether the caller is on this machine. A forwarded request never is."""
    address = _address(environ.get("REMOTE_ADDR") or "")
    return address is not None and address.is_loopback and not any(name in environ for name in _FORWARDED)


def client_address(environ: Environ, trusted_proxies: tuple[Network, ...]) -> str:
    """Where the request began, for the log; only trusted proxies are believed."""
    remote = environ.get("REMOTE_ADDR") or "-"
    forwarded_for = environ.get("HTTP_X_FORWARDED_FOR")
    if not forwarded_for:
        return str(remote)
    for hop in reversed(forwarded_for.split(",")):
        address = _address(remote)
        before = _address(hop.strip())
        # What stands beyond a hop that cannot be read is no proxy's word, but the client's.
        if address is None or before is None or not any(address in network for network in trusted_proxies):
            break
        remote = str(before)
    return str(remote)


@lru_cache(maxsize=256)  # the same few addresses are read several times for each request
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _shown(text: str) -> str:
    text = redact(text)
    return ascii(text if len(text) <= 80 else text[:77] + "...")
