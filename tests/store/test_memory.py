"""State in this process."""

from collections.abc import Callable

from agproxy.store import Store
from agproxy.store.memory import MemoryStore
from tests.store.contract import Clock, Contract
from tests.store.ledger_contract import LedgerContract


class InMemory:
    def make(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> Store:
        return MemoryStore(clock, max_entries=max_entries)


class TestContract(InMemory, Contract):
    pass


class TestLedgerContract(InMemory, LedgerContract):
    pass


class TestBounds:
    def test_long_values_push_out_their_own_kind(self) -> None:
        store = MemoryStore(Clock(), max_bytes=100_000)
        store.put("rest:a", "a", ttl_s=60)
        for number in range(10):
            store.put(f"response:{number}", "x" * 40_000, ttl_s=60)
        assert [number for number in range(10) if store.get(f"response:{number}")] == [8, 9]
        assert store.get("rest:a") == "a"

    def test_default_keeps_thousands(self) -> None:
        store = MemoryStore(Clock())
        for number in range(10_001):
            store.put(f"kind:{number}", number, ttl_s=60)
        assert store.get("kind:0") is None
        assert store.get("kind:1") == 1
