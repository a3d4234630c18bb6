"""State in one SQLite file: what other stores have not to do, and what goes wrong with files."""

import contextlib
import logging
import os
import random
import shutil
import signal
import sqlite3
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agproxy.accounts import Pool, Wanted
from agproxy.config import Account, Scheduling
from agproxy.retry import Verdict
from agproxy.store import Store
from agproxy.store.sqlite import SqliteStore, default_path
from tests.store.contract import Clock, eventually, run
from tests.store.shared_contract import SharedContract
from tests.store.shared_ledger_contract import SharedLedgerContract

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


class InOneFile:
    """How the contracts get their stores."""

    path: Path

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "state" / "state.db"

    def make(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> Store:
        return SqliteStore(self.path, clock=clock, max_entries=max_entries, slow_s=60.0)

    def lively(self, clock: Callable[[], float]) -> Store:
        return SqliteStore(self.path, clock=clock, beat_s=0.1, slow_s=60.0)

    @contextlib.contextmanager
    def unusable(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def wipe(self) -> None:
        self.path.unlink()

    def tidy(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.sweep()

    def source(self) -> str:
        return f"from agproxy.store.sqlite import SqliteStore; store = SqliteStore({str(self.path)!r}, slow_s=60.0)"


class TestContract(InOneFile, SharedContract):
    pass


class TestLedgerContract(InOneFile, SharedLedgerContract):
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, retry_s=0.05, slow_s=60.0)  # a busy machine is no slow disk
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="agproxy")


def rows(path: Path) -> dict[str, str]:
    """What the file holds."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
            return {}
        return dict(connection.execute("SELECT key, value FROM entries"))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


@contextlib.contextmanager
def locked(path: Path, *, pragma: str = "") -> Iterator[None]:
    """Another process holds the file's lock, until the block ends."""
    program = f"""
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA {pragma or "user_version"}").fetchall()
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield


class TestPlace:
    @pytest.mark.parametrize(
        ("platform", "environ", "expected"),
        [
            ("linux", {"HOME": "/home/me"}, "/home/me/.local/state/agproxy/state.db"),
            ("linux", {"HOME": "/home/me", "XDG_STATE_HOME": "/var/me"}, "/var/me/agproxy/state.db"),
            ("linux", {"HOME": "/home/me", "XDG_STATE_HOME": ""}, "/home/me/.local/state/agproxy/state.db"),
            ("linux", {"HOME": "/home/me", "XDG_STATE_HOME": "here"}, "/home/me/.local/state/agproxy/state.db"),
            ("linux", {}, None),
            ("freebsd14", {"HOME": "/home/me"}, "/home/me/.local/state/agproxy/state.db"),
            ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Application Support/agproxy/state.db"),
            (
                "darwin",
                {"HOME": "/Users/me", "XDG_STATE_HOME": "/x"},
                "/Users/me/Library/Application Support/agproxy/state.db",
            ),
            ("win32", {"LOCALAPPDATA": "/Users/me/AppData/Local"}, "/Users/me/AppData/Local/agproxy/state.db"),
            ("win32", {"HOME": "/home/me"}, None),
        ],
    )
    def test_is_the_platforms_own(self, platform: str, environ: dict[str, str], expected: str | None) -> None:
        assert default_path(environ, platform=platform) == (expected and Path(expected))

    def test_nothing_is_made_before_the_first_use(self, path: Path) -> None:
        store = SqliteStore(path)
        assert not path.parent.exists()
        store.get("kind:name")
        assert path.exists()
        store.close()

    def test_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = SqliteStore("state.db")
        monkeypatch.chdir("/")
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        assert rows(tmp_path / "state.db") == {"kind:name": '"a"'}

    @posix
    def test_it_is_for_the_user_alone(self, store: SqliteStore, path: Path) -> None:
        before = os.umask(0)
        try:
            store.put("kind:name", "a", ttl_s=60)
        finally:
            os.umask(before)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [path.parent, *path.parent.iterdir()]}
        assert modes == {"state": 0o700, "state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}

    @posix
    def test_what_others_could_read_is_closed_to_them(self, store: SqliteStore, path: Path) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        path.chmod(0o644)
        assert store.get("kind:name") == "a"
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}

    @posix
    def test_link_of_ones_own_is_followed(self, path: Path, tmp_path: Path) -> None:
        SqliteStore(path).put("kind:name", "a", ttl_s=60)
        link = tmp_path / "link.db"
        link.symlink_to(path)
        store = SqliteStore(link)
        store.put("kind:other", "b", ttl_s=60)
        store.close()
        assert rows(path) == {"kind:name": '"a"', "kind:other": '"b"'}

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
    def test_link_to_what_belongs_to_another_is_not(
        self, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        victim = tmp_path / "victim"
        victim.touch()
        os.chown(victim, 65534, 65534)
        path.parent.mkdir()
        path.symlink_to(victim)
        store = SqliteStore(path)
        store.put("kind:name", "a", ttl_s=60)
        assert store.get("kind:name") == "a"
        store.close()
        assert victim.read_bytes() == b""
        assert "it is a link" in caplog.text

    def test_file_that_is_no_database_is_left_alone(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        notes = tmp_path / "notes.txt"
        notes.write_text("Dear diary, " * 100)
        store = SqliteStore(notes)
        store.put("kind:name", "a", ttl_s=60)
        assert store.get("kind:name") == "a"
        store.close()
        assert notes.read_text() == "Dear diary, " * 100
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
        assert "it is no database" in caplog.text

    def test_file_holds_no_key(self, store: SqliteStore, path: Path) -> None:
        accounts = [Account(f"a{number}", api_key=f"AIza-secret-{number}") for number in range(3)]
        pool = Pool(accounts, Scheduling(), store, {})
        now = time.time()
        for number, verdict in enumerate((Verdict("next", "quota"), Verdict("next", "account"))):
            pool.pauses.record(accounts[number], verdict, model="m", reason="because", now=now)
        taken = pool.take(Wanted(model="m", quota="m", session="s"), tried=(), now=now)
        assert taken is accounts[2]
        pool.succeeded(accounts[2], quota="m", session="s", since=now)
        written = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert b"because" in written
        assert b"secret" not in written


class TestBounds:
    def test_file_and_log_stay_small(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store = SqliteStore(path, max_bytes=2 << 20)
        for number in range(200):
            store.put(f"response:{number}", "x" * 100_000, ttl_s=1000 + number)
            store.put(f"rest:{number}", number, ttl_s=10)
        assert store.get("response:199") == "x" * 100_000
        store.sweep()
        assert store.get("response:0") is None
        assert [number for number in range(200) if store.get(f"rest:{number}") != number] == []
        store.close()
        assert path.stat().st_size <= 2 << 20
        assert size_of(path) <= 2 << 20
        assert caplog.text == ""

    def test_value_that_is_too_long_is_not_kept(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store = SqliteStore(path, max_bytes=1 << 20)
        store.put("response:1", "short", ttl_s=60)
        for _ in range(2):
            store.put("response:1", "x" * 100_000, ttl_s=60)
        assert store.get("response:1") is None
        store.close()
        assert [record.getMessage() for record in caplog.records] == [
            "store does not keep so long a value kind=response bytes=100002"
        ]

    def test_what_is_over_is_deleted_by_itself(self, path: Path) -> None:
        clock = Clock()
        store = SqliteStore(path, clock=clock)
        for number in range(1000):
            store.put(f"kind:{number}", number, ttl_s=10)
        clock.advance(61)
        store.put("kind:new", "a", ttl_s=10)
        eventually(lambda: set(rows(path)) == {"kind:new"})
        store.close()

    def test_same_value_again_is_written_when_it_matters(self, path: Path) -> None:
        clock = Clock()
        store = SqliteStore(path, clock=clock)
        store.put("session:s", "me", ttl_s=3600)
        clock.advance(59)
        store.put("session:s", "me", ttl_s=3600)
        clock.advance(2)
        store.put("session:s", "me", ttl_s=3600)
        clock.advance(3599)
        assert store.get("session:s") == "me"
        store.close()

    def test_wal_is_moved_into_the_file(self, store: SqliteStore, path: Path) -> None:
        for number in range(2000):
            store.put(f"kind:{number}", "x" * 3000, ttl_s=1000)
        assert path.with_name("state.db-wal").stat().st_size < 45 << 20
        eventually(lambda: path.stat().st_size > 1 << 20)
        store.close()
        assert [file.name for file in path.parent.iterdir()] == ["state.db"]


class TestProcesses:
    PROGRAM = """
import os, sys, time
fork, waitpid = os.fork, os.waitpid  # gevent's own now and then wait for ever, for a child that has ended
reinit = lambda: None
if "gevent" in sys.argv:
    from gevent import monkey, reinit
    monkey.patch_all()
from agproxy.store.sqlite import SqliteStore

store = SqliteStore(sys.argv[1], slow_s=60.0)
store.put("kind:parent", "a", ttl_s=60)
descriptors = lambda: sorted(
    number for number in os.listdir("/proc/self/fd")
    if os.path.exists(f"/proc/self/fd/{number}") and "state.db" in os.readlink(f"/proc/self/fd/{number}")
) if os.path.exists("/proc/self/fd") else [None]
before = descriptors()
child = fork()
if not child:
    reinit()
    inherited = len(descriptors())
    assert store.get("kind:parent") == "a"
    assert inherited == 1 or len(descriptors()) > inherited, "the child opens the file itself"
    for number in range(300):
        store.put(f"kind:child{number}", number, ttl_s=60)
    if "exit" in sys.argv:
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)  # Python ends the parent's connection, which harms nobody
        sys.exit()
    store.close()
    os._exit(0)
