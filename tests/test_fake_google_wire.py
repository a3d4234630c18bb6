"""The fake Google on the wire: framing, pauses, early ends, connections, records."""

import gzip
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fake_google import Answer, FakeGoogle, cut, error, hang_up, slow, text
from tests.fake_google.bodies import FLASH_3, ask, events, part, parts_of, talk, user

KEY = {"x-goog-api-key": "test-key-a"}
SSE = "streamGenerateContent?alt=sse"


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle() as fake:
        yield fake


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(KEY)
        yield session


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("squeezed", [False, True])
def test_every_framing_brings_the_same_bytes(
    google: FakeGoogle, client: requests.Session, framing: str, squeezed: bool
) -> None:
    google.enqueue(text("Grüße", "€", "😀").delivered(framing=framing, split_writes=1, gzip=squeezed))
    answer = client.post(google.method_url(SSE), json=ask())
    assert [parts_of(event)[0]["text"] for event in events(answer.content)] == ["Grüße", "€", "😀"]
    assert answer.headers.get("Content-Encoding") == ("gzip" if squeezed else None)
    assert ("Content-Length" in answer.headers) == (framing == "length")


def test_split_writes_are_chunks_of_their_own(google: FakeGoogle) -> None:
    google.enqueue(text("€").delivered(split_writes=2, crlf=False))
    connection = http.client.HTTPConnection("127.0.0.1", google.port, timeout=5)
    path = f"/v1beta/models/{FLASH_3}:streamGenerateContent?alt=sse"
    connection.request("POST", path, json.dumps(ask()), {**KEY, "Content-Type": "application/json"})
    answer = connection.getresponse()
    pieces = iter(lambda: answer.read1(), b"")
    found = list(pieces)
    connection.close()
    assert max(map(len, found)) == 2
    assert b"".join(found).endswith(b"}\n\n")
    assert b"\r" not in b"".join(found)


