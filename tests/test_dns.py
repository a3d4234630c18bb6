"""Names are looked up for no longer than one is willing to wait, and by no more than one thread each."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agproxy.dns import Names, Silent

HOST = "service.test"
_SILENCE_S = 5.0  # of the resolver; whoever is told within half of it has not waited for it
Found = list[tuple[Any, ...]]


def found(*addresses: str) -> Found:
    """What ``getaddrinfo`` tells."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


class Resolver:
    """Answers by script: addresses, errors, or functions that give them."""

    def __init__(self) -> None:
        self.answers: list[Found | Exception | Callable[[], Found]] = []
        self.asked: list[str] = []
        self.is_silent = threading.Event()  # somebody waits in vain
        self.over = threading.Event()

    def __call__(self, host: str, *_: object, **__: object) -> Found:
        self.asked.append(host)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def silence(self) -> Found:
        self.is_silent.set()
        self.over.wait(_SILENCE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "no server could be reached")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    before = set(threading.enumerate())
    yield resolver
    resolver.over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def silent_for(names: Names, timeout_s: float) -> float:
    """Seconds until it is said that there is no answer."""
    began = time.monotonic()
    with pytest.raises(Silent):
        names.addresses(HOST, timeout_s=timeout_s)
    return time.monotonic() - began


def test_addresses_come_in_order_and_once_each(resolver: Resolver) -> None:
    resolver.answers = [found("192.0.2.2", "192.0.2.1", "192.0.2.2")]
    assert Names().addresses(HOST, timeout_s=5) == ("192.0.2.2", "192.0.2.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "::1", "fe80::1%eth0"])
def test_address_is_not_looked_up(resolver: Resolver, host: str) -> None:
    assert Names().addresses(host, timeout_s=5) == (host.strip("[]"),)
    assert resolver.asked == []


def test_each_answer_is_asked_for_anew(resolver: Resolver) -> None:
    resolver.answers = [found("192.0.2.1"), found("192.0.2.2")]
    names = Names()
    assert [names.addresses(HOST, timeout_s=5) for _ in range(2)] == [("192.0.2.1",), ("192.0.2.2",)]


def test_name_that_is_unknown(resolver: Resolver) -> None:
    resolver.answers = [socket.gaierror(socket.EAI_NONAME, "unknown")]
    with pytest.raises(socket.gaierror, match="unknown") as caught:
        Names().addresses(HOST, timeout_s=5)
    assert caught.value.errno == socket.EAI_NONAME
    assert not isinstance(caught.value, Silent)


@pytest.mark.parametrize("host", ["a..test", f"{'a' * 64}.test"])
def test_name_that_cannot_be_asked_for_is_unknown(resolver: Resolver, host: str) -> None:
    with pytest.raises(socket.gaierror) as caught:
        Names().addresses(host, timeout_s=5)
    assert caught.value.errno == socket.EAI_NONAME
    assert resolver.asked == []


def test_failure_of_the_dns_is_told_as_one(resolver: Resolver) -> None:
    resolver.answers = [socket.gaierror(socket.EAI_AGAIN, "no server could be reached")]
    assert silent_for(Names(), 5) < _SILENCE_S / 2


def test_silence_is_waited_out_for_the_time_allowed(resolver: Resolver) -> None:
    resolver.answers = [resolver.silence]
    assert 0.1 <= silent_for(Names(), 0.1) < _SILENCE_S / 2


def test_those_who_want_one_name_wait_for_one_lookup(resolver: Resolver) -> None:
    resolver.answers = [resolver.silence, found("192.0.2.1")]
    names, before = Names(), set(threading.enumerate())
    for _ in range(5):
        silent_for(names, 0.02)
    assert resolver.is_silent.wait(5)
    assert resolver.asked == [HOST]
    (lookup,) = set(threading.enumerate()) - before
    resolver.over.set()
    lookup.join(5)
    assert not lookup.is_alive()
    assert names.addresses(HOST, timeout_s=5) == ("192.0.2.1",)


def test_one_silent_name_does_not_keep_others_waiting(resolver: Resolver) -> None:
    resolver.answers = [resolver.silence, found("192.0.2.1")]
    names = Names()
    silent_for(names, 0.02)
    assert resolver.is_silent.wait(5)  # its thread may be late to ask, and is to be the first
    assert names.addresses("other.test", timeout_s=5) == ("192.0.2.1",)


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_last_addresses_count_while_the_dns_fails(resolver: Resolver, code: int) -> None:
    resolver.answers = [found("192.0.2.1"), socket.gaierror(code, "x"), found("192.0.2.2")]
    names = Names()
    answers = [names.addresses(HOST, timeout_s=5) for _ in range(3)]
    assert answers == [("192.0.2.1",), ("192.0.2.1",), ("192.0.2.2",)]


def test_last_addresses_count_while_the_dns_is_silent(resolver: Resolver) -> None:
    resolver.answers = [found("192.0.2.1"), resolver.silence]
    names = Names()
    assert [names.addresses(HOST, timeout_s=timeout_s) for timeout_s in (5, 0.1)] == [("192.0.2.1",)] * 2


def test_last_addresses_do_not_count_for_a_name_that_is_gone(resolver: Resolver) -> None:
    resolver.answers = [found("192.0.2.1"), socket.gaierror(socket.EAI_NONAME, "unknown")]
    names = Names()
    names.addresses(HOST, timeout_s=5)
    with pytest.raises(socket.gaierror, match="unknown"):
        names.addresses(HOST, timeout_s=5)


def test_lookup_that_finds_no_thread_is_asked_again(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = Names()
    resolver.answers = [found("10.0.0.1")]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(Silent):
            names.addresses(HOST, timeout_s=5.0)
    assert names.addresses(HOST, timeout_s=5.0) == ("10.0.0.1",)