for number in range(300):
    store.put(f"kind:parent{number}", number, ttl_s=60)
assert waitpid(child, 0)[1] == 0
until = time.monotonic() + 10
while descriptors() != before:  # what found the file locked is written by a thread, over a connection of its own
    assert time.monotonic() < until
    time.sleep(0.005)
for number in range(300):
    assert store.get(f"kind:child{number}") == number
    assert store.get(f"kind:parent{number}") == number
store.put("kind:last", "b", ttl_s=60)
store.close()
"""

    @posix
    @pytest.mark.parametrize("how", [[], ["gevent"], ["exit"], ["gevent", "exit"]], ids=" ".join)
    def test_forked_child_has_a_connection_of_its_own(self, path: Path, how: list[str]) -> None:
        run(self.PROGRAM, path, *how)
        assert len(rows(path)) == 602
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_several_make_the_file_at_once(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for number in range(60):
            stores = [SqliteStore(path.with_name(f"{number}.db"), slow_s=60.0) for _ in range(4)]
            together = threading.Barrier(4)

            def work(store: SqliteStore, together: threading.Barrier = together) -> None:
                together.wait(10)
                store.put("kind:name", "a", ttl_s=60)

            threads = [threading.Thread(target=work, args=(store,)) for store in stores]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            for store in stores:
                store.close()
        assert caplog.messages == []

    def test_process_that_ends_without_closing_leaves_one_file(self, path: Path) -> None:
        program = """
