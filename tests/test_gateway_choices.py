"""Several answers to one request: in one call where the model can, else in a call for each."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from agproxy import conversations
from agproxy.asks import COUNT
from agproxy.call import Call
from agproxy.cancel import Cancel
from agproxy.chat import (
    Failed,
    Finish,
    Message,
    OtherChoice,
    Sampling,
    TextDelta,
    TextPart,
    Thinking,
    ToolCallStart,
    Usage,
)
from agproxy.config import Account
from agproxy.errors import GatewayError, UpstreamCut, UpstreamError
from agproxy.fold import Reply, fold
from agproxy.transport import Answer
from tests.loopback import WAIT_S
from tests.scripted import CALL, HELLO, LOOK, FakeAnswer, FakeTransport, World, chunk, per_minute, refused, said

THREE = replace(HELLO, sampling=Sampling(choices=3))
ONE_ONLY = "Multiple candidates is not enabled for this model"
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


def one_only() -> FakeAnswer:
    return refused(400, ONE_ONLY, "INVALID_ARGUMENT")


def broken() -> FakeAnswer:
    return FakeAnswer(chunk({"text": "a"}), UpstreamCut("cut"))


def several(*texts: str) -> FakeAnswer:
    """One answer with a candidate for each text."""
    whole = chunk()
    whole["candidates"] = [
        {"content": {"parts": [{"text": text}]}, "finishReason": "STOP", "index": index}
        for index, text in enumerate(texts)
    ]
    return FakeAnswer(whole)


class Unfinished(FakeAnswer):
    """An answer that goes on until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancel = Cancel()

    def chunks(self, before_read: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        self.cancel.cancelled.wait(10 * WAIT_S)  # longer than any test waits for it
        raise UpstreamCut("cancelled")


class TwoQueues(FakeTransport):
    """Answers the calls for further answers from a queue of their own, so that it is known who gets what."""

    def __init__(self, first: list[FakeAnswer | UpstreamError], others: list[FakeAnswer | UpstreamError]) -> None:
        super().__init__(first)
        self.others = FakeTransport(others)

    def post(self, url: str, headers: Any, body: bytes, *, timeout_s: float, cancel: Cancel) -> Answer:
        if threading.current_thread().name != "agproxy-choice":
            return super().post(url, headers, body, timeout_s=timeout_s, cancel=cancel)
        answer = self.others.post(url, headers, body, timeout_s=timeout_s, cancel=cancel)
        if isinstance(answer, Unfinished):
            answer.cancel = cancel
        return answer


class Overlapping(FakeTransport):
    """Gives no answer before so many requests are under way together; refusals come at once."""

    def __init__(self, answers: list[FakeAnswer | UpstreamError], count: int) -> None:
        super().__init__(answers)
        self.together = threading.Barrier(count)

    def post(self, url: str, headers: Any, body: bytes, *, timeout_s: float, cancel: Cancel) -> Answer:
        answer = super().post(url, headers, body, timeout_s=timeout_s, cancel=cancel)
        if answer.status == 200:
            self.together.wait(WAIT_S)
        return answer


def world_of(first: list[FakeAnswer | UpstreamError], others: list[FakeAnswer | UpstreamError]) -> World:
    world = World()
    world.transport = world.gateway.transport = TwoQueues(first, others)
    return world


def texts(reply: Reply) -> list[str]:
    return [each.text for each in (reply, *reply.others)]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [thread for thread in threading.enumerate() if thread.name == "agproxy-choice"]
    for thread in left:
        thread.join(WAIT_S)
        assert not thread.is_alive()


class TestWhereTheModelGivesSeveral:
    @both
    def test_one_request_is_enough(self, stream: bool) -> None:
        world = World(several("a", "b", "c"))
        reply = fold(world.events(THREE, stream=stream))
        assert texts(reply) == ["a", "b", "c"]
        assert [body["generationConfig"]["candidateCount"] for body in world.bodies()] == [3]

    @both
    def test_what_is_missing_is_asked_for_apart(self, stream: bool) -> None:
        world = World(several("a", "b"), said("c"))
        call = world.call(THREE, stream=stream)
        reply = fold(call.events())
        assert texts(reply) == ["a", "b", "c"]
        assert (reply.finish.usage, call.attempts) == (Usage(6, 4), 2)

    @both
    def test_gap_between_their_numbers_is_filled(self, stream: bool) -> None:
        gap = chunk()
        gap["candidates"] = [
            {"content": {"parts": [{"text": text}]}, "finishReason": "STOP", "index": index}
            for text, index in (("a", 0), ("c", 2))
        ]
        world = World(FakeAnswer(gap), said("b"))
        assert texts(fold(world.events(THREE, stream=stream))) == ["a", "b", "c"]
        assert len(world.bodies()) == 2

    @both
    def test_one_without_an_answer_does_not_cost_the_others(self, stream: bool) -> None:
        answer = several("x", "", "z")
        answer._payloads[0]["candidates"][1]["finishReason"] = "MAX_TOKENS"
        world = World(answer)
        reply = fold(world.events(THREE, stream=stream))
        assert texts(reply) == ["x", "", "z"]
        assert [each.finish.reason for each in (reply, *reply.others)] == ["stop", "length", "stop"]
        assert len(world.bodies()) == 1

    @both
    def test_none_with_an_answer_is_asked_again(self, stream: bool) -> None:
        world = World(several("", "", ""), several("a", "b", "c"))
        assert texts(fold(world.events(THREE, stream=stream))) == ["a", "b", "c"]

    @both
    def test_refused_prompt_is_not_asked_again(self, stream: bool) -> None:
        world = World(FakeAnswer({"promptFeedback": {"blockReason": "SAFETY"}}))
        reply = fold(world.events(THREE, stream=stream))
        assert [each.finish.refusal for each in (reply, *reply.others)] == ["Gemini refused the prompt (SAFETY)."] * 3
        assert len(world.bodies()) == 1

    def test_one_wanted_is_one_asked_for(self) -> None:
        world = World(several("a", "b"))
        assert texts(fold(world.events())) == ["a"]
        assert "generationConfig" not in world.bodies()[0]


class TestWhereItGivesOne:
    @both
    def test_each_answer_has_a_call_of_its_own(self, stream: bool) -> None:
        world = World(one_only(), said(), said(), said())
        call = world.call(THREE, stream=stream)
        *others, last = [event for event in call.events() if not isinstance(event, TextDelta)]
        assert [event.number for event in others if isinstance(event, OtherChoice)] == [1, 1, 2, 2]
        assert last == Finish("stop", Usage(9, 6))
        assert (call.attempts, call.ignored) == (3, ())
        assert [body.get("generationConfig") for body in world.bodies()] == [{"candidateCount": 3}, None, None, None]

    def test_the_first_answer_is_streamed_before_the_others_are_waited_for(self) -> None:
        world = world_of([one_only(), said("first")], [Unfinished(), Unfinished()])
        call = world.call(THREE)
        events = call.events()
        assert next(events) == TextDelta("first")
        call.cancel.cancel()
        with pytest.raises(GatewayError):
            fold(events)

    @both
    def test_is_remembered(self, stream: bool) -> None:
        world = World(one_only(), *(said() for _ in range(6)))
        world.events(THREE, stream=stream)
        call = world.call(THREE, stream=stream)
        call.check()
        assert len(fold(call.events()).others) == 2
        assert len(world.bodies()) == 7
        assert not any("candidateCount" in body.get("generationConfig", {}) for body in world.bodies()[1:])

    def test_is_remembered_for_a_day(self) -> None:
        world = World(one_only(), said(), said(), said(), several("a", "b", "c"))
        world.events(THREE)
        world.now += 24 * 3600 + 1
        assert texts(fold(world.events(THREE))) == ["a", "b", "c"]

    def test_calls_stay_with_the_account_of_the_conversation(self) -> None:
        further = (*HELLO.messages, Message("assistant", (TextPart("Hi."),)), *HELLO.messages)
        chat = replace(THREE, messages=further)  # two that only begin in the same way are not one conversation
        world = World(one_only(), *(said() for _ in range(6)))
        for _ in range(2):
            world.events(chat)
        assert world.tried == "a" * 7

    @both
    def test_calls_of_a_first_turn_stay_together_although_they_overlap(self, stream: bool) -> None:
        world = World()
        world.transport = world.gateway.transport = Overlapping([one_only(), *(said() for _ in range(9))], 3)
        world.events(THREE, stream=stream)
        assert world.tried == "a" * 4
        another = replace(THREE, messages=(Message("user", (TextPart("Another."),)),))
        call = world.call(another, stream=stream)
        assert len(fold(call.events()).others) == 2
        assert (world.tried[4:], call.account and call.account.name) == ("bbb", "b")
        further = (*another.messages, Message("assistant", (TextPart("Hi."),)), *HELLO.messages)
        world.events(replace(THREE, messages=further), stream=stream)
        assert world.tried[7:] == "bbb"

    def test_requests_alike_that_come_at_once_are_spread_as_wholes(self) -> None:
        world = World()
        transport = Overlapping([one_only(), *(said() for _ in range(9))], 3)
        world.transport = world.gateway.transport = transport
        world.events(THREE)
        transport.together = threading.Barrier(6)
        with ThreadPoolExecutor(2) as threads:
            assert [len(fold(events).others) for events in threads.map(world.events, [THREE] * 2)] == [2, 2]
        assert Counter(world.tried[4:]) == {"a": 3, "b": 3}

    def test_conversation_stays_with_the_account_of_the_first_choice(self) -> None:
        world = world_of([several("a", "b"), said()], [per_minute(), said("c")])
        call = world.call(THREE)
        assert texts(fold(call.events())) == ["a", "b", "c"]
        assert isinstance(world.transport, TwoQueues)
        assert (world.transport.others.tried, call.account and call.account.name) == (["a", "b"], "a")
        world.now += 60
        world.events()
        assert world.tried == "aa"

    def test_calls_rotate_accounts_as_any_other(self) -> None:
        world = world_of([one_only(), said("a")], [refused(503), said("b"), said("c")])
        assert sorted(texts(fold(world.events(THREE)))) == ["a", "b", "c"]

    def test_demo_gives_as_many_as_are_asked_for(self) -> None:
        world = World(accounts=(Account("demo", type="demo"),))
        replies = texts(fold(world.events(THREE)))
        assert len(replies) == 3
        assert all(reply.startswith("[agproxy demo]") for reply in replies)


class TestRequests:
    """What the calls for the others ask, and what they need not find out again."""

    @staticmethod
    def others(world: World) -> list[Any]:
        assert isinstance(world.transport, TwoQueues)
        return world.transport.others.bodies

    @both
    def test_have_a_seed_each(self, stream: bool) -> None:
        world = world_of([one_only(), said()], [said(), said()])
        world.events(replace(HELLO, sampling=Sampling(choices=3, seed=7)), stream=stream)
        assert world.bodies()[-1]["generationConfig"] == {"seed": 7}
        assert sorted(json.loads(body)["generationConfig"]["seed"] for body in self.others(world)) == [8, 9]

    @both
    def test_are_encoded_once(self, stream: bool) -> None:
        world = world_of([one_only(), said()], [said(), said()])
        world.events(THREE, stream=stream)
        assert {id(body) for body in self.others(world)} == {id(world.transport.bodies[-1])}

    def test_are_encoded_once_where_it_is_known_that_the_model_gives_one(self) -> None:
        world = world_of([one_only(), *(said() for _ in range(2))], [said() for _ in range(4)])
        world.events(THREE)
        call = world.call(THREE)
        call.check()
        list(call.events())
        assert {id(body) for body in self.others(world)[-2:]} == {id(world.transport.bodies[-1])}

    def test_for_what_is_missing_are_encoded_once(self) -> None:
        world = world_of([several("a")], [said("b"), said("c")])
        assert sorted(texts(fold(world.events(THREE)))) == ["a", "b", "c"]
        first, second = self.others(world)
        assert first is second

    @both
    @pytest.mark.parametrize("n_first", [True, False])
    def test_leave_out_what_was_refused_to_the_first(self, n_first: bool, stream: bool) -> None:
        refusals = [one_only(), refused(400, "Thinking level is not supported for this model.", "INVALID_ARGUMENT")]
        world = world_of([*(refusals if n_first else refusals[::-1]), said()], [said(), said()])
        chat = replace(THREE, thinking=Thinking(effort="low"))
        assert len(fold(world.events(chat, stream=stream)).others) == 2
        assert len(world.bodies()) == 3
        assert all("generationConfig" not in json.loads(body) for body in self.others(world))

    def test_are_not_sent_when_the_first_is_refused(self) -> None:
        world = world_of([one_only(), refused(400, "no")], [])
        assert world.failure(replace(THREE, thinking=Thinking(effort="low"))).message == "no"
        assert self.others(world) == []


class TestFailure:
    def test_of_another_answer_fails_the_whole(self) -> None:
        world = world_of([one_only(), said()], [said(), refused(400, "no")])
        with pytest.raises(GatewayError) as caught:
            fold(world.events(THREE, stream=False))
        assert (caught.value.status, caught.value.message) == (400, "no")

    def test_of_another_answer_is_told_in_the_stream(self) -> None:
        world = world_of([one_only(), said()], [refused(400, "no"), said()])
        *_, last = world.events(THREE)
        assert isinstance(last, Failed)
        assert isinstance(last.error, GatewayError)
        assert last.error.message == "no"

    def test_of_another_answer_keeps_back_none_that_is_whole(self) -> None:
        world = world_of([one_only(), said("a")], [refused(400, "no"), said("b")])
        *_, text, end, first_end, last = world.events(THREE)
        assert first_end == OtherChoice(0, Finish("stop", Usage(3, 2)))
        assert isinstance(text, OtherChoice)
        assert (text.event, end) == (TextDelta("b"), OtherChoice(text.number, Finish("stop", Usage(3, 2))))
        assert isinstance(last, Failed)

    @both
    def test_in_the_middle_of_another_answer_is_tried_again(self, stream: bool) -> None:
        world = world_of([one_only(), said("a")], [broken(), said("b"), said("c")])
        call = world.call(THREE, stream=stream)
        reply = fold(call.events())
        assert sorted(texts(reply)) == ["a", "b", "c"]
        assert call.attempts == 4

    def test_in_the_middle_of_another_answer_is_told_in_the_stream(self) -> None:
        world = world_of([one_only(), said()], [broken() for _ in range(6)])
        events = world.events(THREE)
        assert isinstance(events[-1], Failed)
        assert not any(isinstance(event, Finish) for event in events)
        assert [event.number for event in events if isinstance(event, OtherChoice)] == [0]

    def test_in_the_middle_of_another_answer_is_noticed_after_a_silence_as_short_as_ever(self) -> None:
        answer = FakeAnswer(chunk({"text": "a"}), chunk({"text": "b"}), chunk({"text": "c"}, reason="STOP"))
        world = world_of([one_only(), said()], [answer])
        fold(world.events(replace(HELLO, sampling=Sampling(choices=2))))
        silence_s = world.config.upstream.silence_timeout_s
        assert answer.timeouts[0] == silence_s
        assert answer.timeouts.count(silence_s) == 2  # at its first word, and at its end

    def test_of_the_first_answer_stops_the_others(self) -> None:
        world = world_of([one_only(), refused(400, "no")], [Unfinished(), Unfinished()])
        assert world.failure(THREE).message == "no"

    def test_of_the_first_answer_in_its_middle_stops_the_others(self) -> None:
        world = world_of([one_only(), broken()], [Unfinished(), Unfinished()])
        assert isinstance(world.events(THREE)[-1], Failed)


def test_client_that_leaves_stops_them_all() -> None:
    world = world_of([one_only(), said()], [Unfinished(), Unfinished()])
    call = world.call(THREE)
    threading.Timer(0.05, call.cancel.cancel).start()
    assert isinstance(list(call.events())[-1], Failed)


@both
def test_one_call_at_a_time_holds_for_each_answer(stream: bool) -> None:
    chat = replace(THREE, tools=(LOOK,), parallel_calls=False)
    world = World(one_only(), *(FakeAnswer(chunk(CALL, CALL, reason="STOP")) for _ in range(3)))
    reply = fold(world.events(chat, stream=stream))
    assert [len(each.calls) for each in (reply, *reply.others)] == [1, 1, 1]


@both
def test_one_call_at_a_time_holds_for_each_candidate(stream: bool) -> None:
    two = chunk(CALL, CALL, reason="STOP")
    two["candidates"].append({**two["candidates"][0], "index": 1})
    chat = replace(HELLO, tools=(LOOK,), parallel_calls=False, sampling=Sampling(choices=2))
    reply = fold(World(FakeAnswer(two)).events(chat, stream=stream))
    assert [len(each.calls) for each in (reply, *reply.others)] == [1, 1]


@both
def test_one_call_at_a_time_keeps_only_the_first(stream: bool) -> None:
    second = {"functionCall": {"name": "look", "args": {"at": "2"}}}
    answer = FakeAnswer(chunk({"text": "So: "}, CALL, second, reason="STOP"))
    world = World(answer)
    events = world.events(replace(HELLO, tools=(LOOK,), parallel_calls=False), stream=stream)
    assert [event.index for event in events if isinstance(event, ToolCallStart)] == [0]
    reply = fold(events)
    assert [(call.name, call.arguments) for call in reply.calls] == [("look", "{}")]
    assert (reply.text, reply.finish.reason) == ("So: ", "tool_calls")


def test_several_calls_are_kept_by_default() -> None:
    chat = replace(HELLO, tools=(LOOK,))
    reply = fold(World(FakeAnswer(chunk(CALL, CALL, reason="STOP"))).events(chat))
    assert len(reply.calls) == 2


class TestSeveralConversations:
    """The prompts of Completions: each is asked for by a call of its own, of which all answers come together."""

    OTHER = (Message("user", (TextPart("Ho"),)),)
    TWO = replace(HELLO, further_messages=(OTHER,), sampling=Sampling(choices=2))

    @both
    def test_each_is_asked_as_often_as_the_first(self, stream: bool) -> None:
        world = World(*[said("a")] * 4)
        call = world.call(self.TWO, stream=stream)
        reply = fold(call.events())
        assert (texts(reply), call.attempts) == (["a"] * 4, 4)
        assert reply.finish.usage == Usage(12, 8)
        asked = sorted(body["contents"][0]["parts"][0]["text"] for body in world.bodies())
        assert asked == ["Hello.", "Hello.", "Ho", "Ho"]
        assert all("candidateCount" not in body.get("generationConfig", {}) for body in world.bodies())

    @both
    def test_numbers_go_by_conversation(self, stream: bool) -> None:
        world = world_of([said("first")], [said("x")] * 3)
        answers = fold(world.events(self.TWO, stream=stream)).others
        assert isinstance(world.transport, TwoQueues)
        sent = [json.loads(body)["contents"][0]["parts"][0]["text"] for body in world.transport.others.bodies]
        assert (len(answers), sorted(sent)) == (3, ["Hello.", "Ho", "Ho"])

    @both
    def test_are_spread(self, stream: bool) -> None:
        world = World()
        world.transport = world.gateway.transport = Overlapping([said() for _ in range(3)], 3)
        third = (Message("user", (TextPart("Hey"),)),)
        call = world.call(replace(HELLO, further_messages=(self.OTHER, third)), stream=stream)
        assert len(fold(call.events()).others) == 2
        assert (sorted(world.tried), call.account and call.account.name) == (list("abc"), "a")


class TestCount:
    def test_tokens_of_the_whole_request_are_counted(self) -> None:
        world = World(FakeAnswer({"totalTokens": 31}))
        call = Call(world.gateway, replace(HELLO, tools=(LOOK,)), model="gemini-flash-latest", ask=COUNT)
        assert list(call.events()) == [Finish("stop", Usage(input_tokens=31))]
        (body,) = world.bodies()
        inner = body["generateContentRequest"]
        assert inner["model"] == "models/gemini-flash-latest"
        assert inner["contents"][0]["parts"] == [{"text": "Hello."}]
        assert "functionDeclarations" in inner["tools"][0]
        assert world.transport.urls[0].endswith("/v1beta/models/gemini-flash-latest:countTokens")

    def test_it_rotates_as_all_calls_do(self) -> None:
        world = World(per_minute(), FakeAnswer({"totalTokens": 31}))
        assert Call(world.gateway, HELLO, model="m", ask=COUNT).attempts == 0
        call = Call(world.gateway, HELLO, model="m", ask=COUNT)
        assert list(call.events()) == [Finish("stop", Usage(input_tokens=31))]
        assert world.tried == "ab"

    def test_demo_counts_too(self) -> None:
        world = World(accounts=(Account("demo", type="demo"),))
        (finish,) = Call(world.gateway, HELLO, model="gemini-flash-latest", ask=COUNT).events()
        assert isinstance(finish, Finish)
        assert finish.usage.input_tokens > 0


class TestSession:
    def test_given_one_counts(self) -> None:
        world = World()
        assert Call(world.gateway, HELLO, model="m", session="abc").session == "abc"
        assert Call(world.gateway, HELLO, model="m").session == conversations.key(HELLO)
