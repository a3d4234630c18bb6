"""Where state is kept by the INI's words, and the store for it."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from agproxy.errors import ConfigError
from agproxy.store import Store
from agproxy.store.memory import MemoryStore
from agproxy.store.sqlite import SqliteStore, default_path

log = logging.getLogger(__name__)

_MEMORY = "memory:"
_REDIS = ("redis", "rediss", "unix")


def address(url: str, environ: Mapping[str, str]) -> str:
    """``memory:``, ``sqlite:`` and the whole path, or a server's address without user name and password.

    :param url: of ``[store]``; empty means the platform's usual place, and memory where there is none.
    """
    place = place_of(url, environ)
    return _shown(place) if _scheme(place) in _REDIS else place


def place_of(url: str, environ: Mapping[str, str]) -> str:
    """The same with user name and password: not to be shown."""
    if url:
        return url
    path = default_path(environ)
    return _MEMORY if path is None else f"sqlite:{os.path.abspath(path)}"


def make(url: str, environ: Mapping[str, str]) -> Store:
    """The store; nothing is opened before its first use.

    :raises ConfigError: what it needs is not installed.
    """
    if problem := missing(url):
        raise ConfigError(f"[store] url: {problem}")
    if _is_homeless(url, environ):
        log.warning("%s", obstacle(url, environ))
    place = place_of(url, environ)
    match _scheme(place):
        case "sqlite":
            return SqliteStore(place.partition(":")[2])
        case "memory":
            return MemoryStore(time.monotonic)
        case _:
            from agproxy.store.redis import RedisStore  # 100 ms that the others do without

            return RedisStore(place, address=_shown(place))


def missing(url: str) -> str:
    """What has to be installed for it; empty when there is nothing amiss."""
    if _scheme(url) in _REDIS and find_spec("redis") is None:
        return "needs the Redis client for Python: pip install 'agproxy[redis]'"
    return ""


def obstacle(url: str, environ: Mapping[str, str]) -> str:
    """Why state will be lost at a restart, against what was asked for; empty when nothing is in the way.

    Nothing is opened, made or called to find out, so not all is found; the store tells the rest when it is used.
    """
    if _is_homeless(url, environ):
        home = "LOCALAPPDATA" if sys.platform == "win32" else "HOME"
        remedy = f"set it, or [store] url = sqlite:PATH (or {_MEMORY}, if that is meant)"
        return f"state is kept in memory only, for {home} is not set; {remedy}"
    place = place_of(url, environ)
    match _scheme(place):
        case "sqlite":
            problem = _problem(Path(place.partition(":")[2]))
        case "unix":
            problem = _socket_problem(Path(urlsplit(place).path))
        case "rediss":
            problem = _certificate_problem(urlsplit(place).query)
        case _:
            problem = ""
    return f"state can be kept in memory only, for {problem}; see [store] url" if problem else ""


def _scheme(place: str) -> str:
    return place.partition(":")[0]


def _shown(place: str) -> str:
    """The address of a server without what is nobody's business."""
    parts = urlsplit(place)
    host = parts.netloc.rpartition("@")[2]
    database = parse_qs(parts.query).get("db", [])
    return f"{parts.scheme}://{host}{parts.path}" + "".join(f"?db={number}" for number in database[:1])


def _is_homeless(url: str, environ: Mapping[str, str]) -> bool:
    """Whether memory is taken only because the environment does not tell where the usual place is."""
    return not url and place_of(url, environ) == _MEMORY


def _problem(path: Path) -> str:
    if os.path.lexists(path):
        if not os.path.isfile(path):
            return f"{path} is not a file"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"this user may not read and write {path}"
    folder = next(
        (folder for folder in path.parents if os.path.lexists(folder)), path.parent
    )  # those below it will be made
    if not os.path.isdir(folder):
        return f"{folder} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this user may not make files in {folder}"
    return ""


def _socket_problem(path: Path) -> str:
    if not os.path.lexists(path):
        return f"there is no {path} now"
    if not path.is_socket():
        return f"{path} is not a socket"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"this user may not use {path}"
    return ""


def _certificate_problem(query: str) -> str:
    asked = parse_qs(query)
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        for path in asked.get(name, []):
            if not os.path.isfile(path) or not os.access(path, os.R_OK):
                return f"{path} is not a file that can be read"
    return ""
