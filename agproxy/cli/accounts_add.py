"""``agproxy accounts add``: ask for a key, try it, and write its section."""

import argparse
import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from agproxy import ini_edit
from agproxy.cli.accounts_edit import (
    TAKEN_OVER,
    IniFile,
    is_implicit,
    news,
    parsed,
    read_file,
    save,
    with_content,
)
from agproxy.cli.check import key_hint
from agproxy.cli.files import write_private
from agproxy.cli.init import default_path, starter
from agproxy.config import ACCOUNT_NAME, KEY_PAGE, SECRET_SOURCES, Account, Config, find
from agproxy.errors import ConfigError, redact

IMPLICIT_KEY = "env:GEMINI_API_KEY"


def key_source(value: str) -> str:
    """An argument that tells where a key is; the message does not show it, for it may be the key itself."""
    if not points_elsewhere(value):
        raise argparse.ArgumentTypeError(
            "must be env:NAME or file:PATH; a key itself is never given here, where all users of the machine can see it"
            " (agproxy asks for it). If this was one, consider it known, and make another"
        )
    return value


def points_elsewhere(text: str) -> bool:
    """Whether a key's text only says where the key is."""
    kind, colon, name = text.partition(":")
    return bool(colon and name.strip()) and kind in SECRET_SOURCES


def run(args: argparse.Namespace) -> int:
    """Add an account."""
    file = _opened(args.config)
    _check_name(args.name, file.config)
    given = args.key or _asked(args.name)
    after, _ = _with_account(file, given, args)
    if not args.no_test and not _passes(after.config, after.config.accounts[-1]):
        return 1
    file = _opened(args.config)  # the test took its time
    after, notes = _with_account(file, given, args)
    notes += _written(file, after, private=not points_elsewhere(given))
    hint = key_hint(after.config.accounts[-1])
    print(f"wrote [account:{args.name}]{f' ({hint})' if hint else ''} to {file.path}; {TAKEN_OVER}")
    for note in notes:
        print(f"note: {note}")
    for warning in news(file.config, after.config):
        print(f"warning: {warning}")
    return 0


def _opened(path: Path | None) -> IniFile:
    """The file that gets the account; where there is none, the one that ``agproxy init`` would write.

    :raises ConfigError: it cannot be used.
    """
    if path is None and not os.environ.get("AGPROXY_CONFIG"):
        path = find(os.environ)
    place = (path or default_path()).expanduser().absolute()
    if os.path.lexists(place):
        return read_file(place)
    content = starter().encode()
    return IniFile(place, content, None, parsed(content, place))


def _check_name(name: str, config: Config) -> None:
    """Refuse a name before a key is asked for.

    :raises ConfigError: it cannot be an account's, or there is one of this name.
    """
    if redact(name) != name:
        raise ConfigError(
            "the name of the account looks like a key; give a name, such as 'me': agproxy asks for the key"
        )
    if not ACCOUNT_NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: an account's name is made of letters, digits and . _ @ + -")
    for account in config.accounts:
        if account.name == name and not is_implicit(account):
            raise ConfigError(f"there is an account {name!r} already, {account.source} in {config.path}")


def _asked(name: str) -> str:
    """The key: typed in unseen at a terminal, else the first line of the standard input.

    :raises ConfigError: there is none.
    """
    try:
        if sys.stdin is not None and sys.stdin.isatty():
            line = getpass.getpass(f"key of {name} (what you type is not shown; {KEY_PAGE} gives one): ")
        else:
            line = sys.stdin.readline() if sys.stdin is not None else ""
    except EOFError:
        line = ""
    except UnicodeDecodeError:
        raise ConfigError("the key is not text in UTF-8") from None
    key = line.strip().removeprefix("\ufeff").strip()
    if not key:
        raise ConfigError("no key was given: type it when asked, or send it in as one line, or name it by --key")
    return key


