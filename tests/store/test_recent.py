"""What a process believes without asking again."""

import pytest

from agproxy.store.recent import Recent
from agproxy.store.shelf import Entry


@pytest.fixture
def recent() -> Recent:
    recent = Recent()
    recent.get("rest:a", 1000.0)
    return recent


def read(recent: Recent, key: str, value: str | None) -> None:
    text = None if value is None else f'"{value}"'
    recent.was_read(key, 2000.0, text, value, asked_at=recent.changes)


@pytest.mark.parametrize("key", ["rest:a", "session:a"])
def test_what_was_read_is_believed_for_a_quarter_of_a_second(recent: Recent, key: str) -> None:
    read(recent, key, "x")
    assert recent.get(key, 1000.2) == (2000.0, "x")
    assert recent.get(key, 1000.3) is None
    assert recent.get(key, 1000.3) is None


def test_clock_that_is_set_back_ends_it(recent: Recent) -> None:
    read(recent, "rest:a", "x")
    assert recent.get("rest:a", 999.9) is None


def test_that_there_is_no_pause_is_believed_that_there_is_no_conversation_is_not(recent: Recent) -> None:
    for key in ("rest:a", "session:a"):
        read(recent, key, None)
    assert recent.get("rest:a", 1000.0) == (2000.0, None)
    assert recent.get("session:a", 1000.0) is None


def test_other_kinds_are_read_each_time(recent: Recent) -> None:
    read(recent, "signature:a", "x")
    recent.was_changed(Entry("signature:a", 2000.0, '"x"'))
    assert recent.get("signature:a", 1000.0) is None


def test_what_was_put_is_believed_more_than_what_was_asked_for_before(recent: Recent) -> None:
    asked_at = recent.changes
    recent.was_changed(Entry("rest:a", 3000.0, '"new"'))
    recent.was_read("rest:a", 2000.0, '"old"', "old", asked_at=asked_at)
    assert recent.get("rest:a", 1000.0) == (3000.0, "new")


def test_held_it_is_believed_on(recent: Recent) -> None:
    read(recent, "rest:a", "x")
    recent.is_held = True
    assert recent.get("rest:a", 1500.0) == (2000.0, "x")
    recent.is_held = False
    recent.clear()
    assert recent.get("rest:a", 1500.0) is None


def test_same_conversation_again_needs_no_put(recent: Recent) -> None:
    read(recent, "session:a", "x")
    assert recent.needs_no_put(Entry("session:a", 2001.0, '"x"'), 3600)
    assert not recent.needs_no_put(Entry("session:a", 2061.0, '"x"'), 3600)
    assert not recent.needs_no_put(Entry("session:a", 1999.0, '"x"'), 3600)
    assert not recent.needs_no_put(Entry("session:a", 2001.0, '"y"'), 3600)
    recent.was_changed(Entry("session:a", 0.0, None))
    assert not recent.needs_no_put(Entry("session:a", 2001.0, '"x"'), 3600)
    recent.was_changed(Entry("session:a", 2001.0, '"y"'))
    assert recent.needs_no_put(Entry("session:a", 2001.0, '"y"'), 3600)


def test_it_is_bounded(recent: Recent) -> None:
    recent.is_held = True
    for number in range(20_000):
        key = f"rest:{number}"
        if recent.get(key, 1000.0) is None:
            read(recent, key, "x")
    assert len(recent._values) <= 5_001