import sys
from agproxy.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
store.put("kind:name", "a", ttl_s=60)
"""
        run(program, path)
        assert [file.name for file in path.parent.iterdir()] == ["state.db"]
        assert rows(path) == {"kind:name": '"a"'}

    @posix
    def test_killed_while_writing_leaves_all_that_was_put(self, store: SqliteStore, path: Path) -> None:
        program = """
import sys
from agproxy.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
for number in range(1_000_000):
    store.put(f"kind:{number % 500}", [number, "x" * (number % 7 * 1000)], ttl_s=60)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
        with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(700)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout
            last = [int(line) for line in lines if line.endswith("\n")][-1]
        for number in range(last - 400, last):
            assert store.get(f"kind:{number % 500}")[0] in (number, number + 500)
        store.put("kind:after", "a", ttl_s=60)
        assert store.get("kind:after") == "a"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_greenlets_share_a_store(self, path: Path) -> None:
        program = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent
from agproxy.store.sqlite import SqliteStore

stores = [SqliteStore(sys.argv[1]) for _ in range(3)]

def work(worker):
    store = stores[worker % 3]
    for number in range(40):
        store.put(f"kind:{worker}-{number}", number, ttl_s=60)
        assert store.get(f"kind:{worker}-{number}") == number
        gevent.sleep(0)

greenlets = [gevent.spawn(work, worker) for worker in range(30)]
gevent.joinall(greenlets, raise_error=True)
for store in stores:
    store.close()
