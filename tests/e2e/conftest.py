"""Real parts: agproxy under gunicorn in a process of its own, the strict fake Google, the real openai SDK."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from tests.fake_google import FakeGoogle
from tests.ports import free_port

START_TIMEOUT_S = 60.0
SETTINGS = ("--config", "python:agproxy.cli.gunicorn_settings")  # of gunicorn, as `agproxy serve` starts it


@dataclass
class Agproxy:
    """One running agproxy."""

    url: str
    ini: Path
    log_path: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        return self.log_path.read_text()

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **kwargs)

    def chat(self, *, headers: dict[str, str] | None = None, **body: Any) -> requests.Response:
        """Post a Chat Completions body, by default one question to a mapped model."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **body}
        return requests.post(self.url + "/v1/chat/completions", json=body, headers=headers, timeout=60)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it.

        :param how: SIGTERM gives the requests under way, and idle connections, a little time; SIGINT gives none.
        """
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


Serve = Callable[..., Agproxy]


def accounts_ini(google: FakeGoogle, *names: str, **options: str) -> str:
    """One account section a name; account "a" has key "test-key-a" and address "a@example.com"."""
    lines = []
    for name in names:
        lines += [f"[account:{name}]", f"api_key = test-key-{name}", f"email = {name}@example.com"]
        lines += [f"base_url = {google.url}", *(f"{option} = {value}" for option, value in options.items())]
    return "\n".join(lines) + "\n"


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment without the user's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **extra}


@contextlib.contextmanager
def running(argv: list[str], url: str, ini: Path, log_path: Path, env: dict[str, str], cwd: Path) -> Iterator[Agproxy]:
    """Start a server, wait until it answers, and stop it in the end."""
    with log_path.open("wb") as log_file:
        process = subprocess.Popen(argv, stdout=log_file, stderr=subprocess.STDOUT, env=env, cwd=cwd)
    agproxy = Agproxy(url, ini, log_path, process)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):  # it listens before it can answer
                requests.get(url + "/healthz", timeout=5)
                break
            assert process.poll() is None, f"the server ended:\n{agproxy.log()}"
            assert time.monotonic() < deadline, f"the server does not answer:\n{agproxy.log()}"
            time.sleep(0.03)
        yield agproxy
    finally:
        agproxy.stop(signal.SIGINT)


@pytest.fixture(scope="session")
def _google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google


@pytest.fixture
def google(_google: FakeGoogle) -> Iterator[FakeGoogle]:
    """The fake; after each test it must not have refused anything by its own rules."""
    _google.reset()
    yield _google
    _google.assert_no_refusals()


def gunicorn_argv(port: int, *, workers: int = 1) -> list[str]:
    """gunicorn with gevent, as the README has it."""
    argv = [sys.executable, "-m", "gunicorn", "-k", "gevent", "agproxy.wsgi:app", "-b", f"127.0.0.1:{port}"]
    return [*argv, "--graceful-timeout", "3", "--workers", str(workers)]


def start_gunicorn(stack: contextlib.ExitStack, folder: Path, ini: str, *, workers: int = 1) -> Agproxy:
    """agproxy under gunicorn until the stack is closed.

    :param folder: its home, too: agproxies of one folder have one state, together and one after the other.
    """
    number = len(list(folder.glob("*.ini")))
    path = folder / f"agproxy-{number}.ini"
    path.write_text(ini)
    path.chmod(0o600)
    port = free_port()
    env = environment(folder, AGPROXY_CONFIG=str(path))
    log_path = folder / f"agproxy-{number}.log"
    return stack.enter_context(
        running(gunicorn_argv(port, workers=workers), f"http://127.0.0.1:{port}", path, log_path, env, folder)
    )


@pytest.fixture
def serve(tmp_path: Path, google: FakeGoogle) -> Iterator[Serve]:
    """Starts an agproxy for one test.

    ``serve("a", "b", ini="[upstream]...")`` has these two accounts; without names it has the demo alone.
    """
    with contextlib.ExitStack() as stack:

        def start(*names: str, ini: str = "", workers: int = 1, **options: str) -> Agproxy:
            text = ini + "\n" + accounts_ini(google, *names, **options)
            return start_gunicorn(stack, tmp_path, text, workers=workers)

        yield start


@pytest.fixture(scope="module")
def agproxy(tmp_path_factory: pytest.TempPathFactory, _google: FakeGoogle) -> Iterator[Agproxy]:
    """One agproxy for the tests of a module that leave nothing behind in its pool; its only account is "a"."""
    with contextlib.ExitStack() as stack:
        yield start_gunicorn(stack, tmp_path_factory.mktemp("agproxy"), accounts_ini(_google, "a"))


@pytest.fixture
def client_of() -> Iterator[Callable[..., openai.OpenAI]]:
    """Makes real openai clients of an agproxy, without retries of their own unless asked for."""
    with contextlib.ExitStack() as stack:

        def make(agproxy: Agproxy, **options: Any) -> openai.OpenAI:
            options = {"api_key": "unused", "max_retries": 0, "timeout": 30, **options}
            return stack.enter_context(openai.OpenAI(base_url=agproxy.url + "/v1", **options))

        yield make
