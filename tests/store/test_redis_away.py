"""State on a Redis server that is gone, silent, full or does not want us: requests go on, and nothing is lost."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from agproxy import options
from agproxy.store import Offer
from agproxy.store.redis import RedisStore
from tests.redis_server import RedisServer, asked, not_windows
from tests.store.contract import Clock, eventually, use

pytestmark = not_windows

TAG = b"agproxy:{v1}:"


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(server.url, address="redis://here", retry_s=0.05)
    yield store
    store.close()


@pytest.fixture
def patient(server: RedisServer) -> Iterator[RedisStore]:
    """A store for which the server is away only when it is."""
    store = RedisStore(server.patient_url, retry_s=0.05)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="agproxy")


@pytest.fixture
def is_at_rest() -> Callable[[], bool]:
    """Whether no thread that this test began works for a store any longer."""
    others = frozenset(threading.enumerate())
    return lambda: "agproxy-store" not in [thread.name for thread in threading.enumerate() if thread not in others]


def check_memory(store: RedisStore, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    began = time.perf_counter()
    use(store)
    assert time.perf_counter() - began < 5.0  # one wait for each would be minutes
    time.sleep(0.2)  # which is several attempts
    use(store)
    assert len(caplog.records) == 1, caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.messages[0].startswith("store cannot be used url=redis://here reason=")
    assert reason in caplog.messages[0]


@pytest.fixture
def check_back(
    client: "redis.Redis", caplog: pytest.LogCaptureFixture, is_at_rest: Callable[[], bool]
) -> Callable[[RedisStore], None]:
    """Checks that the server is used again, and has what waited."""

    def check(store: RedisStore) -> None:
        eventually(lambda: len(caplog.records) == 2)
        assert caplog.messages[1] == "store can be used again url=redis://here"
        assert caplog.records[1].levelno == logging.INFO
        assert client.exists(*(TAG + f"value:kind:{number}".encode() for number in range(20))) == 20
        assert client.exists(TAG + b"value:rest:a") == 0
        assert asked(client, lambda: use(store)) > 100
        eventually(is_at_rest)
        assert len(caplog.records) == 2

    return check


def test_gone_and_back_empty(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, check_back: Callable[[RedisStore], None]
) -> None:
    use(store)
    server.kill()
    check_memory(store, caplog, "Connection refused")
    server.start()
    check_back(store)


def test_not_there_at_the_start(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, check_back: Callable[[RedisStore], None]
) -> None:
    server.kill()
    check_memory(store, caplog, "Connection refused")
    server.start()
    check_back(store)


def test_silent(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, check_back: Callable[[RedisStore], None]
) -> None:
    use(store)
    with server.silent():
        began = time.perf_counter()
        assert store.get("kind:another") is None
        assert 0.3 < time.perf_counter() - began < 4.0
        check_memory(store, caplog, "Timeout")
    check_back(store)


def test_silence_holds_up_each_of_many_once(server: RedisServer, store: RedisStore) -> None:
    use(store)
    took_s: list[float] = []

    def work(thread: int) -> None:
        began = time.perf_counter()
        for number in range(10):
            store.put(f"kind:{thread}-{number}", number, ttl_s=60)
            assert store.get(f"kind:{thread}-{number}") == number
        took_s.append(time.perf_counter() - began)

    with server.silent():
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(took_s) == 100
    assert max(took_s) < 4.0  # one wait for each use would be 10 s
    eventually(lambda: len(store.items("kind")) == 1020)


def test_restarted_between_two_uses_is_not_noticed(
    server: RedisServer, patient: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        use(patient)
        server.restart()
    assert caplog.messages == []


def test_what_was_known_is_believed_while_it_is_away(server: RedisServer) -> None:
    clock = Clock()
    store, other = (RedisStore(server.url, clock=clock, retry_s=0.05) for _ in range(2))
    other.put("rest:any", 2000.0, ttl_s=1000)
    other.put("rest:a", {"until": 1100}, ttl_s=100)
    assert store.get("rest:any")
    assert store.get("rest:a")
    assert store.get("rest:b") is None
    server.kill()
    clock.advance(0.1)
    store.put("kind:name", "a", ttl_s=600)
    clock.advance(50)
    assert [store.get(key) for key in ("rest:any", "rest:a", "rest:b")] == [2000.0, {"until": 1100}, None]
    clock.advance(50)
    assert [store.get(key) for key in ("rest:any", "rest:a", "rest:b")] == [2000.0, None, None]
    server.start()
    eventually(lambda: other.get("kind:name") == "a")
    eventually(lambda: store.get("rest:any") is None)  # it was lost
    for each in (store, other):
        each.close()


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("", "it refuses the user's name or password (Authentication required.)"),
        (":wrong@", "it refuses the user's name or password (invalid username-password pair"),
        ("me:secret-1@", "it refuses the user's name or password"),
    ],
)
def test_password_is_wrong(
    server: RedisServer,
    client: "redis.Redis",
    caplog: pytest.LogCaptureFixture,
    check_back: Callable[[RedisStore], None],
    user: str,
    reason: str,
) -> None:
    client.config_set("requirepass", "secret-1")
    store = RedisStore(server.url.replace("//", f"//{user}"), address="redis://here", retry_s=0.05)
    check_memory(store, caplog, reason)
    assert "secret-1" not in caplog.text
    assert "wrong@" not in caplog.text
    client.config_set("requirepass", "")
    client.acl_setuser("me", enabled=True, passwords=["+secret-1"], keys=["*"], categories=["+@all"])
    if user != ":wrong@":
        check_back(store)
    store.close()


def test_password_is_right(server: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture) -> None:
    client.config_set("requirepass", "p@ss/w:rd%")
    url = options.store_url(server.url.replace("//", "//:p%40ss%2Fw%3Ard%25@"))
    store = RedisStore(url)
    use(store)
    store.close()
    assert caplog.messages == []


def test_user_may_not_do_all(server: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture) -> None:
    client.acl_setuser("me", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all", "-@scripting"])
    store = RedisStore(server.url.replace("//", "//me:pw@"), address="redis://here", retry_s=0.05)
    check_memory(store, caplog, "permission")
    store.close()


def test_memory_is_full(
    server: RedisServer, store: RedisStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    store.put("kind:old", "o", ttl_s=60)
    found: Any = client.info("memory")
    client.config_set("maxmemory", found["used_memory"] + 200_000)
    client.config_set("maxmemory-policy", "noeviction")
    for number in range(30):
        store.put(f"response:{number}", [number, "x" * 30_000], ttl_s=60)
        assert store.get(f"response:{number}")[0] == number
        assert store.get("kind:old") == "o"
    store.delete("kind:old")
    assert store.get("kind:old") is None
    assert 0 < len(client.keys("*value:response*")) < 30
    time.sleep(0.2)  # which is several attempts
    assert len(caplog.records) == 1
    assert "command not allowed when used memory > 'maxmemory'" in caplog.messages[0]
    client.config_set("maxmemory", 0)
    eventually(lambda: len(caplog.records) == 2)
    other = RedisStore(server.url)
    assert [number for number in range(30) if other.get(f"response:{number}")[0] != number] == []
    assert other.get("kind:old") is None
    other.close()


def test_server_is_a_replica(
    store: RedisStore,
    client: "redis.Redis",
    caplog: pytest.LogCaptureFixture,
    check_back: Callable[[RedisStore], None],
) -> None:
    store.put("old:name", "o", ttl_s=60)
    client.replicaof("127.0.0.1", 1)
    check_memory(store, caplog, "replica")
    assert store.get("old:name") == "o"
    client.replicaof("NO", "ONE")
    check_back(store)


def test_script_is_lost_while_it_is_away(
    server: RedisServer, patient: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    offer = Offer("a", max_in_flight=3)
    use(patient)
    assert patient.ledger.take([offer]) == "a"
    for _ in range(2):
        server.restart()
        assert patient.ledger.take([offer]) == "a"
    assert patient.ledger.take([offer]) is None
    use(patient)
    assert caplog.messages == []


def test_comes_and_goes_without_filling_the_log(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, is_at_rest: Callable[[], bool]
) -> None:
    for _ in range(5):
        server.kill()
        use(store, 3)
        server.start()
        eventually(is_at_rest)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_closed_while_it_is_away(
    server: RedisServer, caplog: pytest.LogCaptureFixture, is_at_rest: Callable[[], bool]
) -> None:
    store = RedisStore(server.url, retry_s=60)
    server.kill()
    use(store)
    assert not is_at_rest()
    store.close()
    eventually(is_at_rest)
    assert len(caplog.records) == 1
