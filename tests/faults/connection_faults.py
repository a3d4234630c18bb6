"""Faults of the way to Google: connections that are not made, break, fall silent, or are not what they seem."""

import contextlib
import datetime
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme

from tests.fake_google import Answer, FakeGoogle, RecordedRequest, cut, hang_up
from tests.fake_google.choose import Script
from tests.faults.stage import GOOD, WHOLE, Expected, Fault, Stage, broken, refused
from tests.loopback import Connection, Server, answering

Arrange = Callable[[Stage], None]
# Long enough for an answer on a busy machine, and short enough to be waited for.
_SILENCE_S = 1.5
_PING_S = 0.1
_NAME = "no-such-host.test"

CLOSED = "the connection was closed before the answer"
BROKE = "the connection to the model service broke in the middle of its answer"
SILENT = "did not answer within"
FELL_SILENT = "the model service fell silent in the middle of its answer"


def once(answer: Script) -> Arrange:
    """The first request gets this, all others are answered."""
    return lambda stage: stage.google.enqueue(answer)


def always(answer: Script, *, attempts: int = 1) -> Arrange:
    """All requests get this."""

    def arrange(stage: Stage) -> None:
        stage.set(max_attempts=attempts)
        stage.google.default = answer

    return arrange


def impatient(arrange: Arrange, **upstream: float) -> Arrange:
    """The same, with an agproxy that waits for a short time only."""

    def arranged(stage: Stage) -> None:
        stage.set(first_event_timeout_s=_SILENCE_S, silence_timeout_s=_SILENCE_S, **upstream)
        arrange(stage)

    return arranged


def at_the_end(how: Any) -> Callable[[RecordedRequest], Answer]:
    """All of the answer comes, and then not the end of the HTTP message."""
    return lambda request: cut(GOOD, after_events=len(GOOD.chunks) if request.stream else 1, how=how)


def in_the_middle(how: Any) -> Callable[[RecordedRequest], Answer]:
    """The connection ends in the middle of the answer; a client of a stream has seen an event by then."""
    return lambda request: cut(GOOD, after_events=int(request.stream), mid_event=True, how=how)


def _once_in_the_middle(how: Any) -> Arrange:
    return lambda stage: stage.google.enqueue(in_the_middle(how))


# Where an account may be, other than at Google.


def _at(*places: Callable[[Stage], str]) -> Arrange:
    """Each account, from "a" on, is at one of these places."""

    def arrange(stage: Stage) -> None:
        stage.set(max_attempts=3 if len(places) > 1 else 1)
        stage.accounts = {name: place(stage) for name, place in zip("abc", places, strict=False)}

    return arrange


def _google(stage: Stage) -> str:
    return stage.google.url


def _nowhere(stage: Stage) -> str:
    taken = stage.stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))  # so that nobody else listens there
    return f"http://127.0.0.1:{taken.getsockname()[1]}"


def _black_hole(stage: Stage) -> str:
    """A listener whose queue is full, so that the kernel answers no further SYN."""
    stage.set(connect_timeout_s=0.3)
    listener = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    address = listener.getsockname()
    for _ in range(2):  # Linux lets one more in than the backlog says
        waiting = stage.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            waiting.connect(address)
    return f"http://127.0.0.1:{address[1]}"


def _scripted(script: Callable[[Connection], None]) -> Callable[[Stage], str]:
    """A server over TLS that does this to its connections."""

    def place(stage: Stage) -> str:
        server = stage.stack.enter_context(Server(script))
        return f"https://127.0.0.1:{server.port}"

    return place


def _plain(*pieces: bytes) -> Callable[[Stage], str]:
    """A server that answers each request with these bytes, and closes."""

    def place(stage: Stage) -> str:
        server = stage.stack.enter_context(Server(answering(*pieces)))
        return f"http://127.0.0.1:{server.port}"

    return place


def _called(name: str) -> Callable[[Stage], str]:
    return lambda stage: f"https://{name}"


# TLS.


_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def _over_tls(
    arrange: Arrange, *, name: str = "127.0.0.1", not_after: datetime.datetime | None = None, is_trusted: bool = True
) -> Arrange:
    """The same, with a Google that has a certificate.

    :param is_trusted: agproxy knows the authority that issued it.
    """

    def arranged(stage: Stage) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_after=not_after).configure_cert(context)
        stage.google = stage.stack.enter_context(FakeGoogle(native=stage.google.native, context=context))
        stage.google.default = GOOD
        stage.set(max_attempts=1)
        if is_trusted:
            bundle = Path(stage.stack.enter_context(tempfile.TemporaryDirectory()), "ca.pem")
            authority.cert_pem.write_to_path(str(bundle))
            stage.set(ca_bundle=str(bundle))
        arrange(stage)

    return arranged


