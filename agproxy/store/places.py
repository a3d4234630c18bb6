"""Where state is kept by the INI's words, and the store for it."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from agproxy.store import Store
from agproxy.store.memory import MemoryStore
from agproxy.store.sqlite import SqliteStore, default_path

log = logging.getLogger(__name__)

_MEMORY = "memory:"


def address(url: str, environ: Mapping[str, str]) -> str:
    """``memory:`` or ``sqlite:`` and the whole path.

    :param url: of ``[store]``; empty means the platform's usual place, and memory where there is none.
    """
    if url:
        return url
    path = default_path(environ)
    return _MEMORY if path is None else f"sqlite:{os.path.abspath(path)}"


def make(url: str, environ: Mapping[str, str]) -> Store:
    """The store; nothing is opened before its first use."""
    if _is_homeless(url, environ):
        log.warning("%s", obstacle(url, environ))
    scheme, _, path = address(url, environ).partition(":")
    return SqliteStore(path) if scheme == "sqlite" else MemoryStore(time.monotonic)


def obstacle(url: str, environ: Mapping[str, str]) -> str:
    """Why state will be lost at a restart, against what was asked for; empty when nothing is in the way.

    Nothing is opened or made to find out, so not all is found; the store tells the rest when it is used.
    """
    if _is_homeless(url, environ):
        home = "LOCALAPPDATA" if sys.platform == "win32" else "HOME"
        remedy = f"set it, or [store] url = sqlite:PATH (or {_MEMORY}, if that is meant)"
        return f"state is kept in memory only, for {home} is not set; {remedy}"
    scheme, _, path = address(url, environ).partition(":")
    problem = _problem(Path(path)) if scheme == "sqlite" else ""
    return f"state can be kept in memory only, for {problem}; see [store] url" if problem else ""


def _is_homeless(url: str, environ: Mapping[str, str]) -> bool:
    """Whether memory is taken only because the environment does not tell where the usual place is."""
    return not url and address(url, environ) == _MEMORY


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
