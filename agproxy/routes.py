"""Every path that agproxy answers; for others, what ``near_misses`` makes of them."""

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from werkzeug import Response
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.exceptions import NotFound as WerkzeugNotFound
from werkzeug.routing import Map, PathConverter, Rule

from agproxy import clients, near_misses
from agproxy.auth import Headers
from agproxy.errors import MethodNotAllowed, NotFound
from agproxy.handlers import chat, health, messages, models, native, responses
from agproxy.near_misses import NearMiss
from agproxy.protocols import (
    anthropic_messages,
    gemini,
    openai_chat,
    openai_completions,
    openai_responses,
    suggested,
)

Handler = Callable[..., Response]
# A handler, the protocol that its clients speak (None: what the request suggests), and whether it tells no more than
# that agproxy runs.
Endpoint = tuple[Handler, ModuleType | None, bool]


class Caller(Protocol):
    """What an explanation wants to know about a request."""

    @property
    def root_url(self) -> str:
        """Where agproxy is reached, with a slash at the end."""

    @property
    def headers(self) -> Headers:
        """The request's headers."""

    @property
    def query_string(self) -> bytes:
        """The query string as sent."""

    def redacted(self, text: str) -> str:
        """The text without keys: some clients put theirs into the path."""


def _rule(method: str, path: str, handler: Handler, protocol: ModuleType | None, *, is_health: bool = False) -> Rule:
    return Rule(path, methods=[method], endpoint=(handler, protocol, is_health))


_METHOD_NAMES = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
_METHODS = f"<any({','.join(_METHOD_NAMES)}):method>"


class _ModelConverter(PathConverter):
    """The name of a model, which may hold slashes and colons, but does not end in one of Gemini's methods."""

    regex = "[^/].*?" + "".join(f"(?<!:{name})" for name in _METHOD_NAMES)


ROUTES = Map(
    [
        _rule("GET", "/healthz", health.healthz, openai_chat, is_health=True),
        _rule("GET", "/health", health.healthz, openai_chat, is_health=True),
        # The same paths for clients of all protocols, whose headers tell them apart.
        _rule("GET", "/v1/models", models.list_models, None),
        _rule("GET", "/v1/models/<model:model>", models.get_model, None),
        _rule("GET", "/v1/models/claude", models.list_for_anthropic, anthropic_messages),
        _rule("POST", "/v1/chat/completions", chat.complete, openai_chat),
        _rule("POST", "/v1/completions", chat.complete, openai_completions),
        _rule("POST", "/v1/responses", responses.create, openai_responses),
        _rule("POST", "/v1/responses/compact", responses.compact, openai_responses),
        _rule("POST", "/v1/responses/input_tokens", responses.input_tokens, openai_responses),
        _rule("GET", "/v1/responses/<response_id>", responses.retrieve, openai_responses),
        _rule("DELETE", "/v1/responses/<response_id>", responses.delete, openai_responses),
        _rule("POST", "/v1/responses/<response_id>/cancel", responses.cancel, openai_responses),
        _rule("GET", "/v1/responses/<response_id>/input_items", responses.input_items, openai_responses),
        _rule("POST", "/v1/messages", messages.create, anthropic_messages),
        _rule("POST", "/v1/messages/count_tokens", messages.count_tokens, anthropic_messages),
        # Claude Code: whether anybody is there (by 2.0, and by 2.1.330, which sends no key), and telemetry.
        _rule("HEAD", "/", health.hello, anthropic_messages, is_health=True),
        _rule("HEAD", "/api/hello", health.hello, anthropic_messages, is_health=True),
        _rule("POST", "/api/event_logging/batch", messages.telemetry, anthropic_messages, is_health=True),
        _rule("POST", "/v1/api/event_logging", messages.telemetry, anthropic_messages, is_health=True),
        _rule("POST", "/v1/api/event_logging/batch", messages.telemetry, anthropic_messages, is_health=True),
        # Gemini's own API; google-genai 3 asks for v1, older ones and the Gemini CLI for v1beta.
        _rule("GET", "/v1beta/models", models.list_models, gemini),
        _rule("GET", "/v1beta/models/<model:model>", models.get_model, gemini),
        _rule("POST", f"/v1beta/models/<model:model>:{_METHODS}", native.relay, gemini),
        _rule("POST", f"/v1/models/<model:model>:{_METHODS}", native.relay, gemini),
        _rule("POST", "/v1beta/models/<model:model>/countTokens", native.count, gemini),
        _rule("POST", "/v1/models/<model:model>/countTokens", native.count, gemini),
        # Where Google serves OpenAI's clients, so that the host is all they have to change:
        # https://ai.google.dev/gemini-api/docs/openai
        _rule("GET", "/v1beta/openai/models", models.list_models, openai_chat),
        _rule("GET", "/v1beta/openai/models/<model:model>", models.get_model, openai_chat),
        _rule("POST", "/v1beta/openai/chat/completions", chat.complete, openai_chat),
        _rule("POST", "/v1beta/openai/completions", chat.complete, openai_completions),
    ],
    converters={"model": _ModelConverter},
    strict_slashes=True,
    merge_slashes=False,
    redirect_defaults=False,
)
_ADAPTER = ROUTES.bind("localhost")
# Those that hold nothing of the client's.
PLAIN_PATHS = frozenset(rule.rule for rule in ROUTES.iter_rules() if not rule.arguments)


