"""The whole application on a store: what is kept where."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agproxy.app import App
from agproxy.config import Account, Config, Store
from agproxy.store.memory import MemoryStore
from agproxy.store.sqlite import default_path
from tests.fake_google import FakeGoogle, calls, quota_per_minute
from tests.whole_app import Json, WholeApp

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    with FakeGoogle(strict_dummies=True) as google:
        yield google
        google.assert_no_refusals()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


def words(text: str) -> Json:
    """The messages of a conversation of its own."""
    return [{"role": "user", "content": text}]


def test_state_is_in_the_usual_place_unless_configured(google: FakeGoogle) -> None:
    path = default_path(os.environ)
    assert path is not None
    app = WholeApp(google, store_url="")
    assert not path.exists()
    app.answer(stream=False)
    assert path.exists()


def test_without_a_home_state_is_in_memory_and_that_is_said_once(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name)
    app = WholeApp(google, store_url="")
    for _ in range(2):
        app.answer(stream=False)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "state is kept in memory only" in record.getMessage()


def test_file_is_for_its_owner_alone_and_holds_no_keys_and_no_messages(google: FakeGoogle, file: Path) -> None:
    app = WholeApp(google, "ab", store_url=f"sqlite:{file}")
    google.enqueue(quota_per_minute("30s"), calls(("look", {"at": "my secret"})))
    app.answer(stream=False, messages=words("my secret"), tools=[TOOL], user="my secret", prompt_cache_key="my secret")
    content = b""
    for each in file.parent.iterdir():
        if os.name != "nt":
            assert each.stat().st_mode & 0o777 == 0o600
        content += each.read_bytes()
    assert b"rest:" in content
    assert b"signature:" in content
    assert b"my secret" not in content
    assert b"test-key" not in content


def test_applications_in_memory_share_nothing() -> None:
    config = Config(accounts=(Account("demo", type="demo"),), store=Store("memory:"))
    one, other = (App(config)._gateway.store for _ in range(2))
    assert one is not other
    assert isinstance(one, MemoryStore)


def test_store_is_closed_at_the_end_of_the_process(file: Path) -> None:
    program = f"""
from werkzeug.test import Client
from agproxy.app import App
from agproxy.config import Account, Config, Store
app = App(Config(accounts=(Account("demo", type="demo"),), store=Store("sqlite:{file}")))
body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": "Hi"}}]}}
here = {{"base_url": "http://127.0.0.1:8045", "environ_overrides": {{"REMOTE_ADDR": "127.0.0.1"}}}}
answer = Client(app).post("/v1/chat/completions", json=body, **here)
print(answer.status)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "200 OK\n", "")
    assert [each.name for each in file.parent.iterdir()] == ["state.db"]  # the last to close takes the WAL along
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM entries WHERE kind = 'session'").fetchone() == (1,)
