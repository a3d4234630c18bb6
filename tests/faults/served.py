"""Faults that need a server of its own: agproxy under gunicorn, whose worker dies or whose file of state fails.

All protocols are asked at once, as in the other rows, but of one agproxy.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tests.conversation.turn import Text
from tests.e2e.conftest import Agproxy, accounts_ini, environment, gunicorn_argv, running
from tests.fake_google import Answer, FakeGoogle, RecordedRequest
from tests.faults.outcome import WAYS, Mode, Received, judge
from tests.faults.stage import ANSWER, GOOD, WHOLE, Cell, Expected, side_by_side
from tests.ports import free_port
from tests.tongues import HEADERS, MODEL, TONGUES

Row = Mapping[tuple[str, Mode], Cell]
_LOCKED_S = 5.0
LATENCY_MS = 3000  # SQLite itself would wait for its whole time-out of 5 s, with all requests of the worker
_DISK = "size=256k"
_NOTICED_S = 20.0  # how long it may take until the log says something


@dataclass
class Scene:
    """One agproxy with a state of its own, and the fake Google behind it.

    :param lines: the requests that were answered, by the ids that the log must have once each.
    """

    google: FakeGoogle
    folder: Path
    stack: contextlib.ExitStack
    complaints: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self, *, store: str = "", around: tuple[str, ...] = ()) -> Agproxy:
        """agproxy with one worker.

        :param store: where it keeps its state, as in the INI.
        :param around: a command that runs another one.
        """
        port = free_port()
        ini = self.folder / "agproxy.ini"
        ini.write_text(f"[store]\nurl = {store}\n[upstream]\nping_s = 60\n" + accounts_ini(self.google, "a", "b"))
        ini.chmod(0o600)
        env = environment(self.folder, AGPROXY_CONFIG=str(ini))
        argv = [*around, *gunicorn_argv(port)]
        log_path = self.folder / "log"
        return self.stack.enter_context(running(argv, f"http://127.0.0.1:{port}", ini, log_path, env, self.folder))

    def ask(self, agproxy: Agproxy, protocol: str, mode: Mode, heard: threading.Event | None = None) -> Received:
        """What the client gets that asks one question.

        :param heard: set when the first byte of the answer has come.
        """
        tongue = TONGUES[protocol]
        streamed = mode != "whole"
        path = tongue.path(MODEL, streamed=streamed)
        words = Text(f"Question {next(self._numbers)}")  # each a conversation of its own, of which something is kept
        body = json.dumps(tongue.body([words], model=MODEL, streamed=streamed)).encode()
        connection = http.client.HTTPConnection("127.0.0.1", agproxy.port, timeout=60)
        pieces: list[bytes] = []
        status, content_type = 0, ""
        try:
            headers = {"Content-Type": "application/json", **HEADERS[protocol]}
            connection.request("POST", path.partition("?")[0] if mode == "array" else path, body, headers)
            answer = connection.getresponse()
            status, content_type = answer.status, answer.headers["Content-Type"]
            while piece := answer.read1():
                pieces.append(piece)
                if heard is not None:
                    heard.set()
            self.lines.append(answer.headers["X-Request-Id"])
        except (http.client.HTTPException, ConnectionError):
            return Received(status, content_type, b"".join(pieces), is_broken_off=True)
        finally:
            connection.close()
        return Received(status, content_type, b"".join(pieces))

    def row(self, agproxy: Agproxy) -> Row:
        """What the clients of all protocols see that ask side by side; it must be whole answers."""
        return dict(zip(WAYS, side_by_side([partial(self._cell, agproxy, *way) for way in WAYS]), strict=True))

    def is_well(self, agproxy: Agproxy) -> None:
        """All clients must be answered; this is not what the fault is judged by."""
        for (protocol, mode), cell in self.row(agproxy).items():
            self.complaints += [f"{protocol} {mode}, before or after: {each}" for each in cell.complaints]

    def must(self, holds: Callable[[], bool], words: str) -> None:
        """This must come to hold."""
        until = time.monotonic() + _NOTICED_S
        while not holds():
            if time.monotonic() > until:
                self.complaints.append(f"not so: {words}")
                return
            time.sleep(0.02)

    def _cell(self, agproxy: Agproxy, protocol: str, mode: Mode) -> Cell:
        began = time.monotonic()
        cell = _judged(protocol, mode, self.ask(agproxy, protocol, mode), WHOLE)
        return replace(cell, ms=(time.monotonic() - began) * 1000)


def _judged(protocol: str, mode: Mode, received: Received, expected: Expected) -> Cell:
    outcome = judge(protocol, mode, received, text=ANSWER)
    return Cell(outcome, 0.0, () if expected.fits(outcome) else (f"{outcome} ({outcome.words}), not {expected}",))


@dataclass(frozen=True)
class Served:
    """One row.

    :param play: brings the fault about, and tells what the clients saw.
    :param can_be: whether it can be brought about here.
    """

    name: str
    play: Callable[[Scene], Row]
    can_be: Callable[[], bool] = lambda: os.name == "posix"


def run(fault: Served) -> Row:
    """The row of a fault; what concerns all clients is a complaint of the first."""
    with contextlib.ExitStack() as stack:
        google = stack.enter_context(FakeGoogle(native=True))
        google.default = GOOD
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agproxy-faults-")))
        scene = Scene(google, folder, stack)
        row = dict(fault.play(scene))
        scene.must(lambda: all(request.finished_at for request in google.requests), "all requests to Google have ended")
        scene.must(lambda: sorted(_logged(folder)) == sorted(scene.lines), "each answer has one line in the log")
        scene.must(lambda: "Traceback" not in (folder / "log").read_text(), "no traceback in the log")
    first = WAYS[0]
    row[first] = replace(row[first], complaints=(*row[first].complaints, *scene.complaints))
    return row


def _logged(folder: Path) -> list[str]:
    """The ids of the requests in the log, but for those that asked whether agproxy is there."""
    return re.findall(r" id=(\S+) method=POST ", (folder / "log").read_text())


# A worker that dies.


def _worker_killed(scene: Scene) -> Row:
    """All clients wait for the rest of their answers, and the worker is killed. None may take what came for all."""
    agproxy = scene.start()
    scene.is_well(agproxy)
    asked = len(scene.google.requests)
    scene.google.default = _begun
    heard = {way: threading.Event() for way in WAYS}

    def cell(protocol: str, mode: Mode) -> Cell:
        received = scene.ask(agproxy, protocol, mode, heard[protocol, mode])
        return _judged(protocol, mode, received, Expected("cut", received.status))

    with ThreadPoolExecutor(len(WAYS)) as pool:
        waiting = [pool.submit(cell, *way) for way in WAYS]
        scene.google.wait_for(asked + len(WAYS))
        if not all(event.wait(20) for (_, mode), event in heard.items() if mode != "whole"):
            scene.complaints.append("a stream has not begun")
        (pid,) = _workers(agproxy)
        os.kill(pid, signal.SIGKILL)
        cells = [each.result() for each in waiting]
    scene.google.default = GOOD
    scene.must(lambda: len(_workers(agproxy)) == 2, "gunicorn starts another worker")
    scene.is_well(agproxy)
    return dict(zip(WAYS, cells, strict=True))


def _begun(request: RecordedRequest) -> Answer:
    return GOOD.delivered(between_s=60) if request.stream else GOOD.delivered(headers_s=60)


def _workers(agproxy: Agproxy) -> list[int]:
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", agproxy.log())]


# A file of state that fails.


def _state_locked(scene: Scene) -> Row:
    """Another process holds the lock for writing for 5 s."""
    state = scene.folder / "state.db"
    agproxy = scene.start(store=f"sqlite:{state}")
    scene.is_well(agproxy)
    with contextlib.closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + _LOCKED_S
        row = scene.row(agproxy)
        while time.monotonic() < until:
            time.sleep(0.5)
            row = worse(row, scene.row(agproxy))
        other.execute("ROLLBACK")
    scene.must(lambda: "store can be used again" in agproxy.log(), "the log says that the store can be used again")
    if (ms := max(cell.ms for cell in row.values())) > LATENCY_MS:
        scene.complaints.append(f"a request took {ms:.0f} ms")
    scene.is_well(agproxy)
    return row


def _state_corrupt(scene: Scene) -> Row:
    """The file is overwritten while agproxy serves, after another process has changed it, so that it is read again."""
    state = scene.folder / "state.db"
    agproxy = scene.start(store=f"sqlite:{state}")
    scene.is_well(agproxy)
    with contextlib.closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("CREATE TABLE another (value)")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with state.open("r+b") as file:
            file.write(b"not a database" * (state.stat().st_size // 14 + 1))
        row = scene.row(agproxy)
    row = worse(row, scene.row(agproxy))
    scene.must(lambda: "store was corrupt, a new one is begun" in agproxy.log(), "the log says that it was corrupt")
    scene.is_well(agproxy)
    return row


def _state_gone(scene: Scene) -> Row:
    """The file and its folder are deleted while agproxy serves."""
    state = scene.folder / "state" / "state.db"
    state.parent.mkdir()
    agproxy = scene.start(store=f"sqlite:{state}")
    scene.is_well(agproxy)
    for path in state.parent.iterdir():
        path.unlink()
    state.parent.rmdir()
    row = scene.row(agproxy)
    scene.is_well(agproxy)
    return row


def _disk_full(scene: Scene) -> Row:
    """The file is on a disk of its own, which is full; then there is room again, which is tried after half a minute."""
    disk = scene.folder / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o {_DISK} none "{disk}" && exec "$@"'
    agproxy = scene.start(store=f"sqlite:{disk}/state.db", around=("unshare", "-rm", "sh", "-c", script, "sh"))
    scene.is_well(agproxy)
    seen = Path(f"/proc/{agproxy.process.pid}/root{disk}")  # the disk is there for agproxy alone
    rest = seen / "rest"
    with rest.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 1024)
    row = scene.row(agproxy)
    for _ in range(3):
        row = worse(row, scene.row(agproxy))
    scene.must(lambda: "store cannot be used" in agproxy.log(), "the log says that the store cannot be used")
    rest.unlink()
    scene.is_well(agproxy)
    return row


def _can_mount() -> bool:
    return (
        sys.platform == "linux"
        and subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL).returncode == 0
    )


def worse(one: Row, other: Row) -> Row:
    """Of each client what was worse."""
    return {way: max(one[way], other[way], key=lambda cell: (bool(cell.complaints), cell.ms)) for way in one}


SERVED: tuple[Served, ...] = (
    Served("worker killed with -9 while it answers", _worker_killed),
    Served("state locked for 5 s", _state_locked),
    Served("state corrupt while it is used", _state_corrupt),
    Served("state deleted while it is used", _state_gone),
    Served("disk full", _disk_full, _can_mount),
)
