"""What the ledger of every store must do. A store's test module derives a class and gives ``make``, as for its values.

One whose stores share their counts derives from ``shared_ledger_contract.SharedLedgerContract``.
"""

import threading
from collections.abc import Callable, Iterator

import pytest

from agproxy.store import Ledger, Offer, Store, Use
from tests.store.contract import Clock


def taken(ledger: Ledger, offer: Offer, attempts: int) -> int:
    """How many of so many attempts find room."""
    return sum(ledger.take([offer]) is not None for _ in range(attempts))


class LedgerContract:
    """The tests. Each gets the ledger of a new, empty store, and the clock that it goes by."""

    def make(self, clock: Callable[[], float], *, max_entries: int = 10_000) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, clock: Clock) -> Iterator[Store]:
        store = self.make(clock)
        yield store
        store.close()

    @pytest.fixture
    def ledger(self, store: Store) -> Ledger:
        return store.ledger

    def test_without_limits_the_first_is_taken_always(self, ledger: Ledger) -> None:
        assert [ledger.take([Offer("a"), Offer("b")]) for _ in range(100)] == ["a"] * 100
        assert ledger.use("a")[:2] == (100, 100)
        assert ledger.use("b") == Use(0, 0, 0.0)

    def test_nothing_is_offered(self, ledger: Ledger) -> None:
        assert ledger.take([]) is None

    def test_first_with_room_is_taken(self, ledger: Ledger) -> None:
        offers = [Offer("a", max_in_flight=1), Offer("b", max_in_flight=2)]
        assert [ledger.take(offers) for _ in range(4)] == ["a", "b", "b", None]
        assert ledger.take([*offers, Offer("c"), Offer("d")]) == "c"
        assert [ledger.use(key).in_flight for key in "abcd"] == [1, 2, 1, 0]

    def test_limit_holds_for_what_was_taken_without_one(self, ledger: Ledger) -> None:
        assert taken(ledger, Offer("a"), 3) == 3
        assert ledger.take([Offer("a", max_in_flight=3)]) is None
        assert ledger.take([Offer("a", per_minute=3)]) is None
        assert ledger.take([Offer("a", max_in_flight=4, per_minute=4)]) == "a"

    def test_released_makes_room(self, ledger: Ledger) -> None:
        offer = Offer("a", max_in_flight=2)
        assert taken(ledger, offer, 3) == 2
        ledger.release("a")
        assert taken(ledger, offer, 3) == 1
        for _ in range(2):
            ledger.release("a")
        assert ledger.use("a").in_flight == 0

    def test_released_too_often_is_never_less_than_none(self, ledger: Ledger) -> None:
        ledger.release("a")
        assert ledger.take([Offer("a", max_in_flight=1)]) == "a"
        for _ in range(3):
            ledger.release("a")
        assert ledger.use("a").in_flight == 0
        assert taken(ledger, Offer("a", max_in_flight=2), 5) == 2

    def test_exactly_so_many_begin_within_a_minute(self, ledger: Ledger, clock: Clock) -> None:
        offer = Offer("a", per_minute=10)
        begun: list[float] = []
        for _ in range(200):
            if ledger.take([offer]) == "a":
                begun.append(clock.now)
                ledger.release("a")
            clock.advance(1.7)
        assert begun[:10] == pytest.approx([1000 + number * 1.7 for number in range(10)])
        assert all(later - earlier >= 60 for earlier, later in zip(begun, begun[10:], strict=False))
        assert len(begun) >= 200 * 1.7 / 65 * 10

    def test_minutes_edge_is_none(self, ledger: Ledger, clock: Clock) -> None:
        clock.now = 1_200_000_000.0 - 0.5  # divided by 60 without a rest, but for that
        assert taken(ledger, Offer("a", per_minute=10), 20) == 10
        clock.advance(1)
        assert taken(ledger, Offer("a", per_minute=10), 20) == 0
        clock.advance(ledger.use("a").fewer_in_s - 0.01)
        assert taken(ledger, Offer("a", per_minute=10), 20) == 0
        clock.advance(0.02)
        assert taken(ledger, Offer("a", per_minute=10), 20) == 10

    def test_room_is_told_before_it_comes(self, ledger: Ledger, clock: Clock) -> None:
        assert ledger.use("a") == Use(0, 0, 0.0)
        ledger.take([Offer("a", per_minute=9)])
        clock.advance(20)
        ledger.take([Offer("a", per_minute=9)])
        use = ledger.use("a")
        assert use[:2] == (2, 2)
        assert 35 <= use.fewer_in_s <= 45
        clock.advance(use.fewer_in_s + 0.01)
        assert ledger.use("a").last_minute == 1
        clock.advance(60)
        assert ledger.use("a") == Use(2, 0, 0.0)

    def test_what_takes_long_stays_under_way(self, ledger: Ledger, clock: Clock) -> None:
        assert taken(ledger, Offer("a", max_in_flight=1), 2) == 1
        for _ in range(10):
            clock.advance(600)
            assert ledger.take([Offer("a", max_in_flight=1)]) is None

    def test_clock_is_set_back(self, ledger: Ledger, clock: Clock) -> None:
        clock.now = 1_000_000.0
        assert taken(ledger, Offer("a", per_minute=2), 3) == 2
        clock.now = 900_000.0
        assert taken(ledger, Offer("a", per_minute=2), 3) == 2
        assert ledger.use("a").fewer_in_s <= 65

    @pytest.mark.parametrize("key", ["a b", "a%20b", "a", "a:b/c", "日本", "", "%"])
    def test_any_key_will_do(self, ledger: Ledger, key: str) -> None:
        for other in ("a b", "a%20b", "a", "a:b/c", "日本", "", "%"):
            if other != key:
                assert taken(ledger, Offer(other, max_in_flight=5), 2) == 2
        assert taken(ledger, Offer(key, max_in_flight=1), 3) == 1
        assert ledger.use(key)[:2] == (1, 1)

    def test_threads_that_ask_at_once_never_exceed_a_limit(self, ledger: Ledger) -> None:
        offers = [Offer("a", max_in_flight=3), Offer("b", max_in_flight=4, per_minute=50)]
        found: list[str | None] = []
        most: dict[str, int] = {"a": 0, "b": 0}
        together = threading.Barrier(10)

        def work() -> None:
            together.wait(10)
            for _ in range(30):
                key = ledger.take(offers)
                found.append(key)
                if key is not None:
                    most[key] = max(most[key], ledger.use(key).in_flight)
                    ledger.release(key)

        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(found) == 300
        assert most["a"] <= 3
        assert most["b"] <= 4
        assert found.count("b") <= 50
        assert [ledger.use(key).in_flight for key in "ab"] == [0, 0]
