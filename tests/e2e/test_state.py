"""State under gunicorn: shared by workers, kept over restarts, and no reason to fail when its file cannot be used."""

import contextlib
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Agproxy, Serve, accounts_ini, environment, gunicorn_argv, running
from tests.e2e.test_pool import NO_WAIT, keys, question
from tests.e2e.test_servers import wait_for
from tests.fake_google import DUMMIES, Answer, FakeGoogle, api_key_invalid, calls, quota_per_minute, text
from tests.ports import free_port
from tests.whole_app import call, called, result

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
linux = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's /proc")

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the agproxies of a test have their state: it is the home of all of them."""
    return tmp_path / ".local" / "state" / "agproxy" / "state.db"


def warnings(agproxy: Agproxy) -> list[str]:
    return [line for line in agproxy.log().splitlines() if " WARNING " in line]


def account_of(agproxy: Agproxy, words: str) -> str:
    """The account that answers in the conversation that begins with these words."""
    response = agproxy.chat(**question(words))
    assert response.status_code == 200, response.text
    return response.headers["X-Account-Email"].partition("@")[0]


def a_before_b(google: FakeGoogle) -> str:
    """INI of two accounts of which "a" answers whenever it can, and a pause is not waited for."""
    return "\n".join([NO_WAIT, accounts_ini(google, "a", priority="1"), accounts_ini(google, "b")])


# Several workers.


def worker_pids(agproxy: Agproxy, count: int) -> list[int]:
    def found() -> list[int]:
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", agproxy.log())]

    wait_for(lambda: len(found()) == count)
    return found()


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """One worker does not run, so that the other one takes all requests."""
    time.sleep(0.2)  # not in the middle of a write, which it may make some ms after its answer
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T"))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@linux
@pytest.mark.parametrize("failure", [quota_per_minute("30s"), api_key_invalid()], ids=["quota", "key"])
def test_pause_holds_in_all_workers_within_a_second(serve: Serve, google: FakeGoogle, failure: Answer) -> None:
    agproxy = serve(ini=a_before_b(google), workers=2)
    one, other = worker_pids(agproxy, 2)
    with halted(other):
        assert account_of(agproxy, "before") == "a"
    google.enqueue(failure)
    with halted(one):
        assert account_of(agproxy, "learns it") == "b"
    with halted(other):
        learned = time.monotonic()
        asked = learned
        while account_of(agproxy, f"at {asked}") != "b":
            assert asked - learned < 1
            asked = time.monotonic()
    assert len(warnings(agproxy)) == 1
    assert "account rests account=a" in warnings(agproxy)[0]


@linux
def test_conversation_has_one_account_in_all_workers(serve: Serve) -> None:
    agproxy = serve("a", "b", workers=2)
    one, other = worker_pids(agproxy, 2)
    with halted(other):
        assert [account_of(agproxy, words) for words in ("first", "second")] == ["a", "b"]
    with halted(one):
        assert [account_of(agproxy, words) for words in ("second", "first", "second")] == ["b", "a", "b"]


# Restarts.


def restarted(agproxy: Agproxy, again: Callable[[], Agproxy]) -> Agproxy:
    agproxy.stop()
    return again()


def with_a_new_worker(agproxy: Agproxy, again: Callable[[], Agproxy]) -> Agproxy:
    """Its only worker dies without a warning, and gunicorn starts another one."""
    (pid,) = worker_pids(agproxy, 1)
    os.kill(pid, signal.SIGKILL)
    worker_pids(agproxy, 2)
    return agproxy


@posix
@pytest.mark.parametrize("again", [restarted, with_a_new_worker])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_signature_of_a_call_survives(serve: Serve, google: FakeGoogle, again: Any, streamed: bool) -> None:
    google.enqueue(calls(("look", {"at": "x"}), ids=["call-1"]), text("Done"))
    agproxy = serve("a")
    asked = {**question("Look"), "tools": [TOOL], "stream": streamed}
    assert '"call-1"' in agproxy.chat(**asked).text
    agproxy = again(agproxy, lambda: serve("a"))
    history = [*question("Look")["messages"], called(call("call-1")), result("call-1")]
    assert "Done" in agproxy.chat(**{**asked, "messages": history}).text
    (part,) = google.requests[1].body["contents"][1]["parts"]
    assert part["functionCall"]["name"] == "look"
    assert part["thoughtSignature"] not in DUMMIES
    assert len(google.requests) == 2


@posix
@pytest.mark.parametrize("again", [restarted, with_a_new_worker])
def test_pause_of_a_quota_survives(serve: Serve, google: FakeGoogle, again: Any) -> None:
    def start() -> Agproxy:
        return serve(ini=a_before_b(google))

    agproxy = start()
    google.enqueue(quota_per_minute("30s"))
    assert account_of(agproxy, "before") == "b"
    agproxy = again(agproxy, start)
    assert account_of(agproxy, "after") == "b"
    assert keys(google) == ["a", "b", "b"]


@posix
def test_refused_key_is_tried_again_after_a_restart(serve: Serve, google: FakeGoogle) -> None:
    agproxy = serve(ini=a_before_b(google))
    google.enqueue(api_key_invalid())
    assert [account_of(agproxy, words) for words in ("one", "two")] == ["b", "b"]
    agproxy = restarted(agproxy, lambda: serve(ini=a_before_b(google)))
    assert [account_of(agproxy, words) for words in ("three", "four")] == ["a", "a"]
    assert keys(google) == ["a", "b", "b", "a", "a"]


@posix
def test_refused_key_is_not_tried_again_by_a_new_worker_of_the_same_service(tmp_path: Path, google: FakeGoogle) -> None:
    ini = tmp_path / "agproxy.ini"
    ini.write_text(a_before_b(google))
    ini.chmod(0o600)
    port = free_port()
    env = environment(tmp_path, AGPROXY_CONFIG=str(ini), AGPROXY_STARTED=str(time.time()))
    with running(gunicorn_argv(port), f"http://127.0.0.1:{port}", ini, tmp_path / "log", env, tmp_path) as agproxy:
        google.enqueue(api_key_invalid())
        assert account_of(agproxy, "before") == "b"
        with_a_new_worker(agproxy, lambda: agproxy)
        assert account_of(agproxy, "after") == "b"
    assert keys(google) == ["a", "b", "b"]


# What may be wrong with the file.


@posix
def test_file_is_for_its_owner_alone(serve: Serve, state: Path) -> None:
    assert serve("a").chat().ok
    modes = {path.name: path.stat().st_mode & 0o777 for path in state.parent.iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), 0o600)
    assert state.parent.stat().st_mode & 0o777 == 0o700


def test_file_is_locked_for_some_time(serve: Serve, state: Path) -> None:
    agproxy = serve("a", "b")
    assert account_of(agproxy, "first") == "a"
    with contextlib.closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert account_of(agproxy, "second") == "b"
        wait_for(lambda: warnings(agproxy))
        assert [account_of(agproxy, words) for words in ("first", "second", "second", "first")] == ["a", "b", "b", "a"]
        other.execute("ROLLBACK")
    wait_for(lambda: "store can be used again" in agproxy.log())
    assert len(warnings(agproxy)) == 1
    assert f"store cannot be used path={state} reason=database is locked" in warnings(agproxy)[0]
    again = restarted(agproxy, lambda: serve("a", "b"))
    assert account_of(again, "second") == "b"
    assert warnings(again) == []


def test_file_is_corrupt_at_the_start(serve: Serve, state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_bytes(b"not a database" * 1000)
    agproxy = serve("a", "b")
    assert [account_of(agproxy, words) for words in ("first", "second", "second")] == ["a", "b", "b"]
    assert len(warnings(agproxy)) == 1
    assert f"store was corrupt, a new one is begun path={state}" in warnings(agproxy)[0]
    (aside,) = state.parent.glob("state.db.corrupt-*")
    assert aside.read_bytes().startswith(b"not a database")
    again = restarted(agproxy, lambda: serve("a", "b"))
    assert account_of(again, "second") == "b"
    assert warnings(again) == []


@linux
def test_folder_cannot_be_written(serve: Serve) -> None:
    """In ``/proc`` not even root may make files."""
    agproxy = serve("a", "b", ini="[store]\nurl = sqlite:/proc/agproxy/state.db\n")
    assert [account_of(agproxy, words) for words in ("first", "second", "second")] == ["a", "b", "b"]
    assert len(warnings(agproxy)) == 1
    assert "store cannot be used path=/proc/agproxy/state.db" in warnings(agproxy)[0]


@pytest.mark.parametrize(
    ("home", "url", "words"),
    [
        (False, "", "state is kept in memory only, for HOME is not set"),
        (False, "memory:", ""),
        (True, "memory:", ""),
    ],
)
@posix
def test_state_in_memory(tmp_path: Path, google: FakeGoogle, state: Path, home: bool, url: str, words: str) -> None:
    ini = tmp_path / "agproxy.ini"
    ini.write_text(f"[store]\nurl = {url}\n" + accounts_ini(google, "a", "b"))
    ini.chmod(0o600)
    env = environment(tmp_path, AGPROXY_CONFIG=str(ini))
    if not home:
        del env["HOME"]
    port = free_port()
    with running(gunicorn_argv(port), f"http://127.0.0.1:{port}", ini, tmp_path / "log", env, tmp_path) as agproxy:
        assert [account_of(agproxy, asked) for asked in ("first", "second", "second")] == ["a", "b", "b"]
        assert [words in line for line in warnings(agproxy)] == ([True] if words else [])
    assert not state.parent.exists()


def test_new_store_waits_for_a_restart(serve: Serve, state: Path) -> None:
    agproxy = serve("a", "b")
    assert account_of(agproxy, "first") == "a"
    agproxy.ini.write_text(agproxy.ini.read_text() + "[store]\nurl = sqlite:other.db\n[log]\nlevel = debug\n")
    wait_for(lambda: agproxy.get("/healthz").ok and "restart agproxy" in agproxy.log())
    assert account_of(agproxy, "second") == "b"
    (warning,) = warnings(agproxy)
    other = agproxy.ini.with_name("other.db")
    assert f"restart agproxy to keep state in sqlite:{other}: [store] is read only at the start" in warning
    assert not other.exists()
