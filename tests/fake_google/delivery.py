"""The bytes of one answer on one connection: pauses, framing, early ends, and noticing that the client has gone."""

import gzip
import http.client
import math
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable

from tests.fake_google.script import Cut, Delivery


class ClientGone(Exception):
    """The client closed the connection before the answer's end."""


class Stopped(Exception):
    """The server is being shut down."""


class CutShort(Exception):
    """The script ends the connection here."""


class Sender:
    """Sends one answer.

    :param stop: a socket that becomes readable when the server stops.
    """

    def __init__(self, connection: socket.socket, stop: socket.socket, delivery: Delivery) -> None:
        self._connection = connection
        self._stop = stop
        self._delivery = delivery
        self._framing = "close" if delivery.is_http_1_0 else delivery.framing or "chunked"
        streams_gzip = delivery.gzip and self._framing != "length"
        self._deflate = zlib.compressobj(wbits=31) if streams_gzip else None
        self._has_begun = False

    @property
    def keeps_open(self) -> bool:
        """Whether the connection may carry another request afterwards."""
        lies = self._delivery.length_error > 0  # more would have to come
        return not (self._delivery.close or self._delivery.stale or self._framing == "close" or lies)

    def send(self, http_status: int, headers: list[tuple[str, str]], events: list[bytes]) -> None:
        """Send status line, headers and the events, as scripted.

        :raises ClientGone: noticed while pausing or writing.
        :raises CutShort: the script ends the connection early; it is ended when this is raised.
        """
        cut = self._delivery.cut
        self.pause(self._delivery.headers_s)
        if cut is not None and cut.after_events < 0:
            self._end(cut.how)
        if self._framing == "length":
            body = b"".join(events)
            events = [gzip.compress(body) if self._delivery.gzip else body]
        if self._delivery.left_out and self._deflate is None:
            events = [*events[:-1], events[-1][: -self._delivery.left_out]]
        for _ in range(self._delivery.early_hints):
            self._write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n")
        self._write(self._head(http_status, headers, events))
        self.pause(self._delivery.first_byte_s)
        for index, event in enumerate(events):
            if index:
                self.pause(self._delivery.between_s)
            self._stop_at(cut, index, event)
            self._body(event)
        if cut is not None:
            self._end(cut.how)
        self._finish()

    def _stop_at(self, cut: Cut | None, index: int, event: bytes) -> None:
        if cut is None or index < cut.after_events:
            return
        if cut.mid_event:
            self._body(event[: len(event) // 2])
        self._end(cut.how)

    def pause(self, seconds: float) -> None:
        """Wait, unless the client goes meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._watch(left)

    def _watch(self, seconds: float) -> None:
        poll = select.poll()
        for each in (self._connection, self._stop):
            poll.register(each, select.POLLIN | select.POLLHUP | select.POLLERR)
        ready = {descriptor for descriptor, _ in poll.poll(math.ceil(seconds * 1000))}
        if self._stop.fileno() in ready:
            raise Stopped
        if self._connection.fileno() in ready:
            try:
                # Of the plain socket, for a TLS one cannot peek; its client, too, goes by a FIN.
                if socket.socket.recv(self._connection, 1, socket.MSG_PEEK) == b"":
                    raise ClientGone
            except OSError as error:
                raise ClientGone from error
            # The client has sent its next request already, and poll would return at once for ever.
            time.sleep(min(seconds, 0.01))

    def _head(self, http_status: int, headers: list[tuple[str, str]], events: list[bytes]) -> bytes:
        version = "1.0" if self._delivery.is_http_1_0 else "1.1"
        lines = [f"HTTP/{version} {http_status} {http.client.responses.get(http_status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if self._delivery.gzip:
            lines.append("Content-Encoding: gzip")
        if self._framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif self._framing == "length":
            lines.append(f"Content-Length: {len(events[0]) + self._delivery.length_error}")
        if self._delivery.close or (self._framing == "close" and not self._delivery.is_http_1_0):
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _body(self, event: bytes) -> None:
        if self._deflate is not None:
            event = self._deflate.compress(event) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        size = self._delivery.split_writes or len(event) or 1
        for start in range(0, len(event), size):
            if self._has_begun:
                self.pause(self._delivery.between_writes_s)
            self._has_begun = True
            self._write(self._framed(event[start : start + size]))

    def _framed(self, piece: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(piece), piece) if self._framing == "chunked" else piece

    def _finish(self) -> None:
        if self._deflate is not None and not self._delivery.left_out and (rest := self._deflate.flush()):
            self._write(self._framed(rest))
        if self._framing == "chunked":
            self._write(b"0\r\n\r\n")

    def _write(self, piece: bytes) -> None:
        try:
            self._connection.sendall(piece)
        except OSError as error:
            raise ClientGone from error

    def _end(self, how: str) -> None:
        if how == "silence":
            while True:
                self._watch(3600.0)
        _ENDS[how](self._connection)
        raise CutShort


def _fin(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _rst(connection: socket.socket) -> None:
    # SO_LINGER with zero seconds turns close() into a reset (socket(7)); the handler closes right after this.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_ENDS: dict[str, Callable[[socket.socket], None]] = {"fin": _fin, "rst": _rst}