"""
        run(program, path)
        assert len(rows(path)) == 1200


class TestLocked:
    def test_requests_go_on_and_values_arrive(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put("kind:old", "a", ttl_s=60)
        took_s = []
        with locked(path):
            number = 0
            until = time.monotonic() + 20
            while not caplog.records:  # which takes two seconds
                assert time.monotonic() < until
                number += 1
                began = time.perf_counter()
                store.put(f"kind:{number}", number, ttl_s=60)
                assert store.get(f"kind:{number}") == number
                assert store.get("kind:old") == "a"
                assert store.add(f"kind:{number}", "other", ttl_s=60) == number
                assert store.add(f"session:{number}", "me", ttl_s=60) == "me"
                assert store.add(f"session:{number}", "you", ttl_s=60) == "me"
                assert len(store.items("kind")) == number + 1
                took_s.append(time.perf_counter() - began)
                time.sleep(0.02)
            store.delete("kind:1")
            assert store.get("kind:1") is None
            assert set(rows(path)) == {"kind:old"}
        expected = {f"{kind}:{name}" for kind in ("kind", "session") for name in range(1, number + 1)}
        eventually(lambda: set(rows(path)) == {"kind:old", *expected} - {"kind:1"})
        assert statistics.median(took_s) < 0.05
        assert sorted(took_s)[-2] < 0.25  # the machine may have halted once
        eventually(lambda: len(caplog.records) == 2)
        assert "store cannot be used" in caplog.messages[0]
        assert "reason=database is locked" in caplog.messages[0]
        assert "store can be used again" in caplog.messages[1]

    def test_short_lock_is_not_worth_a_word(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put("kind:old", "a", ttl_s=60)
        with locked(path):
            store.put("kind:new", "b", ttl_s=60)
            time.sleep(0.3)
        eventually(lambda: set(rows(path)) == {"kind:old", "kind:new"})
        assert caplog.text == ""

    def test_locked_when_it_is_opened(self, store: SqliteStore, path: Path) -> None:
        store.put("kind:old", "a", ttl_s=60)
        store.close()
        with locked(path, pragma="locking_mode = EXCLUSIVE"):
            began = time.perf_counter()
            assert store.get("kind:old") is None
            store.put("kind:new", "b", ttl_s=60)
            assert store.get("kind:new") == "b"
            assert time.perf_counter() - began < 2.0  # SQLite itself would wait for 5 s
        eventually(lambda: set(rows(path)) == {"kind:old", "kind:new"})
        eventually(lambda: store.get("kind:old") == "a")

    def test_gevent_loop_goes_on(self, path: Path) -> None:
        program = """
import sys, time
from gevent import monkey
monkey.patch_all()
import gevent
from agproxy.store.sqlite import SqliteStore

gaps, ends = [], False

def tick():
    last = time.perf_counter()
    while not ends:
        gevent.sleep(0.002)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now

store = SqliteStore(sys.argv[1])
store.put("kind:first", 0, ttl_s=60)
store.close()
print("ready", flush=True)
sys.stdin.readline()
ticker = gevent.spawn(tick)
until = time.monotonic() + 6
number = 0
while time.monotonic() < until:
    number += 1
    store.put(f"kind:{number}", number, ttl_s=60)
    assert store.get(f"kind:{number}") == number
    gevent.sleep(0.01)
until = time.monotonic() + 20
while True:
    other = SqliteStore(sys.argv[1])
    missing = [key for key in range(1, number + 1) if other.get(f"kind:{key}") != key]
    other.close()
    if not missing:
        break
    assert time.monotonic() < until, missing
    gevent.sleep(0.05)
ends = True
ticker.join()
store.close()
print(sorted(gaps)[-3], len(gaps), flush=True)  # for the machine may have halted once or twice
"""
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == "ready\n"
            with locked(path):
                process.stdin.write("go\n")
                process.stdin.flush()
                time.sleep(5)
            longest_s, ticks = process.stdout.readline().split()
            words = process.stderr.read().splitlines()
        assert process.returncode == 0
        assert float(longest_s) < 0.1
        assert int(ticks) > 100
        assert len(words) == 1  # without a logging configuration, INFO is not printed
        assert "database is locked" in words[0]


class TestUnusable:
    def check_memory(self, store: SqliteStore, caplog: pytest.LogCaptureFixture, reason: str) -> None:
        for number in range(20):
            store.put(f"kind:{number}", number, ttl_s=60)
            store.put("rest:a", number, ttl_s=60)
            assert store.get(f"kind:{number}") == number
            assert store.get("rest:a") == number
            store.delete("rest:a")
            assert store.get("rest:a") is None
        time.sleep(0.15)  # which is several attempts
        assert [store.get(f"kind:{number}") for number in range(20)] == list(range(20))
        assert len(caplog.records) == 1, caplog.text
        assert caplog.records[0].levelno == logging.WARNING
        assert reason in caplog.messages[0]

    def test_path_is_a_folder(self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.mkdir(parents=True)
        self.check_memory(store, caplog, "it is a folder")
        path.rmdir()
        eventually(lambda: path.exists() and len(rows(path)) == 20)
        eventually(lambda: len(caplog.records) == 2)
        assert "store can be used again" in caplog.messages[1]
        store.put("kind:new", "b", ttl_s=60)
        assert '"b"' in rows(path).values()

    def test_folder_cannot_be_made(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.parent.write_text("a file")
        store = SqliteStore(path, retry_s=0.05)
        self.check_memory(store, caplog, "File exists")
        store.close()

    @posix
    @pytest.mark.parametrize("exists", [False, True])
    def test_folder_cannot_be_written(self, exists: bool) -> None:
        program = """
