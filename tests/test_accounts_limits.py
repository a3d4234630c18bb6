"""The pool: limits of accounts, the models that they may be asked for, and conversations that begin at once."""

import math
from collections import Counter

import pytest

from agproxy.accounts import Pool
from agproxy.config import Account, Scheduling
from agproxy.pauses import Rest
from tests.test_accounts import MODEL, NOW, OUT, QUOTA, World, abc, account, wanted


class TestInFlight:
    def test_full_account_is_passed_over(self) -> None:
        world = World(account("a", max_in_flight=2), account("b"))
        assert [world.take(session="") for _ in range(6)] == list("ababbb")

    def test_has_room_again_when_a_request_has_ended(self) -> None:
        world = World(account("a", max_in_flight=1))
        world.take(session="")
        assert isinstance(world.choice(), Rest)
        world.pool.release(world.accounts["a"], wanted())
        assert world.take(session="") == "a"

    def test_all_full_is_told_with_the_limit(self) -> None:
        world = World(account("a", max_in_flight=2))
        for _ in range(2):
            world.take(session="")
        rest = world.wait()
        assert rest == Rest(NOW + 0.02, "as many requests are under way as it may have: 2", 429)

    def test_counts_over_all_who_share_the_store(self) -> None:
        world = World(account("a", max_in_flight=1))
        world.take(session="")
        other = Pool([world.accounts["a"]], Scheduling(), world.store, {})
        assert isinstance(other.take(wanted(), tried=(), now=NOW), Rest)

    def test_does_not_hold_for_requests_that_are_not_limited(self) -> None:
        world = World(account("a", max_in_flight=1, requests_per_minute=1))
        assert [world.take(session="", is_limited=False) for _ in range(3)] == list("aaa")
        assert world.take(session="") == "a"

    def test_conversation_goes_elsewhere_while_its_account_is_full(self) -> None:
        world = World(account("a", max_in_flight=1), account("b"))
        world.succeed("a", session="mine")
        assert [world.take(session="mine") for _ in range(3)] == list("abb")

    def test_cache_first_waits_for_room_at_the_conversations_account(self) -> None:
        world = World(account("a", max_in_flight=1), account("b"), mode="cache_first")
        world.succeed("a", session="mine")
        assert world.take(session="mine", patience_s=20.0) == "a"
        assert world.wait(session="mine", patience_s=20.0).until == NOW + 0.02
        assert world.take(session="mine", patience_s=0.01) == "b"

    def test_pinned_account_that_is_full_is_passed_over(self) -> None:
        world = World(account("a"), account("b", max_in_flight=1), pin="b")
        assert [world.take(session="") for _ in range(3)] == list("baa")


class TestLine:
    """Those who wait for room get it in the order in which they came."""

    def ask(self, world: World, who: str) -> str:
        choice = world.pool.take(wanted(), tried=(), now=world.now, who=who)
        return choice.name if isinstance(choice, Account) else ""

    def test_who_has_waited_comes_before_who_comes_now(self) -> None:
        world = World(account("a", max_in_flight=1))
        assert [self.ask(world, who) for who in "xyz"] == ["a", "", ""]
        world.pool.release(world.accounts["a"], wanted())
        assert [self.ask(world, who) for who in "xzy"] == ["", "", "a"]
        world.pool.release(world.accounts["a"], wanted())
        assert [self.ask(world, who) for who in "xz"] == ["", "a"]

    def test_as_many_as_there_is_room_for_need_not_wait_for_those_before_them(self) -> None:
        world = World(account("a", max_in_flight=3))
        assert [self.ask(world, who) for who in "uvwxyz"] == ["a", "a", "a", "", "", ""]
        for _ in range(2):
            world.pool.release(world.accounts["a"], wanted())
        assert [self.ask(world, who) for who in "nzyx"] == ["", "", "a", "a"]

    def test_who_leaves_is_waited_for_no_longer(self) -> None:
        world = World(account("a", max_in_flight=1))
        assert [self.ask(world, who) for who in "xyz"] == ["a", "", ""]
        world.pool.leave("y")
        world.pool.release(world.accounts["a"], wanted())
        assert self.ask(world, "z") == "a"

    def test_who_waits_for_one_account_keeps_nobody_from_another(self) -> None:
        world = World(account("a", max_in_flight=1, models=("x",)), account("b", max_in_flight=1))
        assert self.ask(world, "u") == "b"
        assert self.ask(world, "v") == ""
        assert world.pool.take(wanted("x"), tried=(), now=NOW, who="w") == world.accounts["a"]

    def test_those_behind_look_less_often(self) -> None:
        world = World(account("a", max_in_flight=1))
        world.take()
        rests = [world.pool.take(wanted(), tried=(), now=NOW, who=number) for number in range(20)]
        waits = [round(rest.until - NOW, 3) for rest in rests if isinstance(rest, Rest)]
        assert waits[:3] == [0.02, 0.04, 0.06]
        assert waits[-1] == 0.25

    def test_holds_for_requests_of_a_minute_too(self) -> None:
        world = World(account("a", requests_per_minute=1))
        assert [self.ask(world, who) for who in "xy"] == ["a", ""]
        world.now += 65
        rest = world.pool.take(wanted(), tried=(), now=world.now, who="z")
        assert rest == Rest(world.now + 0.04, "it has had its 1 requests per minute", 429)
        assert self.ask(world, "y") == "a"


