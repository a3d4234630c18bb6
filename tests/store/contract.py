"""What every store must do. A test module of a store derives a class from :class:`Contract` and gives ``make``."""

import threading
from typing import Any

import pytest

from agproxy.store import Store


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Contract:
    """The tests. Each gets a new, empty store, and the clock that it goes by."""

    def make(self, clock: Clock) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> Store:
        return self.make(clock)

    @pytest.mark.parametrize(
        "value",
        [
            "text",
            "",
            0,
            5,
            1.5,
            True,
            False,
            [],
            ["a", 1],
            {},
            {"until": 1.5, "reason": "große Not", "deep": {"a": [1]}},
        ],
        ids=repr,
    )
    def test_what_is_put_is_got(self, store: Store, value: Any) -> None:
        store.put("kind:name", value, ttl_s=60)
        assert store.get("kind:name") == value

    def test_nothing_was_put(self, store: Store) -> None:
        assert store.get("kind:name") is None

    @pytest.mark.parametrize("key", ["kind:", "kind:a:b/c d", "kind", "kind:日本\x00", "kind:" + "x" * 1000])
    def test_any_name_will_do(self, store: Store, key: str) -> None:
        store.put(key, "value", ttl_s=60)
        assert store.get(key) == "value"
        assert store.get(key + "x") is None

    def test_later_value_replaces_the_earlier(self, store: Store) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.put("kind:name", "b", ttl_s=60)
        assert store.get("kind:name") == "b"

    def test_names_and_kinds_are_apart(self, store: Store) -> None:
        store.put("a:1", "a1", ttl_s=60)
        store.put("a:2", "a2", ttl_s=60)
        store.put("b:1", "b1", ttl_s=60)
        assert [store.get("a:1"), store.get("a:2"), store.get("b:1")] == ["a1", "a2", "b1"]

    def test_value_is_gone_when_its_time_is_over(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=60)
        clock.advance(59)
        assert store.get("kind:name") == "a"
        clock.advance(1)
        assert store.get("kind:name") is None
        assert store.get("kind:name") is None

    def test_each_value_has_its_own_time(self, store: Store, clock: Clock) -> None:
        store.put("kind:short", "a", ttl_s=10)
        store.put("kind:long", "b", ttl_s=1000)
        clock.advance(20)
        assert [store.get("kind:short"), store.get("kind:long")] == [None, "b"]

    def test_put_again_lives_anew(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=60)
        clock.advance(50)
        store.put("kind:name", "b", ttl_s=60)
        clock.advance(50)
        assert store.get("kind:name") == "b"

    def test_getting_does_not_lengthen_a_life(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=60)
        for _ in range(6):
            store.get("kind:name")
            clock.advance(10)
        assert store.get("kind:name") is None

    @pytest.mark.parametrize("ttl_s", [0, -1, 0.0])
    def test_no_time_to_live_is_none(self, store: Store, ttl_s: float) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.put("kind:name", "b", ttl_s=ttl_s)
        assert store.get("kind:name") is None

    def test_deleted_is_gone(self, store: Store) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.put("kind:other", "b", ttl_s=60)
        store.delete("kind:name")
        assert [store.get("kind:name"), store.get("kind:other")] == [None, "b"]

    def test_deleting_what_is_not_there_does_nothing(self, store: Store) -> None:
        store.delete("kind:name")
        store.put("kind:name", "a", ttl_s=60)
        store.delete("kind:other")
        assert store.get("kind:name") == "a"

    def test_many_threads_at_once(self, store: Store) -> None:
        failures: list[Exception] = []

        def work(thread: int) -> None:
            try:
                for number in range(100):
                    key = f"kind{number % 3}:{thread}-{number}"
                    store.put(key, number, ttl_s=60)
                    assert store.get(key) == number
                    store.put("shared:name", number, ttl_s=60)
                    store.get("shared:name")
                    store.delete("shared:name")
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert not failures