import os, sys
from agproxy.store.sqlite import SqliteStore
if os.geteuid() == 0:
    os.setuid(65534)
store = SqliteStore(sys.argv[1], retry_s=0.05)
assert store.get("kind:old") is None
for number in range(5):
    store.put("kind:name", number, ttl_s=60)
    assert store.get("kind:name") == number
store.close()
"""
        folder = Path(tempfile.mkdtemp())  # not below pytest's, where nobody else may look
        try:
            if exists:
                SqliteStore(folder / "state.db").put("kind:old", "a", ttl_s=60)
            folder.chmod(0o555)
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", program, folder / "state.db"],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            assert done.stderr.count("store cannot be used") == 1
            assert len(done.stderr.splitlines()) == 1
        finally:
            folder.chmod(0o755)
            shutil.rmtree(folder)

    @pytest.mark.parametrize(
        ("statements", "reason"),
        [
            (("PRAGMA application_id = 0x61677079", "PRAGMA user_version = 2"), "a later agproxy made it"),
            (("PRAGMA user_version = 7",), "another program's database"),
            ((), "another program's database"),
        ],
    )
    def test_file_of_others_is_not_touched(
        self,
        store: SqliteStore,
        path: Path,
        caplog: pytest.LogCaptureFixture,
        statements: tuple[str, ...],
        reason: str,
    ) -> None:
        path.parent.mkdir()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for statement in ("CREATE TABLE theirs (a)", *statements):
                connection.execute(statement)
        before = path.read_bytes()
        self.check_memory(store, caplog, reason)
        store.close()
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["state.db"]

    @posix
    def test_disk_is_full(self, path: Path) -> None:
        program = """
import logging, resource, sys, time
from agproxy.store.sqlite import SqliteStore
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(levelname)s %(message)s")
store = SqliteStore(sys.argv[1], retry_s=0.05)
store.put("kind:old", "a", ttl_s=60)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
for number in range(30):
    store.put(f"kind:{number}", [number, "x" * 3000], ttl_s=60)
    assert store.get(f"kind:{number}")[0] == number
    assert store.get("kind:old") == "a"
store.delete("kind:old")
assert store.get("kind:old") is None
time.sleep(0.3)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
until = time.monotonic() + 20
other = SqliteStore(sys.argv[1])
while other.get("kind:29") is None and time.monotonic() < until:
    time.sleep(0.01)
