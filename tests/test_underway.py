"""The requests under way on gunicorn's connections, and what becomes of those whose client leaves."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from werkzeug.test import Client, TestResponse, create_environ

from agproxy.app import App
from agproxy.cancel import Cancel
from agproxy.config import Server
from agproxy.errors import ClientGone
from agproxy.request import Request
from agproxy.underway import Underway
from tests.loopback import WAIT_S
from tests.scripted import World
from tests.test_app import BASE_URL, HELLO, app

LONG_S = 1000.0


class Connections:
    """Connections to a listener of this process, as a server has them, and the requests that came on them."""

    def __init__(self) -> None:
        self.underway = Underway()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._opened: list[socket.socket] = []

    def open(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection: the client's, and the accepted one."""
        client = socket.create_connection(self.listener.getsockname(), timeout=WAIT_S)
        accepted, _ = self.listener.accept()
        self._opened += [client, accepted]
        return client, accepted

    def request(self, accepted: socket.socket, *, look_s: float = LONG_S) -> Request:
        """A request on a connection, with a call under way."""
        environ = create_environ()
        environ["gunicorn.socket"] = accepted
        request = Request(environ, id_="req_1", server=Server(), secrets=())
        request.call = World().call()
        request.call.cancel = Cancel()  # whose time is real
        self.underway.begin(request, look_s=look_s)
        return request

    def close(self) -> None:
        """Close all of them, and forget the requests, so that nobody watches any more."""
        self.underway.no_longer_watch()
        for sock in (self.listener, *self._opened):
            sock.close()


@pytest.fixture
def connections() -> Iterator[Connections]:
    with contextlib.closing(Connections()) as connections:
        yield connections


def reason(request: Request) -> Exception | None:
    """Why the call of a request was stopped."""
    assert request.call is not None
    cancel = request.call.cancel
    return cancel.error if cancel.cancelled.is_set() else None


def closed(client: socket.socket) -> None:
    client.close()


def closed_for_sending(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


def closed_after_more_bytes(client: socket.socket) -> None:
    client.sendall(b"\r\n")
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("leave", [closed, closed_for_sending, closed_after_more_bytes, reset])
def test_call_is_stopped_when_its_client_has_gone(
    connections: Connections, leave: Callable[[socket.socket], None]
) -> None:
    client, accepted = connections.open()
    request = connections.request(accepted)
    leave(client)
    connections.underway.stop_those_without_client()
    assert isinstance(reason(request), ClientGone)


def test_call_goes_on_for_a_client_that_waits(connections: Connections) -> None:
    leaving, accepted = connections.open()
    connections.request(accepted)
    client, accepted = connections.open()
    request = connections.request(accepted)
    client.sendall(b"GET / HTTP/1.1\r\n")  # its next request, ahead of the answer
    leaving.close()
    connections.underway.stop_those_without_client()
    assert reason(request) is None


def test_client_that_ends_tls_in_order_has_gone(connections: Connections) -> None:
    authority = trustme.CA()
    at_server, at_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(at_server)
    authority.configure_trust(at_client)
    client, accepted = connections.open()
    shaking = threading.Thread(target=lambda: wrapped.append(at_server.wrap_socket(accepted, server_side=True)))
    wrapped: list[ssl.SSLSocket] = []
    shaking.start()
    secured = at_client.wrap_socket(client, server_hostname="localhost")
    shaking.join()
    with wrapped[0]:
        request = connections.request(wrapped[0])
        with secured, contextlib.suppress(TimeoutError):  # its last words are not read, and so not answered
            secured.settimeout(0.01)
            secured.unwrap()
        connections.underway.stop_those_without_client()
        assert isinstance(reason(request), ClientGone)


def test_request_that_has_ended_is_forgotten(connections: Connections) -> None:
    client, accepted = connections.open()
    request = connections.request(accepted)
    connections.underway.end(request)
    client.close()
    connections.underway.stop_those_without_client()
    assert reason(request) is None
    assert connections.underway.requests() == []


def test_connection_that_gunicorn_has_closed_is_left_alone(connections: Connections) -> None:
    _, accepted = connections.open()
    request = connections.request(accepted)
    accepted.close()
    connections.underway.stop_those_without_client()
    assert reason(request) is None
    assert connections.underway.sockets() == {}


def test_request_without_a_call_yet_is_left_alone(connections: Connections) -> None:
    client, accepted = connections.open()
    request = connections.request(accepted)
    request.call = None
    client.close()
    connections.underway.stop_those_without_client()
    assert connections.underway.requests() == [request]


def test_requests_of_one_connection_stand_together(connections: Connections) -> None:
    _, accepted = connections.open()
    requests = {connections.request(accepted) for _ in range(2)}
    ((descriptor, together),) = connections.underway.sockets().items()
    assert (descriptor, set(together)) == (accepted.fileno(), requests)


@pytest.fixture
def watchers() -> Callable[[], int]:
    """How many threads that this test began look for clients; those of others may end meanwhile."""
    others = frozenset(threading.enumerate())
    return lambda: sum(thread.name == "agproxy-underway" and thread not in others for thread in threading.enumerate())


def wait_until(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_clients_are_looked_for_while_something_is_under_way(
    connections: Connections, watchers: Callable[[], int]
) -> None:
    for _ in range(2):
        client, accepted = connections.open()
        requests = [connections.request(accepted, look_s=0.01) for _ in range(2)]
        assert watchers() == 1
        client.close()
        for request in requests:
            assert request.call is not None
            assert request.call.cancel.cancelled.wait(WAIT_S)
            connections.underway.end(request)
        wait_until(lambda: watchers() == 0)


def test_nobody_is_looked_for_once_connections_are_shut(connections: Connections, watchers: Callable[[], int]) -> None:
    connections.underway.no_longer_watch()
    connections.request(connections.open()[1], look_s=0.01)
    assert watchers() == 0


def test_first_request_is_told_of_once(connections: Connections) -> None:
    told: list[int] = []
    connections.underway.at_first = lambda: told.append(1)
    for _ in range(2):
        connections.request(connections.open()[1])
    assert told == [1]


class TestApp:
    """What the application counts as under way."""

    @staticmethod
    def post(app: App, body: Any, sock: socket.socket | None) -> TestResponse:
        environ: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1"}
        if sock is not None:
            environ["gunicorn.socket"] = sock
        return Client(app).post("/v1/chat/completions", json=body, base_url=BASE_URL, environ_overrides=environ)

    def test_request_is_under_way_until_its_answer_is_closed(self, connections: Connections) -> None:
        application = app()
        sock = connections.open()[1]
        response = self.post(application, {**HELLO, "stream": True}, sock)
        (request,) = application.underway.requests()
        assert request.call is not None
        response.close()
        assert application.underway.requests() == []
        application.underway.no_longer_watch()

    @pytest.mark.parametrize(("body", "status"), [(HELLO, 200), ({}, 400)])
    def test_whole_answers_and_errors_end_it_too(self, connections: Connections, body: Any, status: int) -> None:
        application = app()
        application.underway.no_longer_watch()
        with self.post(application, body, connections.open()[1]) as response:
            assert response.status_code == status
        assert application.underway.requests() == []

    def test_other_servers_do_not_show_their_connections(self) -> None:
        application = app()
        with self.post(application, {**HELLO, "stream": True}, None):
            assert application.underway.requests() == []