def _reset_in_the_handshake(connection: Connection) -> None:
    connection.sock.recv(65536)
    connection.reset()


def _close_in_the_handshake(connection: Connection) -> None:
    connection.sock.recv(65536)


def _speak_plainly(connection: Connection) -> None:
    connection.sock.recv(65536)
    connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def _nothing(stage: Stage) -> None:
    """All is well."""


# DNS.


@contextlib.contextmanager
def _dns(answer: Callable[[], Any]) -> Iterator[None]:
    """Lookups of one name do this; all others are made."""
    real = socket.getaddrinfo

    def lookup(host: Any, *others: Any, **more: Any) -> Any:
        return answer() if host == _NAME else real(host, *others, **more)

    socket.getaddrinfo = lookup
    try:
        yield
    finally:
        socket.getaddrinfo = real


def _failing_dns(code: int) -> Callable[[], Any]:
    def fail() -> Any:
        raise socket.gaierror(code, "no answer")

    return lambda: _dns(fail)


@contextlib.contextmanager
def _silent_dns() -> Iterator[None]:
    over = threading.Event()

    def wait() -> Any:
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    with _dns(wait):
        try:
            yield
        finally:
            over.set()


# Connections that are kept.


def _closed_while_idle(stage: Stage) -> None:
    stage.google.default = GOOD.delivered(stale=True)
    stage.warm_up()
    stage.google.wait_until(lambda: stage.google.open_connections == 0)
    stage.google.default = GOOD


def _many_closed_while_idle(stage: Stage) -> None:
    stage.google.default = GOOD.delivered(stale=True, first_byte_s=0.2)
    stage.warm_up(4)
    stage.google.wait_until(lambda: stage.google.open_connections == 0)
    stage.google.default = GOOD


def _many_forgotten(stage: Stage) -> None:
    """A firewall has forgotten all idle connections, and resets them when they are used."""
    _many_ended(stage, "rst")


def _many_closed_when_used(stage: Stage) -> None:
    """The service closes all idle connections just when they are used."""
    _many_ended(stage, "fin")


def _many_ended(stage: Stage, how: Any) -> None:
    stage.google.default = GOOD.delivered(first_byte_s=0.2)
    stage.warm_up(5)
    old = stage.google.total_connections

    def answer(request: RecordedRequest) -> Answer:
        return hang_up(how) if request.connection <= old else GOOD

    stage.google.default = answer


def _restarted(stage: Stage) -> None:
    stage.warm_up(2)
    port, native = stage.google.port, stage.google.native
    stage.google.close()
    stage.google = stage.stack.enter_context(FakeGoogle(port=port, native=native))
    stage.google.default = GOOD


def _breaks(how: Any, name: str) -> tuple[Fault, ...]:
    """The connection ends this way, at each place where it can."""
    return (
        Fault(f"{name} before the headers, once", once(hang_up(how)), WHOLE),
        Fault(f"{name} before the headers", always(hang_up(how)), refused(502, CLOSED)),
        Fault(f"{name} after the headers, once", once(cut(GOOD, how=how)), WHOLE),
        Fault(f"{name} after the headers", always(cut(GOOD, how=how)), refused(502, BROKE)),
        Fault(f"{name} in the first event, once", once(cut(GOOD, mid_event=True, how=how)), WHOLE),
        Fault(f"{name} in the first event", always(cut(GOOD, mid_event=True, how=how)), refused(502, BROKE)),
        Fault(f"{name} in a later event, once", _once_in_the_middle(how), WHOLE, broken(502, BROKE)),
        Fault(f"{name} in a later event", always(in_the_middle(how)), refused(502, BROKE), broken(502, BROKE)),
    )


def _unreachable(why: str) -> Expected:
    return refused(502, f": {why}")


_UNTRUSTED = _unreachable("its TLS certificate is not trusted")
_NO_HANDSHAKE = _unreachable("the TLS handshake failed")
_TOO_LATE = _unreachable("no connection within the time allowed")
_NO_HTTP = refused(502, "cannot reach 127.0.0.1")
_UNKNOWN_NAME = _unreachable("its name is not known to the DNS")
_SILENT_DNS = _unreachable("the DNS does not answer")
_AFTER_PING = {"ping_s": _PING_S}

