"""State in this process."""

import pytest

from agproxy.store import Store
from agproxy.store.memory import MemoryStore
from tests.store.contract import Clock, Contract


class TestContract(Contract):
    def make(self, clock: Clock) -> Store:
        return MemoryStore(clock)


class TestBounds:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> MemoryStore:
        return MemoryStore(clock, max_entries=3)

    def test_least_recently_put_goes_first(self, store: MemoryStore) -> None:
        for name in "abcd":
            store.put(f"kind:{name}", name, ttl_s=60)
        assert [store.get(f"kind:{name}") for name in "abcd"] == [None, "b", "c", "d"]

    def test_put_again_counts_as_new(self, store: MemoryStore) -> None:
        for name in "abcad":
            store.put(f"kind:{name}", name, ttl_s=60)
        assert [store.get(f"kind:{name}") for name in "abcd"] == ["a", None, "c", "d"]

    def test_hold_although_nothing_expires(self, store: MemoryStore) -> None:
        for number in range(1000):
            store.put(f"kind:{number}", number, ttl_s=1e9)
        assert [number for number in range(1000) if store.get(f"kind:{number}") is not None] == [997, 998, 999]

    def test_kinds_do_not_evict_each_other(self, store: MemoryStore) -> None:
        store.put("rest:a", "a", ttl_s=60)
        for number in range(100):
            store.put(f"signature:{number}", number, ttl_s=60)
        assert store.get("rest:a") == "a"

    def test_deleted_ones_make_room(self, store: MemoryStore) -> None:
        for name in "abc":
            store.put(f"kind:{name}", name, ttl_s=60)
        store.delete("kind:b")
        store.put("kind:d", "d", ttl_s=60)
        assert [store.get(f"kind:{name}") for name in "abcd"] == ["a", None, "c", "d"]

    def test_default_keeps_thousands(self, clock: Clock) -> None:
        store = MemoryStore(clock)
        for number in range(10_001):
            store.put(f"kind:{number}", number, ttl_s=60)
        assert store.get("kind:0") is None
        assert store.get("kind:1") == 1
