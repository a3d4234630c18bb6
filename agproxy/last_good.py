"""What the workers of one service agree on: a broken edit ends none of them, and turns none of them back.

gunicorn's master opens a nameless file in memory before it forks. A worker that takes a configuration over notes it
there; one that starts while the INI cannot be used goes by that. What only a restart changes stays as the service
began. Where no master has opened a file, each process goes by the INI alone.
"""

import contextlib
import logging
import os
import pickle
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from agproxy import config
from agproxy.config import Config
from agproxy.errors import ConfigError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

_SUM_BYTES = 4
_MAX_BYTES = 64 << 20


class Noted(NamedTuple):
    """What has been noted.

    :param first: the configuration that the service began with.
    :param last: the one that was taken over last.
    """

    first: Config
    last: Config


class Notebook:
    """A file without a name: processes that were forked after it was opened have it, and nobody else."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._file = os.memfd_create("agproxy")
        else:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())

    def note(self, taken: Config) -> None:
        """Note what this process goes by from now on."""
        with self._locked():
            before = self._read()
            content = pickle.dumps(Noted(before.first if before else taken, taken))
            os.pwrite(self._file, zlib.crc32(content).to_bytes(_SUM_BYTES, "big") + content, 0)
            os.truncate(self._file, _SUM_BYTES + len(content))

    def read(self) -> Noted | None:
        """What stands there; None when there is nothing yet, or whoever wrote last was killed meanwhile."""
        with self._locked():
            return self._read()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _read(self) -> Noted | None:
        found = os.pread(self._file, _MAX_BYTES, 0)
        content = found[_SUM_BYTES:]
        if not content or zlib.crc32(content).to_bytes(_SUM_BYTES, "big") != found[:_SUM_BYTES]:
            return None
        noted: Noted = pickle.loads(content)  # noqa: S301 - nobody but our own processes has the file
        return noted

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep the other processes away; a killed one lets go."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


_notebook: Notebook | None = None


def share() -> None:
    """Let the processes that are forked from this one agree from now on."""
    global _notebook
    _notebook = Notebook()


def note(taken: Config) -> None:
    """Tell the workers that start later that this configuration has been taken over."""
    if _notebook is not None:
        _notebook.note(taken)


def load(environ: Mapping[str, str]) -> Noted:
    """The configuration that holds, or else the last one that did, and that which the service began with.

    :raises ConfigError: it cannot be used, and no worker has taken one over yet.
    """
    noted = _notebook.read() if _notebook is not None else None
    try:
        found = config.load(config.find(environ), environ)
        if noted is not None:
            config.check_edit(found, noted.last)
    except ConfigError as error:
        if noted is None:
            raise
        log.warning("a worker starts with the configuration before the last change, for that cannot be used: %s", error)
        return noted
    note(found)
    return Noted(noted.first if noted else found, found)
