"""What the ledger of every store must do whose counts are those of all who use it."""

import contextlib
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from agproxy.store import Ledger, Offer, Store
from agproxy.store.shared_ledger import BEAT_S
from tests.store.contract import Clock, eventually, run
from tests.store.ledger_contract import LedgerContract, taken


class SharedLedgerContract(LedgerContract):
    """The tests, with those of any ledger. A test module derives a class, and gives what stands first here too."""

    def source(self) -> str:
        """Python that makes ``store``, by the real clock, in another process."""
        raise NotImplementedError

    def lively(self, clock: Callable[[], float]) -> Store:
        """Another store in the same place, which tells the others ten times a second what it uses."""
        raise NotImplementedError

    def unusable(self) -> contextlib.AbstractContextManager[object]:
        """Nothing can be written where the counts are shared; afterwards it can."""
        raise NotImplementedError

    def wipe(self) -> None:
        """Lose all that is written there."""
        raise NotImplementedError

    @pytest.fixture
    def other(self, store: Store, clock: Clock) -> Iterator[Ledger]:
        """The ledger of another store in the same place."""
        other = self.make(clock)
        yield other.ledger
        other.close()

    def test_limit_holds_over_both(self, ledger: Ledger, other: Ledger) -> None:
        offer = Offer("a", max_in_flight=3)
        assert [each.take([offer]) for each in (ledger, other, ledger, other, ledger)] == ["a", "a", "a", None, None]
        other.release("a")
        eventually(lambda: ledger.take([offer]) == "a", seconds=BEAT_S / 2)  # it is not only told with the beat
        assert other.take([offer]) is None
        assert ledger.use("a") == other.use("a")
        assert ledger.use("a")[:2] == (3, 4)

    def test_exactly_so_many_begin_within_a_minute_over_both(self, ledger: Ledger, other: Ledger, clock: Clock) -> None:
        offer = Offer("a", per_minute=10)
        assert taken(ledger, offer, 4) == 4
        clock.advance(15)
        assert taken(other, offer, 7) == 6
        assert taken(ledger, offer, 1) == 0
        assert ledger.use("a") == other.use("a")
        clock.advance(ledger.use("a").fewer_in_s + 0.01)
        assert taken(other, offer, 3) + taken(ledger, offer, 3) == 4

    def test_who_asks_less_than_the_other_gets_the_next_offer(self, ledger: Ledger, other: Ledger) -> None:
        offers = [Offer("a", max_in_flight=1), Offer("b", per_minute=2), Offer("c", max_in_flight=1)]
        found = [each.take(offers) for each in (ledger, other, other, ledger, other)]
        assert found == ["a", "b", "b", "c", None]

    def test_others_without_limits_are_known_in_a_while(self, ledger: Ledger, clock: Clock) -> None:
        other = self.lively(clock)
        assert taken(other.ledger, Offer("a"), 3) == 3
        eventually(lambda: ledger.use("a")[:2] == (3, 3))
        assert ledger.take([Offer("a", max_in_flight=3)]) is None
        assert ledger.take([Offer("a", max_in_flight=4)]) == "a"
        for _ in range(3):
            other.ledger.release("a")
        eventually(lambda: ledger.use("a")[:2] == (1, 4))
        other.close()

    def test_clock_of_the_other_is_some_seconds_ahead(self, ledger: Ledger, clock: Clock) -> None:
        other = self.make(lambda: clock() + 3)
        offer = Offer("a", max_in_flight=2, per_minute=20)
        for _ in range(20):
            clock.advance(0.9)
            found = [each.take([offer]) for each in (other.ledger, ledger, other.ledger)]
            if found[0] is None:
                break
            assert found == ["a", "a", None]
            other.ledger.release("a")
            ledger.release("a")
            eventually(lambda: other.ledger.use("a").in_flight == ledger.use("a").in_flight == 0)
        assert ledger.use("a")[:2] == other.ledger.use("a")[:2] == (0, 20)
        other.close()

    def test_what_a_closed_store_has_taken_is_given_back(self, ledger: Ledger, clock: Clock) -> None:
        offer = Offer("a", max_in_flight=1, per_minute=2)
        other = self.make(clock)
        assert other.ledger.take([offer]) == "a"
        assert ledger.take([offer]) is None
        other.close()
        assert ledger.take([offer]) == "a"
        ledger.release("a")
        assert ledger.take([offer]) is None, "what began in the last minute counts all the same"

    def test_closed_while_the_others_are_told(self, ledger: Ledger, clock: Clock) -> None:
        for number in range(100):  # some meet the moment, 20 ms after the release
            other = self.make(clock)
            assert other.ledger.take([Offer("a", max_in_flight=1)]) == "a", number
            other.ledger.release("a")
            time.sleep(0.0195 + number % 20 / 10_000)
            other.close()
            assert ledger.use("a").in_flight == 0

    def test_closed_store_may_be_used_again(self, store: Store, other: Ledger) -> None:
        offer = Offer("a", max_in_flight=1)
        assert store.ledger.take([offer]) == "a"
        store.close()
        store.ledger.release("a")
        assert other.take([offer]) == "a"
        assert store.ledger.take([offer]) is None
        other.release("a")
        eventually(lambda: store.ledger.take([offer]) == "a")

    def test_killed_process_holds_nothing_for_long(self) -> None:
        program = f"""
import sys
{self.source()}
from agproxy.store import Offer
print([store.ledger.take([Offer("a", max_in_flight=3, per_minute=5)]) for _ in range(4)], flush=True)
sys.stdin.readline()
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "['a', 'a', 'a', None]\n"
            process.kill()
        offer = Offer("a", max_in_flight=3, per_minute=5)
        for after_s, expected in ((0, (0, 3, 3)), (15, (0, 3, 3)), (21, (2, 2, 5)), (70, (3, 3, 5))):
            store = self.make(lambda after_s=after_s: time.time() + after_s)  # type: ignore[misc]
            found = taken(store.ledger, offer, 4)
            assert (found, *store.ledger.use("a")[:2]) == expected
            store.close()

    def test_process_that_lives_holds_on(self, ledger: Ledger, clock: Clock) -> None:
        """Its rows are written anew in the background."""
        other = self.lively(clock)
        assert other.ledger.take([Offer("a", max_in_flight=1)]) == "a"
        for _ in range(3):
            clock.advance(21)
            eventually(lambda: ledger.use("a").in_flight == 1)
            assert ledger.take([Offer("a", max_in_flight=1)]) is None
        other.close()

    def test_processes_that_ask_at_once_never_exceed_a_limit(self) -> None:
        program = f"""