CONNECTION_FAULTS: tuple[Fault, ...] = (
    Fault("nothing at all", _nothing, WHOLE),
    Fault("connection refused to one account of two", _at(_nowhere, _google), WHOLE),
    Fault("connection refused", _at(_nowhere), _unreachable("the connection was refused")),
    *([Fault("no answer to a SYN", _at(_black_hole), _TOO_LATE)] if sys.platform == "linux" else []),
    *_breaks("rst", "reset"),
    *_breaks("fin", "closed"),
    Fault("silence before the headers, once", impatient(once(hang_up("silence"))), WHOLE),
    Fault("silence before the headers", impatient(always(hang_up("silence"))), refused(504, SILENT)),
    Fault(
        "silence before the headers, after pings",
        impatient(always(hang_up("silence")), **_AFTER_PING),
        refused(504, SILENT),
        broken(504, SILENT),
    ),
    Fault("silence after the headers, once", impatient(once(cut(GOOD, how="silence"))), WHOLE),
    Fault("silence after the headers", impatient(always(cut(GOOD, how="silence"))), refused(504, FELL_SILENT)),
    Fault(
        "silence in a later event, once",
        impatient(_once_in_the_middle("silence"), **_AFTER_PING),
        WHOLE,
        broken(504, FELL_SILENT),
    ),
    Fault(
        "silence in a later event",
        impatient(always(in_the_middle("silence"))),
        refused(504, FELL_SILENT),
        broken(504, FELL_SILENT),
    ),
    # An answer is whole once it has said so; one body has to end.
    Fault("closed after the last event", always(at_the_end("fin")), refused(502, BROKE), WHOLE),
    Fault("silence after the last event", impatient(always(at_the_end("silence"))), refused(504, FELL_SILENT), WHOLE),
    Fault(
        "slow drip",
        impatient(always(GOOD.delivered(split_writes=25, between_writes_s=0.02)), **_AFTER_PING),
        WHOLE,
    ),
    Fault("TLS", _over_tls(_nothing), WHOLE),
    Fault("TLS of an unknown authority", _over_tls(_nothing, is_trusted=False), _UNTRUSTED),
    Fault("TLS for another name", _over_tls(_nothing, name="example.org"), _UNTRUSTED),
    Fault("TLS that has expired", _over_tls(_nothing, not_after=_LONG_AGO), _UNTRUSTED),
    Fault("TLS reset in the handshake", _at(_scripted(_reset_in_the_handshake)), _NO_HANDSHAKE),
    Fault("TLS closed in the handshake", _at(_scripted(_close_in_the_handshake)), _NO_HANDSHAKE),
    Fault("TLS asked of a plain server", _at(_scripted(_speak_plainly)), _NO_HANDSHAKE),
    Fault(
        "TLS silent in the handshake",
        impatient(_at(_scripted(Connection.wait_for_the_end)), connect_timeout_s=0.3),
        _TOO_LATE,
    ),
    Fault(
        "TLS that ends without a close_notify",
        _over_tls(always(in_the_middle("fin"))),
        refused(502, BROKE),
        broken(502, BROKE),
    ),
    Fault("DNS does not know the name", _at(_called(_NAME)), _UNKNOWN_NAME, around=_failing_dns(socket.EAI_NONAME)),
    Fault("DNS fails for now", _at(_called(_NAME)), _SILENT_DNS, around=_failing_dns(socket.EAI_AGAIN)),
    Fault(
        "DNS fails for one account of two", _at(_called(_NAME), _google), WHOLE, around=_failing_dns(socket.EAI_AGAIN)
    ),
    Fault(
        "DNS does not answer",
        impatient(_at(_called(_NAME)), connect_timeout_s=0.3),
        _SILENT_DNS,
        around=_silent_dns,
    ),
    Fault("a name with an empty label", _at(_called("a..b")), _UNKNOWN_NAME),
    Fault("a name with a label too long", _at(_called(f"{'a' * 64}.test")), _UNKNOWN_NAME),
    Fault("no HTTP at all", _at(_plain(b"SSH-2.0-OpenSSH_9.9\r\n")), _NO_HTTP),
    Fault("HTTP/2 unasked", _at(_plain(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")), _NO_HTTP),
    Fault("half of a status line", _at(_plain(b"HTTP/1.1 20")), _NO_HTTP),
    Fault("headers without end", _at(_plain(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000)), _NO_HTTP),
    Fault("a header of 1 MB", _at(_plain(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1_000_000)), _NO_HTTP),
    Fault("kept connection closed meanwhile", _closed_while_idle, WHOLE),
    Fault("many kept connections closed meanwhile", _many_closed_while_idle, WHOLE, requests=4, at_once=True),
    Fault("many kept connections forgotten", _many_forgotten, WHOLE),
    Fault("many kept connections forgotten, used at once", _many_forgotten, WHOLE, requests=5, at_once=True),
    Fault("many kept connections closed when used", _many_closed_when_used, WHOLE),
    Fault("many kept TLS connections reset", _over_tls(_many_forgotten), WHOLE),
    Fault("many kept TLS connections closed", _over_tls(_many_closed_when_used), WHOLE),
    Fault("restart of the service", _restarted, WHOLE, requests=2),
)
