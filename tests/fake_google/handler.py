"""One HTTP connection of the fake: read requests, record them, have them answered, send the answer."""

import http.server
import socket
import socketserver
import ssl
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.fake_google import routes
from tests.fake_google.delivery import ClientGone, CutShort, Sender, Stopped
from tests.fake_google.failures import internal
from tests.fake_google.families import family_of
from tests.fake_google.logprobs import add_logprobs
from tests.fake_google.record import RecordedRequest
from tests.fake_google.refusal import Refusal
from tests.fake_google.render import Context, count_tokens, fold, render, to_array, to_json
from tests.fake_google.script import Answer

if TYPE_CHECKING:
    from tests.fake_google.server import FakeGoogle

_JSON = "application/json; charset=UTF-8"
# What the real service sends with every answer; none of it is for the gateway's own client.
_HEADERS = (
    ("Vary", "Origin"),
    ("Vary", "X-Origin"),
    ("Vary", "Referer"),
    ("Server", "scaffolding on HTTPServer2"),
    ("X-XSS-Protection", "0"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Gemini-Service-Tier", "standard"),
    ("Server-Timing", "gfet4t7; dur=12"),
    ("Alt-Svc", 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000'),
)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread a connection."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512
    google: "FakeGoogle"
    context: ssl.SSLContext | None = None
    is_closing = False

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; the handshake is for its own thread, for its client may never make one."""
        connection, address = super().get_request()
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet about connections that broke, or are ended; all else is a bug of the fake and is shown."""
        if not self.is_closing and not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Only close: a shutdown would turn a scripted reset into a FIN."""
        self.close_request(request)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    server: Server

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self._shake_hands(self.connection)
        self.google = self.server.google
        self.number = self.google.opened(self.connection)

    @staticmethod
    def _shake_hands(connection: ssl.SSLSocket) -> None:
        try:
            connection.do_handshake()
        except OSError as error:  # the client does not trust the certificate, say
            raise ConnectionAbortedError("no TLS handshake") from error

    def finish(self) -> None:
        """Count it out, once it is closed."""
        try:
            super().finish()
        finally:
            self.connection.close()
            self.google.closed(self.number)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def serve(self) -> None:
        """Answer one request."""
        # `self.path` has lost doubled slashes at its start.
        path, _, query = self.requestline.split()[1].partition("?")
        request = RecordedRequest(
            verb=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            raw=self._read_body(),
            time=time.monotonic(),
            connection=self.number,
            key=self.headers.get("x-goog-api-key"),
        )
        answer = self._decide(request, dict(parse_qsl(query, keep_blank_values=True)))
        try:
            self._send(request, answer)
        finally:
            self.google.note(request, finished_at=time.monotonic())

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _decide(self, request: RecordedRequest, query: dict[str, str]) -> Answer:
        try:
            answer = routes.check(self.google, request, query)
        except Refusal as refusal:
            request.refusal = refusal
            answer = Answer(http_status=refusal.http_status, body=refusal.body())
        self.google.add(request)
        if request.refusal is not None and answer is not None:
            return answer
        try:
            return self.google.next_answer(request, usual=answer)
        except Exception as error:
            # A test's own function failed: the test must hear of it, not only the system under test.
            self.google.note(request, script_error=f"{type(error).__name__}: {error}")
            return internal()

    def _send(self, request: RecordedRequest, answer: Answer) -> None:
        content_type, events = self._events(request, answer)
        request.sent_raw = b"".join(events)
        delivery = answer.delivery
        accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
        delivery = replace(delivery, gzip=delivery.is_gzip_unasked or (delivery.gzip and accepts_gzip))
        if request.verb == "HEAD":
            delivery, events = replace(delivery, framing="length"), []
        sender = Sender(self.connection, self.google.stop, delivery)
        headers = [("Content-Type", content_type), ("Date", self.date_time_string()), *_HEADERS, *answer.headers]
        self.google.note(request, outcome=answer.http_status)
        self.close_connection = True
        try:
            sender.send(answer.http_status, headers, events)
        except ClientGone:
            self.google.note(request, client_closed_at=time.monotonic())
        except (CutShort, Stopped):
            pass
        else:
            self.close_connection = not sender.keeps_open or request.headers.get("connection", "").lower() == "close"

    def _events(self, request: RecordedRequest, answer: Answer) -> tuple[str, list[bytes]]:
        """The content type and the pieces of the body."""
        if isinstance(answer.body, bytes | tuple):
            return answer.content_type or _JSON, [answer.body] if isinstance(answer.body, bytes) else [*answer.body]
        if answer.body is not None:
            as_array = request.stream and not request.sse and isinstance(answer.body, dict)
            request.sent = [answer.body] if as_array else answer.body
            if isinstance(request.sent, list):
                return answer.content_type or _JSON, [b"".join(to_array(request.sent))]
            return answer.content_type or _JSON, [to_json(request.sent, indent=2) + b"\n"]
        project = self.google.keys.get(request.key or "", "")
        config = request.canonical.get("generation_config", {})
        wanted = int(config.get("candidate_count", 1))
        tokens = count_tokens(request.text)
        context = Context(request.model, family_of(request.model), self.google.ledger, project, tokens, wanted)
        events = render(answer, context)
        if not request.stream:
            request.sent = fold(events)
            add_logprobs(request.sent, config)
            return answer.content_type or _JSON, [to_json(request.sent, indent=2) + b"\n"]
        request.sent = events
        for event in events:
            add_logprobs(event, config)
        if request.sse:
            end = b"\r\n\r\n" if answer.delivery.crlf else b"\n\n"
            return answer.content_type or "text/event-stream", [b"data: " + to_json(event) + end for event in events]
        return answer.content_type or _JSON, to_array(events)


for _verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{_verb}", Handler.serve)  # the names http.server looks for
