"""The pool: which account a conversation stays with, and when it does not."""

from agproxy.pauses import Rest
from agproxy.retry import Verdict
from tests.test_accounts import NOW, QUOTA, World, abc, account


class TestSessions:
    def test_stay_with_the_account_that_answered(self) -> None:
        world = abc()
        world.succeed("b", session="mine")
        assert [world.take(session="mine") for _ in range(3)] == list("bbb")

    def test_do_not_stay_with_one_that_did_not_answer(self) -> None:
        world = abc()
        assert [world.take(session="mine") for _ in range(3)] == list("abc")

    def test_move_when_their_account_rests_and_stay_there(self) -> None:
        world = abc()
        world.succeed("a", session="mine")
        world.rest("a", QUOTA)
        name = world.take(session="mine")
        assert name == "b"
        world.succeed(name, session="mine")
        world.now += 3000
        assert world.take(session="mine") == "b"

    def test_return_when_nobody_else_answered(self) -> None:
        world = abc()
        world.succeed("a", session="mine")
        world.rest("a", QUOTA)
        world.take(session="mine")
        world.now += 6
        assert world.take(session="mine") == "a"

    def test_are_forgotten_after_an_hour(self) -> None:
        world = abc()
        world.succeed("c", session="mine")
        world.now += 3601
        assert world.take(session="mine") == "a"

    def test_whose_account_is_gone_take_another(self) -> None:
        world = abc()
        world.store.put("session:mine", "gone", ttl_s=60)
        assert world.take(session="mine") == "a"

    def test_request_that_is_none_is_bound_to_nobody(self) -> None:
        world = abc()
        for _ in range(6):
            world.succeed(world.take(session=""), session="")
        assert world.used == {"a": 4, "b": 5, "c": 6}
        assert world.store.get("session:") is None

    def test_stay_where_they_are_when_a_request_that_is_none_succeeds(self) -> None:
        world = abc()
        world.succeed("b", session="mine")
        world.succeed("c", session="")
        assert world.take(session="mine") == "b"

    def test_are_no_condition_for_forgetting_failures(self) -> None:
        world = World(account("a"))
        for _ in range(2):
            world.rest("a", QUOTA)
            world.now += 60
        world.succeed("a", session="")
        world.rest("a", QUOTA)
        assert world.wait().until == world.now + 5.0

    def test_tried_account_is_left_even_by_its_session(self) -> None:
        world = abc()
        world.succeed("a", session="mine")
        assert world.take(session="mine", tried={"a"}) == "b"


class TestBeside:
    """Requests for further answers of a conversation, beside the first one."""

    def test_go_where_the_first_one_is(self) -> None:
        world = abc()
        world.succeed("b", session="mine")
        assert [world.take(session="mine", beside="c") for _ in range(3)] == list("ccc")

    def test_go_elsewhere_when_it_rests_or_was_tried(self) -> None:
        world = abc()
        assert world.take(beside="a", tried={"a"}) == "b"
        world.rest("a", QUOTA)
        assert world.take(beside="a") == "c"

    def test_go_elsewhere_when_it_is_full(self) -> None:
        world = World(account("a", max_in_flight=2), account("b"), account("c"))
        assert [world.take(beside="a") for _ in range(4)] == list("aabc")

    def test_pinned_account_comes_first(self) -> None:
        assert abc(pin="c").take(beside="a") == "c"

    def test_cache_first_waits_for_it(self) -> None:
        world = World(account("a", max_in_flight=1), account("b"), mode="cache_first")
        assert world.take(beside="a", patience_s=20.0) == "a"
        assert world.wait(beside="a", patience_s=20.0).until == NOW + 0.02

    def test_performance_first_takes_turns(self) -> None:
        world = abc(mode="performance_first")
        assert [world.take(beside="a") for _ in range(3)] == list("abc")


class TestModes:
    def test_cache_first_waits_for_the_sessions_account(self) -> None:
        world = abc(mode="cache_first")
        world.succeed("a", session="mine")
        world.rest("a", Verdict("next", "quota", 10.0), reason="quota")
        assert world.wait(session="mine", patience_s=20.0) == Rest(NOW + 10.0, "quota", 429)

    def test_cache_first_has_only_so_much_patience(self) -> None:
        world = abc(mode="cache_first")
        world.succeed("a", session="mine")
        world.rest("a", Verdict("next", "quota", 30.0))
        assert world.take(session="mine", patience_s=20.0) == "b"

    def test_balance_switches_at_once(self) -> None:
        world = abc()
        world.succeed("a", session="mine")
        world.rest("a", Verdict("next", "quota", 1.0))
        assert world.take(session="mine", patience_s=20.0) == "b"

    def test_performance_first_does_not_stick(self) -> None:
        world = abc(mode="performance_first")
        names = []
        for _ in range(6):
            names.append(world.take(session="mine"))
            world.succeed(names[-1], session="mine")
        assert names == list("abcabc")


class TestPin:
    def test_pinned_account_comes_before_priority_and_session(self) -> None:
        world = World(account("a", priority=9), account("b"), account("c"), pin="c")
        world.succeed("b", session="mine")
        assert [world.take(session="mine") for _ in range(3)] == list("ccc")

    def test_others_stand_in_while_it_rests(self) -> None:
        world = abc(pin="c")
        world.rest("c", QUOTA)
        assert world.take() == "a"

    def test_others_stand_in_once_it_was_tried(self) -> None:
        assert abc(pin="c").take(tried={"c"}) == "a"
