"""The fast upstream of the benchmark: Gemini's wire on a listening socket that is handed over, as a process of its own.

The model's name says how to answer: ``gemini-2.5-bench-250-2000`` answers in 250 events, streamed 2000 microseconds
apart; 0 streams them all at once. Blocking sockets with a thread a connection: of what Python offers this costs the
least per request, and its pauses are exact, which those of an event loop are not (epoll counts in milliseconds).

Wire: https://ai.google.dev/api/generate-content; headers as generativelanguage.googleapis.com sends them.
"""

import json
import re
import socket
import sys
import threading
import time
from functools import lru_cache
from typing import Any

END = "(end)"  # the last words of every answer

_RECV_BYTES = 65536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb"POST \S*/models/gemini-2\.5-bench-(\d+)-(\d+):(streamG|g)enerateContent[ ?]")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nVary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: scaffolding on HTTPServer2\r\nX-XSS-Protection: 0\r\n"
    b"X-Frame-Options: SAMEORIGIN\r\nX-Content-Type-Options: nosniff\r\nServer-Timing: gfet4t7; dur=512\r\n"
)


def model(events: int, pace_us: int) -> str:
    """The name of the model that answers like this."""
    return f"gemini-2.5-bench-{events}-{pace_us}"


def words(events: int) -> list[str]:
    """The text of each event."""
    return [f"word {number} of an answer in pieces, " for number in range(1, events)] + [END]


@lru_cache
def _whole(events: int) -> bytes:
    body = json.dumps(_piece("".join(words(events)), events, last=True)).encode()
    return _HEAD % b"application/json; charset=UTF-8" + b"Content-Length: %d\r\n\r\n" % len(body) + body


@lru_cache
def _stream(events: int) -> tuple[bytes, ...]:
    """What is sent for each event, the first with the head, the last with the end."""
    pieces = [
        b"data: " + json.dumps(_piece(text, number, last=number == events)).encode() + b"\r\n\r\n"
        for number, text in enumerate(words(events), 1)
    ]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    chunks[0] = _HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n" + chunks[0]
    chunks[-1] += b"0\r\n\r\n"
    return tuple(chunks)


def _piece(text: str, tokens: int, *, last: bool) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": "STOP"} if last else candidate],
        "usageMetadata": {
            "promptTokenCount": 9,
            "candidatesTokenCount": tokens,
            "totalTokenCount": 9 + tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "mNoUafHAJ7-Zz7IPkJ6AuQk",
    }


def _serve(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while request := _received(sock):
            found = _MODEL.match(request)
            if found is None:
                sock.sendall(_models(request))
            elif found[3] == b"g":
                sock.sendall(_whole(int(found[1])))
            else:
                _send_paced(sock, _stream(int(found[1])), int(found[2]) / 1e6)


def _received(sock: socket.socket) -> bytes:
    """The head of the next request, whose body is read and dropped; empty when the client has gone."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        piece = sock.recv(_RECV_BYTES)
        if not piece:
            return b""
        received += piece
    head = received[: end + 2]
    length = _LENGTH.search(head)
    left = (int(length[1]) if length else 0) - (len(received) - end - 4)
    while left > 0 and (piece := sock.recv(_RECV_BYTES)):
        left -= len(piece)
    return head


def _send_paced(sock: socket.socket, chunks: tuple[bytes, ...], pace_s: float) -> None:
    if not pace_s:
        sock.sendall(b"".join(chunks))
        return
    due = time.perf_counter()
    for chunk in chunks:
        sock.sendall(chunk)
        due += pace_s
        time.sleep(max(0.0, due - time.perf_counter()))


def _models(request: bytes) -> bytes:
    """The list of models, or 404 for any other path."""
    listed = {"models": [{"name": "models/gemini-2.5-flash", "supportedGenerationMethods": ["generateContent"]}]}
    body = json.dumps(listed).encode()
    head = _HEAD % b"application/json; charset=UTF-8"
    if not request.startswith(b"GET /v1beta/models"):
        head, body = head.replace(b"200 OK", b"404 Not Found"), b'{"error":{"code":404,"message":"no such path"}}'
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def main() -> None:
    """Serve the socket whose number is the argument, until killed."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
