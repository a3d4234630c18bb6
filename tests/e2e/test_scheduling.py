"""Which account answers when many ask, within what limits, and which model when all of them rest."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests import tongues
from tests.conversation.turn import Text
from tests.e2e.conftest import Agproxy, Serve
from tests.fake_google import Answer, FakeGoogle, RecordedRequest, api_key_invalid, quota_per_day, text, unavailable

PRO, FLASH = "gemini-3.1-pro-preview", "gemini-3-flash-preview"
FALLBACK = f"[fallback]\n{PRO} = {FLASH}\n"
protocols = pytest.mark.parametrize("protocol", list(tongues.TONGUES))
ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def keys(google: FakeGoogle) -> list[str]:
    return [(request.key or "").removeprefix("test-key-") for request in google.requests]


def at_once(work: Callable[[int], requests.Response], count: int) -> list[requests.Response]:
    """The answers to so many requests that are under way together."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def question(number: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"Question {number}"}]}


class Crowd:
    """Answers slowly, and counts how many requests of each key are under way."""

    def __init__(self, seconds: float) -> None:
        self.most: Counter[str] = Counter()
        self._seconds = seconds
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: RecordedRequest) -> Answer:
        key = request.key or ""
        with self._lock:
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
        time.sleep(self._seconds)
        with self._lock:
            self._now[key] -= 1
        return text("Saved")


