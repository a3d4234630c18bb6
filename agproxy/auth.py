"""agproxy's own key: where a request carries it, and whether it is right."""

import hmac
import re
from typing import Protocol

from agproxy.errors import Forbidden, Unauthorized

# Keys as they stand in examples and templates.
_PLACEHOLDER = re.compile(
    r"(?i)<.*>|.*\.\.\.|.*x{6,}|(.*[-_ ])?(your|my|put|paste).?(own.?)?(api.?)?key.*|change.?me.*"
    r"|(sk-|api-?)?(test|dummy|fake|key)|(sk-)?(agproxy|antigravity|1234\d*)"
    r"|secret|password|placeholder|none|null|todo|(sk-)?xxx"
)


class Headers(Protocol):
    """A request's headers, by name in any case."""

    def get(self, key: str, default: str) -> str:
        """The value, or ``default``."""

    def __contains__(self, key: str, /) -> bool:
        """Whether there is such a header."""


def presented_key(headers: Headers, query_key: str | None) -> str | None:
    """The key that a request carries, or None: the first of the places where the protocols put it.

    :param query_key: the value of ``?key=``, as Gemini's clients send it.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "") or headers.get("x-goog-api-key", "") or query_key or None


def is_placeholder(key: str) -> bool:
    """Whether ``key`` is one that examples use, and so anybody could guess."""
    return _PLACEHOLDER.fullmatch(key) is not None


def effective_mode(auth_mode: str, *, allow_lan_access: bool) -> str:
    """What ``auto`` stands for."""
    if auth_mode == "auto":
        return "all_except_health" if allow_lan_access else "off"
    return auth_mode


def check(*, mode: str, key: str, presented: str | None, is_local: bool, is_health: bool) -> None:
    """Let the caller in, or say why not.

    :param mode: ``off``, ``strict`` or ``all_except_health``.
    :param key: the configured key; empty refuses everything.
    :raises Forbidden: nobody can be let in this way.
    :raises Unauthorized: the key is missing or wrong.
    """
    if mode == "off":
        if not is_local:
            raise Forbidden(
                "agproxy runs without a key and so answers this machine only. To let others in, set api_key and"
                " auth_mode = all_except_health (or allow_lan_access = on) in [server] of agproxy.ini",
                code="local_only",
            )
        return
    if mode == "all_except_health" and is_health:
        return
    if not key:
        raise Unauthorized(
            "agproxy asks for a key but has none configured, so nobody can be let in; set api_key in [server] of"
            " agproxy.ini ('agproxy init' makes one)",
            code="no_key_configured",
        )
    if not is_local and is_placeholder(key):
        raise Forbidden(
            "the api_key in [server] of agproxy.ini is a placeholder that anybody could guess; set a real one",
            code="placeholder_key",
        )
    if presented is None:
        raise Unauthorized(
            "agproxy's key is missing: send it as 'Authorization: Bearer KEY' (or x-api-key, x-goog-api-key, ?key=)"
        )
    if not hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), key.encode()):
        raise Unauthorized("this is not agproxy's key: it is api_key in [server] of agproxy.ini")
