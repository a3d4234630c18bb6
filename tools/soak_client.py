"""The clients of a soak run: a process that sends requests from many connections at once, and checks every answer.

It is told what to do by lines of JSON on its standard input (``Job``), one after the other, and tells what came of
them by lines of JSON on its standard output: how far it is every half second, and a ``Report`` at the end of each.

Argument: JSON with ``port``, ``seed`` and ``share`` (see ``soak_script.fault``).
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import soak_check
import soak_mix
import soak_script
from gevent import socket
from soak_check import Told, Wrong
from soak_job import Job, Report
from soak_mix import Request, Shape

TIMEOUT_S = 60.0
_TICK_S = 0.5
_MAX_DESCRIBED = 20  # wrong answers that are described
_BUFFER_BYTES = 65536
# All accounts rest, for what other requests have met.
_PAUSED = ("HTTP 429", "in-band no_account", "in-band rate_limit", "in-band RESOURCE_EXHAUSTED")


class _Left(Exception):
    """The client has had enough."""


class Connection:
    """One connection, kept alive from request to request."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._sock.makefile("rb", _BUFFER_BYTES)
        self.is_closed = False

    def close(self) -> None:
        """Close it, whatever is under way."""
        self.is_closed = True
        self._file.close()
        self._sock.close()

    def ask(self, sent: bytes) -> tuple[int, dict[bytes, bytes]]:
        """Send a request; gives the status and the headers, by their names in lower case.

        :raises Wrong: what comes is no HTTP.
        """
        self._sock.sendall(sent)
        version, _, status = self._line().partition(b" ")
        if version != b"HTTP/1.1":
            raise Wrong(f"instead of an answer came {version[:50]!r}")
        headers = {}
        while line := self._line():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        return int(status[:3]), headers

    def pieces(self, headers: dict[bytes, bytes]) -> Iterator[bytes]:
        """The body, as it comes.

        :raises Wrong: it is not as long as its framing says.
        """
        if headers.get(b"transfer-encoding") != b"chunked":
            yield self._exactly(int(headers[b"content-length"]))
            return
        while size := int(self._line(), 16):
            yield self._exactly(size)
            if self._line():
                raise Wrong("a chunk is longer than it says")
        if self._line():
            raise Wrong("something after the last chunk")

    def _line(self) -> bytes:
        line: bytes = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise Wrong(f"the connection was closed within an answer, after {line[:50]!r}")
        return line[:-2]

    def _exactly(self, size: int) -> bytes:
        piece: bytes = self._file.read(size)
        if len(piece) < size:
            raise Wrong("the connection was closed within the body of an answer")
        return piece


