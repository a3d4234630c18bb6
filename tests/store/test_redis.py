"""State on a Redis server: what other stores have not to do, and what goes wrong with servers."""

import contextlib
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from agproxy import options
from agproxy.store import Offer, Store
from agproxy.store.redis import RedisStore
from tests.forwarder import Forwarder
from tests.redis_server import RedisServer, asked, not_windows
from tests.store.contract import Clock, eventually, run, use
from tests.store.shared_contract import SharedContract
from tests.store.shared_ledger_contract import SharedLedgerContract

pytestmark = not_windows

TAG = b"agproxy:{v1}:"  # all keys of a cluster that have the same text in braces are on one node


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(server.patient_url, address="redis://here", retry_s=0.05)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="agproxy")


class OnOneServer:
    """How the contracts get their stores."""

    server: RedisServer

    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.server = server

    def make(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> Store:
        return RedisStore(self.server.patient_url, clock=clock, max_entries=max_entries)

    def lively(self, clock: Callable[[], float]) -> Store:
        return RedisStore(self.server.patient_url, clock=clock, beat_s=0.1)

    @contextlib.contextmanager
    def unusable(self) -> Iterator[None]:
        self.server.kill()
        yield
        self.server.start()

    def wipe(self) -> None:
        self.server.restart()

    def source(self) -> str:
        return f"from agproxy.store.redis import RedisStore; store = RedisStore({self.server.patient_url!r})"


class TestContract(OnOneServer, SharedContract):
    pass


class TestLedgerContract(OnOneServer, SharedLedgerContract):
    pass


def put_often(store: Store) -> None:
    for _ in range(50):
        store.put("session:a", "me", ttl_s=60)


class TestServer:
    def test_nothing_is_opened_before_the_first_use(self, server: RedisServer, client: "redis.Redis") -> None:
        store = RedisStore(server.patient_url)
        assert len(client.client_list()) == 1
        assert asked(client, lambda: store.get("kind:name")) > 0
        assert len(client.client_list()) == 2
        store.close()
        eventually(lambda: len(client.client_list()) == 1)

    def test_all_keys_belong_together_and_end(self, store: RedisStore, client: "redis.Redis") -> None:
        use(store)
        store.ledger.take([Offer("a", max_in_flight=1)])
        keys: Any = client.keys()
        assert {key.startswith(TAG) for key in keys} == {True}
        ends: dict[bytes, Any] = {key: client.pttl(key) for key in keys}
        assert {key: end for key, end in ends.items() if end < 60_000 and b"kind:" not in key[: len(TAG) + 5]} == {}
        assert {end for key, end in ends.items() if b":use:" in key} != set()

    def test_what_was_just_asked_is_not_asked_again(self, server: RedisServer, client: "redis.Redis") -> None:
        clock = Clock()
        store = RedisStore(server.patient_url, clock=clock)
        store.get("kind:first")
        assert asked(client, lambda: [store.get("rest:any") for _ in range(50)]) == 1
        assert asked(client, lambda: store.add("session:a", "me", ttl_s=60)) == 3  # the script itself, once
        assert asked(client, lambda: put_often(store)) == 0
        assert asked(client, lambda: [store.get("session:a") for _ in range(50)]) == 0
        clock.advance(0.3)
        assert asked(client, lambda: [store.get(key) for key in ("rest:any", "session:a") * 50]) == 2
        assert asked(client, lambda: store.delete("rest:any")) == 0
        store.close()

    def test_uses_without_limits_ask_nothing(self, store: RedisStore, client: "redis.Redis") -> None:
        store.get("kind:first")

        def work() -> None:
            for _ in range(100):
                assert store.ledger.take([Offer("a")]) == "a"
                store.ledger.release("a")

        assert asked(client, work) == 0

    def test_many_who_ask_for_room_at_once_ask_together(self, server: RedisServer, client: "redis.Redis") -> None:
        store = RedisStore(server.patient_url)
        offer = Offer("a", max_in_flight=7)
        assert store.ledger.take([offer]) == "a"
        found: list[str | None] = []

        def work() -> None:
            threads = [threading.Thread(target=lambda: found.append(store.ledger.take([offer]))) for _ in range(30)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)  # the one that asked first is kept waiting
            client.client_unpause()
            for thread in threads:
                thread.join(10)

        client.client_pause(10_000, all=False)
        before = asked(client, work)
        assert found.count("a") == 6
        assert before < 20
        store.close()

    def test_index_does_not_grow_with_what_is_over(self, server: RedisServer, client: "redis.Redis") -> None:
        clock = Clock()
        store = RedisStore(server.patient_url, clock=clock)
        for number in range(500):
            store.put(f"kind:{number}", number, ttl_s=10)
            clock.advance(1)
        assert client.zcard(TAG + b"kind:kind") == pytest.approx(10, abs=2)
        store.close()

    def test_value_that_is_too_long_is_not_kept(self, server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
        store = RedisStore(server.patient_url, max_value_bytes=10_000)
        store.put("response:1", "short", ttl_s=60)
        for _ in range(2):
            store.put("response:1", "x" * 20_000, ttl_s=60)
        assert store.get("response:1") is None
        assert store.add("response:1", "x" * 20_000, ttl_s=60) is None
        store.close()
        assert caplog.messages == ["store does not keep so long a value kind=response bytes=20002"]

    def test_rows_of_processes_that_have_ended_are_deleted(self, server: RedisServer, client: "redis.Redis") -> None:
        clock = Clock()
        key = (TAG + b"use:a").decode()
        slot = int(clock() // 5)
        rows = {
            "void": f"{clock() - 1} 3",
            "old": f"0 0 {slot - 13}:5",
            "begun": f"0 0 {slot - 12}:2",
            "lives": "1019 1",
        }
        for process, row in rows.items():
            client.hset(key, process, row)
        store = RedisStore(server.patient_url, clock=clock)
        assert store.ledger.use("a")[:2] == (1, 2)
        assert store.ledger.take([Offer("a", max_in_flight=2)]) == "a"
        assert store.ledger.take([Offer("a", max_in_flight=2)]) is None
        names: Any = client.hkeys(key)
        assert len(names) == 3
        assert {b"begun", b"lives"} < set(names)
        store.close()

    @pytest.mark.parametrize("found", [b"", b"x", b"\xff\xfe", b"1e12 {", b"1e12", b"nan 1"])
    def test_what_no_agproxy_has_written_is_nothing(
        self, store: RedisStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture, found: bytes
    ) -> None:
        client.set(TAG + b"value:kind:name", found)
        assert store.get("kind:name") is None
        assert store.items("kind") == {}
        store.put("kind:name", "a", ttl_s=60)
        assert store.get("kind:name") == "a"
        client.hset((TAG + b"use:a").decode(), "someone", found)
        assert store.ledger.use("a")[:2] == (0, 0)
        assert store.ledger.take([Offer("a", max_in_flight=1)]) == "a"
        assert caplog.messages == []

    def test_emptied_while_it_is_used(
        self, store: RedisStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture
    ) -> None:
        use(store)
        client.flushall()
        client.script_flush()
        use(store)
        assert caplog.messages == []

    def test_value_that_json_cannot_hold_is_our_error(self, store: RedisStore) -> None:
        with pytest.raises(TypeError):
            store.put("kind:name", object(), ttl_s=60)

    def test_user_needs_few_rights(
        self, server: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture
    ) -> None:
        rights = ["+@read", "+@write", "+@scripting", "+@connection"]
        client.acl_setuser("agproxy", enabled=True, passwords=["+pw"], keys=["agproxy:*"], categories=rights)
        store = RedisStore(server.patient_url.replace("//", "//agproxy:pw@"))
        use(store)
        assert [store.ledger.take([Offer("a", max_in_flight=1)]) for _ in range(2)] == ["a", None]
        assert store.ledger.use("a")[:2] == (1, 1)
        store.close()
        assert caplog.messages == []

    def test_databases_are_apart(self, server: RedisServer) -> None:
        one, other = (RedisStore(f"redis://127.0.0.1:{server.port}/{number}") for number in range(2))
        one.put("kind:name", "a", ttl_s=60)
        assert other.get("kind:name") is None
        for store in (one, other):
            store.close()

    @pytest.mark.parametrize(
        "url",
        [
            "redis://127.0.0.1:{port}",
            "redis://localhost:{port}/0?client_name=agproxy",
            "unix://{folder}/redis.sock",
            "unix://{folder}/redis.sock?db=3&client_name=agproxy",
        ],
    )
    def test_any_address_that_the_ini_takes(self, server: RedisServer, url: str) -> None:
        written = url.format(port=server.port, folder=server.folder)
        store = RedisStore(options.store_url(written))
        use(store)
        with server.client(db=3 if "db=3" in url else 0) as client:
            assert client.exists(TAG + b"value:kind:1")
        store.close()


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def port(self, server: RedisServer, authority: trustme.CA) -> Iterator[int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with Forwarder(server.connect, context=context) as forwarder:  # the packaged server has no TLS itself
            yield forwarder.port

    def test_with_a_ca_of_ones_own(self, port: int, authority: trustme.CA, tmp_path: Path) -> None:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        store = RedisStore(options.store_url(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/ca.pem"))
        use(store)
        store.close()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_unknown_ca_is_not_trusted(self, port: int, host: str, caplog: pytest.LogCaptureFixture) -> None:
        store = RedisStore(f"rediss://{host}:{port}/0", retry_s=0.05)
        use(store)
        store.close()
        (words,) = caplog.messages
        assert "certificate" in words

    def test_file_of_the_ca_is_missing(self, port: int, caplog: pytest.LogCaptureFixture) -> None:
        store = RedisStore(f"rediss://localhost:{port}/0?ssl_ca_certs=/nowhere/ca.pem", retry_s=0.05)
        use(store)
        store.close()
        assert len(caplog.messages) == 1


class TestProcesses:
    @pytest.mark.parametrize("how", [[], ["gevent"]], ids=" ".join)
    def test_forked_child_has_connections_of_its_own(self, server: RedisServer, how: list[str]) -> None:
        program = """
import os, sys
fork, waitpid = os.fork, os.waitpid  # gevent's own now and then wait for ever, for a child that has ended
reinit = lambda: None
if "gevent" in sys.argv:
    from gevent import monkey, reinit
    monkey.patch_all()
from agproxy.store import Offer
from agproxy.store.redis import RedisStore

store = RedisStore(sys.argv[1])
store.put("kind:parent", "a", ttl_s=60)
offer = Offer("a", max_in_flight=3)
assert store.ledger.take([offer]) == "a"
child = fork()
if not child:
    reinit()
    assert store.get("kind:parent") == "a"
    for number in range(300):
        store.put(f"kind:child{number}", number, ttl_s=60)
    assert store.ledger.take([offer]) == "a"
    assert store.ledger.take([Offer("a", max_in_flight=2)]) is None, "the parent has one"
    store.close()
    os._exit(0)
for number in range(300):
    store.put(f"kind:parent{number}", number, ttl_s=60)
assert store.ledger.take([offer]) == "a"
assert waitpid(child, 0)[1] == 0
for number in range(300):
    assert store.get(f"kind:child{number}") == number
    assert store.get(f"kind:parent{number}") == number
assert [store.ledger.take([offer]) for _ in range(2)] == ["a", None]
store.close()
"""
        run(program, server.patient_url, *how)

    def test_process_that_ends_without_closing(self, server: RedisServer, store: RedisStore) -> None:
        program = """
import sys
from agproxy.store import Offer
from agproxy.store.redis import RedisStore
store = RedisStore(sys.argv[1])
store.put("kind:name", "a", ttl_s=60)
store.ledger.take([Offer("a", max_in_flight=1)])
"""
        run(program, server.patient_url)
        assert store.get("kind:name") == "a"

    def test_loop_of_gevent_goes_on_while_the_server_is_silent(self, server: RedisServer) -> None:
        program = """
import sys, time
from gevent import monkey
monkey.patch_all()
import gevent
from agproxy.store import Offer
from agproxy.store.redis import RedisStore

gaps, waits, ends = [], [], False

def tick():
    last = time.perf_counter()
    while not ends:
        gevent.sleep(0.002)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now

def request(number):
    began = time.perf_counter()
    store.get("rest:any")
    store.add(f"session:{number}", "a", ttl_s=60)
    key = store.ledger.take([Offer("a", max_in_flight=1000)])
    store.put(f"signature:{number}", "s", ttl_s=60)
    assert store.get(f"signature:{number}") == "s"
    store.ledger.release(key)
    waits.append(time.perf_counter() - began)

store = RedisStore(sys.argv[1])
request(0)
print("ready", flush=True)
sys.stdin.readline()
ticker = gevent.spawn(tick)
greenlets = []
for number in range(1, 500):
    greenlets.append(gevent.spawn(request, number))
    gevent.sleep(0.003)
gevent.joinall(greenlets, raise_error=True)
ends = True
ticker.join()
late = sum(wait > 0.4 for wait in waits[-200:])
print(sorted(gaps)[-2], max(waits), late, len(waits), flush=True)  # for the machine may have halted once
sys.stdin.readline()
until = time.monotonic() + 20
while True:
    other = RedisStore(sys.argv[1])
    missing = [number for number in range(500) if other.get(f"signature:{number}") != "s"]
    other.close()
    if not missing:
        break
    assert time.monotonic() < until, missing
    gevent.sleep(0.05)
store.close()
print("done")
"""
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == "ready\n"
            with server.silent():
                process.stdin.write("go\n")
                process.stdin.flush()
                longest_gap_s, longest_wait_s, late, count = map(float, process.stdout.readline().split())
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            words = process.stderr.read().splitlines()
        assert process.returncode == 0
        assert count == 500
        assert longest_gap_s < 0.3
        assert longest_wait_s < 2.0
        assert late <= 1
        assert len([line for line in words if line.startswith("store cannot be used")]) == 1


def test_importing_agproxy_does_not_import_redis() -> None:
    program = "import sys, agproxy.app, agproxy.cli.check; print('redis' in sys.modules)"
    assert run(program) == "False\n"
    assert os.environ.get("AGPROXY_CONFIG") is None
