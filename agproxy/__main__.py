"""The command line: ``agproxy serve``, ``agproxy init``, ``agproxy check``."""

import argparse
import sys
from collections.abc import Sequence

from agproxy import __doc__ as summary
from agproxy import __version__
from agproxy.cli import check, init, serve
from agproxy.errors import ConfigError

COMMANDS = (serve, init, check)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 2 when the command line or the configuration is wrong.

    :param argv: the arguments without the program's name; None means those of this process.
    """
    parser = argparse.ArgumentParser(prog="agproxy", description=summary)
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
    return status


if __name__ == "__main__":
    sys.exit(main())