def _with_account(file: IniFile, given: str, args: argparse.Namespace) -> tuple[IniFile, list[str]]:
    """The file with the new account, and what has to be said about it.

    :param given: the key, or where it is.
    :raises ConfigError: the account would be no use.
    """
    before = file.config
    implicit = before.accounts[0]
    is_real = is_implicit(implicit) and implicit.type != "demo" and not implicit.problem
    keeps = is_real and implicit.name != args.name
    section = _section(given, args)
    base = _with_section(file, implicit.name, {"api_key": IMPLICIT_KEY}) if keeps else file
    after = _with_section(base, args.name, section)
    account = after.config.accounts[-1]
    _check_key(account, before, is_elsewhere=points_elsewhere(given), no_test=args.no_test)
    if is_real and implicit.api_key == account.api_key:
        note = f"{args.name} takes the place of {implicit.name}, which GEMINI_API_KEY made"
        return _with_section(file, args.name, section), [note, *_notes(before, given)]
    if is_real and not keeps:
        raise ConfigError(
            f"{args.name!r} is the account that GEMINI_API_KEY makes, with another key; take another name for this one"
        )
    note = (
        "GEMINI_API_KEY makes an account only while the file names none, so that one is named there now, too:"
        f" [account:{implicit.name}] with api_key = {IMPLICIT_KEY}"
    )
    return after, [*([note] if keeps else []), *_notes(before, given)]


def _with_section(file: IniFile, name: str, section: Mapping[str, str]) -> IniFile:
    return with_content(file, lambda content: ini_edit.add_section(content, f"account:{name}", section))


def _notes(before: Config, given: str) -> list[str]:
    """What else one should know."""
    notes = []
    if given.startswith("env:"):
        notes.append(
            f"agproxy takes the key from {redact(given.removeprefix('env:'))}, which must be set where it runs"
        )
    if before.accounts[0].source == "built in" and given != IMPLICIT_KEY:
        notes.append(
            "the demo serves no longer. If GEMINI_API_KEY is set where agproxy runs, that key serves no longer either:"
            f" `agproxy accounts add NAME --key {IMPLICIT_KEY}` brings it back"
        )
    return notes


def _section(given: str, args: argparse.Namespace) -> dict[str, str]:
    """The options of the account's section."""
    values = {
        "email": args.email,
        "project": args.project,
        "api_key": given,
        "base_url": args.base_url,
        "priority": None if args.priority is None else str(args.priority),
    }
    return {name: value for name, value in values.items() if value}


def _check_key(account: Account, before: Config, *, is_elsewhere: bool, no_test: bool) -> None:
    """Refuse a key that is no use, in words without it.

    :raises ConfigError: it is none that could work, or another account has it.
    """
    if account.problem:
        if is_elsewhere and no_test:
            return
        remedy = "; if the running agproxy can read it, add --no-test" if is_elsewhere else ""
        raise ConfigError(f"the key cannot be used: {account.problem.removeprefix('api_key: ')}{remedy}")
    for other in before.accounts:
        if other.api_key == account.api_key and not is_implicit(other):
            raise ConfigError(f"{other.name} has the same key; one key twice adds nothing")
    if account.api_key == before.server.api_key:
        raise ConfigError(f"this is the key that clients send to agproxy, not one of Gemini's; {KEY_PAGE} gives one")


def _passes(config: Config, account: Account) -> bool:
    """Whether the account works; what the test found is printed."""
    from agproxy.cli import accounts_probe  # here, for it takes requests, which other commands need not wait for

    transport = accounts_probe.transport_of(config)
    try:
        outcome = accounts_probe.probe(account, transport)
    finally:
        transport.close()
    found = "; ".join(accounts_probe.words(outcome))
    if not outcome.problem:
        print(found)
        return True
    print(f"agproxy: {found}", file=sys.stderr)
    print("agproxy: nothing was written; with --no-test it would be, all the same", file=sys.stderr)
    return False


def _written(before: IniFile, after: IniFile, *, private: bool) -> list[str]:
    """Write the file, or make it; what has to be said about that."""
    if before.stamp is not None:
        return save(before, after, private=private)
    try:
        write_private(after.path, after.content, replace=False)
    except FileExistsError:
        raise ConfigError(f"{after.path} was made by somebody else just now and is left as it is; try again") from None
    except OSError as error:
        raise ConfigError(f"{after.path} cannot be written: {error.strerror}") from error
    return [f"{after.path} is new, and has a new api_key for your clients; keep it to yourself"]
