"""The attempt loop, from a chat to its events: each row of the table of retries, from end to end."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from agproxy.accounts import Wanted
from agproxy.chat import ChatRequest, Failed, Finish, Message, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from agproxy.config import Account
from agproxy.errors import (
    BadRequest,
    GatewayError,
    PoolUnavailable,
    UnusableAnswer,
    UpstreamCut,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from agproxy.fold import fold
from tests.scripted import (
    CALL,
    GREETING,
    HELLO,
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

both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


class TestSuccess:
    @both
    def test_events_of_the_first_account(self, stream: bool) -> None:
        world = World(said())
        call = world.call(stream=stream)
        assert list(call.events()) == GREETING
        assert (world.tried, call.attempts) == ("a", 1)
        assert call.account is not None
        assert call.account.name == "a"
        assert world.transport.given[0].closed

    @pytest.mark.parametrize(
        ("stream", "method"), [(True, "streamGenerateContent?alt=sse"), (False, "generateContent")]
    )
    def test_only_streams_are_asked_to_stream(self, stream: bool, method: str) -> None:
        world = World(said())
        world.events(stream=stream)
        base = "https://generativelanguage.googleapis.com/v1beta/models"
        assert world.transport.urls == [f"{base}/{MODEL}:{method}"]

    def test_before_read_is_called_for_each_read(self) -> None:
        reads = []
        call = World(FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP"))).call()
        list(call.events(lambda: reads.append(True)))
        assert len(reads) == 2

    def test_silence_after_the_first_event_has_its_own_timeout(self) -> None:
        world = World(said(), silence_timeout_s=77.0)
        world.events()
        assert world.transport.given[0].timeouts == [77.0, 2.0]

    def test_demo_answers_without_a_transport(self) -> None:
        world = World(accounts=(Account("demo", type="demo"),))
        for stream in (True, False):
            assert fold(world.call(stream=stream).events()).text.startswith("[agproxy demo]")
        assert not world.tried


class TestQuota:
    @both
    def test_429_takes_the_next_account_at_once(self, stream: bool) -> None:
        world = World(per_minute(), per_minute(), said())
        assert world.events(stream=stream) == GREETING
        assert (world.tried, world.waits) == ("abc", [])

    def test_429_as_the_first_event_of_a_stream_counts_too(self) -> None:
        error = {"error": {"code": 429, "message": "Quota exceeded", "details": [{"retryDelay": "30s"}]}}
        world = World(FakeAnswer(error), said(), said(), accounts="ab", mode="performance_first")
        assert world.events() == GREETING
        world.events()
        assert world.tried == "abb"

    def test_limited_account_rests_as_long_as_it_says(self) -> None:
        world = World(per_minute(), said(), said(), said(), said(), accounts="ab", mode="performance_first")
        world.events()
        world.now += 34.0
        world.events()
        assert world.tried == "abb"
        world.now += 0.1
        world.events()
        assert world.tried == "abba"

    def test_daily_limit_rests_until_midnight(self) -> None:
        world = World(per_day(), said(), said(), mode="performance_first")
        world.events()
        world.now += 4 * 3600
        world.events()
        assert world.tried == "abc"
        rest = world.gateway.pool.take(Wanted(MODEL, MODEL), tried="bc", now=world.now)
        assert not isinstance(rest, Account)

    def test_other_models_go_on(self) -> None:
        world = World(per_minute(), said(), said(), accounts="ab")
        world.events()
        world.events(model="gemini-flash-latest", chat=ChatRequest("m", HELLO.messages, session="other"))
        assert world.tried == "aba"

    def test_waits_only_if_nobody_is_free(self) -> None:
        world = World(per_minute("9s"), per_minute("7s"), said(), accounts="ab")
        assert world.events() == GREETING
        assert (world.tried, world.waits) == ("abb", [Spread(7.0)])

    def test_does_not_wait_longer_than_its_patience(self) -> None:
        world = World(per_minute("34.07s"), accounts="a")
        error = world.failure()
        assert (world.tried, world.waits) == ("a", [])
        assert (error.status, error.code) == (429, "rate_limit_exceeded")
        assert error.retry_after_s == pytest.approx(34.07)
        assert error.message == "Quota exceeded (agproxy: the first account is free again in 35 s)"

    def test_patience_is_for_the_whole_request(self) -> None:
        world = World(per_minute("12s"), per_minute("12s"), accounts="a")
        assert world.failure().status == 429
        assert (world.tried, world.waits) == ("aa", [Spread(12.0)])

    def test_without_a_hint_the_wait_grows(self) -> None:
        world = World(*(per_minute(None) for _ in range(3)), accounts="a")
        error = world.failure()
        assert (world.tried, world.waits) == ("aaa", [Spread(5.0), Spread(10.0)])
        assert error.retry_after_s == pytest.approx(20.0)

    def test_all_limited_tells_when_the_first_is_free(self) -> None:
        world = World(per_minute("500s"), per_minute("300s"), per_minute("400s"))
        error = world.failure()
        assert world.tried == "abc"
        assert error.retry_after_s == pytest.approx(300.0)
        assert "free again in 6 min" in error.message

    def test_no_capacity_is_the_models_fault_and_nobody_rests(self) -> None:
        exhausted = refused(429, "No capacity", None, {"reason": "MODEL_CAPACITY_EXHAUSTED"})
        world = World(exhausted, said(), said())
        world.events()
        world.events(ChatRequest("m", HELLO.messages, session="2"))
        world.answer(said())
        world.events(ChatRequest("m", HELLO.messages, session="3"))
        assert world.tried == "abca"


class TestCredentials:
    @pytest.mark.parametrize(
        "refusal",
        [
            bad_key,
            lambda: refused(400, "API key expired. Please renew the API key."),
            lambda: refused(401, "no"),
            lambda: refused(403, "Your API key was reported as leaked."),
            lambda: refused(403, "disabled", None, {"reason": "SERVICE_DISABLED"}),
        ],
        ids=["400", "400 by words", "401", "403", "403 service"],
    )
    def test_account_is_out_for_all_models(self, refusal: Callable[[], FakeAnswer]) -> None:
        world = World(refusal(), said(), said(), accounts="ab", mode="performance_first")
        assert world.events() == GREETING
        world.events(model="gemini-flash-latest")
        assert world.tried == "abb"

    def test_outage_ends_after_a_minute(self) -> None:
        world = World(bad_key(), said(), said(), accounts="ab", mode="performance_first")
        world.events()
        world.now += 61
        world.events()
        assert world.tried == "aba"

    def test_all_out_is_502_and_not_the_clients_key(self) -> None:
        world = World(bad_key(), refused(401, "no"), refused(403, "billing disabled"))
        error = world.failure()
        assert world.tried == "abc"
        assert (error.status, error.code, error.retry_after_s) == (502, "upstream_credentials", None)
        assert "not your key" in error.message
        assert "billing disabled" in error.message

    def test_the_last_cause_counts(self) -> None:
        world = World(per_minute("300s"), bad_key(), refused(503, "overloaded"))
        error = world.failure()
        assert (error.status, error.message) == (503, "overloaded")

    def test_other_403_rests_the_account_for_this_model(self) -> None:
        world = World(refused(403, "no"), said(), said(), said(), accounts="ab", mode="performance_first")
        world.events()
        world.events()
        world.events(model="gemini-flash-latest")
        assert world.tried == "abba"

    def test_forbidden_file_is_told_at_once(self) -> None:
        world = World(refused(403, "You do not have permission to access the File abc."))
        error = world.failure()
        assert (world.tried, error.status) == ("a", 400)


class TestMissingModel:
    def test_is_told_at_once(self) -> None:
        world = World(refused(404, "models/x is not found"))
        error = world.failure()
        assert (world.tried, error.status, error.code, error.param) == ("a", 404, "model_not_found", "model")

    def test_is_looked_for_where_it_is_listed(self) -> None:
        world = World(refused(404, "not found"), said())
        world.transport.lists = {"a": [models_page("other")], "b": [models_page("other")], "c": [models_page(MODEL)]}
        world.gateway.catalog.listed()
        assert world.events() == GREETING
        assert world.tried == "ac"

    def test_is_looked_for_once_only(self) -> None:
        world = World(refused(404, "not found"), refused(404, "really not"))
        world.transport.lists = {name: [models_page(MODEL)] for name in "abc"}
        world.gateway.catalog.listed()
        world.answer(refused(404, "not at all"))
        assert world.failure().message == "not at all"
        assert world.tried == "abc"


class TestServerErrors:
    @pytest.mark.parametrize(
        "failure",
        [
            lambda: refused(500, "internal"),
            lambda: FakeAnswer(b"<html>", status=502),
            lambda: UpstreamUnreachable("reset"),
        ],
        ids=["500", "502", "unreachable"],
    )
    @both
    def test_same_account_once_more_then_the_next(
        self, failure: Callable[[], FakeAnswer | UpstreamError], stream: bool
    ) -> None:
        world = World(failure(), failure(), said())
        assert world.events(stream=stream) == GREETING
        assert world.tried == "aab"
        assert_backoff(world.waits, 0.4, 0.8)

    @pytest.mark.parametrize("status", [503, 529])
    def test_overload_takes_the_next_account_after_a_short_wait(self, status: int) -> None:
        world = World(refused(status), refused(status), said())
        assert world.events() == GREETING
        assert world.tried == "abc"
        assert_backoff(world.waits, 0.4, 0.8)

    def test_one_account_is_tried_again(self) -> None:
        world = World(refused(503), refused(503), said(), accounts="a")
        assert world.events() == GREETING
        assert world.tried == "aaa"

    def test_nobody_rests_for_it(self) -> None:
        world = World(refused(503), said(), said(), accounts="ab", mode="performance_first")
        world.events()
        world.events()
        assert world.tried == "aba"

    def test_words_and_status_of_the_last_one_are_told(self) -> None:
        world = World(refused(500, "first"), refused(500, "second"), refused(503, "third"))
        error = world.failure()
        assert (error.status, error.message, world.tried) == (503, "third", "aab")

    def test_silence_takes_the_next_account(self) -> None:
        world = World(UpstreamTimeout("silent"), said())
        assert world.events() == GREETING
        assert (world.tried, world.waits) == ("ab", [])

    def test_silence_everywhere_is_504(self) -> None:
        error = World(*(UpstreamTimeout("silent") for _ in range(3))).failure()
        assert isinstance(error, UpstreamTimeout)
        assert error.status == 504


class TestUnusableAnswers:
    FAILURES: tuple[tuple[str, Callable[[], FakeAnswer]], ...] = (
        ("empty", lambda: FakeAnswer(chunk({"text": ""}, reason="STOP"))),
        ("nothing", FakeAnswer),
        ("malformed", lambda: FakeAnswer(chunk(reason="MALFORMED_FUNCTION_CALL"))),
        ("no finish", lambda: FakeAnswer({"candidates": []})),
        ("no json", lambda: FakeAnswer(b"<html>")),
        ("cut", lambda: FakeAnswer({"candidates": []}, UpstreamCut("cut"))),
    )

    @pytest.mark.parametrize("failure", [make for _, make in FAILURES], ids=[name for name, _ in FAILURES])
    @both
    def test_one_more_attempt(self, failure: Callable[[], FakeAnswer], stream: bool) -> None:
        world = World(failure(), said())
        assert world.events(stream=stream) == GREETING
        assert (world.tried, world.waits) == ("aa", [])
        assert world.transport.given[0].closed

    @pytest.mark.parametrize("failure", [make for _, make in FAILURES], ids=[name for name, _ in FAILURES])
    def test_and_no_other(self, failure: Callable[[], FakeAnswer]) -> None:
        world = World(failure(), failure())
        assert world.failure().status == 502
        assert world.tried == "aa"

    def test_thoughts_alone_are_an_empty_answer(self) -> None:
        world = World(FakeAnswer(chunk({"text": "Hm.", "thought": True}, reason="STOP")), said())
        assert world.events(stream=False) == GREETING
        assert world.tried == "aa"

    def test_thoughts_that_were_forwarded_are_not_taken_back(self) -> None:
        world = World(FakeAnswer(chunk({"text": "Hm.", "thought": True}), chunk(reason="STOP")))
        first, last = world.events()
        assert first == ReasoningDelta("Hm.")
        assert isinstance(last, Failed)
        assert isinstance(last.error, UnusableAnswer)
        assert world.tried == "a"

    def test_whole_answer_that_is_cut_is_asked_for_again(self) -> None:
        world = World(FakeAnswer(b'{"candidates":[{"content":{"parts":[{"text":"Hi', UpstreamCut("cut")), said())
        assert world.events(stream=False) == GREETING
        assert world.tried == "aa"

    def test_tokens_used_up_by_thinking_is_the_requests_fault(self) -> None:
        world = World(FakeAnswer(chunk(reason="MAX_TOKENS")))
        error = world.failure()
        assert isinstance(error, BadRequest)
        assert (world.tried, error.status, error.param) == ("a", 400, "max_completion_tokens")

    def test_blocked_prompt_is_an_answer(self) -> None:
        world = World(FakeAnswer({"promptFeedback": {"blockReason": "SAFETY"}}))
        (finish,) = world.events()
        assert isinstance(finish, Finish)
        assert (finish.reason, world.tried) == ("content_filter", "a")


class TestAfterTheFirstEvent:
    @pytest.mark.parametrize(
        "failure",
        [UpstreamCut("cut"), UpstreamTimeout("silent"), {"error": {"code": 503, "message": "overloaded"}}, b'{"candi'],
        ids=["cut", "silence", "error event", "broken json"],
    )
    def test_failure_is_told_in_band_and_nobody_else_is_tried(self, failure: Any) -> None:
        world = World(FakeAnswer(chunk({"text": "Hi."}), failure), said())
        first, last = world.events()
        assert first == TextDelta("Hi.")
        assert isinstance(last, Failed)
        assert isinstance(last.error, UpstreamError)
        assert world.tried == "a"
        assert world.transport.given[0].closed

    def test_events_held_back_are_told_first(self) -> None:
        world = World(FakeAnswer(chunk(CALL), UpstreamCut("cut")))
        assert [type(event) for event in world.events()] == [ToolCallStart, ToolCallDelta, Failed]

    def test_refusal_of_the_pools_key_is_not_told_as_the_clients(self, caplog: pytest.LogCaptureFixture) -> None:
        error = {"error": {"code": 403, "message": "API key secret-a was blocked"}}
        *_, last = World(FakeAnswer(chunk({"text": "Hi."}), error)).events()
        assert isinstance(last, Failed)
        assert isinstance(last.error, GatewayError)
        assert (last.error.status, last.error.code) == (502, "upstream_credentials")
        assert "secret-a" not in last.error.message + caplog.text
        assert "answer broke off account=a" in caplog.text

    def test_client_that_left_is_no_reason_for_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(FakeAnswer(chunk({"text": "Hi."}), UpstreamCut("cancelled")))
        call = world.call()
        events = call.events()
        next(events)
        call.cancel.cancel()
        with pytest.raises(UpstreamCut):
            next(events)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class TestOtherRefusals:
    @pytest.mark.parametrize(
        ("status", "reason", "message", "code"),
        [
            (400, "INVALID_ARGUMENT", "Please ensure that function call turn comes ...", "invalid_argument"),
            (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", "failed_precondition"),
            (413, None, "Request too large", "upstream_error"),
        ],
    )
    def test_are_told_at_once_in_upstreams_words(self, status: int, reason: str, message: str, code: str) -> None:
        world = World(refused(status, message, reason), said())
        error = world.failure()
        assert (error.status, error.message, error.code) == (status, message, code)
        assert world.tried == "a"

    def test_keys_are_not_told(self) -> None:
        world = World(refused(400, "Consumer api_key:secret-b and secret-a did wrong"))
        assert world.failure().message == "Consumer api_key:[redacted] and [redacted] did wrong"

    @pytest.mark.parametrize("max_attempts", [1, 2, 3])
    def test_attempts_are_bounded(self, max_attempts: int) -> None:
        world = World(*(refused(503) for _ in range(9)), max_attempts=max_attempts)
        assert world.failure().status == 503
        assert world.tried == "abc"[:max_attempts]

    def test_rotation_sends_the_same_bytes(self) -> None:
        world = World(refused(503), refused(503), said())
        world.events()
        first, second, third = world.transport.bodies
        assert first is second is third


class TestNobody:
    def test_all_resting_says_when_the_first_is_free(self) -> None:
        world = World(*(per_minute("500s") for _ in range(3)))
        world.failure()
        error = world.failure()
        assert isinstance(error, PoolUnavailable)
        assert (error.status, error.retry_after_s, world.tried) == (429, 500.0, "abc")
        assert error.message == (
            f"all accounts rest for {MODEL}; the first is free again in 9 min. Its reason: Quota exceeded"
        )

    def test_all_out_is_502_with_a_time(self) -> None:
        world = World(bad_key(), accounts="a")
        world.failure()
        error = world.failure()
        assert (error.status, error.retry_after_s) == (502, 60.0)

    def test_short_rest_is_waited_for(self) -> None:
        world = World(per_minute("15s"), said(), accounts="a", max_attempts=1)
        world.failure()
        assert world.events() == GREETING
        assert world.waits == [Spread(15.0)]

    def test_no_usable_key(self) -> None:
        error = World(accounts=(Account("a", problem="api_key: GEMINI_API_KEY is not set"),)).failure()
        assert (error.status, error.retry_after_s) == (502, None)
        assert "agproxy check" in error.message
        assert "GEMINI_API_KEY" not in error.message

    def test_all_disabled(self) -> None:
        assert World(accounts=(Account("a", enabled=False),)).failure().status == 503


class TestCancel:
    def test_ends_a_wait(self) -> None:
        world = World(per_minute("10s"), said(), accounts="a")
        call = world.call()
        world.on_wait = call.cancel.cancel
        with pytest.raises(UpstreamCut):
            list(call.events())
        assert world.tried == "a"

    def test_of_an_attempt_is_not_tried_again(self) -> None:
        world = World(UpstreamUnreachable("cancelled"), said())
        call = world.call()
        call.cancel.cancel()
        with pytest.raises(UpstreamCut):
            list(call.events())
        assert world.tried == "a"


def test_check_refuses_before_an_account_is_asked() -> None:
    world = World()
    with pytest.raises(BadRequest):
        world.call(ChatRequest("m", (Message("user", ()),))).check()
    assert not world.tried


def test_check_of_a_pool_without_accounts_leaves_it_to_the_attempt() -> None:
    World(accounts=()).call(ChatRequest("m", (Message("user", ()),))).check()


def test_log_lines_name_the_account_and_never_a_key(caplog: pytest.LogCaptureFixture) -> None:
    secret = "AIza" + "s" * 35
    accounts = (Account("me", api_key="secret-a"), Account("you", api_key="secret-b"))
    world = World(refused(403, f"API key secret-a\nor {secret} is blocked"), said(), accounts=accounts)
    with caplog.at_level(logging.DEBUG, logger="agproxy"):
        world.events()
    text = caplog.text
    assert "attempt failed account=me" in text
    assert "action=next" in text
    assert "API key [redacted] or [redacted] is blocked" in text
    assert "secret-a" not in text
    assert secret not in text


def assert_backoff(waits: list[float], *wanted: float) -> None:
    """Each wait is within a quarter of what is wanted, for it is spread by chance."""
    assert len(waits) == len(wanted)
    assert all(0.75 * want <= wait <= 1.25 * want for wait, want in zip(waits, wanted, strict=True)), waits
