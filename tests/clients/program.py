"""Runs one client program: a home of its own, mostly no terminal, a time limit, and nothing of it left behind."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT = ("LANG", "LC_ALL", "TZ", "TMPDIR")  # of the environment of whoever runs the tests
# Nothing listens there: what a client wants from the Internet (updates, lists of plugins) it is refused at once.
_NO_INTERNET = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "127.0.0.1,localhost",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a program.

    :param code: its exit code; None = it still runs.
    """

    argv: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{' '.join(self.argv)}\nended with {self.code} after {self.seconds:.1f} s"
            f"\n--- its output\n{self.out[-4000:]}\n--- its errors\n{self.err[-4000:]}"
        )


class TookTooLong(AssertionError):
    """The program did not do in time what it was waited for."""


class Program:
    """A program that runs; see ``started``."""

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], outputs: Path) -> None:
        self._argv = tuple(argv)
        self._out, self._err = outputs / "stdout", outputs / "stderr"
        self._started = time.monotonic()
        # Files, not pipes: a process that it leaves behind would hold a pipe open.
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    def wait(self, timeout_s: float) -> Finished:
        """Wait for its end.

        :raises TookTooLong: with what it has said so far.
        """
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"not within {timeout_s:g} s: {self._so_far()}") from None
        return self._so_far()

    def wait_for(self, path: Path, timeout_s: float) -> None:
        """Wait until it has made a file.

        :raises TookTooLong: with what it has said so far; also when it ended without.
        """
        deadline = time.monotonic() + timeout_s
        while not path.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TookTooLong(f"{path.name} was not made within {timeout_s:g} s: {self._so_far()}")
            time.sleep(0.05)

    def _so_far(self) -> Finished:
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in (self._out, self._err))
        return Finished(self._argv, self._process.returncode, out, err, time.monotonic() - self._started)

    def end(self) -> None:
        """End it, and whatever it has started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def environment(home: Path, path: str, **extra: str) -> dict[str, str]:
    """An environment without the settings and keys of whoever runs the tests, and without the Internet."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    proxies = {**_NO_INTERNET, **{name.upper(): value for name, value in _NO_INTERNET.items()}}
    return {**kept, **proxies, "HOME": str(home), "PATH": path, "NO_COLOR": "1", "TERM": "dumb", **extra}


@contextlib.contextmanager
def started(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], outputs: Path) -> Iterator[Program]:
    """Start a program; in the end its whole process group is killed.

    :param outputs: the folder of what it writes to stdout and stderr.
    """
    program = Program(argv, cwd=cwd, env=env, outputs=outputs)
    try:
        yield program
    finally:
        program.end()


@contextlib.contextmanager
def at_terminal(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """Start a program at a terminal, which nobody looks at; gives what types there.

    In the end its whole process group is killed.
    """
    import pty  # not on Windows
    import termios

    keyboard, screen = pty.openpty()
    termios.tcsetwinsize(screen, (40, 120))
    process = subprocess.Popen(
        argv, cwd=cwd, env=dict(env), stdin=screen, stdout=screen, stderr=screen, start_new_session=True
    )
    os.close(screen)

    def look() -> None:
        with contextlib.suppress(OSError):  # EIO: the program has gone
            while os.read(keyboard, 65536):
                pass

    def press(keys: str) -> None:
        os.write(keyboard, keys.encode())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield press
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        looking.join()
        os.close(keyboard)