class TestFairness:
    # Those that are alike are told apart by each worker for itself.
    @pytest.mark.parametrize(
        ("workers", "alike"), [(1, False), (2, False), (1, True)], ids=["one worker", "two workers", "alike"]
    )
    @pytest.mark.parametrize("mode", ["balance", "cache_first", "performance_first"])
    def test_200_requests_at_once_are_spread_within_a_tenth(
        self, serve: Serve, google: FakeGoogle, workers: int, mode: str, alike: bool
    ) -> None:
        google.keys |= {"test-key-d": "project-d"}
        google.default = Crowd(0.3) if alike else text("Hi")
        agproxy = serve("a", "b", "c", "d", ini=f"[scheduling]\nmode = {mode}\n", workers=workers)
        answers = at_once(lambda number: agproxy.chat(**question(0 if alike else number)), 200)
        assert [answer.status_code for answer in answers] == [200] * 200
        counted = Counter(keys(google))
        assert len(counted) == 4
        assert all(45 <= count <= 55 for count in counted.values()), counted

    def test_those_that_do_not_rest_share_evenly(self, serve: Serve, google: FakeGoogle) -> None:
        google.enqueue(quota_per_day(), key="test-key-b")
        agproxy = serve("a", "b", "c")
        for number in range(3):
            agproxy.chat(**question(number))
        google.requests.clear()
        at_once(lambda number: agproxy.chat(**question(100 + number)), 60)
        assert Counter(keys(google)) == {"a": 30, "c": 30}

    def test_session_at_once_stays_with_one_account(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", "b", "c", workers=2)
        at_once(lambda number: agproxy.chat(user="u", prompt_cache_key="mine", **question(number)), 20)
        assert len(set(keys(google))) == 1

    def test_choices_of_one_request_go_to_one_account(self, serve: Serve, google: FakeGoogle) -> None:
        """The model gives one at a time, so that they are asked for side by side."""
        agproxy = serve("a", "b", "c")
        agproxy.chat(model=FLASH, n=2, **question(0))
        assert all("Multiple candidates" in str(request.refusal) for request in google.refusals)
        google.reset()
        together = threading.Barrier(3)

        def answer(_: RecordedRequest) -> Answer:
            together.wait(20)
            return text("Saved")

        google.default = answer
        response = agproxy.chat(model=FLASH, n=3, **question(1))
        assert len(response.json()["choices"]) == 3
        assert keys(google) == ["b"] * 3
        assert response.headers["X-Account-Email"] == "b@example.com"


class TestLimits:
    def test_no_more_at_once_than_an_account_may_have(self, serve: Serve, google: FakeGoogle) -> None:
        google.default = crowd = Crowd(0.2)
        agproxy = serve("a", "b", workers=2, max_in_flight="3")
        answers = at_once(lambda number: agproxy.chat(**question(number)), 24)
        assert {answer.status_code for answer in answers} == {200}
        assert crowd.most == {"test-key-a": 3, "test-key-b": 3}

    def test_no_more_a_minute_than_an_account_may_have(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", "b", ini="[scheduling]\nmax_wait_s = 0\n", workers=2, requests_per_minute="5")
        answers = at_once(lambda number: agproxy.chat(**question(number)), 30)
        assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 20}
        assert Counter(keys(google)) == {"a": 5, "b": 5}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "it has had its 5 requests per minute" in refused.json()["error"]["message"]
        assert 0 < int(refused.headers["Retry-After"]) <= 65

    @protocols
    @ways
    def test_all_at_their_limit_is_told_in_the_protocols_words(
        self, serve: Serve, google: FakeGoogle, protocol: str, streamed: bool
    ) -> None:
        ini = "[scheduling]\nmax_wait_s = 0\n"
        agproxy = serve("a", ini=ini, requests_per_minute="1")
        google.native = protocol == "gemini"
        tongues.told(agproxy.url, protocol, Text("Hi"), streamed=streamed)
        response = tongues.post(agproxy.url, protocol, Text("Another"), streamed=streamed)
        assert response.status_code == 429
        assert "its 1 requests per minute" in tongues.words_of(protocol, response.json(), 429)

    def test_client_that_goes_makes_room(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", ini="[scheduling]\nmax_wait_s = 0\n[upstream]\nping_s = 0.1\n", max_in_flight="1")
        google.enqueue((text("One") + text("Two")).delivered(between_s=30))
        stream = requests.post(
            agproxy.url + "/v1/chat/completions",
            json={"model": FLASH, "stream": True, **question(1)},
            stream=True,
            timeout=30,
        )
        next(stream.iter_content(1))
        assert agproxy.chat(**question(2)).status_code == 429
        stream.close()
        until = time.monotonic() + 20
        while agproxy.chat(**question(3)).status_code == 429:
            assert time.monotonic() < until
            time.sleep(0.05)

    def test_models_of_accounts(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", ini=f"[account:b]\nbase_url = {google.url}\napi_key = test-key-b\n", models=FLASH)
        for number in range(4):
            assert agproxy.chat(model=PRO, **question(number)).status_code == 200
        assert keys(google) == ["b"] * 4

    @protocols
    def test_model_that_nobody_may_be_asked_for(self, serve: Serve, google: FakeGoogle, protocol: str) -> None:
        agproxy = serve("a", models="gemini-2*")
        response = tongues.post(agproxy.url, protocol, Text("Hi"), model=PRO)
        assert response.status_code == 404
        assert f"no account of the pool may be asked for {PRO}" in tongues.words_of(protocol, response.json(), 404)
        assert google.requests == []

    def test_models_that_nobody_may_be_asked_for_are_not_listed(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", models="gemini-3-flash*")
        listed = {model["id"] for model in agproxy.get("/v1/models").json()["data"]}
        assert "gemini-3-flash-preview" in listed
        assert "gemini-2.5-flash" not in listed


class TestFallback:
    @protocols
    @ways
    def test_says_which_model_answered(self, serve: Serve, google: FakeGoogle, protocol: str, streamed: bool) -> None:
        agproxy = serve("a", "b", ini=FALLBACK)
        google.native = protocol == "gemini"
        google.enqueue(quota_per_day(), quota_per_day(), model=PRO)
        for _ in range(2):
            response = tongues.post(agproxy.url, protocol, Text("Hi"), model=PRO, streamed=streamed)
            assert response.status_code == 200, response.text
            assert response.headers["X-Mapped-Model"] == FLASH
        assert [request.model for request in google.requests] == [PRO, PRO, FLASH, FLASH]
        assert agproxy.log().count(f"fallback model={PRO} to={FLASH} reason=") == 2
        until = time.monotonic() + 20
        while agproxy.log().count(f" model={FLASH} account=") < 2:  # the access lines come after the answer
            assert time.monotonic() < until, agproxy.log()
            time.sleep(0.02)

    def test_of_an_overloaded_model(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a", ini=FALLBACK)
        google.enqueue(*[unavailable() for _ in range(3)], model=PRO)
        response = agproxy.chat(model=PRO)
        assert (response.status_code, response.headers["X-Mapped-Model"]) == (200, FLASH)

    def test_without_one_the_quota_is_told(self, serve: Serve, google: FakeGoogle) -> None:
        google.enqueue(quota_per_day(), model=PRO)
        response = serve("a").chat(model=PRO)
        assert (response.status_code, response.headers["X-Mapped-Model"]) == (429, PRO)


def started(agproxy: Agproxy, words: Iterable[str], until_s: float = 20.0) -> None:
    """Wait until the log has these words."""
    until = time.monotonic() + until_s
    while not all(word in agproxy.log() for word in words):
        assert time.monotonic() < until, agproxy.log()
        agproxy.get("/healthz")
        time.sleep(0.05)


class TestRefusedKey:
    def test_new_key_is_used_at_once(self, serve: Serve, google: FakeGoogle) -> None:
        agproxy = serve("a")
        google.default = lambda request: text("Saved") if request.key == "test-key-b" else api_key_invalid()
        assert agproxy.chat().status_code == 502
        assert agproxy.chat().status_code == 502
        assert len(google.requests) == 1  # it rests
        agproxy.ini.write_text(agproxy.ini.read_text().replace("test-key-a", "test-key-b"))
        started(agproxy, ["configuration read again"])
        assert agproxy.chat().status_code == 200

    def test_restart_tries_it_at_once(self, serve: Serve, google: FakeGoogle) -> None:
        google.enqueue(api_key_invalid())
        assert serve("a").chat().status_code == 502
        agproxy = serve("a")  # of the same home, and so the same state
        assert agproxy.chat().status_code == 200

    def test_restart_tries_no_quota_of_the_day(self, serve: Serve, google: FakeGoogle) -> None:
        google.enqueue(quota_per_day())
        assert serve("a").chat().status_code == 429
        assert serve("a").chat().status_code == 429
        assert len(google.requests) == 1


def test_pin_of_an_edited_file_is_followed(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", "b", "c")
    agproxy.chat(**question(1))
    agproxy.ini.write_text(agproxy.ini.read_text() + "[scheduling]\npin = c\n")
    started(agproxy, ["configuration read again"])
    for number in (1, 2, 3):
        agproxy.chat(**question(number))
    assert keys(google) == ["a", "c", "c", "c"]
