"""Two instances of agproxy behind a load balancer, with their state on one Redis server: they are one pool."""

import contextlib
import itertools
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_pool import NO_WAIT, keys, question
from tests.e2e.test_scheduling import Crowd, at_once
from tests.e2e.test_servers import wait_for
from tests.fake_google import FakeGoogle, quota_per_minute, slow, text
from tests.forwarder import Forwarder
from tests.redis_server import RedisServer, not_windows

pytestmark = not_windows


class Balancer:
    """Hands each connection to the next instance that takes it.

    :param instances: those there are.
    """

    def __init__(self, instances: Sequence[Agproxy]) -> None:
        self._ports = [instance.port for instance in instances]
        self._turns = itertools.count()
        self.forwarder = Forwarder(self._connect)

    def chat(self, **body: Any) -> requests.Response:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **body}
        url = f"http://127.0.0.1:{self.forwarder.port}/v1/chat/completions"
        return requests.post(url, json=body, timeout=60)

    def _connect(self) -> socket.socket:
        for _ in self._ports:
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", self._ports[next(self._turns) % len(self._ports)]))
        raise AssertionError("no instance takes connections")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


Pair = Callable[..., tuple[Agproxy, Agproxy]]


@pytest.fixture
def pair(serve: Serve, server: RedisServer) -> Pair:
    """Starts two instances with the same configuration."""

    def start(*names: str, ini: str = "", **options: str) -> tuple[Agproxy, Agproxy]:
        text = f"{ini}\n[store]\nurl = {server.url}\n"
        return serve(*names, ini=text, **options), serve(*names, ini=text, **options)

    return start


Balanced = Callable[..., Balancer]


@pytest.fixture
def balanced() -> Iterator[Balanced]:
    """Puts a load balancer before instances."""
    with contextlib.ExitStack() as stack:

        def start(*instances: Agproxy) -> Balancer:
            balancer = Balancer(instances)
            stack.enter_context(balancer.forwarder)
            return balancer

        yield start


def warnings(*instances: Agproxy) -> list[str]:
    return [line for each in instances for line in each.log().splitlines() if " WARNING " in line]


