"""Rests of accounts: when they count, and what ends them."""

import logging
from typing import Any

import pytest

from agproxy.config import Account
from agproxy.pauses import Pauses, Rest, fingerprint, next_midnight_pacific
from agproxy.retry import Verdict
from agproxy.store.memory import MemoryStore

NOW = 1_781_000_000.0
MODEL = "gemini-2.5-flash"
QUOTA = Verdict("next", "quota")
OUT = Verdict("next", "account")


class World:
    """The rests of accounts, with a store that outlives a restart."""

    def __init__(self, *accounts: Account) -> None:
        self.now = NOW
        self.accounts = {account.name: account for account in accounts}
        self.store = MemoryStore(lambda: self.now)
        self.pauses = self.instance()

    def instance(self, *, started: float = 0.0) -> Pauses:
        return Pauses(tuple(self.accounts.values()), self.store, started=started)

    def record(self, verdict: Verdict, name: str = "a", *, model: str = MODEL, reason: str = "because") -> None:
        self.pauses.record(self.accounts[name], verdict, model=model, reason=reason, now=self.now)

    def rest(self, name: str = "a", *, model: str = MODEL) -> Rest | None:
        return self.pauses.of([self.accounts[name]], model, self.now)[name]


def account(name: str = "a", **fields: Any) -> Account:
    return Account(name, **{"api_key": f"key-{name}", **fields})


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(QUOTA, id="growing"),
        pytest.param(Verdict("next", "quota", 34.0), id="hint"),
        pytest.param(Verdict("next", "quota", until_midnight=True), id="day"),
        pytest.param(Verdict("next", "model", 60.0), id="model"),
        pytest.param(OUT, id="account"),
    ],
)
class TestSuccess:
    def test_ends_a_rest_that_was_there_before(self, verdict: Verdict) -> None:
        world = World(account())
        world.record(verdict)
        world.now += 1
        world.pauses.clear(world.accounts["a"], model=MODEL, since=world.now)
        assert world.rest() is None
        assert world.store.items("rest").keys() == {"any"}

    def test_of_a_request_that_began_before_says_nothing_about_the_rest(self, verdict: Verdict) -> None:
        world = World(account())
        world.now += 1
        world.record(verdict)
        world.pauses.clear(world.accounts["a"], model=MODEL, since=NOW)
        assert world.rest() is not None


def test_success_ends_no_rest_of_another_model() -> None:
    world = World(account())
    world.record(QUOTA)
    world.pauses.clear(world.accounts["a"], model="gemini-3-pro", since=world.now)
    assert world.rest() is not None


def test_early_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World(account())
    world.record(QUOTA)
    with caplog.at_level(logging.INFO):
        world.pauses.clear(world.accounts["a"], model=MODEL, since=world.now)
    assert [record.getMessage() for record in caplog.records[1:]] == [
        f"account rests no longer account=a model={MODEL}"
    ]


