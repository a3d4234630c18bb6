"""How the text of one INI option becomes a value.

Each cast takes the text and returns the value, or raises ``ValueError`` with what is wanted ("must be ...");
``config.py`` adds the file, the line and the option.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import Field, field, fields
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

Network = IPv4Network | IPv6Network
Cast = Callable[[str], Any]

YES = ("on", "yes", "true", "1")
NO = ("off", "no", "false", "0")
BYTE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
NOT_SERVED_YET = ("vertex", "openai")
REDIS_SCHEMES = ("redis", "rediss", "unix")

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_ALLOWED_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+")
_NUMBER = re.compile(r"[+-]?[0-9]+")
_SIZE = re.compile(r"([0-9]+)\s*([A-Za-z]*)")
_SWALLOWED_OPTION = re.compile(r"\n\w+\s*=")
_DATABASE = re.compile(r"(/[0-9]*)?")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_MODEL = re.compile(r"[A-Za-z0-9._:/@-]+")
_MODEL_PATTERN = re.compile(r"[A-Za-z0-9._:/@*-]+")


def option(default: Any, cast: Cast, *, secret: bool = False, is_file: bool = False) -> Any:
    """A dataclass field that is an INI option; fields without a cast are filled by ``config.py`` itself.

    :param secret: never shown, and its text may be ``env:NAME`` or ``file:PATH``.
    :param is_file: its text is a path that must exist, relative to the INI's folder.
    """
    return field(default=default, repr=not secret, metadata={"cast": cast, "secret": secret, "is_file": is_file})


def options(section: type) -> dict[str, Field[Any]]:
    """The INI options of a dataclass, by name."""
    return {entry.name: entry for entry in fields(section) if "cast" in entry.metadata}


def suggestion(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'api_key'?"``, or nothing when no known word is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_notation(value: str) -> None:
    """Refuse what people write out of habit and an INI takes as part of the value."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ValueError("is written without quotes")
    if " #" in value:
        raise ValueError("a comment after a value begins with ' ;'")
    if _SWALLOWED_OPTION.search(value):
        raise ValueError("is followed by an indented option, which so became a part of it; begin options in column 1")
    if not value.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("has a control character or an invisible one in it")


def text(value: str) -> str:
    """Any text of one line."""
    if "\n" in value:
        raise ValueError("takes one line only")
    return value


def boolean(value: str) -> bool:
    """``on`` or ``off``, in any of the usual spellings."""
    word = value.lower()
    if word in YES or word in NO:
        return word in YES
    raise ValueError("must be on or off")


def choice(*words: str) -> Cast:
    """A cast that takes one of the words, in any case."""

    def cast(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}{suggestion(value.lower(), words)}")
        return value.lower()

    return cast


def integer(low: int, high: int) -> Cast:
    """A cast that takes a whole number from low to high."""

    def cast(value: str) -> int:
        if not _NUMBER.fullmatch(value) or not low <= int(value[:20]) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return cast


def seconds(low: float, high: float) -> Cast:
    """A cast that takes a plain number of seconds from low to high."""

    def cast(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not low <= number <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}, without a unit")
        return number

    return cast


def byte_count(value: str) -> int:
    """A size of at least 1 kB: ``100000000``, ``100MB``, ``100 MiB``."""
    match = _SIZE.fullmatch(value)
    unit = BYTE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or len(match[1]) > 15:
        raise ValueError("must be a number of bytes, or one with a unit: kB, MB, GB, KiB, MiB, GiB")
    if int(match[1]) * unit < 1000:
        raise ValueError("must be at least 1 kB")
    return int(match[1]) * unit


def host(value: str) -> str:
    """An address or a host name to listen on, without port or brackets."""
    name = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not _HOST.fullmatch(name) and not _is_address(name):
        raise ValueError("must be an IP address or a host name, without http:// and without a port")
    return name


def allowed_hosts(value: str) -> tuple[str, ...]:
    """Host names, in lower case, each with or without a port."""
    return tuple(
        _matching(_ALLOWED_HOST, name.lower(), "is not a host name such as box.lan or box.lan:8045")
        for name in _words(value)
    )


def origins(value: str) -> tuple[str, ...]:
    """Origins as a browser sends them: lower case, no slash at the end."""
    return tuple(
        _matching(_ORIGIN, origin.lower().rstrip("/"), "is not an origin such as https://app.example.com")
        for origin in _words(value)
    )


def networks(value: str) -> tuple[Network, ...]:
    """IP addresses and CIDR networks."""
    return tuple(_network(word) for word in _words(value))


def account_type(value: str) -> str:
    """The upstream that an account is for."""
    if value.lower() in NOT_SERVED_YET:
        raise ValueError("is not served by this version of agproxy; the types it serves are gemini and demo")
    known: str = choice("gemini", "demo")(value)
    return known


def base_url(value: str) -> str:
    """The address of a model service without version and slash at the end; encrypted unless it is on this machine."""
    parts = _url(value, ("https", "http"))
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address only: no user name, no ?query, no #fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://, or the key would travel in clear text (http is for this machine)")
    path = re.sub(r"/(v1beta|v1)$", "", parts.path.rstrip("/")).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def proxy_url(value: str) -> str:
    """The address of an HTTP proxy, with or without user name and password."""
    return _url(value, ("http", "https")).geturl() if value else ""


