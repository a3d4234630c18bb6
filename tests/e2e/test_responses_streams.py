"""What goes wrong with Responses, and with their streams, as the real openai SDK tells it."""

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve, accounts_ini, start_gunicorn
from tests.e2e.test_chat import ClientOf
from tests.e2e.test_responses import ask, streaming
from tests.fake_google import (
    Answer,
    FakeGoogle,
    api_key_invalid,
    calls,
    cut,
    error,
    error_event,
    no_finish,
    quota_per_minute,
    slow,
    text,
    thoughts,
    unavailable,
)
from tests.responses_stream import Told, read, text_of

PING = "[upstream]\nping_s = 0.4\n"
ONCE = "[upstream]\nmax_attempts = 1\n"


def stream_of(agproxy: Agproxy, **body: Any) -> bytes:
    body = {"model": "gpt-5.5", "input": "Hi", "stream": True, **body}
    response = requests.post(agproxy.url + "/v1/responses", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.content


def told(agproxy: Agproxy, **body: Any) -> Told:
    """A stream, strictly read."""
    return read(stream_of(agproxy, **body))


# Failures before the answer: errors of HTTP, streamed or not.


@streaming
def test_errors_raise_the_sdks_own_classes(
    agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, streamed: bool
) -> None:
    client = client_of(agproxy)
    with pytest.raises(openai.BadRequestError) as bad:
        ask(client, streamed=streamed, temperature=9)
    assert (bad.value.param, bad.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, streamed=streamed, model="llama-99")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as previous:
        ask(client, streamed=streamed, previous_response_id="resp_of_nobody")
    assert previous.value.code == "previous_response_not_found"
    google.enqueue(error(400, message="The input is too long."))
    with pytest.raises(openai.BadRequestError, match="The input is too long"):
        ask(client, streamed=streamed)
    assert [request.outcome for request in google.requests if request.method != "listModels"] == [400]


@pytest.mark.parametrize(
    ("answer", "raised", "status"),
    [
        (quota_per_minute("60s"), openai.RateLimitError, 429),
        (unavailable(), openai.InternalServerError, 503),
        (api_key_invalid(), openai.InternalServerError, 502),
        (slow(text("late"), headers_s=2), openai.InternalServerError, 504),
    ],
    ids=["quota", "overloaded", "our key", "silent"],
)
def test_failures_of_upstream(
    serve: Serve,
    client_of: ClientOf,
    google: FakeGoogle,
    answer: Answer,
    raised: type[openai.APIStatusError],
    status: int,
) -> None:
    """The first failure may put the account out, so that the second one is agproxy's own."""
    google.default = answer
    client = client_of(serve("a", ini=ONCE + "first_event_timeout_s = 1\n"))
    for streamed in (True, False):
        with pytest.raises(raised) as failed:
            ask(client, streamed=streamed)
        assert failed.value.status_code == status
        body: Any = failed.value.body
        assert body.keys() == {"message", "type", "param", "code"}
        assert "Retry-After" in failed.value.response.headers or status != 429


def test_the_sdk_tries_again_by_itself(serve: Serve, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(unavailable(), text("Saved"))
    client = client_of(serve("a", ini=ONCE), max_retries=1)
    assert ask(client, streamed=True).output_text == "Saved"


# Failures in the middle: the response has failed, and the SDK raises with the words of the error.


@pytest.mark.parametrize(
    "answer",
    [
        no_finish("Half ", "an"),
        text("Half ", "an", finish=None) + error_event(503),
        cut(text("Half ", "an", "swer"), after_events=2),
        cut(text("Half ", "an", "swer"), after_events=2, mid_event=True, how="rst"),
    ],
    ids=["no finish reason", "an error event", "the end", "a reset within an event"],
)
def test_failure_in_the_middle(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle, answer: Answer) -> None:
    google.enqueue(answer, answer, answer)
    heard = told(agproxy)
    assert (heard.types[-2:], heard.response["status"]) == (["error", "response.failed"], "failed")
    assert text_of(heard.response) == "Half an"
    client = client_of(agproxy)
    events: list[Any] = []
    with pytest.raises(openai.APIError) as failed:
        events.extend(client.responses.create(model="gpt-5.5", input="Hi", stream=True))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["Half ", "an"]
    assert failed.value.message == heard.response["error"]["message"]
    with pytest.raises(openai.APIError, match=failed.value.message.split("(")[0]):
        ask(client, streamed=True)


def test_what_had_come_before_a_failure_was_told(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(thoughts("Hm.") + calls(("look", {"at": "x"}), finish=None) + error_event(503))
    tool: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
    stream = client_of(agproxy).responses.create(model="gpt-5.5", input="Hi", tools=[tool], stream=True)
    heard: list[Any] = []
    with pytest.raises(openai.APIError):
        heard.extend(stream)
    done = [event.item.type for event in heard if event.type == "response.output_item.done"]
    assert done == ["reasoning"]
    assert [event.delta for event in heard if event.type == "response.function_call_arguments.delta"] == ['{"at":"x"}']


def test_failure_after_the_grace(serve: Serve, client_of: ClientOf, google: FakeGoogle) -> None:
    """The head is out by then, so an error of HTTP cannot be answered any more."""
    google.default = slow(unavailable(), headers_s=1.0)
    agproxy = serve("a", ini=PING + "max_attempts = 1\n")
    heard = told(agproxy)
    assert heard.types == ["response.created", "response.in_progress", "error", "response.failed"]
    assert heard.response["error"]["code"] == "server_error"
    with pytest.raises(openai.APIError, match="high demand"):
        ask(client_of(agproxy), streamed=True)


def test_exhausted_quota_after_the_grace(serve: Serve, google: FakeGoogle) -> None:
    google.default = slow(quota_per_minute("60s"), headers_s=1.0)
    failure = told(serve("a", ini=PING)).response["error"]
    assert failure["code"] == "rate_limit_exceeded"
    assert failure["message"]


def test_silence_for_too_long(serve: Serve, google: FakeGoogle) -> None:
    google.enqueue(cut(text("one ", "two"), after_events=1, how="silence"))
    agproxy = serve("a", ini="[upstream]\nping_s = 0.4\nsilence_timeout_s = 1\n")
    began = time.monotonic()
    heard = told(agproxy)
    assert heard.response["status"] == "failed"
    assert time.monotonic() - began < 5


# Silence, and streams that go on.


@pytest.fixture(scope="module")
def pinging(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """One that says something each 0.1 s, for answers that come."""
    with contextlib.ExitStack() as stack:
        ini = "[upstream]\nping_s = 0.1\n" + accounts_ini(_google, "a")
        yield start_gunicorn(stack, tmp_path_factory.mktemp("pinging"), ini)


@pytest.mark.parametrize("pause", ["headers_s", "first_byte_s", "between_s"])
def test_pings_fill_upstreams_silence(pinging: Agproxy, client_of: ClientOf, google: FakeGoogle, pause: str) -> None:
    google.default = slow(text("one ", "two"), **{pause: 0.7})
    stream = stream_of(pinging)
    assert stream.split(b"\n\n").count(b": ping") >= 3
    assert text_of(read(stream).response) == "one two"
    assert ask(client_of(pinging), streamed=True).output_text == "one two"


def test_signs_of_life_are_events_now_and_then(pinging: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    """Codex counts events alone, and no client minds this one as long as there is no item."""
    google.default = slow(text("one ", "two"), first_byte_s=1.3, between_s=0.7)
    heard = told(pinging)
    assert 2 <= len(heard.of("response.in_progress")) <= 4
    assert heard.types.index("response.output_item.added") == len(heard.of("response.in_progress")) + 1
    assert ask(client_of(pinging), streamed=True).output_text == "one two"


def test_events_are_passed_on_as_they_come(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(slow(text("one ", "two ", "three"), between_s=1.0))
    times = []
    for event in client_of(agproxy).responses.create(model="gpt-5.5", input="Hi", stream=True):
        if event.type == "response.output_text.delta":
            times.append(time.monotonic())
    assert all(later - earlier > 0.25 for earlier, later in itertools.pairwise(times))
    assert len(times) == 3


def test_events_are_written_whole(agproxy: Agproxy, google: FakeGoogle) -> None:
    """Parsers that forget what they have read of an event with each read exist (Open Responses' own, in old copies)."""
    google.enqueue(thoughts("Hm.") + text("grüße 🌍 ", "мир") + calls(("look", {"at": "x"})))
    pieces = list(chunks(agproxy, tools=[{"type": "function", "name": "look"}]))
    assert len(pieces) > 3
    assert all(piece.endswith(b"\n\n") for piece in pieces)
    assert text_of(read(b"".join(pieces)).response) == "grüße 🌍 мир"


def chunks(agproxy: Agproxy, **body: Any) -> Iterator[bytes]:
    """The pieces of a chunked answer, as they were written."""
    connection = http.client.HTTPConnection("127.0.0.1", agproxy.port, timeout=30)
    body = {"model": "gpt-5.5", "input": "Hi", "stream": True, **body}
    connection.request("POST", "/v1/responses", json.dumps(body), {"Content-Type": "application/json"})
    sock = connection.sock
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        data += sock.recv(65536)
    sock.close()
    rest = data.partition(b"\r\n\r\n")[2]
    while (size := int(rest.partition(b"\r\n")[0], 16)) > 0:
        start = rest.index(b"\r\n") + 2
        yield rest[start : start + size]
        rest = rest[start + size + 2 :]


@pytest.mark.parametrize("size", [1, 7])
def test_bytes_may_be_cut_anywhere(agproxy: Agproxy, google: FakeGoogle, size: int) -> None:
    google.enqueue(text("grüße 🌍 ", "мир").delivered(split_writes=size))
    assert text_of(told(agproxy).response) == "grüße 🌍 мир"


def test_a_line_of_a_megabyte_passes(agproxy: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    google.enqueue(text("x" * 1_000_000))
    response = ask(client_of(agproxy), streamed=True)
    assert response.output_text == "x" * 1_000_000
    assert client_of(agproxy).responses.retrieve(response.id).output_text == "x" * 1_000_000


def test_a_client_that_leaves_closes_upstream(pinging: Agproxy, client_of: ClientOf, google: FakeGoogle) -> None:
    """What it has not heard to the end is not stored."""
    google.enqueue(slow(text("one", "two"), between_s=20))
    client = client_of(pinging)
    with client.responses.stream(model="gpt-5.5", input="Hi") as stream:
        begun: Any = next(iter(stream))
        assert begun.type == "response.created"
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=10)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun.response.id)
