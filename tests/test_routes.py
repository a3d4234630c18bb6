"""Every path that agproxy answers, and what it says about those that it does not."""

import pytest

from agproxy.errors import MethodNotAllowed, NotFound
from agproxy.handlers import chat, health, models
from agproxy.protocols import openai_chat
from agproxy.routes import ROUTES, match

ROOT = "http://127.0.0.1:8045/"


def test_the_route_table() -> None:
    table = [
        (method, rule.rule)
        for rule in ROUTES.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD"})  # Werkzeug adds it to GET
    ]
    assert table == [
        ("GET", "/healthz"),
        ("GET", "/health"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/<path:model>"),
        ("POST", "/v1/chat/completions"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "handler", "is_health", "values"),
    [
        ("GET", "/healthz", health.healthz, True, {}),
        ("HEAD", "/healthz", health.healthz, True, {}),
        ("GET", "/health", health.healthz, True, {}),
        ("GET", "/v1/models", models.list_models, False, {}),
        ("GET", "/v1/models/gpt-4o", models.get_model, False, {"model": "gpt-4o"}),
        ("GET", "/v1/models/models/x:free@1", models.get_model, False, {"model": "models/x:free@1"}),
        ("POST", "/v1/chat/completions", chat.complete, False, {}),
    ],
)
def test_path_has_a_handler(method: str, path: str, handler: object, is_health: bool, values: dict[str, str]) -> None:
    assert match(method, path, root_url=ROOT) == ((handler, openai_chat, is_health), values)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/v1", "/v1/", "/nothing", "/healthz/", "/health/x", "/Healthz", "/v1/models/", "/V1/models"),
        *("/v1/chat/completions/", "/v1//chat/completions", "/v1/v1/chat/completions", "/chat/completions"),
        *(
            "/v1/chat/completions/responses",
            "/v1/messages",
            "/v1beta/models",
            "/v1/chat/completions?x",
            "/v1/models//x",
        ),
    ],
)
def test_other_path_is_not_found_and_never_redirected(method: str, path: str) -> None:
    with pytest.raises(NotFound, match=r"The Base URL for OpenAI clients is http://127\.0\.0\.1:8045/v1,"):
        match(method, path, root_url=ROOT)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", ("POST",)),
        ("HEAD", "/v1/chat/completions", ("POST",)),
        ("OPTIONS", "/v1/chat/completions", ("POST",)),
        ("POST", "/v1/models", ("GET", "HEAD")),
        ("DELETE", "/v1/models/gpt-4o", ("GET", "HEAD")),
        ("POST", "/healthz", ("GET", "HEAD")),
        ("post", "/healthz", ("GET", "HEAD")),
        ("B\xe9\r\n" + "x" * 500, "/healthz", ("GET", "HEAD")),
    ],
)
def test_other_method_is_told_those_that_are_allowed(method: str, path: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed, match=f"{path} takes {' and '.join(allow)}, not ") as caught:
        match(method, path, root_url=ROOT)
    assert caught.value.allow == allow
    assert len(caught.value.message) < 300


def test_path_from_outside_is_shown_in_short_plain_ascii() -> None:
    with pytest.raises(NotFound) as caught:
        match("GET", "/\xe9\r\n\ud800" + "x" * 5000, root_url=ROOT)
    assert caught.value.message.isascii()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300
