"""One exchange with a model service: real sockets on loopback, and what goes wrong on them."""

import contextlib
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import responses
import trustme

from agproxy import __version__
from agproxy.cancel import Cancel
from agproxy.errors import UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from agproxy.transport import Answer, Playback, Transport
from tests.loopback import WAIT_S, Connection, Server, answering, keeping_alive

KEY = "AIza" + "k" * 35
BODY = b'{"contents":[]}'
HEADERS = {"x-goog-api-key": KEY}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + WAIT_S
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < until, left
        time.sleep(0.005)


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(connect_timeout_s=WAIT_S)
    yield transport
    transport.close()


def post(transport: Transport, url: str, *, timeout_s: float = WAIT_S, cancel: Cancel | None = None) -> Answer:
    return transport.post(url, HEADERS, BODY, timeout_s=timeout_s, cancel=cancel or Cancel())


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else begins to meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def assert_tells_no_secret(error: UpstreamError, *secrets: str) -> None:
    for secret in (KEY, *secrets):
        assert secret not in repr(error)
        assert secret not in error.message


class TestPlainAnswers:
    @responses.activate
    def test_status_headers_and_body(self, transport: Transport) -> None:
        responses.post("https://google.test/x", body=b"answer", status=429, headers={"Retry-After": "7"})
        answer = post(transport, "https://google.test/x")
        assert answer.status == 429
        assert answer.headers["retry-after"] == "7"
        assert answer.error_body() == b"answer"

    @responses.activate
    def test_request_is_sent_as_given(self, transport: Transport) -> None:
        sent = responses.post("https://google.test/x?alt=sse", body=b"{}")
        assert b"".join(post(transport, "https://google.test/x?alt=sse").chunks()) == b"{}"
        request = sent.calls[0].request
        assert request.body == BODY
        assert request.headers["X-Goog-Api-Key"] == KEY

    @responses.activate
    def test_redirect_is_not_followed(self, transport: Transport) -> None:
        responses.post("https://google.test/x", status=302, headers={"Location": "https://elsewhere.test/"})
        assert post(transport, "https://google.test/x").status == 302
        assert len(responses.calls) == 1

    @responses.activate
    def test_get(self, transport: Transport) -> None:
        sent = responses.get("https://google.test/models", json={"models": []})
        answer = transport.get("https://google.test/models", HEADERS, timeout_s=1)
        assert b"".join(answer.chunks()) == b'{"models": []}'
        assert sent.calls[0].request.body is None


def test_headers_are_exactly_these(transport: Transport) -> None:
    with Server(answering(OK)) as server:
        assert post(transport, server.url).error_body() == b"ok"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    assert line == "POST /v1beta/models/m:generateContent HTTP/1.1"
    assert sorted(headers, key=str.lower) == [
        "Accept-Encoding: identity",
        f"Content-Length: {len(BODY)}",
        "Content-Type: application/json",
        f"Host: 127.0.0.1:{server.port}",
        f"User-Agent: agproxy/{__version__}",
        f"x-goog-api-key: {KEY}",
    ]
    assert body == BODY


def test_query_is_sent(transport: Transport) -> None:
    with Server(answering(OK)) as server:
        post(transport, f"{server.url}?alt=sse").close()
    assert server.requests[0].startswith(b"POST /v1beta/models/m:generateContent?alt=sse HTTP/1.1\r\n")


def test_chunks_come_as_they_are_sent(transport: Transport) -> None:
    seen = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(CHUNKED, b"5\r\nfirst\r\n")
        assert seen.wait(WAIT_S)
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")

    reads = []
    with Server(script) as server:
        chunks = post(transport, server.url).chunks(lambda: reads.append(True))
        assert next(chunks) == b"first"
        assert len(reads) == 1
        seen.set()
        assert b"".join(chunks) == b"second"
    assert len(reads) == 3


