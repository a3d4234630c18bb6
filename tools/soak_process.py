"""The processes of a soak run, and what can be seen of them from outside. Linux only.

This process must not be one of gevent: a listening socket that it hands over would not block (``soak_upstream``).
"""

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import bench_process
from bench_process import TOOLS

_STOP_S = 10.0
_ASK_S = 30.0


class Failed(Exception):
    """A process of the run does not do its part."""


class Agproxy:
    """agproxy under gunicorn.

    :ivar log: the file of its log.
    """

    def __init__(self, master: int, port: int, workers: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._master = master
        self._wanted = workers
        self._workers: dict[int, dict[str, int]] = {}

    def inside(self) -> dict[str, int]:
        """What the workers tell of themselves, added up; of greenlets, the most of one worker.

        :raises Failed: a worker has ended.
        """
        told: dict[int, dict[str, int]] = {}
        for _ in range(200 * self._wanted):
            answer = ask(self.port, "/soak")
            told[answer.pop("pid")] = answer
            if len(told) >= self._wanted:
                break
        if self._workers and self._workers.keys() != told.keys():
            raise Failed(f"workers {sorted(self._workers)} became {sorted(told)}; the log says why: {self.log}")
        self._workers = told
        names = next(iter(told.values()))
        return {name: (max if name == "greenlets" else sum)(each[name] for each in told.values()) for name in names}

    def cpu_s(self) -> float:
        """The CPU time of all of its processes so far."""
        return sum(map(bench_process.used_cpu_s, (self._master, *self._workers)))

    def memory_mb(self, kind: Literal["Pss", "Pss_Anon"] = "Pss") -> float:
        """The memory of the workers: all of it, or the part that is no file's."""
        return sum(bench_process.pss_mb(pid, kind) for pid in self._workers)

    def open_files(self) -> int:
        """How many descriptors the workers have open."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self._workers)

    def threads(self) -> int:
        """How many threads the workers have, those of the system's libraries too."""
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self._workers)


def busy_s() -> float:
    """How long the machine's processors have worked so far, for whomever (proc(5), ``/proc/stat``)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = ticks[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def in_flight(env: dict[str, str]) -> int | None:
    """How many requests the store counts as under way; None when that cannot be known, for it is in memory.

    :raises Failed: ``agproxy accounts list`` does not tell.
    """
    command = [sys.executable, "-m", "agproxy", "accounts", "list", "--json"]
    run = subprocess.run(command, env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=_ASK_S)
    if run.returncode:
        raise Failed(f"agproxy accounts list: {run.stderr}")
    told = json.loads(run.stdout)
    return sum(account["in_flight"] for account in told["accounts"]) if told["state_is_known"] else None


@contextlib.contextmanager
def agproxy(app: str, env: dict[str, str], *, workers: int, log: Path) -> Iterator[Agproxy]:
    """Start gunicorn as ``agproxy serve`` does, with ``soak_inside`` around the application."""
    with bench_process.listener() as sock, log.open("wb") as output:
        command = [
            *(sys.executable, "-m", "gunicorn", "--config", "python:agproxy.cli.gunicorn_settings"),
            *("--workers", str(workers), "--log-level", "warning", "--bind", f"fd://{sock.fileno()}"),
            f'soak_inside:watched("{app}")',
        ]
        port = sock.getsockname()[1]
        process = _started(command, env, pass_fds=[sock.fileno()], stdout=output, stderr=output)
        sock.close()
        try:
            yield Agproxy(process.pid, port, workers, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            bench_process.stop(process)


@contextlib.contextmanager
def upstream(env: dict[str, str], *, seed: int, share: float) -> Iterator["Upstream"]:
    """Start the upstream."""
    with bench_process.listener() as sock:
        command = [sys.executable, str(TOOLS / "soak_upstream.py"), str(sock.fileno()), str(seed), str(share)]
        port = sock.getsockname()[1]
        process = _started(command, env, pass_fds=[sock.fileno()])
        sock.close()
        try:
            yield Upstream(process.pid, port)
        finally:
            bench_process.stop(process)


class Upstream:
    """The upstream."""

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._pid = pid

    def counts(self) -> dict[str, Any]:
        """What it has counted; see ``soak_upstream``."""
        return ask(self.port, "/soak")

    def cpu_s(self) -> float:
        """Its CPU time so far."""
        return bench_process.used_cpu_s(self._pid)


class Clients:
    """The processes of the clients."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self._told: queue.Queue[tuple[int, str, dict[str, Any]]] = queue.Queue()
        for index, process in enumerate(processes):
            threading.Thread(target=self._listen, args=(index, process), daemon=True).start()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._processes)

    def start(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Give each its job."""
        for process, job in zip(self._processes, jobs, strict=True):
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()

    def told(self, timeout_s: float) -> tuple[int, str, dict[str, Any]] | None:
        """What the next one tells: its number, ``progress`` or ``report``, and that; None when none does in time.

        :raises Failed: it has ended.
        """
        try:
            index, kind, value = self._told.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if kind == "end":
            raise Failed(f"client {index} has ended: {value['words']}")
        return index, kind, value

    def _listen(self, index: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - they are pipes
        for line in process.stdout:
            for kind, value in json.loads(line).items():
                self._told.put((index, kind, value))
        self._told.put((index, "end", {"words": process.stderr.read().decode(errors="replace")[-2000:]}))


@contextlib.contextmanager
def clients(env: dict[str, str], count: int, **options: Any) -> Iterator[Clients]:
    """Start the clients.

    :param options: see ``soak_client``.
    """
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(count):
            command = [sys.executable, str(TOOLS / "soak_client.py"), json.dumps(options)]
            pipe = subprocess.PIPE
            process = _started(command, env, stdin=pipe, stdout=pipe, stderr=pipe)
            stack.callback(bench_process.stop, process)
            processes.append(process)
        yield Clients(processes)


def ask(port: int, path: str) -> dict[str, Any]:
    """What a server tells at a path, over a connection of its own.

    :raises Failed: nothing.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_S)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(f"the server at port {port} does not answer: {error!r}") from error
    finally:
        connection.close()
    return told


def _started(
    command: list[str],
    env: dict[str, str],
    *,
    pass_fds: Sequence[int] = (),
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=env, cwd=env["HOME"], pass_fds=pass_fds, stdin=stdin, stdout=stdout, stderr=stderr
    )