class TestRestart:
    def test_tries_a_refused_key_at_once(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 1
        world.pauses = world.instance(started=world.now)
        assert world.rest() is None

    def test_of_another_instance_changes_nothing_for_this_one(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 1
        world.instance(started=world.now)
        assert world.rest() is not None

    def test_ends_the_outage_for_all_once_the_key_is_asked_for(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 1
        before, world.pauses = world.pauses, world.instance(started=world.now)
        assert world.rest() is None
        world.pauses = before
        assert world.rest() is None
        assert world.pauses.all_of(world.accounts["a"], world.now) == []

    def test_leaves_quotas_as_they_are(self) -> None:
        world = World(account())
        world.record(Verdict("next", "quota", until_midnight=True))
        world.now += 1
        world.pauses = world.instance(started=world.now)
        assert world.rest() is not None

    def test_refusal_after_it_rests_for_twice_as_long_for_all(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 1
        before, world.pauses = world.pauses, world.instance(started=world.now)
        world.record(OUT)
        rest = world.rest()
        assert rest is not None
        assert rest.until == world.now + 120.0
        world.pauses = before
        assert world.rest() == rest


class TestProbe:
    """A key that was refused is tried by one request at a time."""

    def test_one_of_those_that_come_at_once(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 61
        assert world.rest() is None
        other = world.instance()
        assert [world.pauses.may_try(world.accounts["a"]) for _ in range(3)] == [True, False, False]
        assert not other.may_try(world.accounts["a"])

    def test_all_once_it_has_succeeded(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 61
        assert world.pauses.may_try(world.accounts["a"])
        world.pauses.clear(world.accounts["a"], model=MODEL, since=world.now)
        assert all(world.pauses.may_try(world.accounts["a"]) for _ in range(3))

    def test_another_one_when_nothing_comes_of_it(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now += 61
        assert world.pauses.may_try(world.accounts["a"])
        world.now += 10.1
        assert world.pauses.may_try(world.accounts["a"])

    def test_another_one_when_the_next_rest_is_over(self) -> None:
        world = World(account())
        for pause_s in (61, 121):
            world.record(OUT)
            world.now += pause_s
            assert world.pauses.may_try(world.accounts["a"])

    def test_all_after_a_rest_of_the_quota(self) -> None:
        world = World(account())
        world.record(QUOTA)
        world.now += 6
        assert all(world.pauses.may_try(world.accounts["a"]) for _ in range(3))

    def test_all_with_another_key(self) -> None:
        world = World(account())
        world.record(OUT)
        world.accounts["a"] = account(api_key="another")
        changed = world.instance()
        assert changed.of([world.accounts["a"]], MODEL, world.now) == {"a": None}
        assert all(changed.may_try(world.accounts["a"]) for _ in range(3))

    def test_all_when_its_refusal_was_taken_back(self) -> None:
        world = World(account())
        world.record(OUT)
        world.pauses.forget(world.accounts["a"])
        assert world.rest() is None
        assert all(world.pauses.may_try(world.accounts["a"]) for _ in range(3))


class TestClock:
    def test_set_back_by_a_day_ends_what_was_recorded(self) -> None:
        world = World(account())
        world.record(OUT)
        world.now -= 86400
        assert world.rest() is None

    def test_of_another_machine_may_be_minutes_ahead(self) -> None:
        world = World(account())
        world.now += 120
        world.record(QUOTA)
        world.now -= 120
        assert world.rest() is not None


class TestNewDay:
    """Google may count anew somewhat later than our clock says."""

    DAY = Verdict("next", "quota", until_midnight=True)

    def test_quota_of_the_day_before_rests_for_minutes(self) -> None:
        world = World(account())
        world.now = next_midnight_pacific(NOW) + 1
        ends = []
        for _ in range(3):
            world.record(self.DAY)
            rest = world.rest()
            assert rest is not None
            ends.append(rest.until - world.now)
            world.now = rest.until
        assert ends == [60.0, 120.0, 240.0]

    def test_then_it_is_that_of_the_new_day(self) -> None:
        world = World(account())
        world.now = next_midnight_pacific(NOW) + 601
        world.record(self.DAY)
        rest = world.rest()
        assert rest is not None
        assert rest.until == next_midnight_pacific(world.now)


class TestForPeople:
    def test_all_rests_of_an_account_with_their_models(self) -> None:
        world = World(account("a", project="p"), account("b", project="p"), account("c"))
        world.record(QUOTA, reason="per minute")
        world.record(Verdict("next", "model", 60.0), model="gemini-3-pro", reason="403")
        world.record(OUT, reason="bad key")
        found = world.pauses.all_of(world.accounts["a"], world.now)
        assert [(rest.model, rest.reason) for rest in found] == [
            ("", "bad key"),
            (MODEL, "per minute"),
            ("gemini-3-pro", "403"),
        ]
        (shared,) = world.pauses.all_of(world.accounts["b"], world.now)
        assert (shared.model, shared.until, shared.status) == (MODEL, NOW + 5.0, 429)
        assert world.pauses.all_of(world.accounts["c"], world.now) == []

    def test_none_that_is_over(self) -> None:
        world = World(account())
        world.record(QUOTA)
        world.now += 6
        assert world.pauses.all_of(world.accounts["a"], world.now) == []


def test_what_is_stored_names_no_key() -> None:
    world = World(account(api_key="AIza-secret"))
    for verdict in (QUOTA, OUT, Verdict("next", "model", 60.0)):
        world.record(verdict)
    world.now += 61
    world.pauses.may_try(world.accounts["a"])
    held = str(world.store.items("rest")) + str(world.store.items("probe"))
    assert fingerprint("AIza-secret") in held
    assert "AIza" not in held
