"""What clients see when agproxy is stopped or its workers are replaced, and what is left when clients leave."""

import contextlib
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests import tongues
from tests.conversation.turn import JsonObject, Text
from tests.e2e.conftest import SETTINGS, Agproxy, Serve, accounts_ini, environment, running
from tests.fake_google import Answer, FakeGoogle, quota_per_minute, slow, text
from tests.fake_google.record import RecordedRequest
from tests.ports import free_port

STOPPED = "agproxy is being stopped; try again"
READY = "worker is ready"
PING_S = 0.5
PLAIN = ("-k", "gevent", "--keep-alive", "75")  # gunicorn as README has it

Start = Callable[..., Agproxy]


@pytest.fixture
def start(tmp_path: Path, google: FakeGoogle) -> Iterator[Start]:
    """Starts an agproxy whose only account is "a", under gunicorn with these options, each in a folder of its own."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, limit_s: int) -> Agproxy:
            port = free_port()
            folder = tmp_path / str(port)
            folder.mkdir()
            ini = folder / "agproxy.ini"
            ini.write_text(f"[upstream]\nping_s = {PING_S}\n" + accounts_ini(google, "a"))
            ini.chmod(0o600)
            argv = [sys.executable, "-m", "gunicorn", *options, "-b", f"127.0.0.1:{port}", "agproxy.wsgi:app"]
            env = environment(folder, AGPROXY_CONFIG=str(ini))
            url = f"http://127.0.0.1:{port}"
            server = running([*argv, "--graceful-timeout", str(limit_s)], url, ini, folder / "log", env, folder)
            return stack.enter_context(server)

        yield start


@pytest.fixture
def telling(tmp_path: Path) -> tuple[str, ...]:
    """Options of gunicorn with which each worker says ``READY`` in the log when it serves.

    A signal before that is lost, and an edit would be read at the start.
    """
    hooks = tmp_path / "hooks.py"
    hooks.write_text(f"def post_worker_init(worker):\n    print('{READY}', flush=True)\n")
    return (*PLAIN, "--config", str(hooks))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for many clients at once."""
    with ThreadPoolExecutor(64) as pool:
        yield pool


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def idle_connection(agproxy: Agproxy) -> socket.socket:
    """A connection that has served a request."""
    connection = silent_connection(agproxy)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    got = b""
    while not got.endswith(b"}"):
        got += connection.recv(65536)
    return connection


def silent_connection(agproxy: Agproxy) -> socket.socket:
    """A connection on which nothing has been sent, as browsers open them beforehand."""
    return socket.create_connection(("127.0.0.1", agproxy.port), timeout=30)


def until_closed(connection: socket.socket) -> bytes:
    """What still comes on a connection."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def logs_of_sqlite(agproxy: Agproxy) -> list[Path]:
    """The files beside that of the state, which the last of its users takes away when it ends in order."""
    return list(agproxy.ini.parent.rglob("*.db-wal"))


def sent(agproxy: Agproxy, protocol: str, words: str, *, streamed: bool, model: str = tongues.MODEL) -> socket.socket:
    """A connection on which a request has been sent."""
    tongue = tongues.TONGUES[protocol]
    body = json.dumps(tongue.body([Text(words)], model=model, streamed=streamed)).encode()
    head = f"POST {tongue.path(model, streamed=streamed)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    connection = silent_connection(agproxy)
    connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def words_of(request: RecordedRequest) -> str:
    """What the user said last."""
    return str(request.contents[-1]["parts"][0]["text"])


def error_in(protocol: str, stream: bytes) -> str:
    """The words of the error that ends a stream, in the protocol's own shape."""
    told = tongues.objects(stream, streamed=True)
    last: JsonObject = told[-1]
    if protocol == "responses":
        assert last["type"] == "response.failed"
        assert last["response"]["status"] == "failed"
        return str(last["response"]["error"]["message"])
    assert tongues.TONGUES[protocol].end(told) == (), "it looks finished"
    assert protocol != "messages" or last["type"] == "error"
    return str(last["error"]["message"])


