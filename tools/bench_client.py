"""The benchmark's client: kept-alive connections, requests that are bytes made beforehand, answers read and checked."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from typing import Any, Literal

import bench_upstream

Protocol = Literal["openai", "gemini", "anthropic"]

_TIMEOUT_S = 30.0
_READ_BYTES = 65536
_END = bench_upstream.END.encode()


class WrongAnswer(Exception):
    """A server did not give the answer that it should."""


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def exchange(self, request: bytes) -> bytes:
        """Send one request; gives the body of its answer."""
        response = self._sent(request)
        body = response.read()
        response.close()
        return body

    def repeat(self, request: bytes, times: int) -> None:
        """Send the request again and again; each answer must be whole."""
        for _ in range(times):
            body = self.exchange(request)
            if _END not in body:
                raise WrongAnswer(f"an answer is not whole: {body[:300]!r}")

    def first_event_s(self, request: bytes) -> float:
        """The time from sending a request to the arrival of the first text of its stream."""
        mark = bench_upstream.words(2)[0].encode()
        began = time.perf_counter()
        response = self._sent(request)
        body = b""
        while mark not in body:
            piece = response.read1(_READ_BYTES)
            if not piece:
                raise WrongAnswer(f"a stream has no text: {body[:300]!r}")
            body += piece
        took = time.perf_counter() - began
        response.read()
        response.close()
        return took

    def _sent(self, request: bytes) -> HTTPResponse:
        self._sock.sendall(request)
        response = HTTPResponse(self._sock, method="GET" if request.startswith(b"GET") else "POST")
        response.begin()
        if response.status != 200:
            raise WrongAnswer(f"status {response.status}: {response.read()[:300]!r}")
        return response


def first_answer(port: int) -> None:
    """Ask whether the server runs, as soon as it can answer."""
    with contextlib.closing(Client(port)) as client:
        try:
            client.exchange(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        except (OSError, HTTPException) as error:
            raise WrongAnswer("the server does not start") from error


@contextlib.contextmanager
def clients(port: int, count: int) -> Iterator[list[Client]]:
    """Connections to one server."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Client(port))) for _ in range(count)]


def burst_s(connections: list[Client], request: bytes, times: int) -> float:
    """Send the request ``times`` times on each connection, all at once; gives the wall time."""
    with ThreadPoolExecutor(len(connections)) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda client: client.repeat(request, times), connections):
            pass
        return time.perf_counter() - began


def post(path: str, body: dict[str, Any]) -> bytes:
    """The bytes of a request."""
    content = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    more = "Accept: */*\r\nAuthorization: Bearer unused\r\nUser-Agent: agproxy-bench\r\n"
    return f"{head}{more}Content-Length: {len(content)}\r\n\r\n".encode() + content


def answer_text(protocol: Protocol, body: bytes, *, stream: bool) -> str:
    """The text of an answer."""
    if stream:
        lines = (line.removeprefix(b"data: ").strip() for line in body.split(b"\n") if line.startswith(b"data: "))
        answers = [json.loads(line) for line in lines if line != b"[DONE]"]
    else:
        answers = [json.loads(body)]
    return "".join(_TEXTS[protocol](answer) for answer in answers)


def _gemini_text(answer: dict[str, Any]) -> str:
    return "".join(part["text"] for part in answer["candidates"][0]["content"]["parts"])


def _openai_text(answer: dict[str, Any]) -> str:
    choice = answer["choices"][0]
    return (choice.get("message") or choice["delta"]).get("content") or ""


def _anthropic_text(answer: dict[str, Any]) -> str:
    blocks = answer.get("content") or [answer.get("delta") or {}]
    return "".join(block.get("text", "") for block in blocks)


_TEXTS = {"gemini": _gemini_text, "openai": _openai_text, "anthropic": _anthropic_text}
