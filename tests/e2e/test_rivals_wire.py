"""What other gateways get wrong on the wire: silence, ends, paths and keys, asked of every protocol.

The numbers are those of the defects seen in other gateways.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
import requests

from tests.conversation.talk import HI, PROTOCOLS
from tests.conversation.turn import JsonObject, Tool
from tests.e2e.conftest import Agproxy, accounts_ini, start_gunicorn
from tests.fake_google import Answer, FakeGoogle, RecordedRequest, counted, cut, error, slow, text
from tests.tongues import HEADERS, MODEL, TONGUES, objects, post, words_of

PING_S = 0.3
KEY = "agp-a-key-for-tests"
NAMED_EVENTS = ("responses", "messages")
# How an answer is kept alive, alone or before its first words.
KEEP_ALIVE = {
    "chat": b": ping\n\n",
    "completions": b": ping\n\n",
    "responses": b": ping\n\n",
    "messages": b'event: ping\ndata: {"type": "ping"}\n\n',
    "gemini": b"\r\n",
}

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(scope="module")
def agproxy(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """One that does not wait for long."""
    ini = f"[upstream]\nping_s = {PING_S}\n{accounts_ini(_google, 'a')}"
    with contextlib.ExitStack() as stack:
        yield start_gunicorn(stack, tmp_path_factory.mktemp("agproxy"), ini)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """One that asks for a key."""
    ini = f"[server]\nauth_mode = all_except_health\napi_key = {KEY}\n{accounts_ini(_google, 'a')}"
    with contextlib.ExitStack() as stack:
        yield start_gunicorn(stack, tmp_path_factory.mktemp("locked"), ini)


@contextlib.contextmanager
def streaming(agproxy: Agproxy, protocol: str, *, path: str = "") -> Iterator[requests.Response]:
    """A streamed answer, once its head is there."""
    tongue = TONGUES[protocol]
    body = tongue.body([HI], model=MODEL, streamed=True)
    url = agproxy.url + (path or tongue.path(MODEL, streamed=True))
    with requests.post(url, json=body, stream=True, timeout=30) as response:
        assert response.status_code == 200, response.text
        yield response


# Silence.


@each_protocol
def test_9_head_and_a_sign_of_life_come_while_upstream_is_silent(
    agproxy: Agproxy, google: FakeGoogle, protocol: str
) -> None:
    heard = threading.Event()
    in_time = []

    def after_that(request: RecordedRequest) -> Answer:
        in_time.append(heard.wait(10))
        return text("late")

    google.enqueue(after_that)
    began = time.monotonic()
    with streaming(agproxy, protocol) as response:
        pieces = response.iter_content(None)
        got = b""
        while KEEP_ALIVE[protocol] not in got:
            got += next(pieces)
        assert time.monotonic() - began < 5
        heard.set()
        got += b"".join(pieces)
    assert in_time == [True]
    assert b"late" in got
    assert TONGUES[protocol].end(objects(got, streamed=True))


@pytest.mark.parametrize("path", ["streamGenerateContent?alt=sse", "streamGenerateContent"], ids=["events", "array"])
def test_nothing_but_white_space_keeps_a_stream_of_gemini_alive(
    agproxy: Agproxy, google: FakeGoogle, path: str
) -> None:
    """Google's SDKs fail on comments, named events and ``[DONE]``."""
    google.enqueue(slow(text("One, ", "two"), first_byte_s=PING_S * 2, between_s=PING_S * 2))
    with streaming(agproxy, "gemini", path=f"/v1beta/models/{MODEL}:{path}") as response:
        got = response.content
    lines = [line for line in got.split(b"\r\n") if line.strip(b"[], ")]
    if "alt=sse" in path:
        assert all(line.startswith(b"data: {") for line in lines)
        assert got.count(b"\r\n") > 2 * len(lines)
    else:
        assert [each["candidates"][0]["content"] for each in response.json()]
        assert got.startswith((b"[", b"\r\n"))
    assert b": ping" not in got
    assert b"event:" not in got
    assert b"[DONE]" not in got


@each_protocol
def test_names_of_events_stand_where_clients_read_them_and_nowhere_else(
    agproxy: Agproxy, google: FakeGoogle, protocol: str
) -> None:
    google.enqueue(slow(text("One, ", "two"), between_s=PING_S * 1.5))
    with streaming(agproxy, protocol) as response:
        lines = response.content.decode().splitlines()
    named = sum(line.startswith("event: ") for line in lines)
    told = sum(line.startswith("data: ") and line != "data: [DONE]" for line in lines)
    assert named == (told if protocol in NAMED_EVENTS else 0)
    assert (lines[-2] == "data: [DONE]") == (protocol in ("chat", "completions", "responses"))


@each_protocol
def test_14_upstream_is_closed_when_the_client_leaves(agproxy: Agproxy, google: FakeGoogle, protocol: str) -> None:
    google.enqueue(slow(text("One, ", "two"), between_s=20))
    with streaming(agproxy, protocol) as response:
        got = b""
        for piece in response.iter_content(None):
            got += piece
            if b"One" in got:
                break
    left = time.monotonic()
    google.wait_until(lambda: google.requests[0].client_closed_at is not None, timeout=10)
    closed = google.requests[0].client_closed_at
    assert closed is not None
    assert closed - left < 5


# Breaks.


@each_protocol
def test_break_after_the_first_words_is_no_good_end(agproxy: Agproxy, google: FakeGoogle, protocol: str) -> None:
    google.enqueue(cut(text("One, ", "two, ", "three"), after_events=1))
    answer = post(agproxy.url, protocol, HI, streamed=True)
    assert "One, " in answer.text
    told = objects(answer.content, streamed=True)
    errors = [each["error"] for each in told if each.get("error")]
    assert errors[0]["message"]
    if protocol == "responses":
        assert TONGUES[protocol].end(told) == ("failed",)
    else:
        assert TONGUES[protocol].end(told) == ()