def test_idle_connections_do_not_hold_the_server(start: Start, pool: ThreadPoolExecutor) -> None:
    agproxies = [start(*options, limit_s=30) for options in (PLAIN, SETTINGS)]
    for agproxy in agproxies:
        assert agproxy.chat().ok
        assert logs_of_sqlite(agproxy)
    connections = [opened(agproxy) for agproxy in agproxies for opened in (idle_connection, silent_connection)]
    ends = [pool.submit(until_closed, connection) for connection in connections]
    for agproxy in agproxies:
        agproxy.process.send_signal(signal.SIGTERM)
    assert seconds(lambda: [agproxy.process.wait(15) for agproxy in agproxies]) < 10
    assert [end.result() for end in ends] == [b""] * 4
    for agproxy in agproxies:
        assert not logs_of_sqlite(agproxy)
        assert "GreenletExit" not in agproxy.log()


class Clients:
    """Clients of all protocols with a request under way: one whole answer, one stream that ends, and one that does not.

    :ivar ends: when each had all of its answer (monotonic time), by what it asked for and its protocol.
    """

    def __init__(self, agproxy: Agproxy, google: FakeGoogle, pool: ThreadPoolExecutor) -> None:
        self.ends: dict[tuple[str, str], float] = {}
        self._agproxy = agproxy
        before = len(google.requests)
        self._answers: dict[tuple[str, str], Future[requests.Response]] = {
            (kind, protocol): pool.submit(self._ask, kind, protocol)
            for protocol in tongues.TONGUES
            for kind in ("whole", "short", "endless")
        }
        google.wait_for(before + len(self._answers))

    def _ask(self, kind: str, protocol: str) -> requests.Response:
        response = tongues.post(self._agproxy.url, protocol, Text(kind), streamed=kind != "whole")
        self.ends[kind, protocol] = time.monotonic()
        return response

    def answers(self, kind: str) -> Iterator[tuple[str, requests.Response]]:
        """The answers to those who asked for this, by protocol; reading them to their proper end has been seen to."""
        for protocol in tongues.TONGUES:
            yield protocol, self._answers[kind, protocol].result(timeout=20)

    @staticmethod
    def script(request: RecordedRequest) -> Answer:
        """What the fake answers to them."""
        match words_of(request):
            case "short":
                return slow(text(*["w "] * 6), between_s=0.3)
            case "endless":
                return slow(text(*["w "] * 100), between_s=0.3)
            case "flood":
                return text(*["x" * 100_000] * 200)
            case _:
                return slow(text("never"), headers_s=60)


class TestRequestsUnderWay:
    def test_end_in_time_or_are_told(self, start: Start, google: FakeGoogle, pool: ThreadPoolExecutor) -> None:
        google.default = Clients.script
        agproxies = [start(*options, limit_s=4) for options in (PLAIN, SETTINGS)]
        all_clients = [Clients(agproxy, google, pool) for agproxy in agproxies]
        with contextlib.closing(sent(agproxies[0], "chat", "flood", streamed=True)):  # which reads nothing of it
            time.sleep(2 * PING_S)  # the grace is over, streams have begun
            began = time.monotonic()
            for agproxy in agproxies:
                agproxy.process.send_signal(signal.SIGTERM)
            for agproxy in agproxies:
                agproxy.process.wait(15)
        for agproxy, clients in zip(agproxies, all_clients, strict=True):
            for protocol, response in clients.answers("short"):
                assert response.content.count(b"w ") >= 6, protocol
                assert STOPPED not in response.text
            for protocol, response in clients.answers("endless"):
                assert error_in(protocol, response.content) == STOPPED
                assert clients.ends["endless", protocol] - began > 1.5  # they had half of the time
            for protocol, response in clients.answers("whole"):
                assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
                assert tongues.words_of(protocol, response.json(), 503) == STOPPED
            assert agproxy.log().count("error=stopping") >= 2 * len(tongues.TONGUES)
            assert not logs_of_sqlite(agproxy)
        google.wait_until(lambda: all(request.finished_at for request in google.requests))

    def test_are_told_at_once_when_there_is_no_time(
        self, start: Start, google: FakeGoogle, pool: ThreadPoolExecutor
    ) -> None:
        google.default = Clients.script
        signals = (signal.SIGINT, signal.SIGQUIT)
        agproxies = [start(*SETTINGS, limit_s=30) for _ in signals]
        all_clients = [Clients(agproxy, google, pool) for agproxy in agproxies]
        time.sleep(2 * PING_S)
        for agproxy, how in zip(agproxies, signals, strict=True):
            agproxy.process.send_signal(how)
        assert seconds(lambda: [agproxy.process.wait(15) for agproxy in agproxies]) < 10
        for clients in all_clients:
            for protocol, response in clients.answers("endless"):
                assert error_in(protocol, response.content) == STOPPED
            for protocol, response in clients.answers("whole"):
                assert tongues.words_of(protocol, response.json(), 503) == STOPPED