def match(method: str, path: str, caller: Caller) -> tuple[Endpoint, dict[str, Any]]:
    """The endpoint for a path, and the values in it.

    :raises NotFound: no such path; the message says which one was meant, and the Base URL that the caller needs.
    :raises MethodNotAllowed: not with this method.
    """
    try:
        if path.startswith("//") or not path:  # which Werkzeug would take for one slash, or redirect to one
            raise WerkzeugNotFound
        endpoint, values = _ADAPTER.match(path, method)
    except WerkzeugNotFound:
        path = caller.redacted(path)
        raise _not_found(method, path, _near(method, path, caller), caller) from None
    except WerkzeugMethodNotAllowed as error:
        if set(error.valid_methods or ()) == {"HEAD"}:  # a probe's path, and nothing to anybody else
            path = caller.redacted(path)
            raise _not_found(method, path, _near(method, path, caller), caller) from None
        path = caller.redacted(path)
        miss = _near(method, path, caller)
        if miss is not None and miss.path != path and (miss.is_safe or miss.unserved):
            raise _not_found(method, path, miss, caller) from None  # /v1/models/chat/completions is no model's
        raise _not_allowed(method, path, tuple(sorted(error.valid_methods or ())), caller) from None
    return endpoint, dict(values)


def fixed(method: str, path: str) -> str | None:
    """The path that a request for a path not served was meant for, if it can be served there as it is; else None."""
    miss = near_misses.find(method, path, methods_of=methods_of)
    if miss is not None and miss.path is not None and method == "OPTIONS" and not methods_of(path):
        miss = near_misses.find(miss.methods[0], path, methods_of=methods_of)  # it asks on behalf of this one
    return miss.path if miss is not None and miss.is_safe and miss.path != path else None


def methods_of(path: str) -> tuple[str, ...]:
    """The methods that a path takes; none for a path that is not served."""
    return () if path.startswith("//") else tuple(sorted(_ADAPTER.allowed_methods(path)))


def greeting(root_url: str) -> str:
    """That agproxy runs, and what it serves."""
    return near_misses.greeting(root_url, methods_of)


def bases(root_url: str) -> list[tuple[str, str]]:
    """For whom agproxy has which Base URL, in words."""
    served = (
        (clients.DIALECTS[dialect].people, clients.base_url(root_url, dialect))
        for dialect in near_misses.served_surfaces(methods_of)
    )
    return list(dict.fromkeys(served))  # OpenAI's protocols have one Base URL


def _near(method: str, path: str, caller: Caller) -> NearMiss | None:
    query = caller.redacted(caller.query_string.decode("latin-1"))
    return near_misses.find(method, path, query=query, methods_of=methods_of)


def _not_found(method: str, path: str, miss: NearMiss | None, caller: Caller) -> NotFound:
    client = clients.identify(caller.headers)
    dialect = (client.dialect if client else "") or (miss.dialect if miss else _suggested(path, caller))
    return NotFound(
        near_misses.explain(
            method, path, miss, client=client, dialect=dialect, root_url=caller.root_url, methods_of=methods_of
        )
    )


def _not_allowed(method: str, path: str, allow: tuple[str, ...], caller: Caller) -> MethodNotAllowed:
    client = clients.identify(caller.headers)
    dialect = (client.dialect if client else "") or _suggested(path, caller)
    message = near_misses.explain_method(method, path, allow, client=client, dialect=dialect, root_url=caller.root_url)
    return MethodNotAllowed(message, allow=allow)


def _suggested(path: str, caller: Caller) -> str:
    has_key = re.search(rb"(?:^|&)key=", caller.query_string) is not None
    name: str = suggested(path, caller.headers, has_query_key=has_key).NAME
    return name