def account_of(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    return response.headers["X-Account-Email"].partition("@")[0]


def test_conversation_keeps_its_account_whichever_instance_it_comes_to(
    pair: Pair, balanced: Balanced, google: FakeGoogle
) -> None:
    balancer = balanced(*pair("a", "b", "c"))
    found: dict[int, set[str]] = {number: set() for number in range(6)}
    for _ in range(4):
        for number in found:
            response = balancer.chat(**question(f"Question {number}"))
            found[number].add(account_of(response))
        balancer.chat(**question(f"{time.monotonic()}"))  # so that the next round comes to the other one
    assert [len(accounts) for accounts in found.values()] == [1] * 6
    assert len(set.union(*found.values())) == 3


def test_pause_that_one_learns_of_holds_for_the_other_soon(pair: Pair, google: FakeGoogle) -> None:
    one, other = pair("a", "b", ini=NO_WAIT)
    for number in range(2):
        for each in (one, other):
            account_of(each.chat(**question(f"before {number}")))
    google.enqueue(quota_per_minute("30s"))
    assert account_of(one.chat(**question("learns it")))
    resting, free = keys(google)[-2:]
    assert resting != free
    time.sleep(0.3)
    assert [account_of(other.chat(**question(f"after {number}"))) for number in range(6)] == [free] * 6
    assert len(warnings(one)) == 1
    assert f"account rests account={resting}" in warnings(one)[0]
    assert warnings(other) == []


def test_limit_of_requests_under_way_holds_over_both(pair: Pair, balanced: Balanced, google: FakeGoogle) -> None:
    google.default = crowd = Crowd(0.2)
    balancer = balanced(*pair("a", "b", max_in_flight="2"))
    answers = at_once(lambda number: balancer.chat(**question(f"{number}")), 24)
    assert Counter(answer.status_code for answer in answers) == {200: 24}
    assert crowd.most == {"test-key-a": 2, "test-key-b": 2}


def test_limit_of_requests_per_minute_holds_over_both(pair: Pair, balanced: Balanced, google: FakeGoogle) -> None:
    balancer = balanced(*pair("a", "b", ini=NO_WAIT, requests_per_minute="7"))
    answers = at_once(lambda number: balancer.chat(**question(f"{number}")), 30)
    assert Counter(answer.status_code for answer in answers) == {200: 14, 429: 16}
    assert Counter(keys(google)) == {"a": 7, "b": 7}


def kill(agproxy: Agproxy) -> None:
    """End it without a warning: gunicorn and its workers."""
    workers = [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", agproxy.log())]
    for pid in (agproxy.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    agproxy.process.wait()

    def is_gone() -> bool:
        try:
            socket.create_connection(("127.0.0.1", agproxy.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_for(is_gone)


def test_one_is_killed(pair: Pair, balanced: Balanced, google: FakeGoogle) -> None:
    one, other = pair("a", "b")
    balancer = balanced(one, other)
    before = {number: account_of(balancer.chat(**question(f"{number}"))) for number in range(6)}
    kill(one)
    assert {number: account_of(balancer.chat(**question(f"{number}"))) for number in before} == before


@pytest.mark.slow
def test_what_a_killed_one_has_taken_is_free_again_in_time(pair: Pair, google: FakeGoogle) -> None:
    one, other = pair("a", ini=NO_WAIT, max_in_flight="1")
    google.enqueue(slow(text("Hel", "lo"), between_s=60))
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with requests.post(f"{one.url}/v1/chat/completions", json=body, stream=True, timeout=60) as response:
        assert next(response.iter_lines())
        assert other.chat().status_code == 429
        time.sleep(6)  # it has said once more that it lives
        kill(one)
        assert other.chat().status_code == 429
        killed = time.monotonic()
        while other.chat().status_code != 200:
            assert time.monotonic() - killed < 22
            time.sleep(0.5)
        assert time.monotonic() - killed > 10


def test_server_is_gone_and_back_during_traffic(
    pair: Pair, balanced: Balanced, server: RedisServer, google: FakeGoogle
) -> None:
    one, other = pair("a", "b", max_in_flight="50")
    balancer = balanced(one, other)
    ends = threading.Event()
    failures: list[str] = []
    took_s: list[float] = []

    def ask(client: int) -> None:
        number = 0
        while not ends.is_set():
            number += 1
            began = time.monotonic()
            try:
                response = balancer.chat(stream=number % 2 == 0, **question(f"{client} {number % 5}"))
                if response.status_code != 200 or "Hello" not in response.text:
                    failures.append(f"{response.status_code} {response.text}")
            except requests.RequestException as error:
                failures.append(repr(error))
            took_s.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.7)
    server.kill()
    time.sleep(1.0)
    server.start()
    time.sleep(1.5)
    with server.silent():
        time.sleep(1.0)
    time.sleep(1.5)
    ends.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(took_s) > 40
    assert max(took_s) < 5.0
    for each in (one, other):
        wait_for(lambda each=each: "store can be used again" in each.log())
        assert "ERROR" not in each.log()
        assert len(warnings(each)) <= 2  # of the store, and of the limits
    found = [account_of(each.chat(**question("mine"))) for each in (one, other, one, other)]
    assert len(set(found)) == 1


def test_server_that_refuses_the_password_is_no_reason_not_to_start(
    serve: Serve, server: RedisServer, google: FakeGoogle
) -> None:
    url = server.url.replace("//", "//:not-the-password@")
    with server.client() as client:
        client.config_set("requirepass", "secret-1")
    agproxy = serve("a", "b", ini=f"[store]\nurl = {url}\n")
    assert [account_of(agproxy.chat(**question(words))) for words in ("one", "two", "two", "one")] == list("abba")
    assert len(warnings(agproxy)) == 1
    assert (
        f"store cannot be used url={server.url} reason=it refuses the user's name or password" in warnings(agproxy)[0]
    )
    assert "not-the-password" not in agproxy.log()
