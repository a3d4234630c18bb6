"""Errors of Anthropic Messages as the real anthropic SDK sees them: its classes, its retries, keys."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Omit

from tests.e2e.anthropic_sdk import CLAUDE, ask, client_of, said, user
from tests.e2e.conftest import Agproxy, Serve, accounts_ini, start_gunicorn
from tests.fake_google import FakeGoogle, cut, error, quota_per_day, quota_per_minute, text, unavailable

ASKED: Any = {"model": CLAUDE, "max_tokens": 1000, "messages": [user("Hi")]}
KEY = "agp-a-key-for-tests"
STRICT = f"[server]\nauth_mode = strict\napi_key = {KEY}\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """An agproxy that asks for its key."""
    with contextlib.ExitStack() as stack:
        ini = STRICT + accounts_ini(_google, "a")
        yield start_gunicorn(stack, tmp_path_factory.mktemp("strict"), ini)


streaming = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def error_of(
    agproxy: Agproxy, *, streamed: bool = False, max_retries: int = 0, **body: Any
) -> anthropic.APIStatusError:
    """What the SDK raises; it knows the error's type, and the request's id by the header and by the body."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        ask(agproxy, streamed=streamed, max_retries=max_retries, **body)
    found = raised.value
    assert found.request_id is not None
    assert found.request_id.startswith("req_")
    assert isinstance(found.body, dict)
    assert found.body["type"] == "error"
    return found


@streaming
def test_bad_request(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    found = error_of(agproxy, streamed=streamed, messages=[user([{"type": "text"}])])
    assert isinstance(found, anthropic.BadRequestError)
    assert found.type == "invalid_request_error"
    assert "messages" in found.message
    assert not google.requests


@streaming
def test_unknown_model(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    found = error_of(agproxy, streamed=streamed, model="no-such-model")
    assert isinstance(found, anthropic.NotFoundError)
    assert found.type == "not_found_error"
    assert "no-such-model" in found.message
    with client_of(agproxy) as client, pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such/model")
    assert not [request for request in google.requests if request.method == "generateContent"]


@streaming
def test_what_google_refuses(agproxy: Agproxy, google: FakeGoogle, streamed: bool) -> None:
    google.enqueue(error(400, "INVALID_ARGUMENT", "The words of Google."))
    found = error_of(agproxy, streamed=streamed)
    assert isinstance(found, anthropic.BadRequestError)
    assert found.type == "invalid_request_error"
    assert "The words of Google." in found.message


def test_body_that_is_too_large(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[server]\nmax_body_bytes = 100000\n")
    found = error_of(agproxy, messages=[user("x" * 200_000)])
    assert (found.status_code, type(found).__name__) == (413, "ContentTooLargeError")
    assert found.body["error"]["type"] == "request_too_large"  # type: ignore[index]
    assert not google.requests


@streaming
def test_quota_that_is_gone_for_the_day_is_not_asked_for_again(
    serve: Serve, google: FakeGoogle, streamed: bool
) -> None:
    agproxy = serve("a")
    google.enqueue(quota_per_day(model="gemini-flash-latest"))
    begun = time.monotonic()
    found = error_of(agproxy, streamed=streamed, max_retries=5)
    assert time.monotonic() - begun < 5
    assert isinstance(found, anthropic.RateLimitError)
    assert found.type == "rate_limit_error"
    assert int(found.response.headers["retry-after"]) > 60
    assert found.response.headers["x-should-retry"] == "false"
    assert len(google.requests) == 1


def test_sdk_comes_again_when_agproxy_says(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini="[scheduling]\nmax_wait_s = 0\n")
    google.enqueue(quota_per_minute("1s", model="gemini-flash-latest"), text("Here."))
    assert said(ask(agproxy, max_retries=1)) == "Here."
    assert len(google.requests) == 2


def test_overload_is_an_error_of_the_server(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(*[unavailable()] * 9)
    found = error_of(agproxy)
    google.reset()
    assert isinstance(
        found, anthropic.InternalServerError | anthropic.ServiceUnavailableError | anthropic.OverloadedError
    )
    assert found.type in ("overloaded_error", "api_error")


def test_error_within_a_stream(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(cut(text("One, ", "two"), after_events=1))
    told: list[str] = []
    failing = pytest.raises(anthropic.APIStatusError)
    with client_of(agproxy, max_retries=2) as client, client.messages.stream(**ASKED) as stream, failing as raised:
        told.extend(stream.text_stream)
    assert told == ["One, "]
    assert (raised.value.status_code, raised.value.type) == (200, "api_error")
    assert "broke in the middle of its answer" in raised.value.message
    assert len(google.requests) == 1


# Keys.


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": KEY},
        {"api_key": None, "auth_token": KEY},
        {"default_headers": {"X-Api-Key": KEY, "Authorization": Omit()}},
        {"api_key": KEY, "default_headers": {"X-Api-Key": ""}},
    ],
    ids=["api_key", "auth_token", "X-Api-Key", "empty X-Api-Key"],
)
def test_key_in_either_header(strict: Agproxy, options: dict[str, Any]) -> None:
    with client_of(strict, **options) as client:
        assert said(client.messages.create(**ASKED)) == "Hello from fake Google"


@pytest.mark.parametrize(
    "options", [{"api_key": "wrong"}, {"default_headers": {"X-Api-Key": "", "Authorization": Omit()}}]
)
def test_wrong_key(strict: Agproxy, google: FakeGoogle, options: dict[str, Any]) -> None:
    with client_of(strict, **options) as client:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            client.messages.create(**ASKED)
        assert raised.value.type == "authentication_error"
        with pytest.raises(anthropic.AuthenticationError):
            client.models.list()
    assert not google.requests
