"""The upstream of a soak run: Gemini's wire on a listening socket that is handed over, with faults, as a process.

The prompt says what to answer (``soak_script``). Greenlets, for hundreds of connections are open at once; this process
alone is one of gevent, for a parent that is would hand over a socket that does not block.

Arguments: the number of the socket, the seed and the share of the faults. ``GET /soak`` tells what has been counted.

Wire: https://ai.google.dev/api/generate-content; errors: https://google.aip.dev/193.
"""

import json
import struct
import sys
import time
from collections import Counter
from typing import Any

import gevent
import soak_script
from gevent import socket
from soak_script import Plan

_RECV_BYTES = 65536
_DRIPS = 12
_DRIP_S = 0.04
_HANG_S = 60.0  # who falls silent waits at most as long for the other side to go
_LINGER = struct.pack("ii", 1, 0)  # close() sends a reset: socket(7), SO_LINGER
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class _Gone(Exception):
    """The connection is not to be used any more."""


class Upstream:
    """All connections, and what is counted of them."""

    def __init__(self, seed: int, share: float) -> None:
        self._seed = seed
        self._share = share
        self._attempts: Counter[int] = Counter()  # of requests that have met a fault and are not answered yet
        self._faults: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._open = self._busy = self._streams = self._most_streams = self._left = 0

    def serve(self, sock: socket.socket) -> None:
        """Answer the requests of one connection."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open += 1
        try:
            with sock:
                while request := _received(sock):
                    self._answer(sock, *request)
        except _Gone:
            pass
        except OSError:  # agproxy has gone, because its client has, or because it has waited long enough
            self._left += 1
        finally:
            self._open -= 1

    def _answer(self, sock: socket.socket, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /soak "):
            sock.sendall(_whole(200, self._counts()))
            return
        plan = soak_script.find(body)
        if plan is None:
            sock.sendall(_whole(200, _MODELS) if head.startswith(b"GET /v1beta/models") else _whole(400, _NO_MARK))
            return
        self._busy += 1
        try:
            self._keys[_key(head)] += 1
            stream = b":streamGenerateContent" in head.partition(b"\r\n")[0]
            self._planned(sock, plan, stream=stream)
        finally:
            self._busy -= 1

    def _planned(self, sock: socket.socket, plan: Plan, *, stream: bool) -> None:
        attempt = self._attempts.get(plan.number, 0)
        fault = soak_script.fault(plan, attempt, seed=self._seed, share=self._share)
        if fault is not None:
            self._faults[fault] += 1
            self._attempts[plan.number] = attempt + 1
            _fail(sock, plan, fault, attempt, stream=stream)
            return
        self._attempts.pop(plan.number, None)
        if not stream:
            sock.sendall(_whole(200, _reply(plan)))
            return
        self._streams += 1
        self._most_streams = max(self._most_streams, self._streams)
        try:
            _send_stream(sock, plan)
        finally:
            self._streams -= 1

    def _counts(self) -> dict[str, Any]:
        return {
            "open": self._open - 1,  # but for the one who asks
            "busy": self._busy,
            "most_streams": self._most_streams,
            "left": self._left,
            "faults": self._faults,
            "accounts": self._keys,
        }


def _received(sock: socket.socket) -> tuple[bytes, bytes] | None:
    """The head and the body of the next request; None when the client has gone."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        piece = sock.recv(_RECV_BYTES)
        if not piece:
            return None
        received += piece
    head = received[: end + 2]
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    length = int(rest.partition(b"\r\n")[0]) if found else 0
    pieces = [received[end + 4 :]]
    missing = length - len(pieces[0])
    while missing > 0:
        piece = sock.recv(_RECV_BYTES)
        if not piece:
            return None
        pieces.append(piece)
        missing -= len(piece)
    return head, b"".join(pieces)


def _key(head: bytes) -> str:
    return head.lower().partition(b"\r\nx-goog-api-key:")[2].partition(b"\r\n")[0].strip().decode()


# Answers.


def _head(status: int, content_type: bytes) -> bytes:
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\n" % (status, _REASONS.get(status, "Error").encode(), content_type)


def _whole(status: int, value: Any) -> bytes:
    body = json.dumps(value).encode()
    return _head(status, b"application/json; charset=UTF-8") + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _reply(plan: Plan) -> dict[str, Any]:
    return _response(plan, [*_thoughts(plan), {"text": plan.text}, *_calls(plan)], last=True)


def _events(plan: Plan) -> list[bytes]:
    """The data of each event of a stream. Half of the answers are ASCII, and so hold halves of surrogate pairs."""
    parts = [*_thoughts(plan), *({"text": piece} for piece in plan.pieces()), *_calls(plan)]
    ascii_only = plan.number % 2 == 0
    return [
        json.dumps(_response(plan, [part], last=index == len(parts)), ensure_ascii=ascii_only).encode()
        for index, part in enumerate(parts, 1)
    ]


def _thoughts(plan: Plan) -> list[dict[str, Any]]:
    return [{"text": plan.thoughts, "thought": True}] if plan.thinks else []


def _calls(plan: Plan) -> list[dict[str, Any]]:
    if plan.arguments is None:
        return []
    call = {"id": f"soak-{plan.number}", "name": soak_script.TOOL, "args": plan.arguments}
    return [{"functionCall": call, "thoughtSignature": f"c2lnbmF0dXJl{plan.number:012}"}]


