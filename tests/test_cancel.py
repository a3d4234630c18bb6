"""One exchange is stopped from another thread, and says why."""

import socket
import threading

import pytest

from agproxy.cancel import Cancel
from agproxy.errors import GatewayError, Stopping, UpstreamCut, UpstreamUnreachable
from agproxy.transport import Playback, Transport
from tests.loopback import WAIT_S, Server, answering
from tests.scripted import World, per_minute, said


def reason(cancel: Cancel) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        cancel.check()
    return caught.value


def test_what_is_not_cancelled_goes_on() -> None:
    Cancel().check()


def test_without_a_reason_the_answer_is_cut() -> None:
    cancel = Cancel()
    cancel.cancel()
    assert isinstance(reason(cancel), UpstreamCut)


def test_the_first_reason_counts() -> None:
    cancel, first = Cancel(), Stopping()
    cancel.cancel(first)
    cancel.cancel(Stopping())
    cancel.cancel()
    assert reason(cancel) is first


def test_no_reason_counts_too_when_it_is_the_first() -> None:
    cancel = Cancel()
    cancel.cancel()
    cancel.cancel(Stopping())
    assert isinstance(reason(cancel), UpstreamCut)


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_those_that_are_cancelled_with_it_have_its_reason(is_late: bool) -> None:
    cancel, other, stopping = Cancel(), Cancel(), Stopping()
    if not is_late:
        cancel.also(other)
    cancel.cancel(stopping)
    if is_late:
        cancel.also(other)
    assert reason(other) is stopping


def test_body_without_a_length_does_not_end_well_when_it_is_cancelled() -> None:
    cancel = Cancel()
    transport = Transport(connect_timeout_s=WAIT_S)
    with Server(answering(b"HTTP/1.1 200 OK\r\n\r\nfirst", silent=True)) as server:
        answer = transport.post(server.url, {}, b"{}", timeout_s=WAIT_S, cancel=cancel)
        chunks = answer.chunks()
        assert next(chunks) == b"first"
        cancel.cancel(Stopping())
        with pytest.raises(Stopping):
            next(chunks)
        answer.close()


def test_connection_is_not_given_back_while_it_is_shut() -> None:
    """Else another request would have taken it by the time that it is cut."""
    cancel = Cancel()
    order: list[str] = []
    is_forgotten = threading.Event()

    def forget() -> None:
        cancel.forget()
        order.append("given back")
        is_forgotten.set()

    reader = threading.Thread(target=forget, daemon=True)

    class Slow(socket.socket):
        def shutdown(self, how: int) -> None:
            reader.start()
            is_forgotten.wait(0.1)
            order.append("shut")

    with Slow() as sock:
        cancel.note(sock, reused=False)
        cancel.cancel()
    reader.join(WAIT_S)
    assert order == ["shut", "given back"]


def test_answer_that_is_made_here_ends_with_the_reason() -> None:
    cancel = Cancel()
    chunks = Playback(iter([(0.0, b"a"), (60.0, b"b")]), cancel).chunks()
    assert next(chunks) == b"a"
    cancel.cancel(Stopping())
    with pytest.raises(Stopping):
        next(chunks)


class TestCall:
    """The reason stands for what it leads to: a connection that breaks, a wait that ends."""

    def test_whose_connection_was_shut(self) -> None:
        world = World(UpstreamUnreachable("it was shut"), said())
        call = world.call()
        call.cancel.cancel(Stopping())
        with pytest.raises(Stopping):
            list(call.events())
        assert world.tried == "a"

    @pytest.mark.parametrize("stream", [True, False])
    def test_that_waits_for_an_account(self, stream: bool) -> None:
        world = World(per_minute("10s"), said(), accounts="a")
        call = world.call(stream=stream)
        world.on_wait = lambda: call.cancel.cancel(Stopping())
        with pytest.raises(Stopping):
            list(call.events())
        assert world.tried == "a"
