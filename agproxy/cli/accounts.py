"""``agproxy accounts``: see, test, add and switch the accounts of the pool."""

import argparse

from agproxy import options
from agproxy.cli import Commands, accounts_add, accounts_edit, accounts_list, add_config_option, argument


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add this command's parser, and those of its own commands."""
    parser = commands.add_parser(
        "accounts",
        help="see, test, add and switch accounts",
        description="See, test, add and switch accounts. Alone it lists them. Exit status: 0 in order, 1 a test failed,"
        " 2 the command or the configuration is wrong.",
    )
    add_config_option(parser)
    parser.set_defaults(job=accounts_list.run, json=False, model=None)
    # Left out there, it is what was said before the inner command.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    add_config_option(common)
    inner = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, words, add_arguments, job in _JOBS:
        one = inner.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.", parents=[common])
        add_arguments(one)
        one.set_defaults(job=job)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the inner command."""
    status: int = args.job(args)
    return status


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON; times in it are Unix seconds")
    parser.add_argument("--model", help="the model that a conversation would be for, by any name that clients may use")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a name of your choice: letters, digits and . _ @ + -")
    parser.add_argument(
        "--key",
        type=accounts_add.key_source,
        metavar="SOURCE",
        help="env:NAME or file:PATH, where the key is; else it is asked for, or read as the first line of the input",
    )
    parser.add_argument("--project", type=argument(_words), help="the Google Cloud project of the key")
    parser.add_argument("--email", type=argument(_words), help="whose account it is")
    parser.add_argument("--priority", type=argument(options.integer(-1000, 1000)), metavar="N", help="-1000 to 1000")
    parser.add_argument("--base-url", type=argument(options.base_url), metavar="URL", help="where the Gemini API is")
    parser.add_argument("--no-test", action="store_true", help="write it without trying the key")


def _test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="the accounts (default: all that are not disabled)")
    parser.add_argument(
        "--call", action="store_true", help="let the model answer, too: this costs one request of quota"
    )
    parser.add_argument("--model", help="the model to ask for (default: a usual one)")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the account")


def _nothing(_: argparse.ArgumentParser) -> None:
    """No arguments but those of all."""


def _run_test(args: argparse.Namespace) -> int:
    from agproxy.cli import accounts_probe  # here, for it takes requests, which other commands need not wait for

    return accounts_probe.run(args)


def _words(value: str) -> str:
    """Text that can stand in an INI as it is."""
    options.check_notation(value)
    return options.text(value.strip())


_JOBS = (
    ("list", "show how each account stands, and which one a new conversation would get", _list, accounts_list.run),
    ("add", "ask for a key, try it, and write its section into the INI", _add, accounts_add.run),
    ("test", "ask Google whether accounts work, by calls that cost no quota", _test, _run_test),
    ("enable", "let an account take part again", _name, accounts_edit.run_enable),
    ("disable", "let an account take no part", _name, accounts_edit.run_disable),
    ("pin", "let an account be taken before all others", _name, accounts_edit.run_pin),
    ("unpin", "let no account be taken before all others", _nothing, accounts_edit.run_unpin),
)
