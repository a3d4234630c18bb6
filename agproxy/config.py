"""The INI file as frozen dataclasses: a section is a class, an option is a field with its default.

``load`` reads the file; ``watcher`` does so again when it changes. ``agproxy.ini`` in this package is the reference for
what each option means.
"""

import contextlib
import logging
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agproxy import ini
from agproxy import options as cast
from agproxy.errors import ConfigError, redact
from agproxy.ini import IniError, Option, Section
from agproxy.options import Network, option
from agproxy.stamps import Stamp, stamp_of
from agproxy.store import places

log = logging.getLogger(__name__)

GEMINI_URL = "https://generativelanguage.googleapis.com"
KEY_PAGE = "https://aistudio.google.com/apikey"
FILE_NAME = "agproxy.ini"
SYSTEM_PATH = Path("/etc/agproxy", FILE_NAME)

# The environment variable that tells when the service began, in Unix seconds: its workers may be younger.
STARTED = "AGPROXY_STARTED"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - listened on only when the operator lets the local network in
SECRET_SOURCES = ("env", "file")

ACCOUNT_NAME = re.compile(r"[A-Za-z0-9._@+-]+")


@dataclass(frozen=True, slots=True)
class Server:
    """``[server]``: where agproxy listens, and whom it answers."""

    host: str = option("127.0.0.1", cast.host)
    port: int = option(8045, cast.integer(1, 65535))
    allow_lan_access: bool = option(False, cast.boolean)
    auth_mode: str = option("auto", cast.choice("off", "strict", "all_except_health", "auto"))
    api_key: str = option("", cast.api_key, secret=True)
    fix_paths: bool = option(False, cast.boolean)
    allowed_hosts: tuple[str, ...] = option((), cast.allowed_hosts)
    allowed_origins: tuple[str, ...] = option((), cast.origins)
    trusted_proxies: tuple[Network, ...] = option((), cast.networks)
    expose_account: str = option("auto", cast.choice("auto", "on", "off"))
    max_body_bytes: int = option(100_000_000, cast.byte_count)


@dataclass(frozen=True, slots=True)
class Upstream:
    """``[upstream]``: how agproxy calls the model service."""

    connect_timeout_s: float = option(10.0, cast.seconds(0.1, 300))
    first_event_timeout_s: float = option(300.0, cast.seconds(1, 3600))
    silence_timeout_s: float = option(120.0, cast.seconds(1, 3600))
    max_attempts: int = option(3, cast.integer(1, 3))
    ping_s: float = option(10.0, cast.seconds(0.1, 300))
    proxy: str = option("", cast.proxy_url, secret=True)
    ca_bundle: str = option("", cast.text, is_file=True)


@dataclass(frozen=True, slots=True)
class Scheduling:
    """``[scheduling]``: which account answers."""

    mode: str = option("balance", cast.choice("cache_first", "balance", "performance_first"))
    max_wait_s: float = option(20.0, cast.seconds(0, 600))
    pin: str = option("", cast.text)


