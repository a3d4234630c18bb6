"""Several answers to one request: in one call where the model can, else in a call for each."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agproxy.chat import (
    Failed,
    Finish,
    OtherChoice,
    Reply,
    Sampling,
    TextDelta,
    ToolCallStart,
    Usage,
    fold,
)
from agproxy.config import Account
from agproxy.errors import GatewayError, UpstreamCut, UpstreamError
from agproxy.transport import Answer, Cancel
from tests.loopback import WAIT_S
from tests.scripted import CALL, HELLO, LOOK, FakeAnswer, FakeTransport, World, chunk, refused, said

THREE = replace(HELLO, sampling=Sampling(choices=3))
ONE_ONLY = "Multiple candidates is not enabled for this model"
both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


def one_only() -> FakeAnswer:
    return refused(400, ONE_ONLY, "INVALID_ARGUMENT")


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
        self._others = FakeTransport(others)

    def post(self, url: str, headers: Any, body: bytes, *, timeout_s: float, cancel: Cancel) -> Answer:
        if threading.current_thread().name != "agproxy-choice":
            return super().post(url, headers, body, timeout_s=timeout_s, cancel=cancel)
        answer = self._others.post(url, headers, body, timeout_s=timeout_s, cancel=cancel)
        if isinstance(answer, Unfinished):
            answer.cancel = cancel
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
        world = World(one_only(), *(said() for _ in range(7)))
        world.events(THREE)
        world.events(HELLO)
        before = len(world.tried)
        world.events(THREE)
        assert len(set(world.tried[before:])) == 1

    def test_calls_rotate_accounts_as_any_other(self) -> None:
        world = world_of([one_only(), said("a")], [refused(503), said("b"), said("c")])
        assert sorted(texts(fold(world.events(THREE)))) == ["a", "b", "c"]

    def test_demo_gives_as_many_as_are_asked_for(self) -> None:
        world = World(accounts=(Account("demo", type="demo"),))
        replies = texts(fold(world.events(THREE)))
        assert len(replies) == 3
        assert all(reply.startswith("[agproxy demo]") for reply in replies)


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

    def test_in_the_middle_of_another_answer_is_told_in_the_stream(self) -> None:
        broken = FakeAnswer(chunk({"text": "a"}), UpstreamCut("cut"))
        world = world_of([one_only(), said()], [broken, said()])
        events = world.events(THREE)
        assert isinstance(events[-1], Failed)
        assert not any(isinstance(event, Finish) for event in events)

    def test_of_the_first_answer_stops_the_others(self) -> None:
        world = world_of([one_only(), refused(400, "no")], [Unfinished(), Unfinished()])
        assert world.failure(THREE).message == "no"

    def test_of_the_first_answer_in_its_middle_stops_the_others(self) -> None:
        broken = FakeAnswer(chunk({"text": "a"}), UpstreamCut("cut"))
        world = world_of([one_only(), broken], [Unfinished(), Unfinished()])
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
