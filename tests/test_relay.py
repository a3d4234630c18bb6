"""The hand-over between the thread that reads and the one that writes."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agproxy.cancel import Cancel
from agproxy.chat import Event, Failed, Finish, Ping, TextDelta
from agproxy.errors import ClientGone, Stopping, UpstreamCut, UpstreamTimeout, UpstreamUnreachable
from agproxy.relay import Relay
from agproxy.transport import Transport
from tests.loopback import WAIT_S, Connection, Server

BeforeRead = Callable[[], None]
Source = Callable[[BeforeRead], Iterator[Event]]


def relayed(source: Source, cancel: Cancel | None = None, *, ping_s: float = WAIT_S) -> Relay:
    return Relay(source, cancel or Cancel(), ping_s=ping_s)


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


def counting(batches: int, *, size: int = 1, produced: list[int] | None = None) -> Source:
    """Numbers as text, ``size`` of them with each read."""

    def source(before_read: BeforeRead) -> Iterator[Event]:
        for batch in range(batches):
            before_read()
            if produced is not None:
                produced.append(batch)
            for number in range(size):
                yield TextDelta(str(batch * size + number))
        before_read()
        yield Finish("stop")

    return source


def after_pings(events: Iterator[Event]) -> Iterator[Event]:
    """The events from the first one on: on a busy machine it may come after a short interval."""
    return itertools.dropwhile(lambda event: event == Ping(), events)


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def reads() -> Iterator[Callable[[], bool]]:
    """Whether a thread that this test began still reads; at its end none may."""
    others = frozenset(threading.enumerate())

    def reads() -> bool:
        return any(thread.name == "agproxy-relay" and thread not in others for thread in threading.enumerate())

    yield reads
    wait_until(lambda: not reads())


class TestReaderThatCannotEnd:
    """One that connects, say: nothing wakes it."""

    def test_is_not_waited_for_when_it_is_cancelled(self) -> None:
        cancel, go_on, stopping = Cancel(), threading.Event(), Stopping()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            assert go_on.wait(WAIT_S)
            cancel.check()
            yield Finish("stop")

        relay = relayed(source, cancel, ping_s=0.05)
        assert not relay.start()
        events = relay.events()
        assert next(events) == Ping()
        cancel.cancel(stopping)
        began = time.monotonic()
        assert [event for event in events if event != Ping()] == [Failed(stopping)]
        assert time.monotonic() - began < WAIT_S / 2
        go_on.set()


class TestClientThatReadsNothing:
    def test_is_given_up_and_told_so_should_it_read_again(self, caplog: pytest.LogCaptureFixture) -> None:
        cancel = Cancel()
        relay = Relay(counting(100), cancel, ping_s=0.05, stall_s=0.1)
        has_begun = relay.start()  # unless the machine is busy
        wait_until(lambda: "client has read nothing for 0 s" in caplog.text)
        assert cancel.cancelled.is_set()
        *told, last = relay.events()
        assert texts(told) == [str(number) for number in range(16 + has_begun)]
        assert isinstance(last, Failed)
        assert isinstance(last.error, ClientGone)

    def test_may_take_its_time(self) -> None:
        relay = Relay(counting(40), Cancel(), ping_s=WAIT_S, stall_s=WAIT_S)
        assert relay.start()
        time.sleep(0.05)
        assert len(texts(list(relay.events()))) == 40


class TestOrder:
    @pytest.mark.parametrize("size", [1, 7])
    def test_is_kept(self, size: int) -> None:
        relay = relayed(counting(100, size=size))
        assert relay.start()
        events = list(relay.events())
        assert texts(events) == [str(number) for number in range(100 * size)]
        assert events[-1] == Finish("stop")

    def test_events_of_one_read_come_before_the_next_read_is_over(self) -> None:
        go_on = threading.Event()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            yield TextDelta("a")
            yield TextDelta("b")
            before_read()
            assert go_on.wait(WAIT_S)
            yield Finish("stop")

        relay = relayed(source)
        assert relay.start()
        events = relay.events()
        assert [next(events), next(events)] == [TextDelta("a"), TextDelta("b")]
        go_on.set()
        assert list(events) == [Finish("stop")]

    def test_source_without_events_ends(self) -> None:
        relay = relayed(lambda before_read: iter(()))
        assert relay.start()
        assert list(relay.events()) == []


class TestFirstEvent:
    def test_is_waited_for(self) -> None:
        relay = relayed(counting(1))
        assert relay.start()
        assert list(relay.events()) == [TextDelta("0"), Finish("stop")]

    def test_that_stays_out_is_waited_for_no_longer_than_one_interval(self) -> None:
        go_on = threading.Event()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            assert go_on.wait(WAIT_S)
            yield Finish("stop")

        relay = relayed(source, ping_s=0.02)
        assert not relay.start()
        events = relay.events()
        assert [next(events), next(events)] == [Ping(), Ping()]
        go_on.set()
        rest = list(events)
        assert rest[-1] == Finish("stop")
        assert all(event == Ping() for event in rest[:-1])

    def test_that_stays_out_has_its_first_ping_as_soon_as_the_interval_is_over(self, reads: Callable[[], bool]) -> None:
        go_on = threading.Event()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            assert go_on.wait(WAIT_S)
            yield Finish("stop")

        relay = relayed(source, ping_s=0.02)
        assert not relay.start()
        go_on.set()
        wait_until(lambda: not reads())
        assert list(relay.events()) == [Ping(), Finish("stop")]  # it was due before the event came

    def test_failure_before_it_is_raised_with_its_status(self) -> None:
        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            raise UpstreamUnreachable("nobody there")
            yield

        with pytest.raises(UpstreamUnreachable, match="nobody there"):
            relayed(source).start()

    def test_failure_before_it_but_after_the_interval_is_an_event(self) -> None:
        go_on = threading.Event()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            assert go_on.wait(WAIT_S)
            raise UpstreamTimeout("silent")
            yield

        relay = relayed(source, ping_s=0.02)
        assert not relay.start()
        go_on.set()
        *pings, last = relay.events()
        assert isinstance(last, Failed)
        assert isinstance(last.error, UpstreamTimeout)
        assert all(event == Ping() for event in pings)


class TestSilence:
    def test_gets_pings_until_events_go_on(self) -> None:
        go_on = threading.Event()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            yield TextDelta("a")
            before_read()
            assert go_on.wait(WAIT_S)
            yield Finish("stop")

        relay = relayed(source, ping_s=0.02)
        relay.start()
        events = after_pings(relay.events())
        assert [next(events) for _ in range(4)] == [TextDelta("a"), Ping(), Ping(), Ping()]
        go_on.set()
        assert list(events)[-1] == Finish("stop")

    def test_busy_streams_get_none(self) -> None:
        relay = relayed(counting(50))
        relay.start()
        assert Ping() not in list(relay.events())


class TestFailure:
    def test_after_the_first_event_is_an_event(self) -> None:
        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            yield TextDelta("a")
            before_read()
            yield TextDelta("b")
            raise UpstreamCut("cut")

        relay = relayed(source)
        assert relay.start()
        *events, last = relay.events()
        assert texts(events) == ["a", "b"]
        assert isinstance(last, Failed)
        assert isinstance(last.error, UpstreamCut)

    def test_that_is_no_error_of_ours_is_logged_and_not_told(self, caplog: pytest.LogCaptureFixture) -> None:
        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            yield TextDelta("a")
            before_read()
            raise KeyError("AIza-secret")

        relay = relayed(source)
        relay.start()
        *_, last = relay.events()
        assert isinstance(last, Failed)
        assert getattr(last.error, "code", None) == "internal_error"
        assert "AIza" not in str(last.error)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None

    def test_of_any_kind_before_the_first_event_is_raised(self) -> None:
        def source(before_read: BeforeRead) -> Iterator[Event]:
            raise KeyError("x")
            yield

        with pytest.raises(KeyError):
            relayed(source).start()


class TestCancelledFromElsewhere:
    """The one who writes still listens, and is told why."""

    def test_reason_comes_after_what_had_been_read(self) -> None:
        cancel, stopping = Cancel(), Stopping()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            for text in ("a", "b"):
                before_read()
                yield TextDelta(text)
            cancel.cancel(stopping)
            before_read()
            yield Finish("stop")

        relay = relayed(source, cancel)
        assert relay.start()
        assert list(relay.events()) == [TextDelta("a"), TextDelta("b"), Failed(stopping)]

    def test_reason_is_raised_before_the_first_event(self) -> None:
        cancel = Cancel()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            cancel.cancel(Stopping())
            before_read()
            yield Finish("stop")

        with pytest.raises(Stopping):
            relayed(source, cancel).start()

    def test_reader_that_waits_for_room_tells_it_to_a_late_client(self) -> None:
        cancel = Cancel()
        produced: list[int] = []
        relay = relayed(counting(500, produced=produced), cancel)
        relay.start()
        wait_until(lambda: len(produced) >= 17)
        cancel.cancel(Stopping())
        *events, last = relay.events()
        assert texts(events) == [str(number) for number in range(len(events))]
        assert len(events) <= 19
        assert isinstance(last, Failed)
        assert isinstance(last.error, Stopping)


def test_slow_consumer_slows_the_reader_down() -> None:
    produced: list[int] = []
    relay = relayed(counting(500, produced=produced))
    relay.start()
    events = relay.events()
    next(events)
    wait_until(lambda: len(produced) >= 17)
    time.sleep(0.02)
    assert len(produced) <= 19  # 16 in the queue, one handed out, one held by the reader, one just read
    assert texts(list(events))[-1] == "499"


class TestClose:
    """Whatever state the reader is in, closing ends its thread at once (the fixture looks)."""

    def test_while_the_first_event_is_waited_for(self, reads: Callable[[], bool]) -> None:
        cancel = Cancel()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            assert cancel.cancelled.wait(WAIT_S)
            raise UpstreamCut("cancelled")
            yield

        relay = relayed(source, cancel, ping_s=0.01)
        assert not relay.start()
        assert reads()
        relay.close()

    def test_before_the_events_are_asked_for(self) -> None:
        relay = relayed(counting(100))
        relay.start()
        relay.close()

    def test_in_silence(self) -> None:
        cancel = Cancel()

        def source(before_read: BeforeRead) -> Iterator[Event]:
            before_read()
            yield TextDelta("a")
            before_read()
            assert cancel.cancelled.wait(WAIT_S)
            raise UpstreamCut("cancelled")

        relay = relayed(source, cancel, ping_s=0.01)
        relay.start()
        events = after_pings(relay.events())
        assert [next(events), next(events)] == [TextDelta("a"), Ping()]
        relay.close()

    @pytest.mark.parametrize("batches", [20, 40, 1000])
    def test_while_the_reader_waits_for_room(self, batches: int, reads: Callable[[], bool]) -> None:
        """The source does not notice that it is cancelled: there may be much that has been received already."""
        produced: list[int] = []
        relay = relayed(counting(batches, produced=produced))
        relay.start()
        wait_until(lambda: len(produced) >= 17)
        time.sleep(0.01)
        relay.close()
        wait_until(lambda: not reads())
        assert len(produced) <= 20  # nothing more was read

    def test_while_a_real_stream_flows_faster_than_it_is_read(self, reads: Callable[[], bool]) -> None:
        def script(connection: Connection) -> None:
            connection.request()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:  # until the client breaks it off
                connection.send(b"5\r\nhello\r\n" * 1000)

        cancel = Cancel()
        with Server(script) as server:

            def source(before_read: BeforeRead) -> Iterator[Event]:
                answer = Transport(connect_timeout_s=WAIT_S).post(
                    server.url, {}, b"{}", timeout_s=WAIT_S, cancel=cancel
                )
                try:
                    for chunk in answer.chunks(before_read):
                        yield TextDelta(chunk.decode())
                finally:
                    answer.close()

            relay = relayed(source, cancel)
            assert relay.start()
            events = relay.events()
            assert [next(events) for _ in range(3)] == [TextDelta("hello")] * 3
            relay.close()
            wait_until(lambda: not reads())

    def test_after_the_end(self) -> None:
        relay = relayed(counting(3))
        relay.start()
        list(relay.events())
        relay.close()

    def test_after_a_failure(self) -> None:
        def source(before_read: BeforeRead) -> Iterator[Event]:
            raise UpstreamCut("cut")
            yield

        relay = relayed(source)
        with pytest.raises(UpstreamCut):
            relay.start()
        relay.close()

    def test_twice(self) -> None:
        relay = relayed(counting(100))
        relay.start()
        relay.close()
        relay.close()
