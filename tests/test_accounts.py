"""The pool: who answers next, and who has to rest."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from agproxy.accounts import Pool, Wanted
from agproxy.config import Account, Scheduling
from agproxy.pauses import Rest, fingerprint, next_midnight_pacific
from agproxy.retry import Verdict
from agproxy.store.memory import MemoryStore

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC).timestamp()
MODEL = "gemini-2.5-flash"
QUOTA = Verdict("next", "quota")
OUT = Verdict("next", "account")


class World:
    """A pool with its store, its clock and short ways to use them."""

    def __init__(self, *accounts: Account, used: dict[str, int] | None = None, **scheduling: Any) -> None:
        self.now = NOW
        self.store = MemoryStore(lambda: self.now)
        self.used = {} if used is None else used
        self.pool = Pool(accounts, Scheduling(**scheduling), self.store, self.used)
        self.accounts = {account.name: account for account in accounts}

    def choice(
        self,
        *,
        model: str = MODEL,
        session: str = "s",
        tried: Collection[str] = (),
        patience_s: float = 0.0,
        **how: Any,
    ) -> Account | Rest:
        asked = wanted(model, session=session, **how)
        return self.pool.take(asked, tried=tried, now=self.now, patience_s=patience_s)

    def take(self, **how: Any) -> str:
        """The name of the account that is taken."""
        choice = self.choice(**how)
        assert isinstance(choice, Account), choice
        return choice.name

    def wait(self, **how: Any) -> Rest:
        """Why none is taken."""
        choice = self.choice(**how)
        assert isinstance(choice, Rest), choice
        return choice

    def rest(self, name: str, verdict: Verdict, *, model: str = MODEL, reason: str = "because") -> None:
        self.pool.pauses.record(self.accounts[name], verdict, model=model, reason=reason, now=self.now)

    def succeed(self, name: str, *, model: str = MODEL, session: str = "s", since: float | None = None) -> None:
        began = self.now if since is None else since
        self.pool.succeeded(self.accounts[name], quota=model, session=session, since=began)


def wanted(model: str = MODEL, **how: Any) -> Wanted:
    return Wanted(model, quota=model, **how)


def account(name: str, **fields: Any) -> Account:
    return Account(name, **{"api_key": f"key-{name}", **fields})


def abc(**scheduling: Any) -> World:
    return World(account("a"), account("b"), account("c"), **scheduling)


class TestOrder:
    def test_least_recently_used_first(self) -> None:
        world = abc()
        assert [world.take(session=str(number)) for number in range(7)] == list("abcabca")

    def test_higher_priority_before_all_others(self) -> None:
        world = World(account("a"), account("b", priority=5), account("c", priority=5), account("d", priority=-1))
        assert [world.take(session=str(number)) for number in range(4)] == list("bcbc")

    def test_lower_priority_when_the_higher_rests(self) -> None:
        world = World(account("a"), account("b", priority=5), account("c", priority=-1))
        world.rest("b", QUOTA)
        assert [world.take(session="1"), world.take(session="2")] == ["a", "a"]
        world.rest("a", QUOTA)
        assert world.take() == "c"

    def test_tried_ones_are_not_taken_again(self) -> None:
        world = abc()
        assert world.take(tried={"a", "c"}) == "b"

    def test_everyone_tried_is_told_as_free_now(self) -> None:
        assert abc().wait(tried={"a", "b", "c"}) == Rest(NOW, "all accounts have been tried", 503)

    def test_disabled_and_unusable_ones_are_never_taken(self) -> None:
        world = World(account("a", enabled=False), account("b", problem="no key"), account("c"))
        assert [each.name for each in world.pool.accounts] == ["c"]
        assert [world.take(session=str(number)) for number in range(3)] == list("ccc")

    def test_order_of_use_outlives_the_pool(self) -> None:
        used: dict[str, int] = {}
        assert World(account("a"), account("b"), used=used).take() == "a"
        assert World(account("a"), account("b"), used=used).take() == "b"
        assert World(account("a"), account("b"), account("new"), used=used).take() == "new"


class TestFairness:
    def test_200_takes_are_even(self) -> None:
        world = World(*map(account, "abcd"))
        assert Counter(world.take(session=str(number)) for number in range(200)) == dict.fromkeys("abcd", 50)

    def test_200_takes_of_many_threads_are_even(self) -> None:
        class Slow(dict[str, int]):
            def get(self, name: str, default: Any = None) -> Any:
                time.sleep(0)  # another thread may go on here
                return super().get(name, default)

        world = World(*map(account, "abcd"), used=Slow())
        taken: list[str] = []
        ready = threading.Barrier(10)

        def work(thread: int) -> None:
            ready.wait(5)
            taken.extend(world.take(session=f"{thread}-{number}") for number in range(20))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert Counter(taken) == dict.fromkeys("abcd", 50)

    def test_sticky_sessions_spread_over_the_accounts(self) -> None:
        world = World(*map(account, "abcd"))
        for session in range(200):
            name = world.take(session=str(session))
            world.succeed(name, session=str(session))
            assert world.take(session=str(session)) == name
        stuck = Counter(world.take(session=str(session)) for session in range(200))
        assert stuck == dict.fromkeys("abcd", 50)


class TestQuota:
    def test_rests_for_one_model_only(self) -> None:
        world = World(account("a"))
        world.rest("a", QUOTA)
        assert world.wait().until == NOW + 5.0
        assert world.take(model="gemini-flash-latest") == "a"

    def test_is_shared_by_a_project(self) -> None:
        world = World(account("a", project="p"), account("b", project="p"), account("c", project="q"))
        world.rest("a", QUOTA)
        assert [world.take(session="1"), world.take(session="2")] == ["c", "c"]

    def test_is_shared_by_two_sections_with_one_key(self) -> None:
        world = World(account("a", api_key="k"), account("b", api_key="k"), account("c"))
        world.rest("b", QUOTA)
        assert [world.take(session="1"), world.take(session="2")] == ["c", "c"]

    def test_is_shared_with_a_section_that_names_the_project_of_the_same_key(self) -> None:
        world = World(account("a", api_key="k"), account("b", api_key="k", project="p"), account("c", project="p"))
        world.rest("a", QUOTA)
        assert world.wait().until == NOW + 5.0

    def test_is_not_shared_by_accounts_without_a_project(self) -> None:
        world = World(account("a"), account("b"))
        world.rest("a", QUOTA)
        assert world.take() == "b"

    def test_rests_as_long_as_the_hint_says(self) -> None:
        world = World(account("a"))
        world.rest("a", Verdict("next", "quota", 34.07))
        world.now += 34.06
        assert world.wait().until == pytest.approx(NOW + 34.07)
        world.now += 0.02
        assert world.take() == "a"

    def test_hint_of_nothing_is_no_rest(self) -> None:
        world = World(account("a"))
        world.rest("a", Verdict("next", "quota", 0.0))
        assert world.take() == "a"

    def test_rest_without_a_hint_grows(self) -> None:
        world = World(account("a"))
        rests = []
        for _ in range(4):
            world.rest("a", QUOTA)
            rests.append(world.wait().until - world.now)
            world.now = world.wait().until
        assert rests == [5.0, 10.0, 20.0, 40.0]

    def test_hints_do_not_count_as_failures(self) -> None:
        world = World(account("a"))
        for _ in range(3):
            world.rest("a", Verdict("next", "quota", 1.0))
        world.now += 2
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 5.0

    def test_failures_of_requests_under_way_together_count_once(self) -> None:
        world = World(account("a"))
        for _ in range(10):
            world.rest("a", QUOTA)
            world.now += 0.1
        assert world.wait().until == NOW + 5.0
        world.now += 10
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 10.0

    def test_shorter_rest_does_not_end_a_longer_one(self) -> None:
        world = World(account("a"))
        world.rest("a", Verdict("next", "quota", until_midnight=True), reason="daily")
        world.rest("a", Verdict("next", "quota", 34.07), reason="per minute")
        assert world.wait().reason == "daily"

    def test_success_clears_the_growth(self) -> None:
        world = World(account("a"))
        for _ in range(3):
            world.rest("a", QUOTA)
            world.now += 100
        world.succeed("a")
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 5.0

    def test_success_with_another_model_clears_nothing(self) -> None:
        world = World(account("a"))
        world.rest("a", QUOTA)
        world.now += 100
        world.succeed("a", model="gemini-flash-latest")
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 10.0

    def test_growth_is_forgotten_after_hours(self) -> None:
        world = World(account("a"))
        for _ in range(3):
            world.rest("a", QUOTA)
            world.now += 100
        world.now += 6 * 3600 + 1
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 5.0

    def test_daily_one_rests_until_midnight_pacific(self) -> None:
        world = World(account("a"))
        world.rest("a", Verdict("next", "quota", until_midnight=True))
        assert world.wait() == Rest(datetime(2026, 6, 16, 7, 0, tzinfo=UTC).timestamp(), "because", 429)

    def test_is_known_to_all_that_share_the_store(self) -> None:
        world = World(account("a"))
        world.rest("a", QUOTA)
        other = Pool([account("a")], Scheduling(), world.store, {})
        assert isinstance(other.take(wanted(session="s"), tried=(), now=NOW), Rest)


class TestModelRest:
    def test_keeps_one_account_from_one_model(self) -> None:
        world = World(account("a", project="p"), account("b", project="p"))
        world.rest("a", Verdict("next", "model", 60.0))
        assert [world.take(session="1"), world.take(session="2")] == ["b", "b"]
        assert world.take(model="gemini-flash-latest", tried={"b"}) == "a"
        world.now += 61
        assert world.take(tried={"b"}) == "a"


class TestOutage:
    def test_keeps_the_account_from_all_models(self) -> None:
        world = World(account("a", project="p"), account("b", project="p"))
        world.rest("a", OUT)
        assert world.take() == "b"
        assert world.take(model="gemini-flash-latest", session="2") == "b"

    def test_is_shared_by_sections_with_one_key(self) -> None:
        world = World(account("a", api_key="k"), account("b", api_key="k", project="p"))
        world.rest("a", OUT)
        assert world.wait().status == 502

    def test_grows_from_a_minute_to_an_hour(self) -> None:
        world = World(account("a"))
        rests = []
        for _ in range(8):
            world.rest("a", OUT)
            rests.append(world.wait().until - world.now)
            world.now = world.wait().until
        assert rests == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]

    def test_failures_of_requests_under_way_together_count_once(self) -> None:
        world = World(account("a"))
        for _ in range(10):
            world.rest("a", OUT)
        assert world.wait().until == NOW + 60.0

    def test_success_clears_the_growth(self) -> None:
        world = World(account("a"))
        world.rest("a", OUT)
        world.now += 61
        world.succeed("a")
        world.rest("a", OUT)
        assert world.wait().until == world.now + 60.0

    def test_ends_with_another_key(self) -> None:
        world = World(account("a"))
        world.rest("a", OUT)
        changed = Pool([account("a", api_key="new")], Scheduling(), world.store, world.used)
        assert isinstance(changed.take(wanted(session="s"), tried=(), now=NOW), Account)


class TestNobody:
    def test_the_first_one_free_is_told_with_its_reason(self) -> None:
        world = abc()
        world.rest("a", Verdict("next", "quota", 50.0), reason="a's quota")
        world.rest("b", Verdict("next", "quota", 20.0), reason="b's quota")
        world.rest("c", OUT, reason="c's key")
        assert world.wait() == Rest(NOW + 20.0, "b's quota", 429)

    def test_the_longest_of_an_accounts_reasons_counts(self) -> None:
        world = World(account("a"))
        world.rest("a", Verdict("next", "quota", 300.0), reason="quota")
        world.rest("a", OUT, reason="key")
        world.rest("a", Verdict("next", "model", 60.0), reason="model")
        assert world.wait() == Rest(NOW + 300.0, "quota", 429)

    def test_no_usable_key_says_why(self) -> None:
        world = World(account("a", problem="api_key: the variable X is not set"), account("b", enabled=False))
        rest = world.wait()
        assert (rest.until, rest.status) == (math.inf, 502)
        assert rest.reason == "no account of the pool has a usable key; 'agproxy check' and the log say why"

    def test_all_disabled(self) -> None:
        assert World(account("a", enabled=False)).wait() == Rest(math.inf, "all accounts of the pool are disabled", 503)


class TestSecrets:
    def test_keys_are_not_in_the_store(self) -> None:
        world = World(account("a", api_key="AIza-secret"))
        keys: list[str] = []
        put = world.store.put

        class Spy(MemoryStore):
            def put(self, key: str, value: Any, *, ttl_s: float) -> None:
                keys.append(f"{key}={value}")
                put(key, value, ttl_s=ttl_s)

        pool = Pool([world.accounts["a"]], Scheduling(), Spy(lambda: NOW), {})
        for verdict in (QUOTA, OUT, Verdict("next", "model", 60.0)):
            pool.pauses.record(world.accounts["a"], verdict, model=MODEL, reason="x", now=NOW)
        pool.succeeded(world.accounts["a"], quota=MODEL, session="s", since=NOW)
        assert len(keys) == 7
        assert "AIza" not in "".join(keys)

    def test_fingerprint_tells_secrets_apart(self) -> None:
        assert fingerprint("a") == fingerprint("a") != fingerprint("b")
        assert "secret" not in fingerprint("secret")

    def test_rest_is_logged_with_the_accounts_name_only(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(account("a", api_key="AIza-secret"))
        with caplog.at_level(logging.WARNING):
            world.rest("a", QUOTA, reason="quota exceeded")
        (record,) = caplog.records
        assert record.getMessage() == (
            f"account rests account=a scope=quota model={MODEL} seconds=5 reason=quota exceeded"
        )


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-06-15T12:00-07:00", "2026-06-16T00:00-07:00"),  # summer
        ("2026-12-15T12:00-08:00", "2026-12-16T00:00-08:00"),  # winter
        ("2026-06-15T00:00-07:00", "2026-06-16T00:00-07:00"),  # midnight itself
        ("2026-06-15T23:59:59-07:00", "2026-06-16T00:00-07:00"),
        ("2026-12-31T23:00-08:00", "2027-01-01T00:00-08:00"),
        # Summer time begins on March 8, 2026 at 2:00: a day of 23 hours.
        ("2026-03-07T23:30-08:00", "2026-03-08T00:00-08:00"),
        ("2026-03-08T00:30-08:00", "2026-03-09T00:00-07:00"),
        ("2026-03-08T03:30-07:00", "2026-03-09T00:00-07:00"),
        # It ends on November 1, 2026 at 2:00: a day of 25 hours, with 1:30 in it twice.
        ("2026-10-31T23:30-07:00", "2026-11-01T00:00-07:00"),
        ("2026-11-01T00:30-07:00", "2026-11-02T00:00-08:00"),
        ("2026-11-01T01:30-07:00", "2026-11-02T00:00-08:00"),
        ("2026-11-01T01:30-08:00", "2026-11-02T00:00-08:00"),
    ],
)
def test_next_midnight_pacific(now: str, midnight: str) -> None:
    assert next_midnight_pacific(at(now)) == at(midnight)