import json, sys, time
{self.source()}
from agproxy.store import Offer
offers = [Offer("a", max_in_flight=2), Offer("b", per_minute=100)]
store.ledger.use("a")
print("ready", flush=True)
sys.stdin.readline()
found, most = [], 0
for number in range(150):
    key = store.ledger.take(offers)
    found.append(key)
    if key is not None:
        most = max(most, store.ledger.use("a").in_flight)
        store.ledger.release(key)
    time.sleep(0.0005)
print(json.dumps([found.count("a"), found.count("b"), most]))
store.close()
"""
        processes = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in "abc"
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        counts = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
        assert sum(b for _, b, _ in counts) == 100
        assert max(most for _, _, most in counts) <= 2
        store = self.make(time.time)
        assert store.ledger.use("b")[:2] == (0, 100)
        assert store.ledger.use("a").in_flight == 0
        store.close()

    def test_each_goes_by_its_own_counts_while_they_cannot_be_shared(
        self, ledger: Ledger, other: Ledger, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="agproxy")
        offer = Offer("a", max_in_flight=2, per_minute=8)
        assert [each.take([offer]) for each in (ledger, other, ledger)] == ["a", "a", None]
        with self.unusable():
            assert ledger.take([offer]) == "a"
            took_s = []
            for _ in range(20):
                began = time.perf_counter()
                assert [ledger.take([offer]), ledger.use("a").in_flight] == [None, 2]
                took_s.append(time.perf_counter() - began)
            assert statistics.median(took_s) < 0.005
            assert other.take([offer]) == "a"
            eventually(lambda: caplog.text.count("limits of accounts hold for each process by itself") == 2)
        eventually(lambda: ledger.use("a")[:2] == other.use("a")[:2] == (4, 4))
        for each in (ledger, other) * 2:
            assert each.take([offer]) is None
            each.release("a")
        eventually(lambda: ledger.use("a").in_flight == other.use("a").in_flight == 0)
        assert [each.take([offer]) for each in (ledger, other, ledger)] == ["a", "a", None]
        assert caplog.text.count("limits of accounts hold for all processes again") == 2
        assert caplog.text.count("limits of accounts hold for each process by itself") == 2

    def test_counts_come_back_where_they_were_lost(self, ledger: Ledger, clock: Clock) -> None:
        offer = Offer("a", max_in_flight=3, per_minute=9)
        lively = self.lively(clock)
        assert taken(lively.ledger, offer, 2) == 2
        lively.ledger.take([Offer("b")])
        self.wipe()
        clock.advance(1)
        eventually(lambda: (ledger.use("a")[:2], ledger.use("b").in_flight) == ((2, 2), 1))
        assert taken(ledger, offer, 2) == 1
        lively.close()

    def test_what_is_told_at_the_end_of_the_process(self) -> None:
        """Python's own end comes before, for what was begun after the store was to be closed then."""
        program = f"""
import atexit
{self.source()}
from agproxy.store import Offer
atexit.register(store.close)
assert store.ledger.take([Offer("a", max_in_flight=1)]) == "a"
"""
        run(program)
        store = self.make(time.time)
        assert store.ledger.take([Offer("a", max_in_flight=1)]) == "a"
        store.close()
