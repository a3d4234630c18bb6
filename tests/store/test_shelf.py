"""Texts in memory, bounded in number and in bytes."""

import pytest

from agproxy.store.shelf import Entry, Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(max_entries=3, max_bytes=10_000)


def put(shelf: Shelf, *keys: str, text: str | None = "text") -> None:
    for key in keys:
        shelf.put(Entry(key, 1.0, text))


def keys(shelf: Shelf) -> set[str]:
    return {entry.key for entry in shelf.some(100, max_bytes=1_000_000)}


def test_least_recently_put_of_the_kind_goes_first(shelf: Shelf) -> None:
    put(shelf, "a:1", "a:2", "a:3", "b:1", "a:1", "a:4")
    assert keys(shelf) == {"a:3", "a:1", "a:4", "b:1"}


def test_long_texts_push_out_their_own_kind(shelf: Shelf) -> None:
    put(shelf, "rest:1", "rest:2")
    put(shelf, "response:1", "response:2", "response:3", text="x" * 4000)
    assert keys(shelf) == {"rest:1", "rest:2", "response:2", "response:3"}


def test_text_longer_than_all_the_room_is_not_kept(shelf: Shelf) -> None:
    put(shelf, "rest:1")
    put(shelf, "response:1", text="x" * 20_000)
    assert keys(shelf) == {"rest:1"}


def test_replaced_and_dropped_texts_give_their_room_back(shelf: Shelf) -> None:
    for _ in range(10):
        put(shelf, "a:1", "a:2", text="x" * 4000)
    shelf.drop("a:1")
    put(shelf, "b:1", text="x" * 4000)
    assert keys(shelf) == {"a:2", "b:1"}
    shelf.drop("a:2")
    shelf.drop("b:1")
    assert not shelf


def test_what_is_to_be_forgotten_stands_there_too(shelf: Shelf) -> None:
    put(shelf, "a:1", text=None)
    assert shelf
    assert shelf.get("a:1") == Entry("a:1", 1.0, None)
    assert shelf.get("a:2") is None


def test_some_are_few_and_short_but_at_least_one(shelf: Shelf) -> None:
    put(shelf, "a:1", "a:2", "a:3", text="x" * 2000)
    assert len(shelf.some(2, max_bytes=10_000)) == 2
    assert len(shelf.some(9, max_bytes=5000)) == 2
    assert len(shelf.some(9, max_bytes=1)) == 1


def test_replaced_ones_are_not_dropped_as_unchanged(shelf: Shelf) -> None:
    put(shelf, "a:1", "a:2")
    some = shelf.some(9, max_bytes=10_000)
    put(shelf, "a:2", text="newer")
    shelf.drop_unchanged(some)
    assert shelf.some(9, max_bytes=10_000) == [Entry("a:2", 1.0, "newer")]
