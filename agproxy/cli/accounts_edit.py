"""Changes to the accounts of the INI: ``agproxy accounts enable``, ``disable``, ``pin`` and ``unpin``.

A change is made in the text of the file, and only if the whole file is in order with it.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agproxy import ini, ini_edit
from agproxy.cli.check import pool_warnings
from agproxy.cli.files import FileChangedError, read, rewrite
from agproxy.config import Account, Config, find, load
from agproxy.config import parsed as parsed_config
from agproxy.errors import ConfigError
from agproxy.options import suggestion
from agproxy.stamps import Stamp

TAKEN_OVER = "a running agproxy takes it over within 2 s"


@dataclass(frozen=True, slots=True)
class IniFile:
    """A configuration file as it was read.

    :param stamp: the state that it was in; None for one that is yet to be made.
    """

    path: Path
    content: bytes
    stamp: Stamp | None
    config: Config


def run_enable(args: argparse.Namespace) -> int:
    """Let an account take part again."""
    return _switch(args, "on", f"{args.name} takes part")


def run_disable(args: argparse.Namespace) -> int:
    """Let an account take no part."""
    return _switch(args, "off", f"{args.name} takes no part any more")


def run_pin(args: argparse.Namespace) -> int:
    """Let an account be taken before all others."""
    file = opened(args.config)
    header_of(file, named(file.config, args.name))
    if file.config.scheduling.pin == args.name:
        return _said(f"{args.name} is pinned already", file.config, file.config)
    return _changed(file, "scheduling", "pin", args.name, f"{args.name} is pinned")


def run_unpin(args: argparse.Namespace) -> int:
    """Let no account be taken before all others."""
    file = opened(args.config)
    pin = file.config.scheduling.pin
    if not pin:
        return _said("no account is pinned", file.config, file.config)
    return _changed(file, "scheduling", "pin", None, f"{pin} is pinned no longer")


# For ``add``, too.


def opened(path: Path | None) -> IniFile:
    """The file that is to be changed.

    :param path: of ``--config``.
    :raises ConfigError: there is none, or it cannot be used.
    """
    found = path.absolute() if path is not None else find(os.environ)
    if found is None:
        words = _implicit_words(load(None, os.environ).accounts[0])
        raise ConfigError(f"there is no configuration file to change; {words}")
    return read_file(found)


def read_file(path: Path) -> IniFile:
    """A file as it is now.

    :raises ConfigError: it cannot be used.
    """
    try:
        content, stamp = read(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return IniFile(path, content, stamp, parsed(content, path))


def parsed(content: bytes, path: Path) -> Config:
    """The configuration of a file with this content, which is perhaps not written yet.

    :raises ConfigError: it cannot be used.
    """
    return parsed_config(content, path, os.environ, stamp=Stamp(0, 0, 0, 0))


def with_content(file: IniFile, change: Callable[[bytes], bytes]) -> IniFile:
    """The file as it would be after a change, which is not made yet.

    :raises ConfigError: it would not be in order.
    """
    try:
        content = change(file.content)
    except ValueError as error:
        raise ConfigError(f"{file.path} is left as it is: {error}") from error
    try:
        config = parsed(content, file.path)
    except ConfigError as error:
        raise ConfigError(f"nothing is changed, for this would not be in order: {error.message}") from error
    return IniFile(file.path, content, file.stamp, config)


def save(before: IniFile, after: IniFile, *, private: bool = False) -> list[str]:
    """Write the file.

    :param private: what comes into it is not for other users of the machine.
    :returns: what else was done, in words.
    :raises ConfigError: it cannot be written, or has changed meanwhile.
    """
    assert before.stamp is not None  # noqa: S101 (it was read)
    path = before.path
    try:
        hidden = rewrite(path, after.content, since=before.stamp, private=private)
    except FileChangedError:
        raise ConfigError(f"{path} was changed by somebody else just now and is left as it is; try again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    if not hidden:
        return []
    words = f"every user of this machine could read {path}; now only its owner can (mode 0600)"
    return [f"{words}, and agproxy must run as that user"]


def named(config: Config, name: str) -> Account:
    """The account of this name.

    :raises ConfigError: there is none.
    """
    names = [account.name for account in config.accounts]
    if name not in names:
        near = suggestion(name, names) or f"; there is {', '.join(names)}"
        raise ConfigError(f"no account has the name {name!r}{near}")
    return config.accounts[names.index(name)]


def header_of(file: IniFile, account: Account) -> str:
    """The header of an account's section as it stands in the file, which may have blanks around the name.

    :raises ConfigError: it has none.
    """
    for header in ini.parse(file.content):
        kind, _, name = header.partition(":")
        if kind == "account" and name.strip() == account.name:
            return header
    raise ConfigError(f"{account.name} has no section in {file.path} to change: {_implicit_words(account)}")


def is_implicit(account: Account) -> bool:
    """Whether an account serves only because the file names none."""
    return not account.source.startswith("[")


def news(before: Config, after: Config) -> list[str]:
    """The warnings that a change brings."""
    known = pool_warnings(before)
    return [warning for warning in pool_warnings(after) if warning not in known]


def _switch(args: argparse.Namespace, value: str, words: str) -> int:
    file = opened(args.config)
    account = named(file.config, args.name)
    header = header_of(file, account)
    if account.enabled == (value == "on"):
        return _said(f"{args.name} is {'enabled' if account.enabled else 'disabled'} already", file.config, file.config)
    if account.problem and value == "on":
        words += f", but is out: {account.problem}"
    return _changed(file, header, "enabled", value, words)


def _changed(file: IniFile, header: str, name: str, value: str | None, words: str) -> int:
    """Set an option, or remove it, and say what has come of it."""

    def change(content: bytes) -> bytes:
        if value is None:
            return ini_edit.remove_option(content, header, name)
        return ini_edit.set_option(content, header, name, value)

    after = with_content(file, change)
    said = save(file, after)
    return _said(f"{words}; wrote {file.path}; {TAKEN_OVER}", file.config, after.config, *said)


def _said(words: str, before: Config, after: Config, *more: str) -> int:
    print(words)
    for line in more:
        print(line)
    for warning in news(before, after):
        print(f"warning: {warning}")
    return 0


def _implicit_words(account: Account) -> str:
    """Why an account that no section makes cannot be changed, and what to do."""
    if account.type == "demo":
        return "the demo is built in, and serves while there is no other; `agproxy accounts add NAME` adds one"
    return (
        f"{account.name} comes from the environment variable GEMINI_API_KEY;"
        " `agproxy accounts add NAME --key env:GEMINI_API_KEY` gives it a section"
    )
