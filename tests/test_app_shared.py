"""Several applications that share a store: whichever a client's requests come to, they are one pool."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.test import Client

from agproxy.app import App
from agproxy.config import Account, Config, Scheduling, Store
from tests.facts.responses_app import ResponsesApp
from tests.fake_google import DUMMIES, FakeGoogle, api_key_invalid, calls, error, quota_per_minute, text
from tests.redis_server import RedisServer, not_windows
from tests.whole_app import HELLO, Json, WholeApp, call, called, result

Apps = Callable[..., list[WholeApp]]
Limited = Callable[[Account], list[WholeApp]]

TOOL: Json = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=not_windows)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the applications have their state."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'state' / 'state.db'}"
    else:
        with RedisServer() as server:
            yield server.patient_url


class Impatient(WholeApp):
    """An agproxy of one account, in which no request waits for it."""

    def __init__(self, account: Account, url: str) -> None:
        config = Config(accounts=(account,), scheduling=Scheduling(max_wait_s=0), store=Store(url))
        self._client = Client(App(config))


@pytest.fixture
def made() -> Iterator[list[WholeApp]]:
    """The applications of a test, whose stores are closed in the end."""
    made: list[WholeApp] = []
    yield made
    for app in made:
        application = app._client.application
        assert isinstance(application, App)
        application._gateway.store.close()


@pytest.fixture
def apps(google: FakeGoogle, url: str, made: list[WholeApp]) -> Apps:
    """Makes two applications of one pool; ``apps("ab")`` has these accounts."""

    def make(accounts: str = "a", *, kind: type[WholeApp] = WholeApp, count: int = 2) -> list[WholeApp]:
        made.extend(kind(google, accounts, store_url=url) for _ in range(count))
        return made

    return make


@pytest.fixture
def limited(google: FakeGoogle, url: str, made: list[WholeApp]) -> Limited:
    """Makes two applications of one account."""

    def make(account: Account) -> list[WholeApp]:
        known = replace(account, api_key="test-key-a", base_url=google.url)
        made.extend(Impatient(known, url) for _ in range(2))
        return made

    return make


def keys(google: FakeGoogle) -> list[str]:
    """The accounts whose keys were used, in order."""
    return [str(request.key).removeprefix("test-key-") for request in google.requests]


def words(text: str) -> Json:
    """The messages of a conversation of its own."""
    return [{"role": "user", "content": text}]


def eventually(condition: Callable[[], bool], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


class TestAccounts:
    def test_pauses(self, google: FakeGoogle, apps: Apps) -> None:
        one, other = apps("ab")
        google.enqueue(quota_per_minute("30s"))
        one.answer(stream=False, messages=words("one"))
        other.answer(stream=False, messages=words("other"))
        assert keys(google) == ["a", "b", "b"]

    def test_pauses_are_soon_known_to_who_has_just_asked(self, google: FakeGoogle, apps: Apps) -> None:
        one, other = apps("ab")
        for number in range(4):
            other.answer(stream=False, messages=words(f"before {number}"))
        google.enqueue(quota_per_minute("30s"))
        one.answer(stream=False, messages=words("learns it"))
        resting, free = keys(google)[-2:]
        time.sleep(0.3)
        for number in range(4):
            other.answer(stream=False, messages=words(f"after {number}"))
        assert keys(google)[-4:] == [free] * 4
        assert resting != free

    def test_refused_keys(self, google: FakeGoogle, apps: Apps) -> None:
        one, other = apps("ab")
        google.enqueue(api_key_invalid())
        one.answer(stream=False, messages=words("one"))
        other.answer(stream=False, messages=words("other"))
        assert keys(google) == ["a", "b", "b"]

    def test_limit_of_requests_under_way(self, google: FakeGoogle, limited: Limited) -> None:
        one, other = limited(Account("a", max_in_flight=1))
        streaming = one.post(stream=True, buffered=False)
        assert next(streaming.iter_encoded())
        refusal = other.error()
        assert refusal["status"] == 429
        assert "under way" in refusal["message"]
        streaming.close()
        # Much sooner than each of them tells what it uses in any case, which is every 5 s.
        eventually(lambda: other.post().status_code == 200, seconds=3)
        eventually(lambda: one.post().status_code == 200, seconds=3)

    def test_limit_of_requests_per_minute(self, google: FakeGoogle, limited: Limited) -> None:
        one, other = limited(Account("a", requests_per_minute=3))
        assert [app.post().status_code for app in (one, other, one, other, one)] == [200, 200, 200, 429, 429]
        assert len(google.requests) == 3
        assert 54 <= int(one.post().headers["Retry-After"]) <= 65

    def test_what_failed_counts_as_a_request(self, google: FakeGoogle, limited: Limited) -> None:
        one, other = limited(Account("a", requests_per_minute=2))
        google.enqueue(error(500), text("Hello"))
        assert one.post().status_code == 200
        assert other.post().status_code == 429
        assert [request.outcome for request in google.requests] == [500, 200]


class TestConversations:
    def test_keep_their_account(self, google: FakeGoogle, apps: Apps) -> None:
        one, other = apps("ab")
        for messages in (words("first"), words("second")):
            one.answer(stream=False, messages=messages)
        for messages in (words("second"), words("first")):
            other.answer(stream=False, messages=messages)
        assert keys(google) == ["a", "b", "b", "a"]

    def test_named_by_the_client_have_one_account_from_their_first_request(
        self, google: FakeGoogle, apps: Apps
    ) -> None:
        one, other = apps("ab")
        other.answer(stream=False, messages=words("makes this one's next account another than the other one's"))
        streaming = [app.post(stream=True, buffered=False, prompt_cache_key="mine") for app in (one, other)]
        for each in streaming:
            assert next(each.iter_encoded())
            each.close()
        assert len(set(keys(google)[1:])) == 1

    @pytest.mark.parametrize("stream", [False, True])
    def test_keep_their_signatures(self, google: FakeGoogle, apps: Apps, stream: bool) -> None:
        one, other = apps()
        google.enqueue(calls(("look", {"at": "x"})), text("Done"))
        (made,) = one.answer(stream=stream, tools=[TOOL])["message"]["tool_calls"]
        id_, given = made["id"], made["extra_content"]["google"]["thought_signature"]
        answer = other.answer(stream=stream, messages=[*HELLO, called(call(id_)), result(id_)], tools=[TOOL])
        assert answer["message"]["content"] == "Done"
        (part,) = google.requests[1].body["contents"][1]["parts"]
        assert part["thoughtSignature"] == given
        assert given not in DUMMIES

    @pytest.mark.parametrize("stream", [False, True])
    def test_of_stored_responses_go_on(self, google: FakeGoogle, apps: Apps, stream: bool) -> None:
        one, other = apps(kind=ResponsesApp)
        assert isinstance(one, ResponsesApp)
        assert isinstance(other, ResponsesApp)
        google.enqueue(text("Rain."), text("Yes."))
        first = one.answer(stream=stream, input="Weather?")
        assert other.get(f"/v1/responses/{first['id']}").json == one.get(f"/v1/responses/{first['id']}").json
        other.answer(stream=stream, input="Really?", previous_response_id=first["id"])
        asked = [part["text"] for content in google.requests[1].body["contents"] for part in content["parts"]]
        assert asked == ["Weather?", "Rain.", "Really?"]


def test_what_a_model_refuses(google: FakeGoogle, apps: Apps) -> None:
    for app in apps():
        ignored = app.post(model="gemini-3.1-pro-preview", presence_penalty=0.5).headers["X-Agproxy-Ignored"]
        assert ignored == "presence_penalty"
    assert [request.outcome for request in google.requests] == [400, 200, 200]
    assert "Penalty is not enabled" in str(google.refusals[0].refusal)
    google.reset()


def test_requests_at_the_same_time(google: FakeGoogle, apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[BaseException] = []

    def ask(app: WholeApp, number: int) -> None:
        try:
            for turn in range(5):
                app.answer(stream=turn % 2 == 0, messages=words(f"{number} {turn}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(app, number)) for number, app in enumerate(apps("ab", count=3) * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert len(google.requests) == 30
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [words for words in said if not words.startswith("store is slow")]  # which a busy machine is, too


@not_windows
def test_server_holds_no_keys_and_no_messages(google: FakeGoogle, made: list[WholeApp]) -> None:
    with RedisServer() as server, server.client() as client:
        made.append(app := WholeApp(google, "ab", store_url=server.url))
        google.enqueue(quota_per_minute("30s"), calls(("look", {"at": "my secret"})))
        secrets = {"user": "my secret", "prompt_cache_key": "my secret"}
        app.answer(stream=False, messages=words("my secret"), tools=[TOOL], **secrets)
        content = b""
        for key in client.scan_iter():
            kind = client.type(key)
            found = client.get(key) if kind == b"string" else repr(client.zrange(key, 0, -1)).encode()
            content += key + b" " + found
        assert b"rest:" in content
        assert b"signature:" in content
        assert b"my secret" not in content
        assert b"test-key" not in content


@not_windows
def test_requests_go_on_while_the_server_is_away(
    google: FakeGoogle, made: list[WholeApp], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="agproxy.store")
    with RedisServer() as server:
        made.extend(WholeApp(google, "ab", store_url=server.url) for _ in range(2))
        one, other = made
        for app in (one, other):
            app.answer(stream=False, messages=words("mine"))
        server.kill()
        time.sleep(0.3)  # they believe what they have just read
        for app in (one, other) * 3:
            for stream in (False, True):
                app.answer(stream=stream, messages=words("mine"))
        assert len(google.requests) == 14
        assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"] * 2
        google.enqueue(quota_per_minute("30s"))
        one.answer(stream=False, messages=words("new"))
        resting, free = keys(google)[-2:]
        server.start()
        eventually(lambda: caplog.text.count("store can be used again") == 2, seconds=10)
        before = len(google.requests)
        for number in range(4):
            other.answer(stream=False, messages=words(f"{number}"))
        assert keys(google)[before:] == [free] * 4
        assert resting != free
