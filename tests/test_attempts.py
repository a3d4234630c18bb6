"""The attempts of a request: limits of accounts, other models when all rest, keys that are tried again."""

import contextlib
import logging
from dataclasses import replace
from typing import Any

import pytest

from agproxy.asks import COUNT
from agproxy.call import Call
from agproxy.chat import Failed, Finish, Message, TextPart, ToolCallPart, ToolCallStart, ToolResultPart
from agproxy.config import Account
from agproxy.errors import GatewayError, ModelNotFound, UpstreamCut, UpstreamUnreachable
from agproxy.retry import Verdict
from agproxy.store import Offer
from tests.scripted import (
    CALL,
    GREETING,
    HELLO,
    LOOK,
    MODEL,
    FakeAnswer,
    Spread,
    World,
    bad_key,
    chunk,
    models_page,
    per_day,
    per_minute,
    refused,
    said,
)

FLASH = "gemini-flash-latest"
LITE = "gemini-flash-lite-latest"
FALLBACK = ((MODEL, FLASH), (FLASH, LITE))


def limited(names: str = "a", **limits: Any) -> tuple[Account, ...]:
    return tuple(Account(name, api_key=f"secret-{name}", **limits) for name in names)


def in_flight(world: World) -> int:
    pauses = world.gateway.pool.pauses
    return sum(world.store.ledger.use(pauses.fingerprint(account)).in_flight for account in world.config.accounts)