def api_key(value: str) -> str:
    """A key that can travel in an HTTP header: printable ASCII without spaces. The message never holds the key."""
    if any(character.isspace() for character in value):
        raise ValueError("the key has a space or a line break in it")
    if not value.isascii():
        raise ValueError("the key has a character outside ASCII; it was probably pasted with a typographic one")
    if not value.isprintable():
        raise ValueError("the key has a control character in it")
    return value


def model_rule(pattern: str, target: str) -> tuple[str, str]:
    """One line of ``[models]``: what clients ask for, where ``*`` stands for any text, and the model that answers."""
    for name in (pattern.replace("*", "x"), target):
        if not _MODEL.fullmatch(name) or ".." in name:
            wildcard = " (and * on the left)" if name is not target else ""
            raise ValueError(f"must be a model name: letters, digits and . _ : / @ -{wildcard}")
    return pattern, target


def model_patterns(value: str) -> tuple[str, ...]:
    """Names of models, in which ``*`` stands for any text."""
    complaint = "is not a model name such as gemini-flash-latest or gemini-3*"
    return tuple(_matching(_MODEL_PATTERN, name.removeprefix("models/"), complaint) for name in _words(value))


def model_pair(name: str, model: str) -> tuple[str, str]:
    """One line of ``[families]`` or ``[fallback]``: a model, and another for it."""
    for written in (name, model):
        if not _MODEL.fullmatch(written) or ".." in written:
            raise ValueError("must be two model names: letters, digits and . _ : / @ -")
    return name, model


def safety(value: str) -> str:
    """How readily Gemini blocks, as the word of its API; empty when it is left to Google."""
    if not value:
        return ""
    word: str = choice(*_SAFETY)(value)
    return _SAFETY[word]


# SafetySetting.HarmBlockThreshold, https://ai.google.dev/gemini-api/docs/safety-settings
_SAFETY = {
    "off": "OFF",
    "none": "BLOCK_NONE",
    "few": "BLOCK_ONLY_HIGH",
    "some": "BLOCK_MEDIUM_AND_ABOVE",
    "most": "BLOCK_LOW_AND_ABOVE",
}


def store_url(value: str) -> str:
    """Where state is kept: ``memory:``, ``sqlite:PATH`` or a Redis server's address; empty for the usual place."""
    scheme, colon, place = (word.strip() for word in text(value).partition(":"))
    scheme = scheme.lower()
    if not value:
        return ""
    if scheme == "memory" and colon and not place:
        return "memory:"
    if scheme in REDIS_SCHEMES and colon:
        return _redis_url(f"{scheme}:{place}")
    if scheme != "sqlite" or not colon:
        raise ValueError(
            "must be memory: or sqlite:PATH, such as sqlite:/var/lib/agproxy/state.db, or redis://HOST:PORT/DATABASE"
        )
    if not place:
        raise ValueError("names no file; write sqlite:PATH, or nothing at all for the usual place")
    if place.startswith("//"):  # RFC 3986 and SQLAlchemy do not mean the same file by three slashes
        raise ValueError("is written without //: sqlite:/PATH from the root, sqlite:PATH from the folder of this file")
    if place == ":memory:":
        raise ValueError("is written memory:")
    return f"sqlite:{place}"


def _redis_url(url: str) -> str:
    """The address of a Redis server, as redis-py takes it, with those of its ``?options`` that make sense here.

    https://redis.readthedocs.io/en/stable/connections.html#redis.ConnectionPool.from_url
    """
    try:
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        if parts.scheme == "unix":
            valid = not parts.hostname and len(parts.path) > 1
        else:
            labels = (parts.hostname or "").removesuffix(".").split(".")
            valid = parts.port != 0 and all(0 < len(label) < 64 for label in labels)
            valid = valid and _DATABASE.fullmatch(parts.path) is not None
        valid = valid and not parts.fragment and "@" not in parts.path + parts.query and asked.get("db", "0").isdigit()
    except ValueError:
        valid = False
    if not valid or any(map(str.isspace, url)):
        raise ValueError(
            "must be redis://HOST:PORT/DATABASE, rediss://... (with TLS) or unix:///PATH?db=DATABASE; in a password,"
            " letters and digits may stand as they are, all else as %XX"
        )
    known = ("db", "client_name", *(_TLS_OPTIONS if parts.scheme == "rediss" else ()))
    for name in asked.keys() - known:
        raise ValueError(f"has an unknown ?option{suggestion(name, known)}; there is {', '.join(known)}")
    return url


def is_loopback(name: str) -> bool:
    """Whether a host name or address, as written, can only mean this machine."""
    return ip_address(name).is_loopback if _is_address(name) else name.lower() == "localhost"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _words(value: str) -> list[str]:
    return [word for word in (piece.strip() for piece in re.split(r"[,\n]", value)) if word]


def _matching(pattern: re.Pattern[str], word: str, complaint: str) -> str:
    if not pattern.fullmatch(word):
        raise ValueError(f"{word!r} {complaint}; several are separated by commas")
    return word


def _network(word: str) -> Network:
    try:
        return ip_network(word)
    except ValueError as error:
        problem = "has bits set beyond its prefix" if "host bits" in str(error) else "is not an IP address or network"
        raise ValueError(f"{word!r} {problem}; write 10.0.0.7 or 10.0.0.0/8, several separated by commas") from error


def _url(value: str, schemes: tuple[str, ...]) -> SplitResult:
    wanted = f"must be an address such as {schemes[0]}://host or {schemes[0]}://host:port"
    try:
        parts = urlsplit(value)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in value):
        raise ValueError(wanted)
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as error:
        raise ValueError("has a host name with an empty part between its dots, or one of over 63 letters") from error
    return parts