def test_gzip_is_for_those_who_accept_it(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("a").delivered(gzip=True), text("a").delivered(gzip=True))
    plain = client.post(google.method_url(), json=ask(), headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    with client.post(google.method_url(), json=ask(), stream=True) as squeezed:
        assert b"candidates" in gzip.decompress(squeezed.raw.read())


def test_a_request_body_may_be_chunked(google: FakeGoogle, client: requests.Session) -> None:
    pieces = (byte.to_bytes() for byte in json.dumps(ask()).encode())
    assert (
        client.post(google.method_url(), data=pieces, headers={"Content-Type": "application/json"}).status_code == 200
    )


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("target", ["streamGenerateContent?alt=sse", "generateContent"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_an_answer_can_end_too_early(
    google: FakeGoogle, client: requests.Session, how: Any, target: str, framing: str
) -> None:
    google.enqueue(cut(text("a", "b").delivered(framing=framing), mid_event=True, how=how))
    with client.post(google.method_url(target), json=ask(), stream=True) as answer:
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = answer.content
    assert google.requests[0].client_closed_at is None


def test_a_cut_leaves_the_events_before_it(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(cut(text("a", "b", "c").delivered(framing="close"), after_events=2))
    body = client.post(google.method_url(SSE), json=ask()).content
    assert [parts_of(event)[0]["text"] for event in events(body)] == ["a", "b"]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_the_fake_can_hang_up_without_an_answer(google: FakeGoogle, client: requests.Session, how: Any) -> None:
    google.enqueue(hang_up(how))
    with pytest.raises(requests.ConnectionError):
        client.post(google.method_url(), json=ask())
    assert client.post(google.method_url(), json=ask()).status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        cut(text("a", "b"), after_events=1, how="silence"),
        slow(text("a", "b"), between_s=30),
        slow(text("a", "b"), first_byte_s=30),
    ],
    ids=["silence", "between", "first byte"],
)
def test_the_fake_sees_its_client_go(google: FakeGoogle, client: requests.Session, answer: Answer) -> None:
    google.enqueue(answer)
    before = time.monotonic()
    with client.post(google.method_url(SSE), json=ask(), stream=True) as response:
        assert response.status_code == 200
        assert google.open_connections == 1
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=3)
    closed_at = google.requests[0].client_closed_at
    assert closed_at is not None
    assert before < closed_at < before + 3
    google.wait_until(lambda: google.open_connections == 0, timeout=3)


def test_the_fake_can_wait_before_its_headers(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(
        slow(text("a"), headers_s=30), slow(text("b", "c"), headers_s=0.02, first_byte_s=0.02, between_s=0.02)
    )
    with pytest.raises(requests.Timeout):
        client.post(google.method_url(), json=ask(), timeout=0.05)
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=3)
    before = time.monotonic()
    assert client.post(google.method_url(SSE), json=ask()).status_code == 200
    assert time.monotonic() - before >= 0.06


def test_connections_are_kept_and_counted(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("a"), error(500), text("b").delivered(close=True), text("c"), text("d").delivered(stale=True))
    answers = [client.post(google.method_url(), json=ask()) for _ in range(5)]
    google.wait_until(lambda: google.open_connections == 0)
    answers.append(client.post(google.method_url(), json=ask()))
    assert [request.connection for request in google.requests] == [1, 1, 1, 2, 2, 3]
    assert [answer.headers.get("Connection") for answer in answers] == [None, None, "close", None, None, None]
    assert google.total_connections == 3


def test_records_tell_what_came(google: FakeGoogle, client: requests.Session) -> None:
    body = part({"text": "hi"}) | {"generationConfig": {"topP": 1}}
    client.post(google.method_url(SSE), json=body)
    (request,) = google.wait_for(1)
    assert (request.verb, request.method, request.model, request.key) == (
        "POST",
        "streamGenerateContent",
        FLASH_3,
        "test-key-a",
    )
    assert (request.stream, request.sse, request.query) == (True, True, "alt=sse")
    assert request.body == json.loads(request.raw) == body
    assert request.canonical["generation_config"] == {"top_p": 1}
    assert request.headers["content-type"] == "application/json"
    assert request.last_user_text == "hi"
    google.wait_until(lambda: request.finished_at is not None)
    assert request.sent[0]["candidates"][0]["content"]["parts"] == [{"text": "Hello from fake Google"}]
    google.reset()
    assert google.requests == []
    with pytest.raises(TimeoutError):
        google.wait_for(1, timeout=0.01)


def test_reset_forgets_signatures(google: FakeGoogle, client: requests.Session) -> None:
    google.enqueue(text("a", sign=True))
    content = client.post(google.method_url(), json=ask()).json()["candidates"][0]["content"]
    again = talk(user("hi"), content, user("and"))
    assert client.post(google.method_url(), json=again).status_code == 200
    google.reset()
    assert "signature" in client.post(google.method_url(), json=again).json()["error"]["message"]


def test_keys_can_share_a_project(client: requests.Session) -> None:
    keys = {"one": "p", "two": "p", "three": "q"}
    with FakeGoogle(
        keys=keys, bind_signatures_to_project=True, signature_refusal="Corrupted thought signature."
    ) as google:
        google.enqueue(text("a", sign=True))
        content = client.post(google.method_url(), json=ask(), headers={"x-goog-api-key": "one"}).json()["candidates"][
            0
        ]["content"]
        again = talk(user("hi"), content, user("and"))
        status = {
            key: client.post(google.method_url(), json=again, headers={"x-goog-api-key": key}).status_code
            for key in keys
        }
        assert status == {"one": 200, "two": 200, "three": 400}
        assert google.refusals[0].refusal is not None
        assert google.refusals[0].refusal.message == "Corrupted thought signature."


def test_close_ends_what_is_under_way(client: requests.Session) -> None:
    with FakeGoogle() as google:
        google.enqueue(slow(text("a", "b"), between_s=30))
        response = client.post(google.method_url(SSE), json=ask(), stream=True)
    with response, pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = response.content


def test_importing_the_fake_is_silent() -> None:
    command = [sys.executable, "-W", "error", "-c", "import tests.fake_google"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
