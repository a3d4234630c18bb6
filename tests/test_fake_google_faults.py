"""The fake Google at its worst: drips, lies about lengths, interim answers, TLS, answers that depend on who asks."""

import gzip
import http.client
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import trustme

from tests.fake_google import FakeGoogle, by_key, error, in_turn, text
from tests.fake_google.bodies import FLASH_3, ask, events, parts_of

SSE = "streamGenerateContent?alt=sse"


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


def post(google: FakeGoogle, method: str = "generateContent", *, key: str = "a", **more: Any) -> requests.Response:
    headers = {"x-goog-api-key": f"test-key-{key}", **more.pop("headers", {})}
    return requests.post(google.method_url(method), json=ask(), headers=headers, timeout=5, **more)


def plain(google: FakeGoogle, method: str = "generateContent") -> bytes:
    """All bytes of an answer, as they come."""
    body = json.dumps(ask()).encode()
    with socket.create_connection(("127.0.0.1", google.port), timeout=5) as connection:
        head = [
            f"POST /v1beta/models/{FLASH_3}:{method} HTTP/1.1",
            "Host: google",
            "x-goog-api-key: test-key-a",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_drip_pauses_between_writes(google: FakeGoogle) -> None:
    google.enqueue(text("a", "b").delivered(split_writes=50, between_writes_s=0.05))
    began = time.monotonic()
    with post(google, SSE, stream=True) as response:
        pieces = list(response.raw.read_chunked())
    assert {len(piece) for piece in pieces[:-1]} <= set(range(1, 51))
    assert time.monotonic() - began >= 0.05 * (len(pieces) - 1)
    assert [parts_of(event)[0]["text"] for event in events(b"".join(pieces))] == ["a", "b"]


def test_gzip_may_come_unasked(google: FakeGoogle) -> None:
    google.enqueue(text("a").delivered(is_gzip_unasked=True))
    response = post(google, headers={"Accept-Encoding": "identity"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.json()["candidates"]


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_end_may_be_left_out_of_a_message_that_is_in_order(google: FakeGoogle, framing: str) -> None:
    google.enqueue(text("a").delivered(framing=framing, left_out=7))
    assert post(google).content == google.requests[0].sent_raw[:-7]
    assert google.open_connections <= 1


def test_end_may_be_left_out_of_what_is_compressed(google: FakeGoogle) -> None:
    google.enqueue(text("a").delivered(framing="length", left_out=9, gzip=True))
    with post(google, stream=True) as response:
        packed = response.raw.read(decode_content=False)
    assert len(packed) == int(response.headers["Content-Length"])
    with pytest.raises(EOFError):
        gzip.decompress(packed)
    assert google.requests[0].sent_raw.startswith(zlib.decompressobj(wbits=31).decompress(packed))


def test_length_may_be_too_long(google: FakeGoogle) -> None:
    google.enqueue(text("a").delivered(framing="length", length_error=5))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(google)


def test_length_may_be_too_short(google: FakeGoogle) -> None:
    google.enqueue(text("a").delivered(framing="length", length_error=-5))
    assert post(google).content == google.requests[0].sent_raw[:-5]


@pytest.mark.parametrize("count", [1, 3])
def test_early_hints_come_before_the_answer(google: FakeGoogle, count: int) -> None:
    google.enqueue(text("a").delivered(early_hints=count))
    *hints, head, _ = plain(google).split(b"\r\n\r\n", count + 1)
    assert [hint.split(b"\r\n")[0] for hint in hints] == [b"HTTP/1.1 103 Early Hints"] * count
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")


def test_http_1_0_ends_with_the_connection(google: FakeGoogle) -> None:
    google.enqueue(text("a", "b").delivered(is_http_1_0=True))
    head, _, body = plain(google, SSE).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert not any(
        name in head.lower() for name in (b"\r\ncontent-length", b"\r\ntransfer-encoding", b"\r\nconnection")
    )
    assert body == google.requests[0].sent_raw


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def google(self, authority: trustme.CA) -> Iterator[FakeGoogle]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with FakeGoogle(context=context) as fake:
            yield fake

    @staticmethod
    def connection(google: FakeGoogle, authority: trustme.CA) -> http.client.HTTPSConnection:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        return http.client.HTTPSConnection("127.0.0.1", google.port, timeout=5, context=trusting)

    def test_requests_are_answered(self, google: FakeGoogle, authority: trustme.CA) -> None:
        assert google.url == f"https://127.0.0.1:{google.port}"
        connection = self.connection(google, authority)
        for _ in range(2):
            connection.request("GET", "/v1beta/models", headers={"x-goog-api-key": "test-key-a"})
            assert json.loads(connection.getresponse().read())["models"]
        assert google.total_connections == 1
        connection.close()
        google.wait_until(lambda: google.open_connections == 0)

    def test_pauses_notice_that_the_client_has_gone(self, google: FakeGoogle, authority: trustme.CA) -> None:
        google.enqueue(text("a", "b").delivered(between_s=30))
        connection = self.connection(google, authority)
        headers = {"x-goog-api-key": "test-key-a", "Content-Type": "application/json"}
        connection.request("POST", f"/v1beta/models/{FLASH_3}:{SSE}", json.dumps(ask()), headers)
        connection.getresponse().close()
        connection.close()
        google.wait_until(lambda: google.requests[0].client_closed_at is not None)

    def test_client_that_trusts_nobody_does_no_harm(self, google: FakeGoogle, authority: trustme.CA) -> None:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(google.url, timeout=5)
        self.test_requests_are_answered(google, authority)

    def test_client_that_makes_no_handshake_keeps_nobody_waiting(
        self, google: FakeGoogle, authority: trustme.CA
    ) -> None:
        with socket.create_connection(("127.0.0.1", google.port)):
            self.test_requests_are_answered(google, authority)


def said(response: requests.Response) -> str:
    return response.json()["candidates"][0]["content"]["parts"][0]["text"] if response.ok else str(response.status_code)


def test_answers_by_key(google: FakeGoogle) -> None:
    google.default = by_key(
        {"test-key-a": error(503), "test-key-b": lambda request: text(request.key or "")}, text("x")
    )
    assert [said(post(google, key=key)) for key in "abc"] == ["503", "test-key-b", "x"]


def test_answers_in_turn(google: FakeGoogle) -> None:
    google.default = in_turn(error(503), text("one"), lambda request: text("two"))
    assert [said(post(google)) for _ in range(4)] == ["503", "one", "two", "503"]


def test_each_of_those_who_ask_at_once_gets_the_next_in_turn(google: FakeGoogle) -> None:
    google.default = in_turn(*(text(str(number)) for number in range(8)))
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(said(post(google)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(got) == [str(number) for number in range(8)]
