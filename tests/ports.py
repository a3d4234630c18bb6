"""Ports for servers that are told theirs: free ones, which stay free until the server listens."""

import contextlib
import itertools
import os
import socket

# Below those that systems give to whoever asks for just any, and to connections: Linux from 32768 on, others from
# 49152 on (RFC 6335, section 6). Such a one is soon somebody else's, as the tests that run side by side ask for many.
_FIRST, _COUNT = 20_000, 12_000
_numbers = itertools.count(os.getpid() * 997)  # processes that run side by side begin at different ones


def free_port() -> int:
    """A port of loopback at which nobody listens; another one each time."""
    while True:
        port = _FIRST + next(_numbers) % _COUNT
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            sock.bind(("127.0.0.1", port))
            return port
