"""The commands of ``agproxy``: a module for each, with ``add_parser`` and ``run``."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agproxy.config import Config, find, load
from agproxy.options import Cast

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # what ``add_subparsers`` returns


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, for commands that read the configuration."""
    parser.add_argument(
        "--config",
        metavar="PATH",
        type=Path,
        help="the INI file (default: $AGPROXY_CONFIG, ./agproxy.ini, the user's or the system's)",
    )


def argument(cast: Cast) -> Callable[[str], Any]:
    """A cast of the configuration as an argument's ``type``."""

    def convert(value: str) -> Any:
        try:
            return cast(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{value}: {error}") from error

    return convert


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of the file given, or of the one that is found.

    :raises ConfigError: it cannot be used.
    """
    return load(path.absolute() if path is not None else find(environ), environ)
