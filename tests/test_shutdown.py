"""What happens between the signal that stops a worker and its end."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.workers.base import Worker

from agproxy import shutdown
from agproxy.errors import Stopping
from agproxy.shutdown import Drain
from tests.test_underway import Connections, reason, wait_until

Working = Callable[..., Worker]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@pytest.fixture
def connections() -> Iterator[Connections]:
    with contextlib.closing(Connections()) as connections:
        yield connections


def drain(connections: Connections, *, limit_s: float = 30.0) -> Drain:
    """What is done after a signal at the time 0."""
    return Drain(connections.underway, [connections.listener.getsockname()], started=0.0, limit_s=limit_s)


def is_shut(sock: socket.socket) -> bool:
    """Whether a connection has been shut for reading."""
    sock.setblocking(False)
    try:
        return sock.recv(65536) == b""
    except BlockingIOError:
        return False


class TestIdleConnection:
    def test_is_shut_after_a_second(self, connections: Connections) -> None:
        ours = connections.open()[1]
        draining = drain(connections)
        for now in (0.0, 0.5, 0.99):
            draining.look(now)
            assert not is_shut(ours)
        draining.look(1.0)
        assert is_shut(ours)

    def test_is_one_whose_request_has_ended(self, connections: Connections) -> None:
        ours = connections.open()[1]
        request = connections.request(ours)
        draining = drain(connections)
        draining.look(5.0)
        connections.underway.end(request)
        for now in (6.0, 6.9):
            draining.look(now)
            assert not is_shut(ours)
        draining.look(7.0)
        assert is_shut(ours)

    def test_that_brings_another_request_counts_anew(self, connections: Connections) -> None:
        ours = connections.open()[1]
        draining = drain(connections)
        draining.look(0.0)
        request = connections.request(ours)
        draining.look(0.5)
        connections.underway.end(request)
        for now in (0.7, 1.6):
            draining.look(now)
            assert not is_shut(ours)
        draining.look(1.7)
        assert is_shut(ours)

    def test_still_gives_what_has_arrived(self, connections: Connections) -> None:
        client, ours = connections.open()
        draining = drain(connections)
        draining.look(0.0)
        client.sendall(b"GET / HTTP/1.1\r\n")
        draining.look(1.0)
        assert ours.recv(65536) == b"GET / HTTP/1.1\r\n"
        ours.sendall(b"answer")
        assert client.recv(65536) == b"answer"

    def test_of_a_unix_socket_is_shut(self, connections: Connections, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(tmp_path / "sock"))
            listener.listen()
            client.connect(listener.getsockname())
            ours, _ = listener.accept()
            with ours:
                draining = Drain(connections.underway, [listener.getsockname()], started=0.0, limit_s=30.0)
                draining.look(0.0)
                draining.look(1.0)
                assert is_shut(ours)

    def test_is_shut_at_once_when_there_is_no_time(self, connections: Connections) -> None:
        ours = connections.open()[1]
        drain(connections, limit_s=0.0).look(0.0)
        assert is_shut(ours)


def test_other_connections_of_the_process_are_left_alone(connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream, socket.create_connection(upstream.getsockname()) as ours:
        client, _ = connections.open()
        draining = drain(connections)
        for now in (0.0, 1.0, 29.0):
            draining.look(now)
        assert not is_shut(ours)
        connections.listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # and still listens
            connections.listener.accept()
        assert client.fileno() >= 0


class TestRequestUnderWay:
    @pytest.mark.parametrize(("limit_s", "told_at"), [(30.0, 27.5), (6.0, 3.5), (4.0, 2.0), (1.0, 0.5), (0.0, 0.0)])
    def test_is_stopped_in_time_before_the_limit(
        self, connections: Connections, limit_s: float, told_at: float
    ) -> None:
        request = connections.request(connections.open()[1])
        draining = drain(connections, limit_s=limit_s)
        draining.look(told_at - 0.01)
        assert reason(request) is None
        draining.look(told_at)
        error = reason(request)
        assert isinstance(error, Stopping)
        assert (error.status, error.retry_after_s) == (503, 1.0)

    def test_that_began_late_is_stopped_too(self, connections: Connections, caplog: pytest.LogCaptureFixture) -> None:
        draining = drain(connections)
        requests = []
        for now in (28.0, 28.2, 28.4):
            requests.append(connections.request(connections.open()[1]))
            draining.look(now)
        assert all(isinstance(reason(request), Stopping) for request in requests)
        assert [record.getMessage() for record in caplog.records] == ["stopped requests=1 that did not end in time"] * 3

    def test_has_its_connection_until_its_answer_has_had_time_to_be_sent(self, connections: Connections) -> None:
        ours = connections.open()[1]
        connections.request(ours)
        draining = drain(connections)
        for now in (0.0, 5.0, 27.5, 28.4):
            draining.look(now)
            assert not is_shut(ours)
        draining.look(28.5)
        assert is_shut(ours)
        with pytest.raises(BrokenPipeError):
            ours.sendall(b"x")

    def test_without_a_call_is_only_cut(self, connections: Connections) -> None:
        ours = connections.open()[1]
        connections.request(ours).call = None
        draining = drain(connections)
        draining.look(28.0)
        assert not is_shut(ours)
        draining.look(28.5)
        assert is_shut(ours)


class TestSignals:
    @pytest.fixture(autouse=True)
    def _handlers(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in SIGNALS}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.fixture
    def working(self, connections: Connections) -> Iterator[Working]:
        """Makes a worker of gunicorn as it is when it loads the application."""
        with contextlib.ExitStack() as stack:

            def make(*, graceful_timeout: int = 0) -> Worker:
                settings = Config()
                settings.set("graceful_timeout", graceful_timeout)
                worker = Worker(1, 1, [connections.listener], None, 30, settings, None)
                stack.callback(worker.tmp.close)
                signal.signal(signal.SIGTERM, worker.handle_exit)
                signal.signal(signal.SIGINT, worker.handle_quit)
                signal.signal(signal.SIGQUIT, worker.handle_quit)
                return worker

            yield make

    def test_stop_the_worker_and_what_is_under_way(self, connections: Connections, working: Working) -> None:
        worker = working()
        request = connections.request(connections.open()[1])
        shutdown.install(connections.underway)
        signal.raise_signal(signal.SIGTERM)
        assert not worker.alive
        wait_until(lambda: reason(request))
        assert isinstance(reason(request), Stopping)

    def test_give_time_only_when_asked_to_end_in_order(self, connections: Connections, working: Working) -> None:
        worker = working(graceful_timeout=10)  # of which more passes before anybody is told than is waited for below
        request = connections.request(connections.open()[1])
        shutdown.install(connections.underway)
        signal.raise_signal(signal.SIGTERM)
        assert reason(request) is None
        connections.listener.close()  # as the worker does
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGINT)
        assert not worker.alive
        wait_until(lambda: reason(request))

    def test_are_chained_at_the_first_request_when_the_worker_came_after_the_import(
        self, connections: Connections, working: Working
    ) -> None:
        shutdown.install(connections.underway)
        worker = working()
        request = connections.request(connections.open()[1])
        signal.raise_signal(signal.SIGTERM)
        assert not worker.alive
        wait_until(lambda: reason(request))

    def test_are_chained_once(self, connections: Connections, working: Working) -> None:
        working()
        shutdown.install(connections.underway)
        chained = [signal.getsignal(number) for number in SIGNALS]
        connections.request(connections.open()[1])
        assert [signal.getsignal(number) for number in SIGNALS] == chained

    def test_of_other_servers_are_left_alone(self, connections: Connections) -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        shutdown.install(connections.underway)
        connections.request(connections.open()[1])
        assert [signal.getsignal(number) for number in SIGNALS] == before

    def test_can_not_be_chained_outside_of_the_main_thread(self, connections: Connections, working: Working) -> None:
        working()
        before = [signal.getsignal(number) for number in SIGNALS]
        thread = threading.Thread(target=shutdown.install, args=(connections.underway,))
        thread.start()
        thread.join()
        assert [signal.getsignal(number) for number in SIGNALS] == before