def _response(plan: Plan, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP"
    counts = {"promptTokenCount": 9, "candidatesTokenCount": plan.events, "totalTokenCount": 9 + plan.events}
    return {
        "candidates": [candidate],
        "usageMetadata": counts,
        "modelVersion": "gemini-soak",
        "responseId": f"soak{plan.number}",
    }


def _stream_head() -> bytes:
    return _head(200, b"text/event-stream") + b"Transfer-Encoding: chunked\r\n\r\n"


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\r\n\r\n"


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _send_stream(sock: socket.socket, plan: Plan) -> None:
    events = [_event(data) for data in _events(plan)]
    if plan.pace_ms:
        due = time.perf_counter()
        sock.sendall(_stream_head())
        for event in events:
            sock.sendall(_chunk(event))
            due += plan.pace_ms / 1000
            gevent.sleep(max(0.0, due - time.perf_counter()))
        sock.sendall(b"0\r\n\r\n")
        return
    # All at once, and cut anywhere: in the middle of events, lines and characters.
    whole = b"".join(events)
    size = (7, 61, 400, 1500, len(whole))[plan.number % 5]
    chunks = b"".join(_chunk(whole[at : at + size]) for at in range(0, len(whole), size))
    sock.sendall(_stream_head() + chunks + b"0\r\n\r\n")


# Faults.


def _fail(sock: socket.socket, plan: Plan, fault: soak_script.Fault, attempt: int, *, stream: bool) -> None:
    """Do what is wrong, now and in the same way in each run.

    :raises _Gone: the connection is closed.
    """
    much, _ = soak_script.dice(f"how {plan.number} {attempt}")
    match fault:
        case "quota":
            sock.sendall(_whole(429, _quota_error(0.2 + 0.8 * much)))
        case "internal":
            sock.sendall(_whole(500, _error(500, "INTERNAL", "An internal error has occurred.")))
        case "overloaded":
            sock.sendall(_whole(503, _error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")))
        case "reset":
            _close(sock, reset=True)
        case "hang_up":
            _close(sock, reset=False)
        case "mute":
            _wait_for_end(sock)
        case "empty":
            _send_data(sock, [json.dumps(_response(plan, [], last=True)).encode()], stream=stream)
        case "drip":
            _drip(sock, plan, stream=stream)
        case "in_band":
            error = json.dumps(_error(503, "UNAVAILABLE", "The model is overloaded.")).encode()
            _send_data(sock, [*_beginning(plan, much), error] if stream else [error], stream=stream)
        case "cut" | "stall":
            _send_beginning(sock, plan, much, stream=stream)
            if fault == "stall":
                _wait_for_end(sock)
            _close(sock, reset=plan.number % 2 == 0)


def _beginning(plan: Plan, much: float) -> list[bytes]:
    """The first events, perhaps none, of a stream that does not come to its end."""
    events = _events(plan)
    return events[: int(much * len(events))]


def _send_beginning(sock: socket.socket, plan: Plan, much: float, *, stream: bool) -> None:
    """Send an answer up to the middle of an event, or of the body."""
    if not stream:
        whole = _whole(200, _reply(plan))
        sock.sendall(whole[: -1 - int(much * len(json.dumps(_reply(plan))))])
        return
    begun = _beginning(plan, much)
    torn = _event(_events(plan)[len(begun)])
    sock.sendall(_stream_head() + b"".join(_chunk(_event(data)) for data in begun) + _chunk(torn[: len(torn) // 2]))


def _send_data(sock: socket.socket, payloads: list[bytes], *, stream: bool) -> None:
    if stream:
        sock.sendall(_stream_head() + b"".join(_chunk(_event(data)) for data in payloads) + b"0\r\n\r\n")
    else:
        sock.sendall(_whole(200, json.loads(payloads[0])))


def _drip(sock: socket.socket, plan: Plan, *, stream: bool) -> None:
    """A whole answer, but slowly, and cut anywhere."""
    whole = _whole(200, _reply(plan))
    if stream:
        whole = _stream_head() + b"".join(_chunk(_event(data)) for data in _events(plan)) + b"0\r\n\r\n"
    size = len(whole) // _DRIPS + 1
    for begin in range(0, len(whole), size):
        sock.sendall(whole[begin : begin + size])
        gevent.sleep(_DRIP_S)


def _close(sock: socket.socket, *, reset: bool) -> None:
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    sock.close()
    raise _Gone


def _wait_for_end(sock: socket.socket) -> None:
    sock.settimeout(_HANG_S)
    while sock.recv(_RECV_BYTES):
        pass
    raise _Gone


def _error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**error, "details": list(details)} if details else error}


def _quota_error(delay_s: float) -> dict[str, Any]:
    violation = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel", "quotaMetric": "generate_requests"}
    return _error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota.",
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay_s:.3f}s"},
    )


_NO_MARK = _error(400, "INVALID_ARGUMENT", "no mark of the soak run stands in the prompt")
_MODELS = {
    "models": [
        {"name": f"models/{name}", "supportedGenerationMethods": ["generateContent", "streamGenerateContent"]}
        for name in ("gemini-flash-latest", "gemini-3-flash-preview", "gemini-2.5-flash")
    ]
}


def main() -> None:
    """Serve until killed."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    upstream = Upstream(int(sys.argv[2]), float(sys.argv[3]))
    while True:
        sock, _ = listener.accept()
        gevent.spawn(upstream.serve, sock)


if __name__ == "__main__":
    main()
