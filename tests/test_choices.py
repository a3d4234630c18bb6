"""Further answers to one request: asked for all at once, told one after the other, stopped together."""

import threading
from collections.abc import Callable, Iterator

import pytest

from agproxy.chat import Event, Failed, Finish, OtherChoice, Ping, TextDelta, Usage
from agproxy.choices import OtherChoices
from agproxy.errors import BadRequest, GatewayError, UpstreamCut
from agproxy.transport import Cancel
from tests.loopback import WAIT_S

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
    return OtherChoices([Asked(script) for script in scripts], cancel or Cancel(), first=first)


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
    others = OtherChoices([Asked(saying(END), attempts=number) for number in (1, 3)], Cancel(), first=1)
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
