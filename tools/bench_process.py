"""The processes that the benchmark starts, and what the kernel counts of them: CPU time and memory. Linux only."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

TOOLS = Path(__file__).resolve().parent
STOP_S = 10.0

# The same for all. agproxy's own settings for gunicorn (agproxy.cli.gunicorn_settings) say the same.
_GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "1", "--keep-alive", "75"),
    *("--no-control-socket", "--log-level", "warning"),
)


@dataclass(frozen=True)
class Tree:
    """A running gunicorn.

    :ivar command: what started it.
    :ivar pid: of the master, whose only child is the worker.
    """

    port: int
    command: list[str]
    pid: int

    @cached_property
    def worker(self) -> int:
        """The worker's process id, once it answers."""
        [pid] = _children(self.pid)
        return pid

    def cpu_s(self) -> float:
        """The CPU time that master and worker have used so far.

        :raises OSError: when one of them has ended.
        """
        return used_cpu_s(self.pid) + used_cpu_s(self.worker)


def listener() -> socket.socket:
    """A listening socket on loopback, to be handed to a server: who connects waits until that has started."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def environment(home: Path, config: Path) -> dict[str, str]:
    """An environment without the user's own settings, such as proxies and keys; agproxy is that of this checkout."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "AGPROXY_CONFIG": str(config), "PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"}


@contextlib.contextmanager
def gunicorn(app: str, env: dict[str, str]) -> Iterator[Tree]:
    """Start gunicorn with ``app``, which may not be ready yet, and stop it in the end.

    :param app: in gunicorn's words, such as ``module:app`` or ``module:factory("argument")``.
    """
    with listener() as sock:
        command = [*_GUNICORN, "--bind", f"fd://{sock.fileno()}", app]
        port = sock.getsockname()[1]
        with _running(command, sock, env) as process:
            yield Tree(port, command, process.pid)


@contextlib.contextmanager
def upstream(env: dict[str, str]) -> Iterator[int]:
    """Start the fast upstream, and stop it in the end; gives its port."""
    with listener() as sock:
        command = [sys.executable, str(TOOLS / "bench_upstream.py"), str(sock.fileno())]
        port = sock.getsockname()[1]
        with _running(command, sock, env):
            yield port


@contextlib.contextmanager
def _running(command: list[str], sock: socket.socket, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        pass_fds=[sock.fileno()],
        env=env,
        cwd=env["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sock.close()  # if the process ends, nobody shall wait for it any more
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it and its children at once: gunicorn's gentle stop waits for connections."""
    pids = _children(process.pid)
    process.kill()
    process.wait(STOP_S)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def why(command: list[str], env: dict[str, str]) -> str:
    """The last words of a server that does not start, which is started once more for them."""
    with listener() as sock:
        again = [f"fd://{sock.fileno()}" if word.startswith("fd://") else word for word in command]
        try:
            process = subprocess.run(
                again, pass_fds=[sock.fileno()], env=env, cwd=env["HOME"], stderr=subprocess.PIPE, timeout=STOP_S
            )
        except subprocess.TimeoutExpired as error:
            return (error.stderr or b"").decode(errors="replace")[-2000:]
    return process.stderr.decode(errors="replace")[-2000:]


def import_s(module: str, env: dict[str, str]) -> float:
    """Wall time of a new Python that imports ``module`` and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], env=env, cwd=env["HOME"], check=True)
    return time.perf_counter() - began


def pss_mb(pid: int, kind: Literal["Pss", "Pss_Anon"] = "Pss") -> float:
    """Proportional set size: the process's memory, of shared pages its share only; MB of 1,000,000 bytes.

    Wire: proc(5), ``/proc/pid/smaps_rollup``.

    :param kind: all of it, or the part that is no file's.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == kind:
            return int(value.split()[0]) * 1024 / 1e6
    raise OSError(f"/proc/{pid}/smaps_rollup has no {kind}")


def used_cpu_s(pid: int) -> float:
    """CPU time of a process with all its threads, those that have ended too, to the nanosecond.

    Its clock's number is what clock_getcpuclockid(3) gives: ``(~pid << 3) | CPUCLOCK_SCHED``, of Linux's
    ``include/linux/posix-timers.h``. The times in ``/proc/pid/stat`` count in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | 2)


def _children(parent: int) -> list[int]:
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                children.append(int(stat.parent.name))
    return children