def test_body_that_ends_with_the_connection(transport: Transport) -> None:
    with Server(answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall ", b"of it")) as server:
        assert b"".join(post(transport, server.url).chunks()) == b"all of it"


def test_gzip_is_decoded(transport: Transport) -> None:
    packed = gzip.compress(b"data: {}\n\n" * 1000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with Server(answering(head, packed)) as server:
        assert b"".join(post(transport, server.url).chunks()) == b"data: {}\n\n" * 1000


def test_gzip_that_is_none_is_a_cut(transport: Transport) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
    with Server(answering(head, b"not gzip!")) as server, pytest.raises(UpstreamCut):
        list(post(transport, server.url).chunks())


class TestUnreachable:
    def test_refused(self, transport: Transport) -> None:
        with unused_port() as port, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, f"http://127.0.0.1:{port}/x")
        assert caught.value.message == "cannot reach 127.0.0.1: the connection was refused"
        assert_tells_no_secret(caught.value)

    @pytest.mark.parametrize("how", [Connection.reset, lambda connection: None], ids=["RST", "FIN"])
    def test_closed_before_headers(self, transport: Transport, how: Callable[[Connection], None]) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            how(connection)

        with Server(script) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url)
        assert caught.value.message == "cannot reach 127.0.0.1: the connection was closed before the answer"
        assert server.connections == 1  # a new connection is not tried a second time here

    def test_no_http(self, transport: Transport) -> None:
        with Server(answering(b"SSH-2.0-OpenSSH_9.9\r\n")) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url)
        assert caught.value.message == "cannot reach 127.0.0.1"

    def test_unknown_name(self, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(UpstreamUnreachable) as caught:
            post(transport, "https://no-such-host.test/x")
        assert caught.value.message == "cannot reach no-such-host.test: its name is not known to the DNS"
        assert_tells_no_secret(caught.value)

    def test_connect_timeout(self, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise TimeoutError("timed out")

        monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
        with pytest.raises(UpstreamUnreachable) as caught:
            post(transport, "http://127.0.0.1/x")
        assert caught.value.message == "cannot reach 127.0.0.1: no connection within the time allowed"

    def test_tls_spoken_to_a_plain_server(self, transport: Transport) -> None:
        with Server(lambda connection: connection.send(OK)) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url.replace("http:", "https:"))
        assert caught.value.message == "cannot reach 127.0.0.1: the TLS handshake failed"


class TestCuts:
    @pytest.mark.parametrize(
        "pieces",
        [
            (CHUNKED, b"5\r\nfirst\r\n"),
            (CHUNKED, b"5\r\nfirst\r\n", b"6\r\nsec"),
            (CHUNKED, b"5\r\nfirst\r\nnonsense\r\n"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nfirst",),
        ],
        ids=["between chunks", "within a chunk", "bad chunk", "content-length"],
    )
    def test_cut_body(self, transport: Transport, pieces: tuple[bytes, ...]) -> None:
        with Server(answering(*pieces)) as server, pytest.raises(UpstreamCut):
            list(post(transport, server.url).chunks())
        with Server(answering(*pieces)) as server:
            assert post(transport, server.url).error_body().startswith(b"first")

    def test_reset_in_the_body(self, transport: Transport) -> None:
        first = threading.Event()

        def script(connection: Connection) -> None:
            connection.request()
            connection.send(CHUNKED, b"5\r\nfirst\r\n")
            first.wait(WAIT_S)
            connection.reset()

        with Server(script) as server:
            chunks = post(transport, server.url).chunks()
            assert next(chunks) == b"first"
            first.set()
            with pytest.raises(UpstreamCut) as caught:
                list(chunks)
        assert_tells_no_secret(caught.value)


class TestSilence:
    def test_before_the_headers(self, transport: Transport) -> None:
        with Server(answering(silent=True)) as server:
            with pytest.raises(UpstreamTimeout) as caught:
                post(transport, server.url, timeout_s=0.1)
            assert server.asked.wait(WAIT_S)
        assert caught.value.message == "127.0.0.1 did not answer within 0.1 s"
        assert caught.value.status == 504
        assert len(server.requests) == 1

    def test_in_the_headers(self, transport: Transport) -> None:
        with Server(answering(b"HTTP/1.1 200 OK\r\nConte", silent=True)) as server, pytest.raises(UpstreamTimeout):
            post(transport, server.url, timeout_s=0.1)

    def test_in_the_body(self, transport: Transport) -> None:
        with Server(answering(CHUNKED, b"5\r\nfirst\r\n", silent=True)) as server:
            chunks = post(transport, server.url, timeout_s=1.0).chunks()  # within which the first piece has to come
            assert next(chunks) == b"first"
            with pytest.raises(UpstreamTimeout):
                next(chunks)

    def test_in_the_body_after_another_timeout_was_set(self, transport: Transport) -> None:
        with Server(answering(CHUNKED, b"5\r\nfirst\r\n", silent=True)) as server:
            answer = post(transport, server.url)
            chunks = answer.chunks()
            assert next(chunks) == b"first"
            answer.set_timeout(0.1)
            with pytest.raises(UpstreamTimeout):
                next(chunks)

    def test_error_body_that_stays_out(self, transport: Transport) -> None:
        head = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 99\r\n\r\n{"
        with Server(answering(head, silent=True)) as server:
            answer = post(transport, server.url)
            answer.set_timeout(0.1)
            assert (answer.status, answer.error_body()) == (503, b"{")


class TestCancel:
    @staticmethod
    def outcome(work: Callable[[], object], cancel: Cancel, ready: Callable[[], object]) -> Exception | None:
        """What ``work`` raised after it was cancelled from outside, which must wake it at once."""
        raised: list[Exception] = []

        def run() -> None:
            try:
                work()
            except UpstreamError as error:
                raised.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready()
        time.sleep(0.02)  # until the thread blocks in its read
        cancel.cancel()
        thread.join(WAIT_S / 2)  # a read that nobody wakes ends after twice as long
        assert not thread.is_alive()
        return raised[0] if raised else None

    def test_while_waiting_for_headers(self, transport: Transport) -> None:
        cancel = Cancel()
        with Server(answering(silent=True)) as server:
            error = self.outcome(
                lambda: post(transport, server.url, cancel=cancel), cancel, lambda: server.asked.wait(WAIT_S)
            )
            assert isinstance(error, UpstreamUnreachable)
            assert server.connections == 1

    @pytest.mark.parametrize(
        "head", [CHUNKED + b"5\r\nfirst\r\n", b"HTTP/1.1 200 OK\r\n\r\nfirst"], ids=["chunked", "until close"]
    )
    def test_while_reading(self, transport: Transport, head: bytes) -> None:
        cancel = Cancel()
        first = threading.Event()

        def work() -> None:
            for _ in post(transport, server.url, cancel=cancel).chunks():
                first.set()

        with Server(answering(head, silent=True)) as server:
            error = self.outcome(work, cancel, lambda: first.wait(WAIT_S))
        assert isinstance(error, UpstreamCut)

    def test_while_reading_on_a_reused_connection(self, transport: Transport) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            connection.request()
            connection.wait_for_the_end()

        cancel = Cancel()
        with Server(script) as server:
            post(transport, server.url).error_body()
            error = self.outcome(
                lambda: post(transport, server.url, cancel=cancel), cancel, lambda: self.asked_twice(server)
            )
            assert isinstance(error, UpstreamUnreachable)
            assert (server.connections, len(server.requests)) == (1, 2)  # and not once more

    @staticmethod
    def asked_twice(server: Server) -> bool:
        until = time.monotonic() + WAIT_S
        while len(server.requests) < 2 and time.monotonic() < until:
            time.sleep(0.002)
        return len(server.requests) == 2

    def test_before_the_request(self, transport: Transport) -> None:
        cancel = Cancel()
        cancel.cancel()
        with Server(answering(silent=True)) as server, pytest.raises(UpstreamError):
            post(transport, server.url, cancel=cancel)

    def test_after_the_end_leaves_the_connection_alone(self, transport: Transport) -> None:
        cancel = Cancel()
        with Server(keeping_alive(OK)) as server:
            assert b"".join(post(transport, server.url, cancel=cancel).chunks()) == b"ok"
            cancel.cancel()
            assert post(transport, server.url).error_body() == b"ok"
        assert server.connections == 1

    def test_twice_does_no_harm(self) -> None:
        cancel = Cancel()
        cancel.cancel()
        cancel.cancel()
        assert cancel.cancelled.is_set()


class TestConnections:
    @pytest.mark.parametrize(
        "answer",
        [
            OK,
            CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        ids=["length", "chunked", "error", "empty"],
    )
    def test_are_used_again(self, transport: Transport, answer: bytes) -> None:
        with Server(keeping_alive(answer)) as server:
            for _ in range(3):
                reply = post(transport, server.url)
                list(reply.chunks())
                reply.close()
        assert (server.connections, len(server.requests)) == (1, 3)

    def test_whose_error_body_was_read_are_used_again(self, transport: Transport) -> None:
        with Server(keeping_alive(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")) as server:
            assert [post(transport, server.url).error_body() for _ in range(2)] == [b"no", b"no"]
        assert server.connections == 1

    def test_not_read_to_the_end_are_broken_off(self, transport: Transport) -> None:
        with Server(keeping_alive(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"x" * 999_999)) as server:
            for _ in range(2):
                answer = post(transport, server.url)
                next(answer.chunks())
                answer.close()
        assert server.connections == 2

    @pytest.mark.parametrize("how", [Connection.reset, lambda connection: None], ids=["RST", "FIN"])
    def test_stale_one_is_replaced_once(self, transport: Transport, how: Callable[[Connection], None]) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            connection.request()
            if connection.number == 1:
                how(connection)

        with Server(script) as server:
            assert [post(transport, server.url).error_body() for _ in range(2)] == [b"ok", b"ok"]
        assert (server.connections, len(server.requests)) == (2, 3)

    def test_several_stale_ones_are_all_passed_over(self, transport: Transport) -> None:
        leave, gone = threading.Event(), threading.Semaphore(0)

        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            if connection.number < 3:
                leave.wait(WAIT_S)
                connection.sock.close()
                gone.release()

        with Server(script) as server:
            both = [post(transport, server.url), post(transport, server.url)]
            assert [answer.error_body() for answer in both] == [b"ok", b"ok"]
            leave.set()
            assert all(gone.acquire(timeout=WAIT_S) for _ in both)
            assert post(transport, server.url).error_body() == b"ok"
        assert (server.connections, len(server.requests)) == (3, 3)

    def test_are_made_again_after_many_other_hosts_were_called(self, transport: Transport) -> None:
        with Server(keeping_alive(OK)) as server:
            assert post(transport, server.url).error_body() == b"ok"
            for _ in range(70):
                with unused_port() as port, pytest.raises(UpstreamUnreachable):
                    post(transport, f"http://127.0.0.1:{port}/x")
            assert post(transport, server.url).error_body() == b"ok"

    def test_idle_ones_are_closed_with_the_transport(self) -> None:
        left = threading.Event()

        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            if connection.request() == b"":
                left.set()

        with Server(script) as server:
            transport = Transport(connect_timeout_s=WAIT_S)
            assert post(transport, server.url).error_body() == b"ok"
            transport.close()
            assert left.wait(WAIT_S / 2)

    def test_replacement_of_a_stale_one_is_not_replaced(self, transport: Transport) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            if connection.number == 1:
                connection.send(OK)
                connection.request()

        with Server(script) as server:
            post(transport, server.url).error_body()
            with pytest.raises(UpstreamUnreachable):
                post(transport, server.url)
        assert (server.connections, len(server.requests)) == (2, 3)

    def test_reused_one_that_is_silent_is_no_stale_one(self, transport: Transport) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(OK)
            connection.request()
            connection.wait_for_the_end()

        with Server(script) as server:
            post(transport, server.url).error_body()
            with pytest.raises(UpstreamTimeout):
                post(transport, server.url, timeout_s=0.1)
        assert (server.connections, len(server.requests)) == (1, 2)


def test_error_body_is_bounded(transport: Transport) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 500 No\r\n\r\n")
        while True:  # until the client breaks it off
            connection.send(b"x" * 65536)

    with Server(script) as server:
        assert post(transport, server.url).error_body() == b"x" * (1 << 20)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


class TestTLS:
    def test_unknown_ca_is_refused(self, transport: Transport, context: ssl.SSLContext) -> None:
        with Server(answering(OK), context) as server, pytest.raises(UpstreamUnreachable) as caught:
            post(transport, server.url)
        assert caught.value.message == (
            "cannot reach 127.0.0.1: its TLS certificate is not trusted (see ca_bundle in [upstream])"
        )
        assert not server.requests
        assert_tells_no_secret(caught.value)

    def test_ca_of_the_bundle_is_trusted(self, bundle: str, context: ssl.SSLContext) -> None:
        transport = Transport(connect_timeout_s=WAIT_S, ca_bundle=bundle)
        with Server(keeping_alive(OK), context) as server:
            assert [post(transport, server.url).error_body() for _ in range(2)] == [b"ok", b"ok"]
        assert server.connections == 1

    def test_name_is_checked(self, bundle: str, context: ssl.SSLContext) -> None:
        transport = Transport(connect_timeout_s=WAIT_S, ca_bundle=bundle)
        with Server(answering(OK), context) as server, pytest.raises(UpstreamUnreachable):
            post(transport, server.url.replace("127.0.0.1", "localhost"))

    def test_cancel_while_reading(self, bundle: str, context: ssl.SSLContext) -> None:
        transport = Transport(connect_timeout_s=WAIT_S, ca_bundle=bundle)
        cancel = Cancel()
        with Server(answering(silent=True), context) as server:
            error = TestCancel.outcome(
                lambda: post(transport, server.url, cancel=cancel), cancel, lambda: server.asked.wait(WAIT_S)
            )
        assert isinstance(error, UpstreamUnreachable)


class TestProxy:
    def test_is_used_and_told_its_password_only(self) -> None:
        with Server(keeping_alive(OK)) as proxy:
            transport = Transport(connect_timeout_s=WAIT_S, proxy=f"http://me:hunter22@127.0.0.1:{proxy.port}")
            assert [post(transport, "http://google.test/x").error_body() for _ in range(2)] == [b"ok", b"ok"]
        head = proxy.requests[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")
        assert head[0] == "POST http://google.test/x HTTP/1.1"
        assert "Host: google.test" in head
        assert "Proxy-Authorization: Basic bWU6aHVudGVyMjI=" in head
        assert proxy.connections == 1

    def test_gets_no_key_of_a_tls_request(self) -> None:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        with Server(answering(refusal)) as proxy:
            transport = Transport(connect_timeout_s=WAIT_S, proxy=f"http://me:hunter22@127.0.0.1:{proxy.port}")
            with pytest.raises(UpstreamUnreachable) as caught:
                post(transport, "https://google.test/x")
        assert caught.value.message == "cannot reach google.test: the proxy does not answer or refuses"
        assert_tells_no_secret(caught.value, "hunter22")
        assert proxy.requests[0].startswith(b"CONNECT google.test:443 HTTP/1.")
        assert KEY.encode() not in proxy.requests[0]

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_that_is_not_there(self, scheme: str) -> None:
        with unused_port() as port:
            transport = Transport(connect_timeout_s=WAIT_S, proxy=f"http://me:hunter22@127.0.0.1:{port}")
            with pytest.raises(UpstreamUnreachable) as caught:
                post(transport, f"{scheme}://google.test/x")
        assert caught.value.message == "cannot reach google.test: the proxy does not answer or refuses"
        assert_tells_no_secret(caught.value, "hunter22")

    def test_of_the_environment_is_not_used(self, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        with unused_port() as port, Server(answering(OK)) as server:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            assert post(transport, server.url).error_body() == b"ok"


class TestPlayback:
    def test_plays_its_script(self) -> None:
        reads = []
        answer = Playback(iter([(0.0, b"a"), (0.001, b"b")]), Cancel())
        assert (answer.status, answer.headers) == (200, {})
        assert list(answer.chunks(lambda: reads.append(True))) == [b"a", b"b"]
        assert len(reads) == 2
        answer.set_timeout(1)
        assert answer.error_body() == b""
        answer.close()

    def test_cancel_wakes_it(self) -> None:
        cancel = Cancel()
        first = threading.Event()

        def work() -> None:
            for _ in Playback(iter([(0.0, b"a"), (60.0, b"b")]), cancel).chunks():
                first.set()

        assert isinstance(TestCancel.outcome(work, cancel, lambda: first.wait(WAIT_S)), UpstreamCut)
