"""A tiny server on loopback that does to its connections what a script says: real sockets, bounded time."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

WAIT_S = 5.0  # how long anything may take before a test fails


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, server: "Server") -> None:
        self.sock = sock
        self.number = number
        self._server = server

    def request(self) -> bytes:
        """The next request, or nothing when the client is gone."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += self.sock.recv(65536)
        self._server.requests.append(head + b"\r\n\r\n" + body)
        self._server.asked.set()
        return self._server.requests[-1]

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_the_end(self) -> None:
        """Stay silent until the test is over."""
        self._server.closing.wait(WAIT_S)


class Server:
    """A server whose connections are each handled by ``script``; it notes the requests and the connections."""

    def __init__(self, script: Callable[[Connection], None], context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = threading.Event()  # a request has arrived
        self._script = script
        self._context = context
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}/v1beta/models/m:generateContent"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(WAIT_S)
                self.connections += 1
                self._socks.append(sock)
                self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            if self._context is not None:
                sock = stack.enter_context(self._context.wrap_socket(sock, server_side=True))
                self._socks.append(sock)
            self._script(Connection(sock, number, self))


def answering(*pieces: bytes, silent: bool = False) -> Callable[[Connection], None]:
    """A script that answers one request with these bytes and closes, or falls silent."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(*pieces)
        if silent:
            connection.wait_for_the_end()

    return script


def keeping_alive(answer: bytes) -> Callable[[Connection], None]:
    """A script that answers every request of a connection."""

    def script(connection: Connection) -> None:
        while connection.request():
            connection.send(answer)

    return script
