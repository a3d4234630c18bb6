"""A tiny forwarder of connections on loopback: a load balancer, or the TLS before a server that has none."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self


class Forwarder:
    """Takes connections, and hands on what comes over them, both ways, until the ``with`` block ends.

    :param connect: gives the connection to hand on to.
    :param context: for TLS with the clients.
    :ivar port: at which it listens.
    """

    def __init__(self, connect: Callable[[], socket.socket], *, context: ssl.SSLContext | None = None) -> None:
        self._connect = connect
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._forward, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _forward(self, plain: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(plain, server_side=True) if self._context else plain
        except OSError:  # a client that does not trust the certificate goes away
            plain.close()
            return
        with client, self._connect() as server:
            self._sockets |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()
            self._sockets -= {client, server}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65536):
            target.sendall(received)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR if isinstance(target, ssl.SSLSocket) else socket.SHUT_WR)
