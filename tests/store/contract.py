"""What every store must do. A test module of a store derives a class from :class:`Contract` and gives ``make``.

One whose stores share what they hold derives from :class:`SharedContract`.
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


class SharedContract(Contract):
    """That of stores which hold the same values wherever they are opened, and after a restart."""

    def source(self) -> str:
        """Python that makes ``store``, by the real clock, in another process."""
        raise NotImplementedError

    @pytest.fixture
    def other(self, store: Store, clock: Clock) -> Iterator[Store]:
        """Another store that holds what the first one does."""
        other = self.make(clock)
        yield other
        other.close()

    @pytest.mark.parametrize("kind", ["rest", "session"])
    def test_others_see_what_is_put_and_deleted(self, store: Store, other: Store, clock: Clock, kind: str) -> None:
        assert other.get(f"{kind}:name") is None
        store.put(f"{kind}:name", "a", ttl_s=60)
        clock.advance(1)
        assert other.get(f"{kind}:name") == "a"
        other.put(f"{kind}:name", "b", ttl_s=60)
        clock.advance(1)
        assert store.get(f"{kind}:name") == "b"
        store.delete(f"{kind}:name")
        clock.advance(1)
        assert other.get(f"{kind}:name") is None

    @pytest.mark.parametrize("kind", ["response", "signature", "session"])
    def test_what_an_answer_leaves_behind_is_seen_at_once(self, store: Store, other: Store, kind: str) -> None:
        for number in range(20):
            assert other.get(f"{kind}:{number}") is None
            store.put(f"{kind}:{number}", number, ttl_s=60)
            assert other.get(f"{kind}:{number}") == number

    def test_restart(self, store: Store, clock: Clock) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        clock.advance(59)
        again = self.make(clock)
        assert again.get("kind:name") == "a"
        clock.advance(1)
        assert again.get("kind:name") is None
        again.close()

    def test_close_is_no_end(self, store: Store) -> None:
        store.put("kind:name", "a", ttl_s=60)
        store.close()
        assert store.get("kind:name") == "a"

    def test_other_process_sees_it_within_a_second(self) -> None:
        store = self.make(time.time)
        program = f"""
import sys, time
{self.source()}
for key in sys.stdin:
    until = time.monotonic() + 1
    while (value := store.get(key.strip())) is None and time.monotonic() < until:
        time.sleep(0.01)
    store.put("answer:" + key.strip(), [value, "seen"], ttl_s=60)
    print("done", flush=True)
store.close()
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            for key in ("rest:a", "response:b", "rest:c"):
                process.stdin.write(f"{key}\n")
                process.stdin.flush()
                assert store.get(f"answer:{key}") is None
                store.put(key, "value", ttl_s=60)
                assert process.stdout.readline() == "done\n"
                assert store.get(f"answer:{key}") == ["value", "seen"]
        store.close()

    def test_processes_that_put_at_once_lose_nothing(self) -> None:
        program = f"""
import sys, time
{self.source()}
for number in range(200):
    store.put(f"kind:{{sys.argv[1]}}-{{number}}", number, ttl_s=60)
until = time.monotonic() + 5
while any(store.get(f"kind:{{sys.argv[1]}}-{{number}}") != number for number in range(200)):
    assert time.monotonic() < until
store.close()
"""
        processes = [
            subprocess.Popen([sys.executable, "-W", "error", "-c", program, name], stderr=subprocess.PIPE, text=True)
            for name in "abc"
        ]
        assert [process.communicate(timeout=30)[1] for process in processes] == ["", "", ""]
        store = self.make(time.time)
        assert [key for name in "abc" for key in range(200) if store.get(f"kind:{name}-{key}") != key] == []
        store.close()