class Load:
    """Clients that ask again and again, each on a connection of its own that it keeps.

    :ivar answers: how many were right.
    :ivar failures: what went wrong, in words.
    """

    def __init__(self, agproxy: Agproxy, pool: ThreadPoolExecutor) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._agproxy = agproxy
        self._is_over = threading.Event()
        pauses_s = [0.0] * 6 + [0.02] * 3 + [0.5] * 3 + [1.3] * 3
        self._clients = [pool.submit(self._ask, number, pause_s) for number, pause_s in enumerate(pauses_s)]

    def _ask(self, number: int, pause_s: float) -> None:
        with requests.Session() as session:
            while not self._is_over.is_set():
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": number % 3 == 0}
                try:
                    response = session.post(self._agproxy.url + "/v1/chat/completions", json=body, timeout=20)
                except requests.RequestException as error:
                    self.failures.append(repr(error))
                else:
                    if response.status_code == 200 and "Hello" in response.text and "error" not in response.text:
                        self.answers += 1
                    else:
                        self.failures.append(f"{response.status_code} {response.text[-200:]}")
                self._is_over.wait(pause_s)

    def close(self) -> None:
        """Let all end."""
        self._is_over.set()
        for client in self._clients:
            client.result()


def test_replacing_the_workers_under_load_loses_nothing(
    start: Start, google: FakeGoogle, pool: ThreadPoolExecutor, telling: tuple[str, ...]
) -> None:
    google.default = slow(text("Hello"), headers_s=0.05)
    agproxy = start(*telling, "--workers", "2", limit_s=8)
    with contextlib.closing(Load(agproxy, pool)) as load:
        for ready in (2, 4, 6):
            wait_until_said(READY, agproxy, times=ready)
            ends = [pool.submit(until_closed, idle_connection(agproxy)) for _ in range(4)]
            time.sleep(0.5)
            agproxy.process.send_signal(signal.SIGHUP)
            assert [end.result() for end in ends] == [b""] * 4
    assert load.failures == []
    assert load.answers > 100
    assert agproxy.log().count("Booting worker") == 8
    assert "GreenletExit" not in agproxy.log()


class TestClientLeaves:
    """Upstream's work costs money: it is stopped, even where nothing is sent to the client before it is done."""

    LOOK_S = 1.0  # so that a busy machine does not take as long

    def test_upstream_is_closed_within_two_intervals(self, serve: Serve, google: FakeGoogle) -> None:
        pauses = {"headers": {"headers_s": 30}, "first event": {"first_byte_s": 30}, "next event": {"between_s": 30}}
        google.default = lambda request: slow(text("one", "two"), **pauses[words_of(request)])
        agproxy = serve("a", ini=f"[upstream]\nping_s = {self.LOOK_S}\n")
        asked = [(words, streamed) for words in pauses for streamed in (True, False)]
        asked.remove(("next event", False))  # there is only one
        connections = [
            sent(agproxy, protocol, words, streamed=streamed)
            for protocol in tongues.TONGUES
            for words, streamed in asked
        ]
        google.wait_for(len(connections))
        time.sleep(2.5 * self.LOOK_S)  # pings are being sent
        left = time.monotonic()
        for connection in connections:
            connection.close()
        google.wait_until(lambda: all(request.client_closed_at for request in google.requests))
        closed = max(request.client_closed_at or 0.0 for request in google.requests)
        assert closed - left < 2.9 * self.LOOK_S  # two, and what the machine takes
        wait_until_said("error=client_gone", agproxy, times=len(connections))

    def test_nobody_waits_for_an_account_any_more(self, serve: Serve, google: FakeGoogle) -> None:
        models = ("gemini-2.5-flash", "gemini-2.5-pro")
        google.enqueue(*[quota_per_minute("15s") for _ in models])
        agproxy = serve("a", ini=f"[upstream]\nping_s = {self.LOOK_S}\n")
        connections = [sent(agproxy, "chat", "Hi", streamed=model == models[0], model=model) for model in models]
        wait_until_said("attempt failed", agproxy, times=len(models))
        for connection in connections:
            connection.close()
        assert seconds(lambda: wait_until_said("error=client_gone", agproxy, times=len(models))) < 2.9 * self.LOOK_S
        assert len(google.requests) == len(models)

    def test_others_are_not_concerned(self, serve: Serve, google: FakeGoogle, pool: ThreadPoolExecutor) -> None:
        google.default = slow(text("one ", "two"), between_s=3 * PING_S)
        agproxy = serve("a", ini=f"[upstream]\nping_s = {PING_S}\n")
        stays = [pool.submit(agproxy.chat, stream=streamed) for streamed in (True, False)]
        leaves = [sent(agproxy, "chat", "Hi", streamed=streamed) for streamed in (True, False)]
        google.wait_for(4)
        for connection in leaves:
            connection.close()
        assert all("two" in answer.result().text for answer in stays)