class Clients:
    """All that this process does."""

    def __init__(self, port: int, *, seed: int, share: float) -> None:
        self._port = port
        self._seed = seed
        self._share = share
        self._done = 0
        self._open = 0  # streams
        self._report = Report()

    def progress(self) -> dict[str, Any]:
        """How far the job is."""
        told = self._report
        return {"done": self._done, "open": self._open, "wrong": told.wrong, "errors": told.errors}

    def run(self, job: Job) -> Report:
        """Do it."""
        self._report = report = Report()
        self._done = 0
        began_s = time.process_time()
        if job.streams:
            numbers = range(job.first, job.end, job.step)
            pause_s = job.ramp_s / len(numbers) if numbers else 0.0
            greenlets = [gevent.spawn_later(pause_s * i, self._stream, job, each) for i, each in enumerate(numbers)]
        else:
            waiting = iter(range(job.first, job.end, job.step))
            greenlets = [gevent.spawn(self._requests, waiting) for _ in range(job.connections)]
        gevent.joinall(greenlets, raise_error=True)
        report.cpu_s = time.process_time() - began_s
        return report

    def _requests(self, waiting: Iterator[int]) -> None:
        connection: Connection | None = None
        previous = ""
        for number in waiting:
            request = soak_mix.request(number, seed=self._seed, previous=previous)
            connection = connection or Connection(self._port)
            told = self._exchanged(connection, request)
            if told is None:
                connection = None
            elif request.shape.protocol == "responses" and not request.shape.stream and told.is_whole:
                previous = told.id
        if connection is not None:
            connection.close()

    def _stream(self, job: Job, number: int) -> None:
        protocol = soak_mix.STREAMED[number % len(soak_mix.STREAMED)]
        shape = Shape(protocol, stream=True, events=job.events, length=job.events * 30, pace_ms=job.pace_ms)
        connection = Connection(self._port)
        self._exchanged(connection, soak_mix.made(number, shape, fails=False))
        connection.close()

    def _exchanged(self, connection: Connection, request: Request) -> Told | None:
        """Make one request, and count what came; None when the connection cannot be used any more."""
        told = Told()
        is_open = request.shape.stream
        self._open += is_open
        self._report.sent += 1
        began = time.perf_counter()
        try:
            outcome = self._outcome(connection, request, told)
        except _Left:
            connection.close()
            outcome = _judged(request, told, has_left=True)
        except (Wrong, OSError, ValueError, KeyError) as error:
            outcome = f"WRONG: {error!r}"
        self._open -= is_open
        self._done += 1
        self._count(request, outcome, time.perf_counter() - began)
        if outcome.startswith("WRONG"):
            connection.close()
        return None if connection.is_closed else told

    def _outcome(self, connection: Connection, request: Request, told: Told) -> str:
        """What came, in a few words: ``right``, ``HTTP 503 ...``, ``in-band ...``, ``WRONG: ...``."""
        status, headers = connection.ask(request.sent)
        self._report.ids += int(headers[b"x-request-id"].removeprefix(b"req_"), 16)
        pieces = connection.pieces(headers)
        if status != 200:
            name = soak_check.refusal(request.shape.protocol, status, b"".join(pieces))
            return f"HTTP {status} {name}"
        if request.plan is None:
            raise Wrong(f"status 200 instead of {request.shape.status}")
        if request.shape.leave_after:
            pieces = _left(pieces, request.shape.leave_after)
        soak_check.read(request.shape.protocol, pieces, told, stream=request.shape.stream)
        for _ in pieces:
            raise Wrong("something after the end")
        return _judged(request, told)

    def _count(self, request: Request, outcome: str, took_s: float) -> None:
        report = self._report
        faults = self._faults(request)
        outcome = _explained(request, outcome, faults)
        match outcome.split()[0]:
            case "right":
                report.right += 1
            case "left":
                report.left += 1
            case "expected":
                report.expected += 1
            case "WRONG:":
                report.wrong += 1
                if len(report.described) < _MAX_DESCRIBED:
                    report.described.append(f"{request.number} {request.kind} faults={faults} {outcome}")
            case _:
                report.errors[outcome] += 1
        if faults:
            report.hit[f"{faults[0]} {outcome.split()[0].rstrip(':,')}"] += 1
        elif outcome == "right":
            pauses_s = (request.plan.events - 1) * request.plan.pace_ms / 1000 if request.plan else 0.0
            report.took(request.kind, took_s - pauses_s)

    def _faults(self, request: Request) -> list[str]:
        """What the attempts meet, up to the first that meets nothing."""
        plan = request.plan
        if plan is None:
            return []
        faults = (soak_script.fault(plan, attempt, seed=self._seed, share=self._share) for attempt in itertools.count())
        return list(itertools.takewhile(bool, faults))


def _explained(request: Request, outcome: str, faults: list[str]) -> str:
    """The outcome, or why it may not be: each error must have its cause."""
    if outcome.startswith("WRONG"):
        return outcome
    if request.plan is None:
        wanted = f"HTTP {request.shape.status} "
        return "expected" if outcome.startswith(wanted) else f"WRONG: {outcome} instead of {wanted}"
    if outcome == "empty":  # Gemini's own clients get an empty answer as it came, when it came twice
        return "empty, as it came" if "empty" in faults else "WRONG: an empty answer"
    if outcome in ("right", "left") or outcome.startswith(_PAUSED):
        return outcome
    if outcome.startswith("HTTP 4"):
        return f"WRONG: {outcome}, but the request was right"
    return outcome if set(faults) - set(soak_script.HARMLESS) else f"WRONG: {outcome}, but upstream has not failed"


def _left(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    for number, piece in enumerate(pieces, 1):
        yield piece
        if number == count:
            raise _Left


def _judged(request: Request, told: Told, *, has_left: bool = False) -> str:
    """The outcome of an answer that was read."""
    plan = request.plan
    assert plan is not None  # noqa: S101 - those without get no such answer
    if request.shape.protocol in ("gemini", "array") and told.is_whole and not told.text and not told.calls:
        return "empty"
    soak_check.check(told, plan, has_left=has_left)
    if told.error is not None:
        return f"in-band {told.error}"
    return "left" if has_left else "right"


def _ticking(tell: Callable[[], None]) -> None:
    while True:
        gevent.sleep(_TICK_S)
        tell()


def main() -> None:
    """Do the jobs, until there are no more."""
    options = json.loads(sys.argv[1])
    clients = Clients(options["port"], seed=options["seed"], share=options["share"])

    def tell(kind: str, value: dict[str, Any]) -> None:
        print(json.dumps({kind: value}), flush=True)

    gevent.spawn(_ticking, lambda: tell("progress", clients.progress()))
    for line in sys.stdin:
        tell("report", clients.run(Job(**json.loads(line))).told())


if __name__ == "__main__":
    main()
