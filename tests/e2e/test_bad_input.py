"""Bad input over real sockets: a clear error each time, and the worker goes on serving."""

import gzip
import json
import socket
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Agproxy, Serve
from tests.fake_google import FakeGoogle

GOOD = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


def image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def post(agproxy: Agproxy, data: bytes, **headers: str) -> requests.Response:
    headers = {"Content-Type": "application/json", **headers}
    return requests.post(agproxy.url + "/v1/chat/completions", data=data, headers=headers, timeout=30)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": "a b"}, "model"),
        ({"model": "../x"}, "model"),
        ({"model": "x\u00e9"}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": "pope", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"temperature": 9}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 10**12}, "max_completion_tokens"),
        ({"seed": "x"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
        ({"stream_options": 5}, "stream_options"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        (image("data:image/png;base64,!!!"), "messages[0].content[0].image_url.url"),
        (image("data:image/png;base64,"), "messages[0].content[0].image_url.url"),
        (image("data:image/gif;base64,R0lGODlhAQABAAAAACw="), "messages[0].content[0].image_url.url"),
        (image("http://127.0.0.1/x.png"), "messages[0].content[0].image_url.url"),
        (image("file:///etc/passwd"), "messages[0].content[0].image_url.url"),
    ],
)
def test_bad_fields(agproxy: Agproxy, google: FakeGoogle, changes: Any, param: str, streamed: bool) -> None:
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    response = (
        agproxy.chat(stream=True) if not body else post(agproxy, json.dumps({**body, "stream": streamed}).encode())
    )
    assert 400 <= response.status_code < 500
    error = response.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert google.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"not json",
        b"[]",
        b'"text"',
        b'{"model":"gpt-4o","messages":[],"temperature":NaN}',
        b'{"model":"gpt-4o","messages":[],"temperature":1e999}',
        b'{"model":"gpt-4o","seed":' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff\xfe"}]}',
        json.dumps(GOOD).encode("utf-16"),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bad_json(agproxy: Agproxy, google: FakeGoogle, data: bytes) -> None:
    response = post(agproxy, data)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"
    assert google.requests == []
    assert agproxy.chat().status_code == 200


@pytest.mark.parametrize("depth", [200, 900, 980, 3000])
def test_deep_nesting_where_it_is_allowed_is_never_a_500(agproxy: Agproxy, google: FakeGoogle, depth: int) -> None:
    nested = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    tool = '{"type":"function","function":{"name":"f","parameters":' + nested + "}}"
    call = '{"id":"c","type":"function","function":{"name":"f","arguments":' + nested + "}}"
    messages = '[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[' + call + "]}" + "]"
    body = '{"model":"gpt-4o","tools":[' + tool + '],"messages":' + messages + "}"
    assert post(agproxy, body.encode()).status_code in (200, 400)
    google.reset()  # how deep Gemini itself goes is not the point here


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_other_content_types_are_refused(agproxy: Agproxy, content_type: str) -> None:
    assert post(agproxy, json.dumps(GOOD).encode(), **{"Content-Type": content_type}).status_code == 415


def test_no_content_type_counts_as_json(agproxy: Agproxy, google: FakeGoogle) -> None:
    data = json.dumps(GOOD).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
    assert exchange(agproxy, f"{head}Connection: close\r\n\r\n".encode() + data).startswith(b"HTTP/1.1 200")
    assert len(google.requests) == 1


def test_gzip_bodies(agproxy: Agproxy, google: FakeGoogle) -> None:
    assert post(agproxy, gzip.compress(json.dumps(GOOD).encode()), **{"Content-Encoding": "gzip"}).status_code == 200
    assert post(agproxy, b"no gzip", **{"Content-Encoding": "gzip"}).status_code == 400
    assert post(agproxy, b"x", **{"Content-Encoding": "br"}).status_code == 415
    assert len(google.requests) == 1


def test_a_body_over_the_limit_is_refused_however_it_comes(serve: Serve) -> None:
    agproxy = serve("a", ini="[server]\nmax_body_bytes = 10 kB\n")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    announced = exchange(agproxy, head + b"Content-Length: 1000000\r\n\r\n", end=False)
    assert announced.startswith(b"HTTP/1.1 413")
    chunks = b"".join(b"400\r\n" + b" " * 1024 + b"\r\n" for _ in range(20)) + b"0\r\n\r\n"
    chunked = exchange(agproxy, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, end=False)
    assert chunked.startswith(b"HTTP/1.1 413")
    bomb = gzip.compress(b" " * 1_000_000)
    assert post(agproxy, bomb, **{"Content-Encoding": "gzip"}).status_code == 413
    assert agproxy.chat().status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: evil.example.com", 403),
        ("Host: 127.0.0.1.evil.com", 403),
        ("Host: localhost\r\nOrigin: https://evil.example.com", 403),
        ("Host: localhost\r\nOrigin: null", 403),
        ("Host: localhost\r\nOrigin: http://localhost:1", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", 403),
        ("Host: localhost\r\nX-Forwarded-For: 127.0.0.1", 403),
        ("Host: localhost\r\nForwarded: for=127.0.0.1", 403),
        ("Host: localhost", 200),
        ("Host: [::1]:8045", 200),
    ],
)
def test_guards(agproxy: Agproxy, headers: str, status: int) -> None:
    answer = exchange(agproxy, f"GET /v1/models HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert b"Access-Control" not in answer


@pytest.mark.parametrize("path", ["//v1/models", "///healthz", "/v1/models/", "/v1//models", "/V1/models"])
def test_paths_are_exact(agproxy: Agproxy, path: str) -> None:
    answer = exchange(agproxy, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")


def test_a_missing_host_and_a_foreign_absolute_target_are_refused(agproxy: Agproxy) -> None:
    assert exchange(agproxy, b"GET /v1/models HTTP/1.0\r\n\r\n").split(b" ")[1] in (b"400", b"403")
    target = b"GET http://evil.example.com/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(agproxy, target).startswith(b"HTTP/1.1 403")


def exchange(agproxy: Agproxy, data: bytes, *, end: bool = True) -> bytes:
    """Send these bytes and return the beginning of the answer, or all of it when the server closes."""
    with socket.create_connection(("127.0.0.1", agproxy.port), timeout=10) as sock:
        sock.sendall(data)
        answer = sock.recv(65536)
        while end and (more := sock.recv(65536)):
            answer += more
    return answer