assert [number for number in range(30) if store.get(f"kind:{number}")[0] != number] == []
assert [number for number in range(30) if other.get(f"kind:{number}")[0] != number] == []
assert other.get("kind:old") is None
other.close()
store.close()
"""
        words = run(program, path).splitlines()
        assert len(words) == 2
        assert words[0].startswith("WARNING store cannot be used")
        assert words[1].startswith("INFO store can be used again")

    def test_disk_is_slow(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store = SqliteStore(path, slow_s=0.0)
        for number in range(100):
            store.put(f"kind:{number}", number, ttl_s=60)
            assert store.get(f"kind:{number}") == number
        eventually(lambda: len(rows(path)) == 100)
        store.close()
        assert len(caplog.records) == 1
        assert "store is slow" in caplog.messages[0]

    def test_value_that_json_cannot_hold_is_our_error(self, store: SqliteStore) -> None:
        with pytest.raises(TypeError):
            store.put("kind:name", object(), ttl_s=60)

    def test_threads_meet_a_broken_store_together(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.mkdir(parents=True)
        store = SqliteStore(path, retry_s=0.02)
        failures: list[Exception] = []

        def work(thread: int) -> None:
            try:
                for number in range(100):
                    store.put(f"kind:{thread}-{number}", number, ttl_s=60)
                    assert store.get(f"kind:{thread}-{number}") == number
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        path.rmdir()
        eventually(lambda: path.exists() and len(rows(path)) == 400)
        store.close()
        assert not failures
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class TestCorrupt:
    def check_replaced(self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store.put("kind:new", "b", ttl_s=60)
        assert store.get("kind:new") == "b"
        eventually(lambda: rows(path) == {"kind:new": '"b"'})
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "store was corrupt, a new one is begun" in caplog.messages[0]
        assert len([file for file in path.parent.glob("state.db.corrupt-*") if file.name.endswith("Z")]) == 1

    def fill(self, store: SqliteStore) -> None:
        for number in range(300):
            store.put(f"kind:{number}", "x" * 1000, ttl_s=60)

    @pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
    def test_file_is_none(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        assert store.get("kind:name") is None
        self.check_replaced(store, path, caplog)

    @pytest.mark.parametrize("content", [b"", b"x"])  # which are empty databases to SQLite
    def test_empty_file_is_filled(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        store.put("kind:new", "b", ttl_s=60)
        assert rows(path) == {"kind:new": '"b"'}
        assert caplog.text == ""

    def test_pages_are_overwritten(self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.fill(store)
        store.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        for number in range(300):
            store.get(f"kind:{number}")
        self.check_replaced(store, path, caplog)

    def test_file_is_cut_while_it_is_open(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.fill(store)
        store.close()
        store.get("kind:0")
        os.truncate(path, 8192)
        for number in range(300):
            store.get(f"kind:{number}")
        self.check_replaced(store, path, caplog)

    def test_table_is_gone(self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store.put("kind:name", "a", ttl_s=60)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE entries")
        assert store.get("kind:name") is None
        self.check_replaced(store, path, caplog)

    @posix
    def test_other_workers_take_the_new_file(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        other = SqliteStore(path, clock=clock)
        self.fill(store)
        other.get("kind:0")
        store.close()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\0" * (path.stat().st_size - 4096))
        for number in range(300):
            store.get(f"kind:{number}")
        self.check_replaced(store, path, caplog)
        clock.advance(1)
        assert other.get("kind:new") == "b"
        other.put("kind:newer", "c", ttl_s=1e12)
        assert store.get("kind:newer") == "c"
        other.close()
        assert len(caplog.records) == 1

    def test_corrupt_again_so_soon_is_left_alone(
        self, store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(b"not a database" * 1000)
        self.check_replaced(store, path, caplog)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE entries")
        for _ in range(3):
            store.put("kind:name", "a", ttl_s=60)
            assert store.get("kind:name") == "a"
        assert store.get("kind:new") is None
        assert len(caplog.records) == 2
        assert "store cannot be used" in caplog.messages[1]

    @posix
    def test_deleted_while_it_is_open(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        clock = Clock()
        store = SqliteStore(path, clock=clock)
        other = SqliteStore(path, clock=clock)
        store.put("kind:old", "a", ttl_s=60)
        assert other.get("kind:old") == "a"
        path.unlink()
        clock.advance(1)
        store.put("kind:new", "b", ttl_s=60)
        clock.advance(1)
        assert other.get("kind:new") == "b"
        assert other.get("kind:old") is None
        other.put("kind:newer", "c", ttl_s=60)
        assert store.get("kind:newer") == "c"
        store.close()
        other.close()
        assert rows(path) == {"kind:new": '"b"', "kind:newer": '"c"'}
        assert caplog.messages == [f"store was deleted, a new one is begun path={path}"]

    @pytest.mark.parametrize("seed", range(12))
    def test_turned_bits_never_raise(self, path: Path, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 (the same each time)
        store = SqliteStore(path, retry_s=0.01)
        self.fill(store)
        store.close()
        content = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 20, 2000])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        for number in range(300):
            store.get(f"kind:{number}")
            store.put(f"kind:{number}", [number], ttl_s=60)
            store.delete(f"kind:{number - 1}")
        store.sweep()
        store.put("kind:after", "a", ttl_s=60)
        assert store.get("kind:after") == "a"
        store.close()
