"""Further answers to one request: asked for all at once, told one after the other, stopped together."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from agproxy.cancel import Cancel
from agproxy.chat import (
    Event,
    Failed,
    Finish,
    Message,
    OtherChoice,
    Ping,
    Sampling,
    TextDelta,
    TextPart,
    Usage,
)
from agproxy.choices import OtherChoices, Shared, alone
from agproxy.errors import BadRequest, GatewayError, UpstreamCut
from tests.loopback import WAIT_S
from tests.scripted import HELLO

Script = Callable[[Cancel], Iterator[Event]]


class Asked:
    """A call that answers by script."""

    def __init__(self, script: Script, attempts: int = 1) -> None:
        self.cancel = Cancel()
        self.attempts = attempts
        self._script = script

    def events(self) -> Iterator[Event]:
        return self._script(self.cancel)


def saying(*events: Event | Exception) -> Script:
    def script(_: Cancel) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return script


def until_cancelled(cancel: Cancel) -> Iterator[Event]:
    """Blocks as a read does, and fails as one does."""
    yield TextDelta("a")
    cancel.cancelled.wait(10 * WAIT_S)  # longer than any test waits for it
    raise UpstreamCut("cancelled")


def others_of(*scripts: Script, cancel: Cancel | None = None, first: int = 1) -> OtherChoices:
    return OtherChoices(dict(enumerate(map(Asked, scripts), first)), cancel or Cancel())


def told(others: OtherChoices) -> list[Event]:
    return list(others.events(lambda: None))


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "agproxy-choice"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in running():
        thread.join(WAIT_S)
    assert not running()


END = Finish("stop", Usage(1, 2))


def test_answers_come_one_after_the_other_by_number() -> None:
    others = others_of(saying(TextDelta("a"), END), saying(TextDelta("b"), END), first=2)
    assert told(others) == [
        OtherChoice(2, TextDelta("a")),
        OtherChoice(2, END),
        OtherChoice(3, TextDelta("b")),
        OtherChoice(3, END),
    ]


def test_numbers_may_have_gaps() -> None:
    others = OtherChoices({1: Asked(saying(TextDelta("a"))), 3: Asked(saying(TextDelta("b")))}, Cancel())
    assert told(others) == [OtherChoice(1, TextDelta("a")), OtherChoice(3, TextDelta("b"))]


def test_all_are_asked_at_once() -> None:
    together = threading.Barrier(3)

    def script(_: Cancel) -> Iterator[Event]:
        together.wait(WAIT_S)  # breaks unless three are here at a time
        yield END

    assert len(told(others_of(script, script, script))) == 3


def test_pings_are_left_out() -> None:
    assert told(others_of(saying(Ping(), END, Ping()))) == [OtherChoice(1, END)]


def test_each_wait_is_announced() -> None:
    waits: list[int] = []
    others = others_of(saying(END), saying(END))
    seen: list[Event] = []
    for event in others.events(lambda: waits.append(len(seen))):
        seen.append(event)
    assert waits == [0, 1]


def test_tokens_of_all_are_summed() -> None:
    others = others_of(saying(Finish("stop", Usage(10, 5, 4, 3))), saying(Finish("length", Usage(10, 7, 0, 1))))
    told(others)
    assert others.usage(Usage(10, 1, 8, 0)) == Usage(30, 13, 12, 4)


def test_requests_of_all_are_counted() -> None:
    others = OtherChoices({number: Asked(saying(END), attempts=number) for number in (1, 3)}, Cancel())
    told(others)
    assert others.attempts == 4


class TestFailure:
    def test_of_one_is_raised_in_its_turn(self) -> None:
        error = BadRequest("no")
        others = others_of(saying(END), saying(error), saying(END))
        events = others.events(lambda: None)
        assert next(events) == OtherChoice(1, END)
        with pytest.raises(BadRequest) as caught:
            next(events)
        assert caught.value is error

    def test_in_the_middle_of_an_answer_is_raised_too(self) -> None:
        error = GatewayError("broke off")
        with pytest.raises(GatewayError) as caught:
            told(others_of(saying(TextDelta("a"), Failed(error))))
        assert caught.value is error

    def test_that_is_our_own_fault_is_not_hidden(self) -> None:
        with pytest.raises(ZeroDivisionError):
            told(others_of(saying(ZeroDivisionError())))


class TestWhole:
    """What is told of those that are whole, when others are not."""

    def test_comes_before_the_error(self) -> None:
        error = BadRequest("no")
        events = others_of(saying(TextDelta("a"), error), saying(TextDelta("b"), END)).whole(lambda: None)
        assert [next(events), next(events)] == [OtherChoice(2, TextDelta("b")), OtherChoice(2, END)]
        with pytest.raises(BadRequest) as caught:
            next(events)
        assert caught.value is error

    def test_is_all_where_none_failed(self) -> None:
        events = others_of(saying(END), saying(END)).whole(lambda: None)
        assert list(events) == [OtherChoice(1, END), OtherChoice(2, END)]

    def test_error_is_that_of_the_first(self) -> None:
        errors = [BadRequest("one"), BadRequest("two")]
        with pytest.raises(BadRequest) as caught:
            list(others_of(*map(saying, errors)).whole(lambda: None))
        assert caught.value is errors[0]

    def test_each_wait_is_announced(self) -> None:
        waits: list[str] = []
        list(others_of(saying(END), saying(END)).whole(lambda: waits.append("")))
        assert len(waits) == 2


class TestAlone:
    def test_is_asked_for_one(self) -> None:
        assert alone(replace(HELLO, sampling=Sampling(choices=3, top_p=0.5)), 2).sampling == Sampling(top_p=0.5)

    @pytest.mark.parametrize(
        ("seed", "number", "expected"),
        [(None, 2, None), (7, 0, 7), (7, 2, 9), (2**31 - 1, 1, 0), (-5, 0, -5), (-5, 1, 2**31 - 4)],
    )
    def test_has_a_seed_of_its_own(self, seed: int | None, number: int, expected: int | None) -> None:
        assert alone(replace(HELLO, sampling=Sampling(choices=3, seed=seed)), number).sampling.seed == expected


class TestShared:
    def test_is_made_once_for_each_key(self) -> None:
        shared, made = Shared(), count()
        assert [shared.get(key, lambda: next(made)) for key in "aba"] == [0, 1, 0]

    def test_is_made_once_by_all_who_ask_at_once(self) -> None:
        shared, made, together = Shared(), count(), threading.Barrier(4)

        def ask() -> None:
            together.wait(WAIT_S)
            shared.get("a", lambda: next(made))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert next(made) == 1

    def test_that_could_not_be_made_is_tried_again(self) -> None:
        shared = Shared()
        with pytest.raises(ZeroDivisionError):
            shared.get("a", lambda: 1 // 0)
        assert shared.get("a", lambda: 1) == 1


class TestCancel:
    def test_reaches_all(self) -> None:
        cancel = Cancel()
        others = others_of(until_cancelled, until_cancelled, cancel=cancel)
        cancel.cancel()
        with pytest.raises(UpstreamCut):
            told(others)

    def test_that_came_before_reaches_all(self) -> None:
        cancel = Cancel()
        cancel.cancel()
        with pytest.raises(UpstreamCut):
            told(others_of(until_cancelled, cancel=cancel))

    def test_wakes_who_waits_for_them(self) -> None:
        cancel = Cancel()
        others = others_of(until_cancelled, cancel=cancel)
        threading.Timer(0.05, cancel.cancel).start()
        with pytest.raises(UpstreamCut):
            told(others)

    def test_of_the_others_leaves_the_first_alone(self) -> None:
        cancel = Cancel()
        others_of(until_cancelled, cancel=cancel).stop()
        assert not cancel.cancelled.is_set()

    def test_after_their_end_is_nothing(self) -> None:
        others = others_of(saying(END))
        told(others)
        others.stop()
        assert told(others) == [OtherChoice(1, END)]


class TestSeveralConversations:
    OTHER = (Message("user", (TextPart("Ho"),)),)
    LAST = (Message("user", (TextPart("Ha"),)),)

    def test_each_has_as_many_choices(self) -> None:
        chat = replace(HELLO, further_messages=(self.OTHER, self.LAST), sampling=Sampling(choices=2, seed=5))
        asked = [alone(chat, number) for number in range(6)]
        wanted = [HELLO.messages, HELLO.messages, self.OTHER, self.OTHER, self.LAST, self.LAST]
        assert [each.messages for each in asked] == wanted
        assert [each.sampling.seed for each in asked] == [5, 6, 5, 6, 5, 6]
        assert {(each.sampling.choices, each.further_messages) for each in asked} == {(1, ())}

    def test_only_some_are_asked_at_once(self) -> None:
        lock, running_now, most = threading.Lock(), [0], [0]
        gate = threading.Barrier(8, timeout=WAIT_S)

        def script(_: Cancel) -> Iterator[Event]:
            with lock:
                running_now[0] += 1
                most[0] = max(most[0], running_now[0])
            gate.wait()
            with lock:
                running_now[0] -= 1
            yield Finish("stop")

        others = others_of(*[script] * 24)
        assert len(told(others)) == 24
        assert most[0] == 8