@dataclass(frozen=True, slots=True)
class Account:
    """``[account:NAME]``: one credential of the pool.

    :param problem: why the account cannot be used (its key cannot be read, say), or empty.
    :param source: where it comes from, for people: ``[account:me]``, ``GEMINI_API_KEY``, ``built in``.
    """

    name: str
    type: str = option("gemini", cast.account_type)
    email: str = option("", cast.text)
    api_key: str = option("", cast.api_key, secret=True)
    base_url: str = option(GEMINI_URL, cast.base_url)
    project: str = option("", cast.text)
    models: tuple[str, ...] = option((), cast.model_patterns)
    priority: int = option(0, cast.integer(-1000, 1000))
    requests_per_minute: int = option(0, cast.integer(0, 1_000_000))
    max_in_flight: int = option(0, cast.integer(0, 100_000))
    enabled: bool = option(True, cast.boolean)
    problem: str = ""
    source: str = ""

    def serves(self, model: str) -> bool:
        """Whether it may be asked for the model."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Safety:
    """``[safety]``: how readily Gemini blocks, where the client does not say; empty = Google's own default."""

    harassment: str = option("", cast.safety)
    hate_speech: str = option("", cast.safety)
    sexually_explicit: str = option("", cast.safety)
    dangerous_content: str = option("", cast.safety)
    civic_integrity: str = option("", cast.safety)

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """(category, threshold) in the words of the API (``SafetySetting``)."""
        names = ("harassment", "hate_speech", "sexually_explicit", "dangerous_content", "civic_integrity")
        return tuple((f"HARM_CATEGORY_{name.upper()}", level) for name in names if (level := getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Store:
    """``[store]``: where state is kept; an empty ``url`` is the usual place of this machine (``store.places``)."""

    url: str = option("", cast.store_url, secret=True)


@dataclass(frozen=True, slots=True)
class Log:
    """``[log]``: what agproxy writes to its standard error."""

    level: str = option("info", cast.choice("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True)
class Config:
    """One state of the whole configuration.

    :param path: the file it was read from; None when there is none and the defaults hold.
    :param models: ``[models]`` as (pattern, target), in the order of the file.
    :param fallback: ``[fallback]`` as (model, the one that answers when all accounts rest for it).
    :param families: ``[families]`` as (model, the model whose rules hold for it).
    :param files: that file, and those that ``file:PATH`` values were read from.
    :param stamps: the state of each when it was read; None for one that does not exist.
    :ivar secrets: the keys in it, the longest first.
    """

    path: Path | None = None
    server: Server = field(default_factory=Server)
    upstream: Upstream = field(default_factory=Upstream)
    scheduling: Scheduling = field(default_factory=Scheduling)
    models: tuple[tuple[str, str], ...] = ()
    fallback: tuple[tuple[str, str], ...] = ()
    families: tuple[tuple[str, str], ...] = ()
    safety: Safety = field(default_factory=Safety)
    accounts: tuple[Account, ...] = ()
    store: Store = field(default_factory=Store)
    log: Log = field(default_factory=Log)
    files: tuple[Path, ...] = field(default=(), repr=False, compare=False)
    stamps: tuple[Stamp | None, ...] = field(default=(), repr=False, compare=False)
    secrets: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keys = {self.server.api_key, *(account.api_key for account in self.accounts)} - {""}
        object.__setattr__(self, "secrets", tuple(sorted(keys, key=lambda key: (-len(key), key))))


SECTIONS: dict[str, type] = {
    "server": Server,
    "upstream": Upstream,
    "scheduling": Scheduling,
    "safety": Safety,
    "store": Store,
    "log": Log,
}


def find(environ: Mapping[str, str], *, cwd: Path | None = None, system: Path = SYSTEM_PATH) -> Path | None:
    """The configuration file that holds, or None when there is none.

    :param cwd: where ``./agproxy.ini`` is looked for; None means the current directory.
    :raises ConfigError: ``AGPROXY_CONFIG`` names a file that does not exist.
    """
    if cwd is None:
        with contextlib.suppress(FileNotFoundError):  # it may have been removed
            cwd = Path.cwd()
    if environ.get("AGPROXY_CONFIG"):
        path = (cwd or Path()) / _expand(environ["AGPROXY_CONFIG"], environ)
        if not os.path.exists(path) or os.path.isdir(path):
            raise ConfigError(f"AGPROXY_CONFIG names {path}, which is not a file; `agproxy init {path}` writes one")
        return path
    places = (cwd and cwd / FILE_NAME, user_path(environ), system)
    return next((path for path in places if path is not None and os.path.isfile(path)), None)


def user_path(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path | None:
    """Where the user's own configuration file belongs, or None when the environment names no home."""
    if platform == "win32":
        return Path(environ["APPDATA"], "agproxy", FILE_NAME) if environ.get("APPDATA") else None
    if platform != "darwin" and environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"], "agproxy", FILE_NAME)
    folder = "Library/Application Support" if platform == "darwin" else ".config"
    return Path(environ["HOME"], folder, "agproxy", FILE_NAME) if environ.get("HOME") else None


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of a file, or the defaults for None.

    :param environ: gives ``env:NAME`` values, ``~``, and ``GEMINI_API_KEY`` when the file names no account.
    :raises ConfigError: the file cannot be used; the message names file, line, section and option.
    """
    if path is None:
        return Config(accounts=(_implicit_account(environ),))
    try:
        with path.open("rb") as file:
            state, content = os.fstat(file.fileno()), file.read()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    config = parsed(content, path, environ, stamp=Stamp.of(state))
    if os.name != "nt" and state.st_mode & stat.S_IROTH and any(map(_holds_key, ini.parse(content).values())):
        log.warning("every user of this machine can read the keys in %s; to stop that: chmod 600 %s", path, path)
    return config


def check_edit(edited: Config, before: Config) -> None:
    """Refuse an edit that leaves nothing: an editor was killed, say, and the defaults would let everybody in.

    :raises ConfigError: the file is empty, and was not.
    """
    if edited.path and _size(edited) == 0 and _size(before):
        raise ConfigError(f"{edited.path} is empty")


def _size(config: Config) -> int:
    return next((stamp.size for stamp in config.stamps[:1] if stamp), 0)


def parsed(content: bytes, path: Path, environ: Mapping[str, str], *, stamp: Stamp) -> Config:
    """The configuration of a file with this content.

    :raises ConfigError: it cannot be used.
    """
    try:
        return _config(ini.parse(content), _Place(path, environ), stamp)
    except IniError as error:
        raise ConfigError(f"{path}, line {error.line}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Place:
    """What the errors of one file have to name, and what its values refer to."""

    path: Path
    environ: Mapping[str, str]
    secrets: dict[Path, Stamp | None] = field(default_factory=dict)  # files read for values, in the state before

    def error(self, line: int, message: str) -> ConfigError:
        return ConfigError(f"{self.path}, line {line}: {message}")

    def absolute(self, name: str) -> Path:
        """A path as the file means it: relative to the file's own folder."""
        return self.path.absolute().parent / _expand(name, self.environ)

    def readable(self, name: str) -> str:
        path = self.absolute(name)
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise ValueError(f"{path} is not a file that can be read")
        return str(path)

    def located(self, url: str) -> str:
        """The ``url`` of ``[store]`` with the whole path of its file."""
        scheme, _, name = url.partition(":")
        if problem := places.missing(url):
            raise ValueError(problem)
        if scheme != "sqlite":
            return url
        if str(_expand(name, self.environ)).startswith("~"):  # a folder of that name would be made
            raise ValueError("~ is the home folder only in ~/, and where HOME is set; write the whole path")
        path = os.path.abspath(self.absolute(name))
        if os.path.isdir(path) or name.endswith(("/", os.sep)):
            raise ValueError(f"{redact(path)} is a folder; name a file in it")
        return f"sqlite:{path}"


def _config(sections: Mapping[str, Section], place: _Place, stamp: Stamp) -> Config:
    found: dict[str, Any] = {}
    accounts: dict[str, Account] = {}
    for header, section in sections.items():
        kind, colon, name = header.partition(":")
        if header in SECTIONS:
            found[header] = SECTIONS[header](**_values(SECTIONS[header], header, section, place))
        elif header == "models":
            found["models"] = tuple(_model_rule(pattern, rule, place) for pattern, rule in section.options.items())
        elif header == "families":
            found["families"] = _pairs(header, section, place)
        elif header == "fallback":
            found["fallback"] = _fallback(section, place)
        elif kind == "account" and colon:
            account = _account(header, name.strip(), section, place)
            if account.name in accounts:
                raise place.error(section.line, f"a second account named {account.name!r}")
            accounts[account.name] = account
        else:
            known = (*SECTIONS, "models", "fallback", "families", "account:NAME")
            near = "; write [account:NAME]" if header == "account" else cast.suggestion(header, known)
            raise place.error(section.line, f"unknown section [{redact(header)}]{near}")
    server = found.get("server", Server())
    if server.allow_lan_access and "host" not in sections["server"].options:
        found["server"] = replace(server, host=ALL_ADDRESSES)
    pool = tuple(accounts.values()) or (_implicit_account(place.environ),)
    files, stamps = (place.path, *place.secrets), (stamp, *place.secrets.values())
    config = Config(path=place.path, accounts=pool, files=files, stamps=stamps, **found)
    names = [account.name for account in pool]
    if config.scheduling.pin and config.scheduling.pin not in names:
        pin = sections["scheduling"].options["pin"]
        message = f"[scheduling] pin = {pin.text}: no account has this name; there is {', '.join(names)}"
        raise place.error(pin.line, message + cast.suggestion(pin.text, names))
    return config


def _values(kind: type, header: str, section: Section, place: _Place) -> dict[str, Any]:
    """The options of one section as values, and an account's ``problem`` when its key cannot be used."""
    known = cast.options(kind)
    values: dict[str, Any] = {}
    for name, written in section.options.items():
        if name not in known:
            near = cast.suggestion(name, known)
            raise place.error(written.line, f"[{header}] unknown option {redact(name)!r}{near}")
        metadata = known[name].metadata
        try:
            cast.check_notation(written.text)
            text = _secret(written.text, place) if metadata["secret"] else written.text
            values[name] = metadata["cast"](text)
            if metadata["is_file"] and text:
                values[name] = place.readable(text)
            elif kind is Store:
                values[name] = place.located(values[name])
        except ValueError as error:
            if kind is Account and metadata["secret"]:
                values["problem"] = f"{name}: {error}"
                continue
            is_path = kind is Store and written.text.startswith("sqlite:")
            hidden = "@" in written.text or (metadata["secret"] and not is_path)  # a URL may hold a password
            shown = name if hidden else f"{name} = {redact(' '.join(written.text.splitlines()))}"
            raise place.error(written.line, f"[{header}] {shown}: {error}") from error
    return values


def _account(header: str, name: str, section: Section, place: _Place) -> Account:
    if not ACCOUNT_NAME.fullmatch(name):
        message = f"[{redact(header)}]: an account's name is made of letters, digits and . _ @ + -"
        raise place.error(section.line, message)
    account = Account(name=name, source=f"[account:{name}]", **_values(Account, header, section, place))
    if account.type == "demo":
        return replace(account, api_key="", problem="")
    if not account.api_key and not account.problem:
        return replace(account, problem=f"api_key is empty; {KEY_PAGE} gives one")
    return account


def _implicit_account(environ: Mapping[str, str]) -> Account:
    """The account that serves when the file names none."""
    key = environ.get("GEMINI_API_KEY", "").strip()
    if not key:
        return Account(name="demo", type="demo", source="built in")
    account = Account(name="default", source="GEMINI_API_KEY")
    try:
        return replace(account, api_key=cast.api_key(key))
    except ValueError as error:
        return replace(account, problem=f"GEMINI_API_KEY: {error}")


def _model_rule(pattern: str, rule: Option, place: _Place) -> tuple[str, str]:
    try:
        cast.check_notation(rule.text)
        return cast.model_rule(pattern, rule.text)
    except ValueError as error:
        raise place.error(rule.line, f"[models] {redact(f'{pattern} = {rule.text}')}: {error}") from error


def _pairs(header: str, section: Section, place: _Place) -> tuple[tuple[str, str], ...]:
    """The lines of a section that are a model and another."""
    pairs = []
    for name, written in section.options.items():
        try:
            cast.check_notation(written.text)
            pairs.append(cast.model_pair(name, written.text))
        except ValueError as error:
            raise place.error(written.line, f"[{header}] {redact(f'{name} = {written.text}')}: {error}") from error
    return tuple(pairs)


def _fallback(section: Section, place: _Place) -> tuple[tuple[str, str], ...]:
    pairs = dict(_pairs("fallback", section, place))
    for name in pairs:
        chain = [name]
        while (following := pairs.get(chain[-1])) is not None:
            chain.append(following)
            if following == name:
                raise place.error(section.options[name].line, f"[fallback] goes round in a circle: {' = '.join(chain)}")
            if following in chain[:-1]:
                break  # a circle further on, which its own lines tell
    return tuple(pairs.items())


def _secret(text: str, place: _Place) -> str:
    """The secret that an option holds or points to.

    :raises ValueError: what it points to cannot be read, or is empty.
    """
    kind, colon, name = text.partition(":")
    if not colon or kind not in SECRET_SOURCES:
        return text
    if kind == "env":
        secret = place.environ.get(name, "").strip()
        empty = f"the environment variable {redact(name)} is not set, or empty"
    else:
        path = place.absolute(name)
        place.secrets[path] = stamp_of(path)
        try:
            secret = path.read_text("utf-8-sig").strip()
        except OSError as error:
            raise ValueError(f"{redact(str(path))} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8") from error
        empty = f"{path} is empty"
    if not secret:
        raise ValueError(empty)
    return secret


def _holds_key(section: Section) -> bool:
    key, url = (section.options.get(name) for name in ("api_key", "url"))
    if url is not None and "@" in url.text:  # [store]'s, with a password
        return True
    return key is not None and key.text != "" and key.text.partition(":")[0] not in SECRET_SOURCES


def _expand(name: str, environ: Mapping[str, str]) -> Path:
    """A path with ``~`` for the home of the environment given, not of this process."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home and (name == "~" or name.startswith(("~/", "~\\"))):
        return Path(home, name[2:])
    return Path(name)
