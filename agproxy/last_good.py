"""The configuration for workers that start while the file cannot be used: a broken edit ends no service.

A server's master process remembers what it read last, and its workers are forked from it. The file is read in vain by
each of them all the same, so it is taken over as soon as it is mended.
"""

import contextlib
import logging
from collections.abc import Mapping

from agproxy import config
from agproxy.config import Config
from agproxy.errors import ConfigError

log = logging.getLogger(__name__)

_remembered: Config | None = None


def remember(environ: Mapping[str, str]) -> None:
    """Read the configuration that holds now, and keep it if it can be used."""
    global _remembered
    with contextlib.suppress(ConfigError):  # which a worker that starts then tells
        _remembered = config.load(config.find(environ), environ, warns=False)


def load(environ: Mapping[str, str]) -> Config:
    """The configuration that holds, or else the last one that could be used.

    :raises ConfigError: it cannot be used, and none is remembered.
    """
    try:
        return config.load(config.find(environ), environ)
    except ConfigError as error:
        if _remembered is None:
            raise
        log.warning("a worker starts with the configuration before the last change, for that cannot be used: %s", error)
        return _remembered
