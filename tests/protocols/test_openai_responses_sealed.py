"""Thoughts in the input of Responses: their texts, the signatures sealed in them, and summaries of conversations."""

import base64

import pytest

from agproxy.chat import Message, ReasoningPart, TextPart, ToolCallPart
from agproxy.errors import NotStored
from agproxy.jsonwire import encode_json
from agproxy.protocols.openai_responses_items import decode_items, seal_summary
from agproxy.protocols.seals import seal, unseal
from tests.chat_bodies import Json

SIGNED = {"google": {"thought_signature": "QUJD"}}
OTHER = {"google": {"thought_signature": "REVG"}}


def decoded(*values: Json) -> tuple[list[Message], list[str]]:
    """The messages that the items are, and what of them is ignored."""
    ignored: list[str] = []
    items = [(f"input[{position}]", value) for position, value in enumerate(values)]
    return decode_items(items, lambda name, namespace: name, ignored), ignored


def message(value: Json) -> Message:
    """The message that an item is, of which nothing is ignored."""
    (found,), ignored = decoded(value)
    assert ignored == []
    return found


def call(call_id: str = "a", **others: Json) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}", **others}


# Thoughts and signatures.


def reasoning(encrypted: Json = None, **others: Json) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted, **others}


def signatures(*values: Json) -> list[Json]:
    """Those of the calls among the items, of which nothing is ignored."""
    messages, ignored = decoded(*values)
    assert ignored == []
    return [part.provider_metadata for each in messages for part in each.parts if isinstance(part, ToolCallPart)]


def test_thoughts_are_their_texts() -> None:
    summary = [{"type": "summary_text", "text": "H"}, {"type": "summary_text", "text": ""}]
    content = [{"type": "reasoning_text", "text": "m"}]
    assert message(reasoning(summary=summary, content=content)) == Message("assistant", (ReasoningPart("H\n\nm"),))
    assert message({"type": "reasoning", "summary": summary[:1]}).parts == (ReasoningPart("H"),)


@pytest.mark.parametrize("others", [{}, {"content": None}, {"summary": None}, {"summary": [{"text": None}, 5, {}]}])
def test_thoughts_without_a_text_are_nothing(others: Json) -> None:
    assert decoded(reasoning(**others)) == ([], [])


def test_signature_comes_back_to_its_call() -> None:
    assert signatures(reasoning(seal({"a": SIGNED})), call("a"), call("b")) == [SIGNED, None]
    assert signatures(call("a"), reasoning(seal({"a": SIGNED, "b": OTHER})), call("b")) == [SIGNED, OTHER]


def test_signature_that_stands_on_the_call_itself_counts() -> None:
    assert signatures(reasoning(seal({"a": SIGNED})), call("a", extra_content=OTHER)) == [OTHER]


@pytest.mark.parametrize("foreign", ["gAAAAABo", "agproxy", 5, {"a": 1}, ["agproxy1."]])
def test_encrypted_content_of_others_is_listed(foreign: Json) -> None:
    messages, ignored = decoded(reasoning(foreign), call("a"))
    assert ignored == ["input[].encrypted_content"]
    assert messages[0].parts == (ToolCallPart("a", "look", {}),)


@pytest.mark.parametrize("nothing", [None, "", seal({})])
def test_encrypted_content_that_holds_nothing_is_not_listed(nothing: Json) -> None:
    assert decoded(reasoning(nothing)) == ([], [])


@pytest.mark.parametrize("metadata", [{}, {"a": SIGNED}, {"a": SIGNED, "ü\u2028": OTHER}])
def test_what_is_sealed_comes_back(metadata: Json) -> None:
    assert unseal(seal(metadata)) == metadata
    assert seal(metadata).isascii()


def sealed(value: Json) -> str:
    return f"agproxy1.{base64.b64encode(value if isinstance(value, bytes) else encode_json(value)).decode()}"


FORGED: list[Json] = [None, 5, "x", [], [["a", SIGNED]], {"a": None}, {"a": 5}, {"a": []}, {"a": {}}, {"a": "x"}]
SIGNATURES: list[Json] = [None, [], {"thought_signature": 5}, {"thought_signature": ""}]
HOSTILE = [
    *(
        f"foreign1.{seal({'a': SIGNED})[9:]}",
        f"agproxy1.!{seal({'a': SIGNED})[9:]}",
        "agproxy1.",
        "agproxy1.!",
        "agproxy1.QUJD",
        "agproxy1.ü",
        "agproxy1.\ud800",
        "agproxy1.e30",
        " agproxy1.e30=",
    ),
    *(sealed(value) for value in FORGED),
    *(sealed({"a": {"google": value}}) for value in SIGNATURES),
    *(sealed(value) for value in (b"\xff", b"", b"[" * 100_000, b"1" * 5000, b'{"a":' * 50_000)),
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_sealed_content_that_was_tampered_with_signs_nothing(content: str) -> None:
    assert unseal(content) == {}
    messages, _ = decoded(reasoning(content), call("a"))
    assert messages == [Message("assistant", (ToolCallPart("a", "look", {}),))]


def test_of_what_was_sealed_only_signatures_count() -> None:
    assert unseal(sealed({"a": {**SIGNED, "else": 1, "google": {**SIGNED["google"], "x": 1}}, "b": 5})) == {"a": SIGNED}


# What only stands for something else.


@pytest.mark.parametrize(
    "reference", [{"type": "item_reference", "id": "rs_1"}, {"id": "rs_1"}, {"type": None, "id": "rs_1"}]
)
def test_reference_to_what_is_not_stored_is_not_found(reference: Json) -> None:
    with pytest.raises(NotStored) as caught:
        decoded({"role": "user", "content": "Hi"}, reference)
    error = caught.value
    assert (error.status, error.param, error.code) == (404, "input[1]", "item_not_found")
    assert "'rs_1' not found" in error.message


def test_compaction_is_the_summary_that_it_holds() -> None:
    found = message({"type": "compaction", "id": "cmp_1", "encrypted_content": seal_summary("They like ü.")})
    (part,) = found.parts
    assert found.role == "user"
    assert isinstance(part, TextPart)
    assert part.text.endswith("\n\nThey like ü.")


@pytest.mark.parametrize(
    "content", ["gAAAAABo", None, 5, *HOSTILE, seal({"a": SIGNED}), sealed({"summary": 5}), seal_summary("")]
)
def test_compaction_of_others_is_listed(content: Json) -> None:
    assert decoded({"type": "compaction", "id": "cmp_1", "encrypted_content": content}) == ([], ["input[].compaction"])
