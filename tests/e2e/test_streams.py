"""Streams over real sockets: silence, breaks, and clients that leave."""

import http.client
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.e2e.test_chat import ClientOf
from tests.fake_google import FakeGoogle, cut, error_event, no_finish, quota_per_minute, slow, text, unavailable

PING = "[upstream]\nping_s = 0.4\n"


def lines(agproxy: Agproxy, **body: Any) -> Iterator[tuple[float, str]]:
    """The lines of a streamed answer, each with the seconds since the request."""
    began = time.monotonic()
    with requests.post(
        agproxy.url + "/v1/chat/completions",
        json={"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True, **body},
        stream=True,
        timeout=30,
    ) as response:
        assert response.status_code == 200
        for line in response.iter_lines(chunk_size=1):
            if line:
                yield time.monotonic() - began, line.decode()


def test_events_are_passed_on_as_they_come(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(slow(text("one ", "two ", "three"), between_s=1.0))
    times = [at for at, line in lines(serve("a")) if '"content":"' in line and '"content":""' not in line]
    assert len(times) == 3
    assert all(later - earlier > 0.25 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("pause", ["headers_s", "first_byte_s", "between_s"])
def test_pings_fill_upstreams_silence(serve: Serve, google: FakeGoogle, pause: str) -> None:
    google.enqueue(slow(text("one ", "two"), **{pause: 1.5}))
    got = [line for _, line in lines(serve("a", ini=PING))]
    assert got.count(": ping") >= 2
    assert (
        "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in got if line[6:7] == "{")
        == "one two"
    )
    assert got[-1] == "data: [DONE]"


def test_a_failure_within_the_grace_is_a_plain_error(serve: Serve, google: FakeGoogle) -> None:
    google.default = slow(unavailable(), headers_s=0.1)
    response = serve("a", ini="[upstream]\nping_s = 5\nmax_attempts = 1").chat(stream=True)
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/json"


def test_a_failure_after_the_grace_is_told_in_the_stream(serve: Serve, client_of: ClientOf, google: FakeGoogle) -> None:
    google.default = slow(unavailable(), headers_s=1.0)
    agproxy = serve("a", ini=PING + "max_attempts = 1")
    got = [line for _, line in lines(agproxy)]
    assert json.loads(got[-1][6:])["error"]["type"] == "server_error"
    assert "data: [DONE]" not in got
    stream = client_of(agproxy).chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    with pytest.raises(openai.APIError, match="high demand"):
        list(stream)


def test_rotation_goes_on_after_the_grace(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(slow(quota_per_minute("60s"), headers_s=1.0), text("Saved"))
    got = "\n".join(line for _, line in lines(serve("a", "b", ini=PING)))
    assert ": ping" in got
    assert "Saved" in got


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("mid_event", [False, True], ids=["between events", "in an event"])
def test_a_break_in_the_stream_is_told_in_it(serve: Serve, google: FakeGoogle, how: Any, mid_event: bool) -> None:
    google.enqueue(cut(text("one ", "two ", "three"), after_events=2, mid_event=mid_event, how=how))
    got = [line for _, line in lines(serve("a"))]
    assert "two" in "".join(got)
    assert "error" in json.loads(got[-1][6:])
    assert not any('"finish_reason":"stop"' in line for line in got)
    assert len(google.requests) == 1


@pytest.mark.parametrize("answer", [no_finish("one "), text("one ", finish=None) + error_event(503)])
def test_an_unfinished_answer_is_told_in_the_stream(serve: Serve, google: FakeGoogle, answer: Any) -> None:
    google.enqueue(answer)
    got = [line for _, line in lines(serve("a"))]
    assert "error" in json.loads(got[-1][6:])


def test_a_break_before_the_first_event_is_tried_again(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(cut(text("lost"), after_events=0, mid_event=True), text("Saved"))
    assert "Saved" in "".join(line for _, line in lines(serve("a")))


def test_silence_for_too_long_is_told_in_the_stream(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(cut(text("one ", "two"), after_events=1, how="silence"))
    agproxy = serve("a", ini="[upstream]\nping_s = 0.4\nsilence_timeout_s = 1\n")
    got = list(lines(agproxy))
    assert "error" in json.loads(got[-1][1][6:])
    assert got[-1][0] < 5


@pytest.mark.parametrize("crlf", [True, False], ids=["CRLF", "LF"])
@pytest.mark.parametrize("size", [1, 7])
def test_bytes_may_be_cut_anywhere(serve: Serve, google: FakeGoogle, crlf: bool, size: int) -> None:
    google.enqueue(text("grüße 🌍 ", "мир").delivered(crlf=crlf, split_writes=size))
    response = serve("a").chat(stream=True)
    response.encoding = "utf-8"
    assert "grüße 🌍 " in response.text
    assert "мир" in response.text


def test_a_line_of_a_megabyte_passes(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(text("x" * 1_000_000))
    assert "x" * 1_000_000 in serve("a").chat(stream=True).text


@pytest.mark.parametrize("state", ["before headers", "before the first event", "between events"])
def test_upstream_is_closed_when_the_client_leaves(serve: Serve, google: FakeGoogle, state: str) -> None:
    pauses = {"before headers": {"headers_s": 20}, "before the first event": {"first_byte_s": 20}}
    google.enqueue(slow(text("one", "two"), **pauses.get(state, {"between_s": 20})))
    others = google.open_connections  # idle ones of tests before
    agproxy = serve("a", ini=PING)
    connection = http.client.HTTPConnection("127.0.0.1", agproxy.port)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.readline()
    response.close()
    connection.close()
    left = time.monotonic()
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=15)
    closed = google.requests[0].client_closed_at
    assert closed is not None
    assert closed - left < 5  # two pings are due within 0.8 s, upstream would have spoken after 20 s
    google.wait_until(lambda: google.open_connections <= others, timeout=15)


def test_connections_are_kept_and_used_again(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    for streamed in (True, False, True, False):
        assert agproxy.chat(stream=streamed).status_code == 200
    assert len({request.connection for request in google.requests}) == 1


def test_the_end_of_the_grace_leaves_the_account_out(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a", ini=PING)
    google.enqueue(slow(text("late"), headers_s=1.0))
    late = agproxy.chat(stream=True)
    assert "X-Account-Email" not in late.headers
    assert late.headers["X-Mapped-Model"] == "gemini-flash-latest"
    assert agproxy.chat(stream=True).headers["X-Account-Email"] == "a@example.com"
