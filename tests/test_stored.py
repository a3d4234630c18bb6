"""Stored Responses: kept, found again, continued, referred to; and how much one request may fetch."""

from typing import Any

import pytest

from agproxy import stored
from agproxy.errors import NotStored, PayloadTooLarge
from agproxy.store.memory import MemoryStore

Json = Any


def item(id_: str, text: str = "x") -> Json:
    return {"type": "message", "id": id_, "role": "user", "content": [{"type": "input_text", "text": text}]}


def response(id_: str, previous: str | None = None, text: str = "y") -> Json:
    message = {"type": "message", "id": f"msg_{id_[5:]}_0", "role": "assistant", "content": text}
    return {"id": id_, "output": [message], "previous_response_id": previous}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lambda: 0.0)


def keep(store: MemoryStore, id_: str, previous: str | None = None, *, text: str = "x", answer: str = "y") -> None:
    items = [item(f"msg_{id_[5:]}_in0", text)]
    stored.keep(store, response(id_, previous, answer), items=items, session=f"session of {id_}")


def test_what_is_kept_is_loaded(store: MemoryStore) -> None:
    keep(store, "resp_a")
    assert stored.load(store, "resp_a") == response("resp_a")
    assert stored.load_input(store, "resp_a") == [item("msg_a_in0")]


def test_input_is_kept_as_it_was_sent(store: MemoryStore) -> None:
    sent: list[Json] = [
        {"role": "user", "content": "Größe 🎉"},
        {"role": "user", "content": [{"type": "input_image", "detail": "low"}]},
    ]
    stored.keep(store, response("resp_a"), items=sent, session="")
    assert stored.load_input(store, "resp_a") == sent
    assert stored.conversation(store, "resp_a")[0] == [*sent, *response("resp_a")["output"]]
    assert stored.resolved(store, [{"type": None, "id": "msg_a_in1"}])[0] == [sent[1]]
    reference = {"type": "item_reference", "id": "msg_a_in1"}
    assert stored.resolved(store, [reference])[0] == [sent[1]]


def test_reference_to_an_answer_does_not_fetch_its_input(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_BYTES", 10_000)
    for name in "abcdefgh":
        keep(store, f"resp_{name}", text="x" * 4000)
    assert len(stored.resolved(store, [{"id": f"msg_{name}_0"} for name in "abcdefgh"])[0]) == 8


def test_answer_that_is_too_long_is_not_kept(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_KEPT_BYTES", 1000)
    assert stored.keep(store, response("resp_a"), items=[item("msg_a_in0")], session="")
    assert not stored.keep(store, response("resp_b", text="y" * 1000), items=[], session="")
    assert not stored.keep(store, response("resp_c"), items=[item("msg_c_in0", "x" * 1000)], session="")
    with pytest.raises(NotStored):
        stored.load(store, "resp_b")


def test_conversation_is_told_from_its_beginning(store: MemoryStore) -> None:
    keep(store, "resp_a")
    keep(store, "resp_b", "resp_a")
    items, session = stored.conversation(store, "resp_b")
    assert [each["id"] for each in items] == ["msg_a_in0", "msg_a_0", "msg_b_in0", "msg_b_0"]
    assert session == "session of resp_b"


def test_deleted_one_is_gone(store: MemoryStore) -> None:
    keep(store, "resp_a")
    stored.delete(store, "resp_a")
    for attempt in (stored.load, stored.load_input, stored.delete, stored.conversation):
        with pytest.raises(NotStored, match="resp_a"):
            attempt(store, "resp_a")


def test_conversation_without_its_beginning_is_none(store: MemoryStore) -> None:
    keep(store, "resp_b", "resp_a")
    with pytest.raises(NotStored, match="Its beginning, 'resp_a', has expired or was deleted") as caught:
        stored.conversation(store, "resp_b")
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")


def test_other_kinds_of_the_store_are_no_responses(store: MemoryStore) -> None:
    store.put("signature:x", {"name": "x"}, ttl_s=60)
    for id_ in ("signature:x", "../signature:x", ""):
        with pytest.raises(NotStored):
            stored.load(store, id_)


@pytest.mark.parametrize("where", ["text", "answer"])
def test_conversation_may_not_fetch_more_than_its_share(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(stored, "MAX_BYTES", 10_000)
    long = {where: "x" * 4000}
    keep(store, "resp_a", **long)
    keep(store, "resp_b", "resp_a", **long)
    assert len(stored.conversation(store, "resp_b")[0]) == 4
    keep(store, "resp_c", "resp_b", **long)
    with pytest.raises(PayloadTooLarge) as caught:
        stored.conversation(store, "resp_c")
    assert caught.value.param == "previous_response_id"


def test_references_are_put_in(store: MemoryStore) -> None:
    keep(store, "resp_a")
    sent = [{"type": "item_reference", "id": "msg_a_in0"}, {"id": "msg_a_0"}, item("own")]
    items, added_bytes = stored.resolved(store, sent)
    assert items == [item("msg_a_in0"), response("resp_a")["output"][0], item("own")]
    assert added_bytes > 100


@pytest.mark.parametrize("id_", ["msg_a_7", "msg_b_0", "msg", "", "_", "msg_a", "a" * 100])
def test_reference_to_nothing_stays(store: MemoryStore, id_: str) -> None:
    keep(store, "resp_a")
    assert stored.resolved(store, [{"type": "item_reference", "id": id_}])[0] == [{"type": "item_reference", "id": id_}]


@pytest.mark.parametrize(
    "sent", ["x", 5, None, [], {}, {"id": 5}, {"type": "item_reference"}, {"id": "a", "role": "user"}]
)
def test_what_is_no_reference_stays(store: MemoryStore, sent: Json) -> None:
    assert stored.resolved(store, [sent]) == ([sent], 0)


def test_references_may_not_stand_for_more_than_their_share(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MAX_BYTES", 10_000)
    keep(store, "resp_a", text="x" * 4000)
    reference = {"type": "item_reference", "id": "msg_a_in0"}
    assert len(stored.resolved(store, [reference] * 2)[0]) == 2
    with pytest.raises(PayloadTooLarge) as caught:
        stored.resolved(store, [reference] * 200)
    assert caught.value.param == "input[2]"
    for name in "bcd":
        keep(store, f"resp_{name}", text="x" * 4000)
    with pytest.raises(PayloadTooLarge):
        stored.resolved(store, [{"id": f"msg_{name}_in0"} for name in "abcd"])