class TestInFlight:
    """However a request ends, it is no longer under way."""

    @pytest.mark.parametrize(
        "answers",
        [
            [said()],
            [per_minute(), per_minute()],
            [bad_key(), said()],
            [refused(400, "no")],
            [refused(500), refused(500), said()],
            [UpstreamUnreachable("gone"), said()],
            [FakeAnswer(chunk({"text": "a"}), UpstreamCut("cut")), said()],
            [FakeAnswer(), FakeAnswer()],
            [refused(400, "Corrupted thought signature."), said()],
        ],
        ids=["said", "quota", "key", "bad", "500", "unreachable", "cut", "empty", "mended"],
    )
    @pytest.mark.parametrize("stream", [True, False])
    def test_nothing_is_left(self, answers: list[Any], stream: bool) -> None:
        world = World(*answers, accounts=limited("ab", max_in_flight=1))
        with contextlib.suppress(GatewayError):
            world.events(stream=stream)
        assert in_flight(world) == 0

    def test_one_is_under_way_until_the_answer_is_whole(self) -> None:
        world = World(FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")))
        found = [(type(event).__name__, in_flight(world)) for event in world.call().events()]
        assert found == [("TextDelta", 1), ("TextDelta", 1), ("Finish", 0)]

    def test_client_that_goes_leaves_nothing(self) -> None:
        world = World(FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")))
        events = world.call().events()
        next(events)
        events.close()  # type: ignore[attr-defined]
        assert in_flight(world) == 0

    def test_client_that_goes_while_it_waits_leaves_nothing(self) -> None:
        world = World(per_minute("9s"), accounts=limited(max_in_flight=1))
        call = world.call()
        world.on_wait = call.cancel.cancel
        with pytest.raises(UpstreamCut):
            list(call.events())
        assert in_flight(world) == 0

    def test_waits_for_room(self) -> None:
        world = World(said(), accounts=limited(max_in_flight=1))
        key = world.gateway.pool.pauses.fingerprint(world.config.accounts[0])
        world.store.ledger.take([Offer(key)])
        world.on_wait = lambda: world.store.ledger.release(key) if len(world.waits) == 3 else None
        assert world.events() == GREETING
        assert world.waits == [Spread(0.02)] * 3

    def test_patience_ends(self) -> None:
        world = World(accounts=limited(max_in_flight=1), max_wait_s=1.0)
        world.store.ledger.take([Offer(world.gateway.pool.pauses.fingerprint(world.config.accounts[0]))])
        error = world.failure()
        assert error.status == 429
        assert error.retry_after_s == pytest.approx(0.02)
        assert "as many requests are under way as it may have: 1" in error.message
        assert len(world.waits) == pytest.approx(50, abs=2)

    @pytest.mark.parametrize("leaves", [False, True], ids=["patience ends", "client leaves"])
    def test_who_waits_no_longer_keeps_nobody_from_the_room(self, leaves: bool) -> None:
        world = World(said(), accounts=limited(max_in_flight=1), max_wait_s=0.1)
        key = world.gateway.pool.pauses.fingerprint(world.config.accounts[0])
        world.store.ledger.take([Offer(key)])
        call = world.call()
        world.on_wait = call.cancel.cancel if leaves else lambda: None
        with pytest.raises(GatewayError):
            list(call.events())
        world.store.ledger.release(key)
        assert world.events() == GREETING

    def test_count_of_tokens_is_not_limited(self) -> None:
        world = World(FakeAnswer({"totalTokens": 7}), accounts=limited(max_in_flight=1))
        world.store.ledger.take([Offer(world.gateway.pool.pauses.fingerprint(world.config.accounts[0]))])
        (finish,) = Call(world.gateway, replace(HELLO, stream=False), model=MODEL, ask=COUNT).events()
        assert isinstance(finish, Finish)
        assert finish.usage.input_tokens == 7
        assert in_flight(world) == 1


class TestPerMinute:
    def test_each_attempt_counts(self) -> None:
        world = World(refused(500), said(), said(), accounts=limited("ab", requests_per_minute=2))
        world.events()
        world.events(replace(HELLO, session="another"))
        assert world.tried == "aab"

    def test_second_try_goes_elsewhere_when_there_is_no_room_for_it(self) -> None:
        world = World(refused(500), said(), accounts=limited("ab", requests_per_minute=1))
        assert world.events() == GREETING
        assert world.tried == "ab"

    def test_mended_request_counts_and_is_never_refused(self) -> None:
        world = World(refused(400, "Corrupted thought signature."), said(), accounts=limited(requests_per_minute=1))
        assert world.events() == GREETING
        error = world.failure()
        assert error.status == 429
        assert "it has had its 1 requests per minute" in error.message


class TestBeginnings:
    def test_requests_alike_that_come_at_once_are_spread(self) -> None:
        world = World(*(FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")) for _ in range(6)))
        calls = [world.call().events() for _ in range(6)]
        for call in calls:
            next(call)
        for call in calls:
            list(call)
        assert world.tried == "abcabc"

    def test_requests_alike_one_after_the_other_stay_together(self) -> None:
        world = World(said(), said(), said())
        for _ in range(3):
            world.events()
        assert world.tried == "aaa"

    def test_requests_at_once_of_a_session_stay_together(self) -> None:
        world = World(*(FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")) for _ in range(3)))
        calls = [world.call(replace(HELLO, session="mine")).events() for _ in range(3)]
        for call in calls:
            next(call)
        assert world.tried == "aaa"


def fallen(world: World) -> list[str]:
    """The models that were asked, one after the other."""
    return [url.rpartition("/")[2].partition(":")[0] for url in world.transport.urls]


class TestFallback:
    @pytest.mark.parametrize("stream", [True, False])
    def test_next_model_answers_when_all_accounts_rest(self, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
        world = World(per_day(), per_day(), said(), accounts="ab", fallback=FALLBACK)
        call = world.call(stream=stream)
        with caplog.at_level(logging.WARNING):
            assert list(call.events()) == GREETING
        assert (world.tried, call.model, call.attempts) == ("aba", FLASH, 3)
        assert fallen(world) == [MODEL, MODEL, FLASH]
        assert f"fallback model={MODEL} to={FLASH} reason=Quota exceeded" in caplog.records[-1].getMessage()

    def test_at_once_while_they_rest(self) -> None:
        world = World(per_minute("3s"), said(), said(), accounts="a", fallback=FALLBACK)
        world.events()
        call = world.call()
        assert list(call.events()) == GREETING
        assert (fallen(world), world.waits, call.attempts) == ([MODEL, FLASH, FLASH], [], 1)

    def test_first_model_again_once_one_is_free(self) -> None:
        world = World(per_minute("30s"), said(), said(), accounts="a", fallback=FALLBACK)
        world.events()
        world.now += 31
        world.events()
        assert fallen(world) == [MODEL, FLASH, MODEL]

    def test_not_while_one_account_is_free(self) -> None:
        world = World(per_day(), said(), accounts="ab", fallback=FALLBACK)
        world.events()
        assert fallen(world) == [MODEL, MODEL]

    def test_chain_goes_on_to_a_model_that_somebody_can_be_asked_for(self) -> None:
        world = World(per_day(), per_day(), said(), said(), accounts="a", fallback=FALLBACK)
        world.events()
        world.events()
        assert fallen(world) == [MODEL, FLASH, LITE, LITE]

    def test_has_an_attempt_although_all_are_used_up(self) -> None:
        world = World(per_day(), per_day(), per_day(), said(), accounts="abc", fallback=FALLBACK)
        assert world.events() == GREETING
        assert fallen(world) == [MODEL] * 3 + [FLASH]

    @pytest.mark.parametrize("status", [503, 529])
    def test_overloaded_model_has_one_too(self, status: int) -> None:
        world = World(*[refused(status, "overloaded") for _ in range(3)], said(), fallback=FALLBACK)
        assert world.events() == GREETING
        assert fallen(world) == [MODEL] * 3 + [FLASH]

    def test_cause_that_is_told_is_that_of_the_first_model(self) -> None:
        world = World(per_day(), refused(400, "flash does not know this"), accounts="a", fallback=FALLBACK)
        error = world.failure()
        assert (error.status, error.message.partition(" (")[0]) == (429, "Quota exceeded")
        assert error.retry_after_s is not None

    def test_all_rest_for_all_models_is_told_for_the_first(self) -> None:
        world = World(per_day(), per_day(), per_day(), accounts="a", fallback=FALLBACK)
        assert world.failure().status == 429
        error = world.failure()
        assert error.message.startswith(f"all accounts rest for {MODEL}")
        assert fallen(world) == [MODEL, FLASH, LITE]

    def test_short_rest_is_waited_for_when_no_other_model_is_free(self) -> None:
        world = World(per_minute("5s"), per_day(), said(), accounts="a", fallback=((MODEL, FLASH),))
        world.failure()
        assert world.events() == GREETING
        assert (fallen(world), world.waits) == ([MODEL, FLASH, MODEL], [Spread(5.0)])

    @pytest.mark.parametrize("answer", [refused(400, "no"), refused(413, "no"), refused(404, "no")])
    def test_faults_of_the_request_stay_with_the_model(self, answer: FakeAnswer) -> None:
        world = World(answer, accounts="a", fallback=FALLBACK)
        world.failure()
        assert fallen(world) == [MODEL]

    def test_answer_that_has_begun_stays_with_its_model(self) -> None:
        overloaded = {"error": {"code": 503, "message": "overloaded"}}
        world = World(FakeAnswer(chunk({"text": "a"}), overloaded), accounts="a", fallback=FALLBACK)
        assert isinstance(world.events()[-1], Failed)
        assert fallen(world) == [MODEL]

    def test_refused_keys_are_refused_for_any_model(self) -> None:
        world = World(bad_key(), accounts="a", fallback=FALLBACK)
        assert world.failure().status == 502
        assert world.failure().status == 502
        assert fallen(world) == [MODEL]

    def test_count_of_tokens_stays_with_its_model(self) -> None:
        world = World(per_day(), accounts="a", fallback=FALLBACK)
        with pytest.raises(GatewayError):
            list(Call(world.gateway, replace(HELLO, stream=False), model=MODEL, ask=COUNT).events())
        assert fallen(world) == [MODEL]

    def test_models_that_an_account_may_be_asked_for_count(self) -> None:
        accounts = (*limited("a", models=(MODEL,)), *limited("b", models=(LITE,)))
        world = World(per_day(), said(), accounts=accounts, fallback=FALLBACK)
        world.events()
        assert (world.tried, fallen(world)) == ("ab", [MODEL, LITE])

    def test_refused_settings_of_the_first_model_are_none_of_the_second(self) -> None:
        world = World(
            refused(400, "Penalty is not enabled for this model"), per_day(), said(), accounts="a", fallback=FALLBACK
        )
        chat = replace(HELLO, sampling=replace(HELLO.sampling, presence_penalty=0.5))
        world.events(chat)
        has_penalty = ["presencePenalty" in body.get("generationConfig", {}) for body in world.bodies()]
        assert has_penalty == [True, False, True]

    def test_signatures_of_another_family_stay_behind(self) -> None:
        called = FakeAnswer(chunk({**CALL, "thoughtSignature": "QUJD"}, reason="STOP"))
        world = World(called, per_day(), said(), accounts="a", fallback=((MODEL, "gemini-2.5-flash"),))
        start = next(event for event in world.events(replace(HELLO, tools=(LOOK,))) if isinstance(event, ToolCallStart))
        parts = (ToolCallPart(start.id, start.name, {}),)
        result = Message("user", (ToolResultPart(start.id, start.name, (TextPart("5"),)),))
        world.events(replace(HELLO, messages=(*HELLO.messages, Message("assistant", parts), result), tools=(LOOK,)))
        signed = [b"QUJD" in body for body in world.transport.bodies]
        assert (signed, fallen(world)) == ([False, True, False], [MODEL, MODEL, "gemini-2.5-flash"])

    @pytest.mark.parametrize("rests", [False, True], ids=["in the middle", "from the start"])
    def test_each_model_has_its_own_signatures(self, rests: bool) -> None:
        older = "gemini-2.5-flash"
        signed = {MODEL: "UFJP", older: "RkxB"}
        made = [FakeAnswer(chunk({**CALL, "thoughtSignature": text}, reason="STOP")) for text in signed.values()]
        world = World(*made, accounts="a", fallback=((MODEL, older),))
        chat, found = replace(HELLO, tools=(LOOK,)), []
        for model in signed:
            events = world.events(chat, model=model)
            found.append(next(event for event in events if isinstance(event, ToolCallStart)))
        messages = list(HELLO.messages)
        for start in found:
            result = ToolResultPart(start.id, start.name, (TextPart("5"),))
            messages += [Message("assistant", (ToolCallPart(start.id, start.name, {}),)), Message("user", (result,))]
        world.answer(*([] if rests else [per_day()]), said())
        if rests:
            account = world.config.accounts[0]
            day = Verdict("next", "quota", until_midnight=True)
            world.gateway.pool.pauses.record(account, day, model=MODEL, reason="because", now=world.now)
        world.events(replace(chat, messages=tuple(messages)))
        sent = world.transport.bodies[-1]
        assert (fallen(world)[-1], b"UFJP" in sent, b"RkxB" in sent) == (older, False, True)

    def test_what_the_second_refuses_is_not_held_against_the_first(self) -> None:
        logprobs = refused(400, "Logprobs is not enabled for models/gemini-flash-latest", "INVALID_ARGUMENT")
        world = World(per_day(), said(), logprobs, said(), accounts="a", fallback=FALLBACK)
        world.events()
        world.events(replace(HELLO, sampling=replace(HELLO.sampling, top_logprobs=2)))
        assert world.store.get(f"refused:{MODEL}") is None
        assert world.store.get(f"refused:{FLASH}") == ["logprobs"]

    def test_limit_that_lasts_is_a_reason_too(self) -> None:
        world = World(said(), said(), accounts=limited(requests_per_minute=1, models=(MODEL,)), fallback=FALLBACK)
        world.events()
        assert world.failure().status == 429


class TestElsewhere:
    """A model that one account does not know is asked of those that list it."""

    def listing(self, *answers: Any, accounts: Any, **how: Any) -> World:
        """A world in which all accounts but the first list the model."""
        world = World(*answers, accounts=accounts, **how)
        names = [account.name for account in world.config.accounts]
        world.transport.lists = {name: [models_page("other" if name == names[0] else MODEL)] for name in names}
        world.gateway.catalog.listed()
        world.transport.urls.clear()
        return world

    def test_one_that_rests_is_not_asked(self) -> None:
        world = self.listing(refused(404, "not found"), said(), accounts="abc")
        day = Verdict("next", "quota", until_midnight=True)
        pauses, other = world.gateway.pool.pauses, world.config.accounts[1]
        pauses.record(other, day, model=MODEL, reason="because", now=world.now)
        assert world.events() == GREETING
        assert world.tried == "ac"

    def test_all_that_list_it_rest(self) -> None:
        world = self.listing(refused(404, "not found"), accounts="ab")
        day = Verdict("next", "quota", until_midnight=True)
        pauses, other = world.gateway.pool.pauses, world.config.accounts[1]
        pauses.record(other, day, model=MODEL, reason="used up", now=world.now)
        error = world.failure()
        assert (error.status, world.tried) == (429, "a")
        assert "used up" in error.message

    def test_room_is_waited_for(self) -> None:
        accounts = (*limited("a"), *limited("b", max_in_flight=1))
        world = self.listing(refused(404, "not found"), said(), accounts=accounts)
        key = world.gateway.pool.pauses.fingerprint(accounts[1])
        world.store.ledger.take([Offer(key)])
        world.on_wait = lambda: world.store.ledger.release(key)
        assert world.events() == GREETING
        assert (world.tried, world.waits) == ("ab", [Spread(0.02)])

    def test_those_that_do_not_list_it_are_not_asked_for_the_next_attempt_either(self) -> None:
        world = self.listing(refused(404, "not found"), refused(503), said(), accounts="abc")
        assert world.events() == GREETING
        assert world.tried == "abc"

    def test_nor_when_nobody_else_is_left(self) -> None:
        world = self.listing(refused(404, "not found"), refused(503), said(), accounts="ab")
        assert world.events() == GREETING
        assert world.tried == "abb"


def test_nobody_for_the_model_is_a_model_that_is_not_there() -> None:
    error = World(accounts=limited(models=("gemini-2*",))).failure()
    assert isinstance(error, ModelNotFound)
    assert (error.status, error.param) == (404, "model")


def test_probe_that_comes_to_nothing_makes_way_for_the_next() -> None:
    world = World(bad_key(), refused(400, "no"), said(), accounts="a", max_wait_s=0)
    world.failure()
    world.now += 61
    assert world.failure().status == 400
    assert world.events() == GREETING


def test_outage_from_before_the_clock_was_set_back_ends_with_a_success() -> None:
    world = World(bad_key(), said(), said(), said(), accounts="a", max_wait_s=0)
    world.failure()
    world.now -= 86400
    assert [world.events() for _ in range(3)] == [GREETING] * 3


def test_answers_of_one_request_take_turns_where_there_is_room_for_one() -> None:
    world = World(*(said(str(number)) for number in range(4)), accounts=limited(max_in_flight=1), max_wait_s=1.0)
    call = world.call()
    call._attempts.wait_for(3)
    key = world.gateway.pool.pauses.fingerprint(world.config.accounts[0])
    world.store.ledger.take([Offer(key)])
    world.on_wait = lambda: world.store.ledger.release(key) if sum(world.waits) > 3.5 else None
    assert isinstance(list(call.events())[-1], Finish)


def test_quota_answer_shows_that_the_key_is_good_again() -> None:
    world = World(bad_key(), per_minute("3s"), said(), said(), accounts="a", max_wait_s=0)
    world.failure()
    world.now += 61
    world.failure()
    world.now += 4
    first, second = world.call().events(), world.call().events()
    assert [next(first), next(second)] == GREETING[:1] * 2


def test_success_of_an_older_request_does_not_end_a_newer_rest() -> None:
    slow = FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP"))
    world = World(slow, per_minute("30s"), accounts="a", max_wait_s=0)
    events = world.call().events(lambda: reading())
    failed: list[bool] = []

    def reading() -> None:
        if not failed:
            failed.append(True)
            world.now += 1
            world.failure(replace(HELLO, session="another"))

    list(events)
    assert world.failure(replace(HELLO, session="third")).status == 429
