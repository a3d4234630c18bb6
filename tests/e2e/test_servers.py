"""agproxy under other servers, at a prefix, with broken and with changing configurations."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import waitress.server
from werkzeug import Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from agproxy.app import create_app
from tests.e2e.conftest import SETTINGS, Agproxy, Serve, accounts_ini, environment, gunicorn_argv, running
from tests.fake_google import FakeGoogle, slow, text
from tests.ports import free_port

RULE = "[models]\ngpt-4o = gemini-2.5-pro\n"
QUESTION = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def app(tmp_path: Path, google: FakeGoogle) -> Any:
    path = tmp_path / "agproxy.ini"
    path.write_text("[upstream]\nping_s = 0.3\n" + accounts_ini(google, "a"))
    path.chmod(0o600)
    return create_app(path)


@contextmanager
def under_waitress(app: Any) -> Iterator[str]:
    server = waitress.server.create_server(
        app, host="127.0.0.1", port=0, threads=4, clear_untrusted_proxy_headers=False
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        server.task_dispatcher.shutdown(timeout=2)
        thread.join(timeout=5)


@contextmanager
def under_werkzeug(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextmanager
def mounted(app: Any) -> Iterator[str]:
    outer = DispatcherMiddleware(Response("outer", status=404), {"/llm/gateway": app})
    with under_werkzeug(outer) as url:
        yield url + "/llm/gateway"


@pytest.mark.parametrize("server", [under_waitress, under_werkzeug, mounted])
def test_other_servers(server: Any, app: Any, google: FakeGoogle) -> None:
    with server(app) as url:
        assert requests.get(url + "/healthz", timeout=10).json() == {"status": "ok"}
        whole = requests.post(url + "/v1/chat/completions", json=QUESTION, timeout=10)
        assert whole.json()["choices"][0]["message"]["content"] == "Hello from fake Google"
        google.enqueue(slow(text("one ", "two"), first_byte_s=1.0))
        streamed = requests.post(url + "/v1/chat/completions", json={**QUESTION, "stream": True}, timeout=10).text
        assert ": ping" in streamed
        assert streamed.endswith("data: [DONE]\n\n")
        lost = requests.get(url + "/nowhere", timeout=10)
        assert lost.status_code == 404
        assert f"{url}/v1" in lost.json()["error"]["message"]


def test_plain_gunicorn_without_any_configuration(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "gunicorn", "-k", "gevent", "agproxy.wsgi:app", "-b", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    with running(argv, url, tmp_path / "none", tmp_path / "log", environment(tmp_path), tmp_path) as agproxy:
        assert "[agproxy demo]" in agproxy.chat().text


def test_the_demo_does_not_serve_beside_a_key_in_the_environment(tmp_path: Path) -> None:
    """Google is behind a proxy here that nobody runs, so that nothing leaves this machine."""
    port, key = free_port(), "AIza-made-up-key-for-a-test"
    path = tmp_path / "agproxy.ini"
    path.write_text(f"[upstream]\nproxy = http://127.0.0.1:{free_port()}\nmax_attempts = 1\n")
    argv = [sys.executable, "-m", "gunicorn", "-k", "gevent", "agproxy.wsgi:app", "-b", f"127.0.0.1:{port}"]
    env = environment(tmp_path, AGPROXY_CONFIG=str(path), GEMINI_API_KEY=key)
    with running(argv, f"http://127.0.0.1:{port}", path, tmp_path / "log", env, tmp_path) as agproxy:
        response = agproxy.chat()
        assert response.status_code == 502
        assert "generativelanguage.googleapis.com: the proxy" in response.json()["error"]["message"]
        assert response.headers["X-Mapped-Model"] == "gemini-flash-latest"
        assert key not in response.text + agproxy.log()


def test_serve_command(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "agproxy", "serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(argv, url, tmp_path / "none", tmp_path / "log", environment(tmp_path), tmp_path) as agproxy:
        assert "data: [DONE]" in agproxy.chat(stream=True).text
        assert f"{url}/v1" in agproxy.log()
        assert "THE ANSWERS ARE MADE UP" in agproxy.log()


def test_a_broken_configuration_stops_the_server_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "agproxy.ini"
    path.write_text("[server]\napi_keys = x\n")
    argv = [sys.executable, "-m", "gunicorn", "-k", "gevent", "agproxy.wsgi:app", "-b", f"127.0.0.1:{free_port()}"]
    env = environment(tmp_path, AGPROXY_CONFIG=str(path))
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=30, check=False)
    assert done.returncode != 0
    assert "line 2: [server] unknown option 'api_keys'; did you mean 'api_key'?" in done.stderr


def test_an_edited_configuration_is_taken_over(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve("a")
    assert agproxy.chat().headers["X-Mapped-Model"] == "gemini-flash-latest"
    edited = agproxy.ini.read_text() + "\n[models]\ngpt-4o = gemini-2.5-pro\n"
    agproxy.ini.write_text(edited)
    wait_for(lambda: agproxy.chat().headers["X-Mapped-Model"] == "gemini-2.5-pro")
    agproxy.ini.write_text(edited + "nonsense without a value\n")
    wait_for(lambda: agproxy.get("/healthz").ok and "the change is not taken" in agproxy.log())
    assert agproxy.chat().headers["X-Mapped-Model"] == "gemini-2.5-pro"


class TestEdits:
    """With ``agproxy serve`` and with its settings for gunicorn."""

    @pytest.fixture(params=["serve", "gunicorn"])
    def agproxy(self, request: pytest.FixtureRequest, tmp_path: Path, google: FakeGoogle) -> Iterator[Agproxy]:
        folder = tmp_path / "etc"
        folder.mkdir()
        path, port = folder / "agproxy.ini", free_port()
        path.write_text(RULE + f"[server]\nport = {port}\n[log]\nlevel = debug\n" + accounts_ini(google, "a"))
        path.chmod(0o600)
        argv = [sys.executable, "-m", "agproxy", "serve", "--workers", "2"]
        if request.param == "gunicorn":
            argv = [*gunicorn_argv(port, workers=2), "--log-level", "debug", *SETTINGS]
        env, cwd = environment(tmp_path, AGPROXY_CONFIG=str(path)), tmp_path / "cwd"
        cwd.mkdir()
        with running(argv, f"http://127.0.0.1:{port}", path, tmp_path / "log", env, cwd) as agproxy:
            wait_for(lambda: len(serving(agproxy)) == 2)
            yield agproxy

    @staticmethod
    def models(agproxy: Agproxy) -> set[str]:
        """What clients are answered by."""
        found = set()
        for _ in range(12):  # workers that have been killed could not refuse their connections
            with contextlib.suppress(requests.ConnectionError):
                found.add(agproxy.chat().headers["X-Mapped-Model"])
        return found

    @staticmethod
    def replace_workers(agproxy: Agproxy, how: str) -> None:
        """Until two others serve."""
        before = len(workers(agproxy))
        if how == "renewed":
            agproxy.process.send_signal(signal.SIGHUP)
        for pid in workers(agproxy)[-2:] if how == "killed" else ():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(workers(agproxy)) == before + 2 and set(workers(agproxy)[-2:]) <= serving(agproxy))

    @pytest.mark.parametrize("how", ["killed", "renewed"])
    @pytest.mark.parametrize("edit", ["broken", "gone"])
    def test_workers_that_start_after_a_broken_one(self, agproxy: Agproxy, how: str, edit: str) -> None:
        good = agproxy.ini.read_text().replace("gemini-2.5-pro", "gemini-flash-lite-latest")
        agproxy.ini.write_text(good)
        wait_for(lambda: agproxy.log().count("configuration read again") == 2)  # though nobody asks
        if edit == "gone":
            agproxy.ini.unlink()
        else:
            agproxy.ini.write_text(good.replace("[models]", "[modles]"))
        self.replace_workers(agproxy, how)
        wait_for(lambda: agproxy.log().count("a worker starts with the configuration before the last change") >= 2)
        assert self.models(agproxy) == {"gemini-flash-lite-latest"}
        agproxy.ini.write_text(good.replace("gemini-flash-lite-latest", "gemini-2.5-flash"))
        wait_for(lambda: self.models(agproxy) == {"gemini-2.5-flash"})
        reason = "AGPROXY_CONFIG names" if edit == "gone" else "unknown section [modles]; did you mean 'models'?"
        assert reason in agproxy.log()

    def test_new_store_waits_for_a_restart_in_new_workers_too(self, agproxy: Agproxy) -> None:
        assert agproxy.chat().ok
        with agproxy.ini.open("a") as file:
            file.write(f"[store]\nurl = sqlite:{agproxy.ini.parent / 'other.db'}\n")
        wait_for(lambda: agproxy.log().count("restart agproxy to keep state in sqlite:") == 2)
        self.replace_workers(agproxy, "killed")
        wait_for(lambda: agproxy.log().count("restart agproxy to keep state in sqlite:") == 4)
        assert self.models(agproxy) == {"gemini-2.5-pro"}
        assert not list(agproxy.ini.parent.glob("other.db*"))

    def test_folder_that_it_was_started_in_is_removed(self, agproxy: Agproxy, tmp_path: Path) -> None:
        (tmp_path / "cwd").rmdir()
        self.replace_workers(agproxy, "killed")
        assert self.models(agproxy) == {"gemini-2.5-pro"}


def workers(agproxy: Agproxy) -> list[int]:
    """The processes that gunicorn has begun, in order."""
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", agproxy.log())]


def serving(agproxy: Agproxy) -> set[int]:
    """The processes that have answered somebody, after some more have asked."""
    with ThreadPoolExecutor(16) as pool, contextlib.suppress(requests.ConnectionError):
        list(pool.map(lambda _: agproxy.get("/healthz"), range(32)))
    return {int(pid) for pid in re.findall(r"\[(\d+)\] \[DEBUG\] GET /healthz", agproxy.log())}


def test_an_edit_of_some_age_holds_at_once(serve: Serve) -> None:
    agproxy = serve("a")
    assert agproxy.chat().ok
    agproxy.ini.write_text("[server]\nauth_mode = strict\napi_key = agp-some-key\n" + agproxy.ini.read_text())
    time.sleep(3.2)  # the file's age is what counts, and nothing but time makes a file old
    assert agproxy.get("/v1/models").status_code == 401


def wait_for(condition: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