class Asking:
    """A client that comes now and then, each time on a new connection, and so to any of the workers.

    :ivar seen: the models that it was served by, each with the time (monotonic) at which it asked.
    """

    def __init__(self, agproxy: Agproxy, pool: ThreadPoolExecutor, *, gap_s: float) -> None:
        self.seen: list[tuple[float, str]] = []
        self._agproxy = agproxy
        self._gap_s = gap_s
        self._is_over = threading.Event()
        self._asking = pool.submit(self._ask)

    def _ask(self) -> None:
        while not self._is_over.is_set():
            asked = time.monotonic()
            self.seen.append((asked, mapped(self._agproxy)))
            self._is_over.wait(max(0.0, asked + self._gap_s - time.monotonic()))

    def close(self) -> None:
        """Come no more."""
        self._is_over.set()
        self._asking.result()


def mapped(agproxy: Agproxy) -> str:
    """The model that answers for one that only the configuration knows."""
    response = agproxy.chat(model="mine")
    return response.headers["X-Mapped-Model"] if response.ok else str(response.status_code)


def test_edit_is_taken_over_by_all_workers(start: Start, telling: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
    """Written in two halves; the first one would do, too, but names another model."""
    agproxy = start(*telling, "--workers", "2", limit_s=4)
    wait_until_said(READY, agproxy, times=2)
    clients = [Asking(agproxy, pool, gap_s=gap_s) for gap_s in (0.05, 0.95)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
        begun = time.monotonic()
        with agproxy.ini.open("a") as file:
            file.write("[models]\nmin* = gemini-2.5-flash\n")
        time.sleep(0.7)
        with agproxy.ini.open("a") as file:
            file.write("mine = gemini-2.5-pro\n")
        edited = time.monotonic()
        time.sleep(2.0)
        assert list(pool.map(lambda _: mapped(agproxy), range(12))) == ["gemini-2.5-pro"] * 12
        wait_until_said("configuration read again", agproxy, times=2)  # by each worker: all may have asked one
        agproxy.ini.write_text("[models]\nmine without a value\n")
        wait_until_said("the change is not taken", agproxy, times=2)
        assert "line 2" in agproxy.log()
        agproxy.ini.unlink()
        wait_until_said("is gone or cannot be read", agproxy, times=2)
        assert list(pool.map(lambda _: mapped(agproxy), range(12))) == ["gemini-2.5-pro"] * 12
    for client in clients:
        assert {model for asked, model in client.seen if asked >= edited + 2} == {"gemini-2.5-pro"}
        # Unless the machine halted between the halves: a file that is left alone for so long has been written.
        halves = {"gemini-2.5-flash"} if edited - begun > 1.3 else set()
        assert {model for _, model in client.seen} - halves == {"404", "gemini-2.5-pro"}


def wait_until_said(words: str, agproxy: Agproxy, *, times: int) -> None:
    """Wait until the log has said this so often."""
    deadline = time.monotonic() + 30
    while (said := agproxy.log().count(words)) < times:
        assert time.monotonic() < deadline, f"said {said} times"
        time.sleep(0.02)
    assert said == times