# Paths and keys.


@each_protocol
@pytest.mark.parametrize("path", ["/v1/nothing-here", "/dashboard", "/index.html", "/v1/threads", "/v1beta/nothing"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream"])
def test_10_unknown_path_is_json_and_404(agproxy: Agproxy, protocol: str, path: str, accept: str) -> None:
    answer = agproxy.get(path, headers={**HEADERS[protocol], "Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert path in answer.json()["error"]["message"]


PLACES: Mapping[str, tuple[dict[str, str], str]] = {
    "Bearer": ({"Authorization": f"Bearer {KEY}"}, ""),
    "x-api-key": ({"x-api-key": KEY}, ""),
    "x-goog-api-key": ({"x-goog-api-key": KEY}, ""),
    "?key=": ({}, KEY),
    "Bearer beside an empty x-api-key": ({"Authorization": f"Bearer {KEY}", "x-api-key": ""}, ""),
    "x-api-key beside an empty Bearer": ({"Authorization": "Bearer ", "x-api-key": KEY}, ""),
    "x-goog-api-key beside an empty x-api-key": ({"x-api-key": "", "x-goog-api-key": KEY}, ""),
    "Bearer beside another x-api-key": ({"Authorization": f"Bearer {KEY}", "x-api-key": "sk-of-another"}, ""),
}


@each_protocol
@pytest.mark.parametrize("place", PLACES)
def test_key_is_taken_from_any_place(locked: Agproxy, google: FakeGoogle, protocol: str, place: str) -> None:
    headers, in_query = PLACES[place]
    tongue = TONGUES[protocol]
    answer = requests.post(
        locked.url + tongue.path(MODEL, streamed=False),
        params={"key": in_query} if in_query else {},
        json=tongue.body([HI], model=MODEL, streamed=False),
        headers={**HEADERS[protocol], **headers},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert google.requests[0].key == "test-key-a"
    assert KEY not in str(google.requests[0].headers)


@each_protocol
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"x-api-key": ""}, {"x-goog-api-key": "wrong"}], ids=str
)
def test_wrong_key_is_refused(locked: Agproxy, google: FakeGoogle, protocol: str, headers: dict[str, str]) -> None:
    answer = post(locked.url, protocol, HI, headers={**HEADERS[protocol], **headers})
    assert answer.status_code == 401
    assert "key" in words_of(protocol, answer.json(), answer.status_code)
    assert google.requests == []


def test_claude_code_may_look_for_a_server_without_a_key(locked: Agproxy, google: FakeGoogle) -> None:
    for path in ("/api/hello", "/"):
        answer = requests.head(locked.url + path, headers={"User-Agent": "Bun/1.4.4"}, timeout=30)
        assert answer.status_code == 200
    assert google.requests == []


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [("chat", {"object", "data"}), ("messages", {"data", "has_more", "first_id", "last_id"}), ("gemini", {"models"})],
)
def test_one_path_lists_models_as_its_client_reads_them(locked: Agproxy, protocol: str, fields: set[str]) -> None:
    """Told by the headers of each, and not by where its key stands: all send it as Bearer."""
    headers = {**HEADERS[protocol], "Authorization": f"Bearer {KEY}"}
    listed = locked.get("/v1/models", headers=headers).json()
    assert listed.keys() - {"nextPageToken"} == fields
    one = locked.get(f"/v1/models/{MODEL}", headers=headers).json()
    assert MODEL in (one.get("id"), one.get("name", "").removeprefix("models/"))
    assert one in listed["models" if protocol == "gemini" else "data"]


# Counting.

COUNTS: Mapping[str, tuple[str, str]] = {
    "responses": ("/v1/responses/input_tokens", "input_tokens"),
    "messages": ("/v1/messages/count_tokens", "input_tokens"),
    "gemini": (f"/v1beta/models/{MODEL}:countTokens", "totalTokens"),
}
TOOLS = [Tool(f"tool_{number}", "Does a thing.", {"type": "object"}) for number in range(20)]


def count(agproxy: Agproxy, protocol: str, tools: list[Tool]) -> requests.Response:
    """How many tokens there are, instructions included."""
    path, _ = COUNTS[protocol]
    body = TONGUES[protocol].body([HI], model=MODEL, streamed=False, tools=tools)
    for name in ("stream", "max_tokens"):
        body.pop(name, None)
    if protocol == "gemini":
        body = {"generateContentRequest": {"model": f"models/{MODEL}", **body}}
    return requests.post(agproxy.url + path, json=body, timeout=30)


@pytest.mark.parametrize("protocol", COUNTS)
def test_tools_are_counted(agproxy: Agproxy, google: FakeGoogle, protocol: str) -> None:
    google.enqueue(counted(1234), method="countTokens")
    answer = count(agproxy, protocol, TOOLS)
    assert answer.json()[COUNTS[protocol][1]] == 1234
    asked: JsonObject = google.requests[0].canonical.get("generate_content_request", google.requests[0].canonical)
    declared = [each["name"] for tool in asked["tools"] for each in tool["function_declarations"]]
    assert declared == [tool.name for tool in TOOLS]


def test_tools_are_estimated_where_google_cannot_count(agproxy: Agproxy, google: FakeGoogle) -> None:
    google.enqueue(error(404, "NOT_FOUND", "No."), error(404, "NOT_FOUND", "No."), method="countTokens")
    without, with_tools = (count(agproxy, "messages", tools) for tools in ([], TOOLS))
    assert without.headers["X-Agproxy-Estimated"] == "input_tokens"
    assert with_tools.json()["input_tokens"] > without.json()["input_tokens"] + 100
