"""Every path that agproxy answers."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from werkzeug import Response
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.exceptions import NotFound as WerkzeugNotFound
from werkzeug.routing import Map, Rule

from agproxy.errors import MethodNotAllowed, NotFound
from agproxy.handlers import chat, health, models
from agproxy.protocols import openai_chat

Handler = Callable[..., Response]
# A handler, the protocol whose errors its clients read, and whether it tells no more than that agproxy runs.
Endpoint = tuple[Handler, ModuleType, bool]


def _rule(method: str, path: str, handler: Handler, protocol: ModuleType, *, is_health: bool = False) -> Rule:
    return Rule(path, methods=[method], endpoint=(handler, protocol, is_health))


ROUTES = Map(
    [
        _rule("GET", "/healthz", health.healthz, openai_chat, is_health=True),
        _rule("GET", "/health", health.healthz, openai_chat, is_health=True),
        _rule("GET", "/v1/models", models.list_models, openai_chat),
        _rule("GET", "/v1/models/<path:model>", models.get_model, openai_chat),
        _rule("POST", "/v1/chat/completions", chat.complete, openai_chat),
    ],
    strict_slashes=True,
    merge_slashes=False,
    redirect_defaults=False,
)
_ADAPTER = ROUTES.bind("localhost")


def match(method: str, path: str, *, root_url: str) -> tuple[Endpoint, dict[str, Any]]:
    """The endpoint for a path, and the values in it.

    :param root_url: where agproxy is reached, for messages; it ends in a slash.
    :raises NotFound: no such path.
    :raises MethodNotAllowed: not with this method.
    """
    try:
        if path.startswith("//"):  # which Werkzeug would take for one slash
            raise WerkzeugNotFound
        endpoint, values = _ADAPTER.match(path, method)
    except WerkzeugNotFound:
        raise NotFound(
            f"agproxy does not serve {_shown(path)}. The Base URL for OpenAI clients is {root_url}v1, with"
            " chat/completions and models below it"
        ) from None
    except WerkzeugMethodNotAllowed as error:
        allow = tuple(sorted(error.valid_methods or ()))
        raise MethodNotAllowed(
            f"{_shown(path)} takes {' and '.join(allow)}, not {_shown(method)}", allow=allow
        ) from None
    return endpoint, dict(values)


def _shown(text: str) -> str:
    """A path from outside, in printable ASCII and of bounded length."""
    text = ascii(text)[1:-1]
    return text if len(text) <= 120 else text[:117] + "..."
