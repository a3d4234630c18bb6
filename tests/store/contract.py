"""What every store must do. A test module of a store derives a class from :class:`Contract` and gives ``make``.

One whose stores share what they hold derives from ``shared_contract.SharedContract``.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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


def eventually(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def run(program: str, *arguments: object) -> str:
    """What a program prints that has nothing to complain about."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def use(store: Store, count: int = 20) -> None:
    """Do all that can be done with a store, and see that it has been."""
    for number in range(count):
        store.put(f"kind:{number}", number, ttl_s=60)
        store.put("rest:a", number, ttl_s=60)
        assert store.get(f"kind:{number}") == number
        assert store.get("rest:a") == number
        assert store.add(f"kind:{number}", "other", ttl_s=60) == number
        assert store.add(f"session:{number}", "a", ttl_s=60) == "a"
        assert store.add(f"session:{number}", "b", ttl_s=60) == "a"
        store.delete("rest:a")
        assert store.get("rest:a") is None
    assert store.items("kind") == {str(number): number for number in range(count)}


class Contract:
    """The tests. Each gets a new, empty store, and the clock that it goes by."""

    def make(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    def tidy(self, store: Store) -> None:
        """Do what the store does by itself now and then to keep its bounds."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> Iterator[Store]:
        store = self.make(clock)
        yield store
        store.close()

    @pytest.fixture
    def small(self, clock: Clock) -> Iterator[Store]:
        """One that keeps three values of a kind."""
        store = self.make(clock, max_entries=3)
        yield store
        store.close()

    def put_in_turn(self, store: Store, clock: Clock, keys: list[str]) -> None:
        for key in keys:
            clock.advance(0.5)
            store.put(key, key[-1], ttl_s=60)
        self.tidy(store)

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
            "日本 👩‍🚀 \x00 \u2028 '\"\\",
            "half a pair \ud83d",
            2**63,
            -1e300,
        ],
        ids=ascii,
    )
    def test_what_is_put_is_got(self, store: Store, value: Any) -> None:
        store.put("kind:name", value, ttl_s=60)
        assert store.get("kind:name") == value

    def test_what_is_put_is_a_copy(self, store: Store) -> None:
        value: dict[str, Any] = {"a": ("b", "c")}
        store.put("kind:name", value, ttl_s=60)
        value["a"] = ()
        assert store.get("kind:name") == {"a": ["b", "c"]}

    def test_nothing_was_put(self, store: Store) -> None:
        assert store.get("kind:name") is None

    @pytest.mark.parametrize(
        "key", ["kind:", "kind:a:b/c d", "kind", "kind:日本\x00", "kind:\ud83d", "kind:%_'\"", "kind:" + "x" * 1000]
    )
    def test_any_name_will_do(self, store: Store, key: str) -> None:
        store.put(key, "value", ttl_s=60)
        assert store.get(key) == "value"
        assert store.get(key + "x") is None

    def test_long_value(self, store: Store) -> None:
        value = {"output": [{"text": "gr\u00fcn 👍 " * 1000} for _ in range(450)]}
        store.put("response:1", value, ttl_s=60)
        assert store.get("response:1") == value
        store.put("response:1", "short", ttl_s=60)
        assert store.get("response:1") == "short"

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

    def test_shorter_time_to_live_counts_too(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=1000)
        store.put("kind:name", "a", ttl_s=10)
        clock.advance(10)
        assert store.get("kind:name") is None

    def test_put_and_deleted_over_and_over(self, store: Store) -> None:
        for number in range(50):
            store.put("rest:name", number, ttl_s=60)
            assert store.get("rest:name") == number
            store.delete("rest:name")
            assert store.get("rest:name") is None

    def test_what_ends_first_or_was_put_first_makes_room(self, small: Store, clock: Clock) -> None:
        self.put_in_turn(small, clock, [f"kind:{name}" for name in "abcd"])
        assert [small.get(f"kind:{name}") for name in "abcd"] == [None, "b", "c", "d"]

    def test_put_again_counts_as_new(self, small: Store, clock: Clock) -> None:
        self.put_in_turn(small, clock, ["kind:a", "kind:b", "kind:c"])
        clock.advance(10)
        self.put_in_turn(small, clock, ["kind:a", "kind:d"])
        assert [small.get(f"kind:{name}") for name in "abcd"] == ["a", None, "c", "d"]

    def test_bound_holds_although_nothing_expires(self, small: Store, clock: Clock) -> None:
        self.put_in_turn(small, clock, [f"kind:{number}" for number in range(300)])
        assert [number for number in range(300) if small.get(f"kind:{number}") is not None] == [297, 298, 299]

    def test_kinds_do_not_push_each_other_out(self, small: Store, clock: Clock) -> None:
        kinds = ["rest", "session", "response", "signature"]
        self.put_in_turn(small, clock, [f"{kind}:{number}" for number in range(30) for kind in kinds])
        for kind in kinds:
            assert [small.get(f"{kind}:{number}") for number in range(26, 30)] == [None, "7", "8", "9"]

    def test_deleted_ones_make_room(self, small: Store, clock: Clock) -> None:
        self.put_in_turn(small, clock, ["kind:a", "kind:b", "kind:c"])
        small.delete("kind:b")
        self.put_in_turn(small, clock, ["kind:d"])
        assert [small.get(f"kind:{name}") for name in "abcd"] == ["a", None, "c", "d"]

    @pytest.mark.parametrize("kind", ["session", "rest", "response"])
    def test_what_was_just_read_is_put_all_the_same(self, store: Store, clock: Clock, kind: str) -> None:
        key = f"{kind}:a"
        store.put(key, "x", ttl_s=60)
        assert store.get(key) == "x"
        store.put(key, "y", ttl_s=60)
        assert store.get(key) == "y"
        store.delete(key)
        assert store.get(key) is None
        store.put(key, "y", ttl_s=60)
        assert store.get(key) == "y"
        store.put(key, "y", ttl_s=5)
        clock.advance(10)
        assert store.get(key) is None
        store.put(key, "y", ttl_s=60)
        assert store.get(key) == "y"
        clock.advance(30)
        assert store.get(key) == "y"
        store.put(key, "y", ttl_s=60)
        clock.advance(45)
        assert store.get(key) == "y"

    def test_closed_twice(self, store: Store) -> None:
        store.close()
        store.close()

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

    @pytest.mark.parametrize("kind", ["kind", "session", "rest"])
    def test_added_is_kept_until_its_time_is_over(self, store: Store, clock: Clock, kind: str) -> None:
        assert store.add(f"{kind}:name", ["a"], ttl_s=60) == ["a"]
        assert store.add(f"{kind}:name", ["b"], ttl_s=60) == ["a"]
        assert store.get(f"{kind}:name") == ["a"]
        clock.advance(59)
        assert store.add(f"{kind}:name", ["b"], ttl_s=60) == ["a"]
        clock.advance(1)
        assert store.add(f"{kind}:name", ["c"], ttl_s=60) == ["c"]
        assert store.add(f"{kind}:name", ["d"], ttl_s=60) == ["c"]
        clock.advance(59)
        assert store.get(f"{kind}:name") == ["c"]

    @pytest.mark.parametrize("kind", ["kind", "session", "rest"])
    def test_what_was_put_is_not_added_and_what_was_deleted_is(self, store: Store, kind: str) -> None:
        store.put(f"{kind}:name", "a", ttl_s=60)
        assert store.add(f"{kind}:name", "b", ttl_s=60) == "a"
        assert store.add(f"{kind}:other", "c", ttl_s=60) == "c"
        store.delete(f"{kind}:name")
        assert store.add(f"{kind}:name", "d", ttl_s=60) == "d"
        store.put(f"{kind}:name", "e", ttl_s=60)
        assert [store.get(f"{kind}:name"), store.get(f"{kind}:other")] == ["e", "c"]

    @pytest.mark.parametrize("value", ["text", {"a": [1]}, "half a pair \ud83d"], ids=ascii)
    def test_what_is_added_is_got(self, store: Store, value: Any) -> None:
        assert store.add("kind:name", value, ttl_s=60) == value
        assert store.add("kind:name", None, ttl_s=60) == value
        assert store.get("kind:name") == value

    def test_added_ones_are_bounded(self, small: Store, clock: Clock) -> None:
        for name in "abcd":
            clock.advance(0.5)
            small.add(f"kind:{name}", name, ttl_s=60)
        self.tidy(small)
        assert [small.get(f"kind:{name}") for name in "abcd"] == [None, "b", "c", "d"]

    @pytest.mark.parametrize("kind", ["kind", "session", "rest"])
    def test_one_of_many_threads_adds(self, store: Store, kind: str) -> None:
        found: list[list[Any]] = [[] for _ in range(4)]
        together = threading.Barrier(4)

        def work(thread: int) -> None:
            for number in range(50):
                together.wait(10)
                found[thread].append(store.add(f"{kind}:{number}", thread, ttl_s=60))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == [[store.get(f"{kind}:{number}") for number in range(50)]] * 4

    def test_items_are_those_of_one_kind(self, store: Store, clock: Clock) -> None:
        assert store.items("rest") == {}
        store.put("rest:a", {"until": 1}, ttl_s=60)
        store.put("rest:b:c/日本", ["b"], ttl_s=60)
        store.add("rest:d", "d", ttl_s=10)
        store.put("rest:e", "e", ttl_s=60)
        store.put("restless:f", "f", ttl_s=60)
        store.put("session:a", "a", ttl_s=60)
        store.put("rest", "r", ttl_s=60)
        store.delete("rest:e")
        store.delete("rest")
        assert store.items("rest") == {"a": {"until": 1}, "b:c/日本": ["b"], "d": "d"}
        clock.advance(10)
        assert store.items("rest") == {"a": {"until": 1}, "b:c/日本": ["b"]}
        assert store.items("session") == {"a": "a"}

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
