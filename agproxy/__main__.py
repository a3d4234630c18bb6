"""The command line: ``agproxy serve``, ``agproxy init``, ``agproxy check``, ``agproxy accounts``."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from agproxy import __doc__ as summary
from agproxy import __version__
from agproxy.cli import accounts, check, init, serve
from agproxy.errors import ConfigError, redact

COMMANDS = (serve, init, check, accounts)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(redact(message))  # it quotes arguments, and somebody may have given a key as one


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 2 when the command line or the configuration is wrong.

    :param argv: the arguments without the program's name; None means those of this process.
    """
    parser = _Parser(prog="agproxy", description=summary)
    parser.add_argument("--version", action="version", version=f"agproxy {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands).set_defaults(run=command.run)
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
    except ConfigError as error:
        print(f"agproxy: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)  # noqa: T201 - whatever stands there is not finished
        return 130  # as shells say it
    return status


if __name__ == "__main__":
    sys.exit(main())
