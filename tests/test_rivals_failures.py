"""What other gateways get wrong when Google fails, asked of every protocol, streamed and whole.

The numbers are those of the defects seen in other gateways.
"""

from collections.abc import Callable, Iterator

import pytest
from werkzeug.test import Client, TestResponse

from agproxy.app import App
from agproxy.config import Account, Config, Store, Upstream
from tests.conversation.talk import HI, PROTOCOLS
from tests.fake_google import (
    Answer,
    FakeGoogle,
    api_key_invalid,
    error,
    permission_denied,
    quota_per_day,
    quota_per_minute,
    text,
    unauthenticated,
)
from tests.tongues import HEADERS, MODEL, TONGUES, words_of

WORDS = "Google does not like this."

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def _google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google


@pytest.fixture
def google(_google: FakeGoogle) -> FakeGoogle:
    _google.reset()
    return _google


Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(google: FakeGoogle) -> Ask:
    """Asks an agproxy with two accounts in a protocol."""
    pool = tuple(Account(name, api_key=f"test-key-{name}", base_url=google.url) for name in "ab")

    def post(protocol: str, *, streamed: bool, max_attempts: int = 3) -> TestResponse:
        upstream = Upstream(max_attempts=max_attempts)
        client = Client(App(Config(accounts=pool, upstream=upstream, store=Store("memory:"))))
        tongue = TONGUES[protocol]
        return client.post(
            tongue.path(MODEL, streamed=streamed),
            json=tongue.body([HI], model=MODEL, streamed=streamed),
            headers=HEADERS[protocol],
            base_url="http://127.0.0.1:8045",
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
        )

    return post


def said(protocol: str, answer: TestResponse) -> str:
    """The words of a failure that came before the answer began."""
    assert answer.content_type == "application/json"
    assert answer.json is not None
    return words_of(protocol, answer.json, answer.status_code)


@both
@each_protocol
@pytest.mark.parametrize(
    ("status", "word"), [(400, "INVALID_ARGUMENT"), (400, "FAILED_PRECONDITION"), (404, "NOT_FOUND")], ids=str
)
def test_15_fault_of_the_request_is_told_at_once_as_google_told_it(
    ask: Ask, google: FakeGoogle, protocol: str, status: int, word: str, streamed: bool
) -> None:
    google.enqueue(error(status, word, WORDS), text("never asked for"))
    answer = ask(protocol, streamed=streamed)
    assert answer.status_code == status
    assert WORDS in said(protocol, answer)
    assert len(google.requests) == 1


@both
@each_protocol
@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([error(500, "INTERNAL", WORDS)], 500),
        ([error(503, "UNAVAILABLE", WORDS)], 503),
        ([quota_per_minute("60s"), error(400, "INVALID_ARGUMENT", WORDS)], 400),
        ([api_key_invalid(), error(400, "INVALID_ARGUMENT", WORDS)], 400),
    ],
    ids=["500", "503", "quota, then 400", "bad key, then 400"],
)
def test_15_last_real_cause_is_told(
    ask: Ask, google: FakeGoogle, protocol: str, failures: list[Answer], status: int, streamed: bool
) -> None:
    google.enqueue(*failures)
    answer = ask(protocol, streamed=streamed, max_attempts=len(failures))
    assert answer.status_code == status
    assert WORDS in said(protocol, answer)


@both
@each_protocol
@pytest.mark.parametrize(
    "failure",
    [api_key_invalid(), unauthenticated(), permission_denied()],
    ids=["key not valid", "401", "403"],
)
def test_failure_of_our_own_keys_is_not_the_clients(
    ask: Ask, google: FakeGoogle, protocol: str, failure: Answer, streamed: bool
) -> None:
    google.default = failure
    answer = ask(protocol, streamed=streamed)
    assert answer.status_code == 502
    assert said(protocol, answer)
    assert {request.key for request in google.requests} == {"test-key-a", "test-key-b"}


@both
@each_protocol
@pytest.mark.parametrize("failure", [quota_per_minute("60s"), api_key_invalid()], ids=["quota", "bad key"])
def test_what_another_account_can_answer_is_answered(
    ask: Ask, google: FakeGoogle, protocol: str, failure: Answer, streamed: bool
) -> None:
    google.enqueue(failure, text("Saved"))
    answer = ask(protocol, streamed=streamed)
    assert answer.status_code == 200
    assert "Saved" in answer.text
    assert len(google.requests) == 2


@both
@each_protocol
def test_long_wait_is_not_one_to_sleep_through(ask: Ask, google: FakeGoogle, protocol: str, streamed: bool) -> None:
    """Anthropic's SDKs would, be it for days; but not against this header."""
    google.default = quota_per_day()
    answer = ask(protocol, streamed=streamed)
    assert answer.status_code == 429
    assert answer.headers["X-Should-Retry"] == "false"


@both
@each_protocol
def test_short_wait_is_told(ask: Ask, google: FakeGoogle, protocol: str, streamed: bool) -> None:
    google.default = quota_per_minute("33s")
    answer = ask(protocol, streamed=streamed)
    assert answer.status_code == 429
    assert 30 <= int(answer.headers["Retry-After"]) <= 40
    assert "X-Should-Retry" not in answer.headers
