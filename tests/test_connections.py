"""What may come between a request and its answer: names, handshakes, interim answers, dead connections, web pages."""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agproxy import connections
from agproxy.cancel import Cancel
from agproxy.errors import UpstreamCut, UpstreamUnreachable
from agproxy.transport import Transport
from tests.loopback import WAIT_S, Connection, Server, answering, keeping_alive
from tests.test_transport import CHUNKED, OK, post

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(connect_timeout_s=WAIT_S)
    yield transport
    transport.close()


class TestInterimAnswers:
    @pytest.mark.parametrize(
        "interim", [EARLY_HINTS, EARLY_HINTS * 5, b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY_HINTS]
    )
    def test_are_passed_over(self, transport: Transport, interim: bytes) -> None:
        with Server(keeping_alive(interim + OK)) as server:
            for _ in range(2):
                answer = post(transport, server.url)
                assert (answer.status, answer.error_body()) == (200, b"ok")
        assert server.connections == 1

    def test_do_not_leave_their_headers_behind(self, transport: Transport) -> None:
        with Server(answering(EARLY_HINTS + OK)) as server:
            answer = post(transport, server.url)
            answer.close()
        assert "link" not in answer.headers

    def test_other_protocol_is_an_answer(self, transport: Transport) -> None:
        with Server(answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")) as server:
            assert post(transport, server.url).status == 101


class TestHandshake:
    def test_that_takes_too_long_is_no_silence_of_the_service(self) -> None:
        transport = Transport(connect_timeout_s=0.1)
        began = time.monotonic()
        with Server(Connection.wait_for_the_end) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url.replace("http:", "https:"))
        assert caught.value.message == "cannot reach 127.0.0.1: no connection within the time allowed"
        assert time.monotonic() - began < 2

    @pytest.mark.parametrize("how", ["RST", "FIN"])
    def test_that_breaks(self, transport: Transport, how: str) -> None:
        def script(connection: Connection) -> None:
            connection.sock.recv(65536)
            if how == "RST":
                connection.reset()

        with Server(script) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url.replace("http:", "https:"))
        assert caught.value.message == "cannot reach 127.0.0.1: the TLS handshake failed"

    def test_of_a_silent_proxy(self) -> None:
        with Server(Connection.wait_for_the_end) as proxy:
            transport = Transport(connect_timeout_s=0.1, proxy=f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(UpstreamUnreachable) as caught:
                post(transport, "https://google.test/x")
        assert caught.value.message == "cannot reach google.test: no connection within the time allowed"


class TestNames:
    def test_dns_that_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def lookup(*_: object, **__: object) -> None:
            over.wait(WAIT_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no server could be reached")

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        began = time.monotonic()
        with pytest.raises(UpstreamUnreachable) as caught:
            post(Transport(connect_timeout_s=0.1), "https://service.test/x")
        over.set()
        assert caught.value.message == "cannot reach service.test: the DNS does not answer"
        assert time.monotonic() - began < WAIT_S / 2

    @pytest.mark.parametrize("host", ["a..b", "a" * 64, f"x.{'a' * 64}.test"])
    def test_that_cannot_be_looked_up(self, transport: Transport, host: str) -> None:
        with pytest.raises(UpstreamUnreachable) as caught:
            post(transport, f"https://{host}/x")
        assert caught.value.message == f"cannot reach {host}: its name is not known to the DNS"

    def test_addresses_are_tried_one_after_the_other(
        self, transport: Transport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first is of a network that there is not (RFC 5737); nobody listens at the second."""
        real = socket.getaddrinfo

        def lookup(host: str, *others: object, **more: object) -> object:
            if host != "service.test":
                return real(host, *others, **more)  # type: ignore[arg-type]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in ("127.0.0.9", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with Server(answering(OK)) as server:
            assert post(transport, server.url.replace("127.0.0.1", "service.test")).error_body() == b"ok"
        assert b"\r\nHost: service.test:" in server.requests[0]


class TestDeadConnections:
    """Idle ones that a firewall has forgotten, or that a service closes just when they are used."""

    @pytest.mark.parametrize("how", ["RST", "FIN"])
    def test_however_many_are_dead_one_request_meets_one_of_them(self, transport: Transport, how: str) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            if connection.number <= 5:
                connection.request()
                if how == "RST":
                    connection.reset()
                return
            connection.request()
            connection.send(OK)

        with Server(script) as server:
            answers = [post(transport, server.url) for _ in range(5)]
            assert [answer.error_body() for answer in answers] == [b"ok"] * 5
            assert [post(transport, server.url).error_body() for _ in range(2)] == [b"ok"] * 2
        assert (server.connections, len(server.requests)) == (6, 8)


class TestGivenBack:
    """Whoever cancels late must not cut the request that has the connection by then."""

    @pytest.fixture
    def given_back(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
        """What is to be done at the very moment that others can take the connection."""
        waiting: list[Callable[[], None]] = []

        class Watched(queue.LifoQueue[Any]):
            def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
                super().put(item, block, timeout)
                if item is not None and waiting:
                    waiting.pop()()

        monkeypatch.setattr(connections._HTTPPool, "QueueCls", Watched)
        return waiting

    @staticmethod
    def script(answer: bytes, is_late: threading.Event) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(answer)
            connection.request()
            connection.send(OK[:-2])
            is_late.wait(WAIT_S)
            connection.send(OK[-2:])

        return script

    @pytest.mark.parametrize("answer", [OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], ids=["length", "chunked"])
    def test_at_once(self, transport: Transport, given_back: list[Callable[[], None]], answer: bytes) -> None:
        cancel, is_late, others = Cancel(), threading.Event(), []

        def take_it_and_cancel() -> None:
            others.append(post(transport, server.url))
            cancel.cancel()

        with Server(self.script(answer, is_late)) as server:
            given_back.append(take_it_and_cancel)
            with pytest.raises(UpstreamCut):
                list(post(transport, server.url, cancel=cancel).chunks())
            is_late.set()
            assert [other.error_body() for other in others] == [b"ok"]
        assert server.connections == 1

    def test_while_the_last_bytes_are_still_to_be_read_on(self, transport: Transport) -> None:
        """It is free once as much has come as was announced, and not only when the end is asked for."""
        cancel, is_late = Cancel(), threading.Event()
        with Server(self.script(OK, is_late)) as server:
            chunks = post(transport, server.url, cancel=cancel).chunks()
            assert next(chunks) == b"ok"
            other = post(transport, server.url)
            cancel.cancel()
            is_late.set()
            assert other.error_body() == b"ok"
        assert server.connections == 1


class TestWebPages:
    @pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\r\n <html>", b"\xef\xbb\xbf<?xml version='1.0'?>"])
    def test_in_place_of_an_answer(self, transport: Transport, page: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        with Server(answering(head, page)) as server:
            answer = post(transport, server.url)
            with pytest.raises(UpstreamUnreachable) as caught:
                list(answer.chunks())
            answer.close()
        assert caught.value.message == (
            "127.0.0.1 answered with a web page, as no model service does; is base_url right, is there a proxy in"
            " between?"
        )

    def test_further_on_are_a_matter_of_the_body(self, transport: Transport) -> None:
        with Server(answering(CHUNKED, b"1\r\n{\r\n", b"5\r\n<html\r\n0\r\n\r\n")) as server:
            assert b"".join(post(transport, server.url).chunks()) == b"{<html"

    def test_for_an_error_are_its_body(self, transport: Transport) -> None:
        with Server(answering(b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>")) as server:
            assert post(transport, server.url).error_body() == b"<html>"


class NotingCancel(Cancel):
    """Notes how long silences may last."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float] = []

    def set_timeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)
        super().set_timeout(seconds)


@pytest.mark.parametrize(("status", "timeout_s", "timeouts"), [(200, 300, []), (503, 300, [5.0]), (503, 2, [2.0])])
def test_error_is_not_waited_for_as_long_as_an_answer(
    transport: Transport, status: int, timeout_s: float, timeouts: list[float]
) -> None:
    with Server(answering(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())) as server:
        cancel = NotingCancel()
        assert post(transport, server.url, timeout_s=timeout_s, cancel=cancel).error_body() == b"ok"
    assert cancel.timeouts == timeouts


def test_gzip_that_is_cut_is_a_cut(transport: Transport) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 40\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00"
    with Server(answering(head)) as server, pytest.raises(UpstreamCut):
        list(post(transport, server.url).chunks())


class TestUpload:
    BODY = b" " * 12_000_000

    def test_may_take_longer_than_a_connection_as_long_as_it_goes_on(self) -> None:
        def script(connection: Connection) -> None:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            left = len(self.BODY)
            while left > 0:
                left -= len(connection.sock.recv(131072))
                time.sleep(0.015)
            connection.send(OK)

        transport = Transport(connect_timeout_s=1.0)
        began = time.monotonic()
        with Server(script) as server:
            answer = transport.post(server.url, {}, self.BODY, timeout_s=WAIT_S, cancel=Cancel())
            assert answer.error_body() == b"ok"
        assert time.monotonic() - began > 1.0

    def test_that_stops_is_told_as_such(self) -> None:
        transport = Transport(connect_timeout_s=0.25)
        with Server(Connection.wait_for_the_end) as server, pytest.raises(UpstreamUnreachable) as caught:
            transport.post(server.url, {}, self.BODY, timeout_s=WAIT_S, cancel=Cancel())
        assert caught.value.message == "cannot reach 127.0.0.1: it stopped taking the request"