class TestPerMinute:
    def test_exactly_as_many_as_it_may_have(self) -> None:
        world = World(account("a", requests_per_minute=3))
        for _ in range(3):
            assert world.take(session="") == "a"
            world.pool.release(world.accounts["a"], wanted())
        rest = world.wait()
        assert (rest.status, rest.reason) == (429, "it has had its 3 requests per minute")
        assert 60.0 <= rest.until - NOW <= 65.0
        world.now = rest.until
        assert world.take() == "a"

    @pytest.mark.parametrize("start", [0.0, 2.5, 4.9])
    def test_never_more_within_any_minute(self, start: float) -> None:
        world = World(account("a", requests_per_minute=10))
        world.now += start
        taken: list[float] = []
        for _ in range(3000):
            if isinstance(world.choice(session=""), Account):
                taken.append(world.now)
            world.now += 0.1
        most = max(sum(1 for other in taken if 0 <= other - each < 60.0) for each in taken)
        assert most == 10
        assert len(taken) >= 45  # in 300 s

    def test_others_stand_in(self) -> None:
        world = World(account("a", requests_per_minute=1, priority=5), account("b"))
        assert [world.take(session="") for _ in range(3)] == list("abb")


class TestRetake:
    def test_counts_again_if_there_is_room(self) -> None:
        world = World(account("a", max_in_flight=2))
        assert [world.pool.retake(world.accounts["a"], wanted()) for _ in range(3)] == [True, True, False]

    def test_always_counts_what_cannot_be_refused(self) -> None:
        world = World(account("a", requests_per_minute=1))
        assert [world.pool.retake(world.accounts["a"], wanted(), always=True) for _ in range(2)] == [True, True]
        assert isinstance(world.choice(), Rest)


class TestModels:
    def test_only_those_that_may_be_asked_for_it(self) -> None:
        world = World(account("a", models=("gemini-3*",)), account("b", models=("gemini-2.5-*", "x")), account("c"))
        assert [world.take(session="") for _ in range(4)] == list("bcbc")
        assert [world.take(model="gemini-3-pro", session="") for _ in range(2)] == list("ac")

    def test_nobody_is_told_as_such(self) -> None:
        world = World(account("a", models=("gemini-3*",)))
        assert world.wait() == Rest(math.inf, f"no account of the pool may be asked for {MODEL}", 404)

    def test_conversation_leaves_an_account_that_may_not_be_asked_for_its_new_model(self) -> None:
        world = World(account("a", models=("gemini-3*",)), account("b"))
        world.succeed("a", session="mine")
        assert world.take(session="mine") == "b"

    def test_pinned_account_is_passed_over(self) -> None:
        assert World(account("a", models=("gemini-3*",)), account("b"), pin="a").take() == "b"


class TestProbe:
    def test_one_request_tries_a_refused_key_the_others_go_elsewhere(self) -> None:
        world = World(account("a"), account("b"), account("c"))
        world.rest("a", OUT)
        world.now += 61
        assert Counter(world.take(session="") for _ in range(9)) == {"a": 1, "b": 4, "c": 4}

    def test_alone_the_others_wait_a_moment(self) -> None:
        world = World(account("a"))
        world.rest("a", OUT)
        world.now += 61
        assert world.take() == "a"
        rest = world.wait()
        assert (rest.until, rest.status) == (world.now + 1.0, 502)

    def test_account_that_was_passed_over_is_not_in_use(self) -> None:
        world = World(account("a", max_in_flight=5), account("b"))
        world.rest("a", OUT)
        world.now += 61
        for _ in range(6):
            world.take(session="")
        assert world.store.ledger.use(world.pool.pauses.fingerprint(world.accounts["a"])).in_flight == 1


class TestClaims:
    def test_first_requests_of_one_conversation_at_once_go_to_one_account(self) -> None:
        world = abc()
        assert [world.take(session="mine", claims=True) for _ in range(5)] == list("aaaaa")

    def test_also_those_of_another_instance(self) -> None:
        world = abc()
        other = Pool(tuple(world.accounts.values()), Scheduling(), world.store, {"a": 1})
        world.take(session="mine", claims=True)
        taken = other.take(wanted(session="mine", claims=True), tried=(), now=NOW)
        assert isinstance(taken, Account)
        assert taken.name == "a"

    def test_two_conversations_that_claim_are_even(self) -> None:
        world = abc()
        assert [world.take(session=str(number), claims=True) for number in range(6)] == list("abcabc")

    def test_claim_ends_with_the_success_of_another(self) -> None:
        world = abc()
        world.take(session="mine", claims=True)
        world.succeed("b", session="mine")
        assert world.take(session="mine", claims=True) == "b"

    def test_claimed_account_that_rests_is_passed_over(self) -> None:
        world = abc()
        world.take(session="mine", claims=True)
        world.rest("a", QUOTA)
        assert world.take(session="mine", claims=True) == "b"

    def test_performance_first_claims_nothing(self) -> None:
        world = abc(mode="performance_first")
        assert [world.take(session="mine", claims=True) for _ in range(3)] == list("abc")


def test_of_conversations_that_begin_alike_one_is_known_at_a_time() -> None:
    pool = abc().pool
    assert [pool.begin("mine"), pool.begin("mine"), pool.begin("other")] == [True, False, True]
    pool.begun("mine")
    assert not pool.begin("mine")
    for _ in range(2):
        pool.begun("mine")
    assert pool.begin("mine")


def test_cache_first_does_not_wait_while_the_pinned_account_is_free() -> None:
    world = abc(mode="cache_first", pin="c")
    world.succeed("a", session="mine")
    world.rest("a", QUOTA)
    assert world.take(session="mine", patience_s=20.0) == "c"
