"""What users of Anthropic's clients send beside text: files, search results, results of tools."""

import base64

import pytest

from agproxy.chat import AttachmentPart, TextPart, ToolResultPart
from tests.chat_bodies import PDF, PNG, Json
from tests.message_bodies import (
    FILE,
    GIF,
    LINK,
    PICTURE,
    answered,
    messages,
    read,
    refused,
    result,
    said,
    text,
    use,
    user,
)

# Files.


def test_image_by_its_bytes_and_by_its_address() -> None:
    linked = {"type": "image", "source": {"type": "url", "url": LINK}}
    assert said(text("Look:"), PICTURE, linked) == (
        TextPart("Look:"),
        AttachmentPart("image/png", PNG),
        AttachmentPart("image/png", url=LINK),
    )


def test_type_of_an_image_is_that_of_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": PNG}
    assert said({"type": "image", "source": source}) == (AttachmentPart("image/png", PNG),)


@pytest.mark.parametrize(
    ("source", "param"),
    [
        (None, "source"),
        ("x", "source"),
        ({}, "source.type"),
        ({"type": "text", "data": "x"}, "source.type"),
        ({"type": ["base64"]}, "source.type"),
        ({"type": "base64"}, "source.data"),
        ({"type": "base64", "data": 5}, "source.data"),
        ({"type": "base64", "data": "%"}, "source.data"),
        ({"type": "base64", "data": ""}, "source.data"),
        ({"type": "base64", "data": PNG, "media_type": 5}, "source.media_type"),
        ({"type": "base64", "data": GIF, "media_type": "image/png"}, "source.data"),
        ({"type": "url"}, "source.url"),
        ({"type": "url", "url": "http://example.com/cat.png"}, "source.url"),
        ({"type": "url", "url": "https://localhost/cat.png"}, "source.url"),
        ({"type": "file", "file_id": "file_1"}, "source"),
    ],
)
def test_image_that_cannot_be_had_is_refused_by_its_place(source: Json, param: str) -> None:
    image = {"type": "image", "source": source}
    assert refused(user(text("a"), image)).param == f"messages[0].content[1].{param}"
    assert refused(user(result(content=[image]))).param == f"messages[0].content[0].content[0].{param}"


@pytest.mark.parametrize("block", [PICTURE, FILE, {"type": "image", "source": {"type": "url", "url": LINK}}])
def test_what_is_not_read_of_a_source_is_listed(block: Json) -> None:
    more = {**block, "source": {**block["source"], "detail": "low", "none": None}}
    (message,), ignored = read(user(more))
    assert (message.parts, ignored) == (said(block), ["messages[].content[].source.detail"])
    assert read(user(result(content=[more])))[1] == ["messages[].content[].source.detail"]


def test_uploaded_file_is_refused_with_what_to_do_instead() -> None:
    for kind in ("image", "document"):
        error = refused(user({"type": kind, "source": {"type": "file", "file_id": "file_1"}}))
        assert "base64" in error.message


def test_document_by_its_bytes_and_by_its_address() -> None:
    linked = {"type": "document", "source": {"type": "url", "url": "https://example.com/a"}}
    assert said(FILE, linked) == (
        AttachmentPart("application/pdf", PDF),
        AttachmentPart("application/pdf", url="https://example.com/a"),
    )


def test_document_of_plain_text_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Cats purr."}
    assert said({"type": "document", "source": source}) == (TextPart("Cats purr."),)
    coded = base64.b64encode(b"Cats purr.").decode()
    (part,) = said({"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": coded}})
    assert isinstance(part, AttachmentPart)
    assert part.media_type == "text/plain"


@pytest.mark.parametrize("content", ["Cats purr.", [text("Cats purr.")], ["Cats purr."]])
def test_document_of_blocks_is_these_blocks(content: Json) -> None:
    assert said({"type": "document", "source": {"type": "content", "content": content}}) == (TextPart("Cats purr."),)


def test_document_may_hold_images() -> None:
    source = {"type": "content", "content": [text("A cat:"), PICTURE]}
    assert said({"type": "document", "source": source}) == (TextPart("A cat:"), AttachmentPart("image/png", PNG))


@pytest.mark.parametrize("inner", [FILE, use(), {"type": "search_result"}])
def test_document_holds_no_other_blocks(inner: Json) -> None:
    error = refused(user({"type": "document", "source": {"type": "content", "content": [inner]}}))
    assert error.param == "messages[0].content[0].source.content[0].type"


@pytest.mark.parametrize(
    "source",
    [
        {"type": "text", "data": "Cats purr."},
        {"type": "content", "content": "Cats purr."},
        {"type": "base64", "media_type": "application/pdf", "data": PDF},
        {"type": "url", "url": "https://example.com/a.pdf"},
    ],
)
def test_title_and_context_of_a_document_stand_before_it(source: Json) -> None:
    named, part = said({"type": "document", "source": source, "title": "On cats", "context": "From 1999."})
    assert isinstance(named, TextPart)
    first, second = named.text.split("\n")
    assert (first.endswith(" On cats"), second.endswith(" From 1999.")) == (True, True)
    assert said({"type": "document", "source": source, "title": None, "context": ""}) == (part,)


@pytest.mark.parametrize("name", ["title", "context"])
def test_title_and_context_are_strings(name: str) -> None:
    assert refused(user({**FILE, name: 5})).param == f"messages[0].content[0].{name}"


@pytest.mark.parametrize(
    ("source", "param"),
    [
        (None, "source"),
        ({"type": "telegram"}, "source.type"),
        ({"type": "text"}, "source.data"),
        ({"type": "text", "data": 5}, "source.data"),
        ({"type": "content"}, "source.content"),
        ({"type": "content", "content": 5}, "source.content"),
        ({"type": "base64", "data": "%"}, "source.data"),
        ({"type": "url", "url": "file:///etc/passwd"}, "source.url"),
        ({"type": "file", "file_id": "f"}, "source"),
    ],
)
def test_document_that_cannot_be_had_is_refused_by_its_place(source: Json, param: str) -> None:
    assert refused(user({"type": "document", "source": source})).param == f"messages[0].content[0].{param}"


@pytest.mark.parametrize("wanted", [{"enabled": True}, {"enabled": True, "x": 1}])
def test_citations_of_files_cannot_be_had(wanted: Json) -> None:
    found = {"type": "search_result", "source": "s", "title": "t", "content": [], "citations": wanted}
    for block in ({**FILE, "citations": wanted}, found):
        assert read(user(block))[1] == ["messages[].content[].citations"]


@pytest.mark.parametrize("wanted", [None, {}, {"enabled": False}])
def test_citations_that_nobody_wants_are_not_missed(wanted: Json) -> None:
    said({**FILE, "citations": wanted})
    said({"type": "search_result", "source": "s", "title": "t", "content": [], "citations": wanted})


def test_files_may_stand_in_answers() -> None:
    # A document there is refused by Anthropic since 2026-10-21, but histories are older.
    assert answered(PICTURE, FILE) == (AttachmentPart("image/png", PNG), AttachmentPart("application/pdf", PDF))


def test_search_result_is_told_with_its_source() -> None:
    block = {"type": "search_result", "source": "https://a.co/", "title": "On cats", "content": [text("They purr.")]}
    for parts in (said(block), result_of(content=[block]).parts):
        told = "\n".join(part.text for part in parts if isinstance(part, TextPart))
        assert told.index("On cats") < told.index("https://a.co/") < told.index("They purr.")


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"content": [PICTURE]}, "content[0].type"),
        ({"content": 5}, "content"),
        ({"title": 5}, "title"),
        ({"source": []}, "source"),
    ],
)
def test_other_search_result_is_refused(block: Json, param: str) -> None:
    assert refused(user({"type": "search_result", **block})).param == f"messages[0].content[0].{param}"


# Results of tools.


def result_of(**fields: Json) -> ToolResultPart:
    """A result, alone in its message."""
    (message,) = messages(user(result(**fields)))
    (part,) = message.parts
    assert message.role == "tool"
    assert isinstance(part, ToolResultPart)
    assert (part.id, part.name) == ("a", "")
    return part


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("done", (TextPart("done"),)),
        ("", ()),
        (None, ()),
        ([], ()),
        ([text("")], ()),
        ([text("a"), text("b")], (TextPart("a"), TextPart("b"))),
        ([text("a"), PICTURE], (TextPart("a"), AttachmentPart("image/png", PNG))),
        ([FILE], (AttachmentPart("application/pdf", PDF),)),
    ],
)
def test_result_is_a_string_or_blocks(content: Json, parts: Json) -> None:
    assert result_of(content=content).parts == parts


def test_result_may_be_missing() -> None:
    assert result_of().parts == ()


@pytest.mark.parametrize(("value", "is_error"), [(True, True), (False, False), (None, False), (..., False)])
def test_result_tells_whether_the_tool_failed(value: Json, is_error: bool) -> None:
    part = result_of(content="x", **({} if value is ... else {"is_error": value}))
    assert part.is_error is is_error


def test_tool_that_a_search_has_found_is_named() -> None:
    (part,) = result_of(content=[{"type": "tool_reference", "tool_name": "WebSearch"}]).parts
    assert isinstance(part, TextPart)
    assert "WebSearch" in part.text


def test_results_stand_in_messages_of_their_own() -> None:
    found = messages(user(result("a"), result("b"), text("Tool loaded."), PICTURE))
    assert [(each.role, len(each.parts)) for each in found] == [("tool", 2), ("user", 2)]


def test_words_before_a_result_stay_before_it() -> None:
    assert [each.role for each in messages(user(text("x"), result("a"), text("y"), result("b")))] == [
        *("user", "tool", "user", "tool")
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_use_id": None}, "tool_use_id"),
        ({"tool_use_id": 5}, "tool_use_id"),
        ({"content": 5}, "content"),
        ({"content": {}}, "content"),
        ({"content": [5]}, "content[0]"),
        ({"content": [use()]}, "content[0].type"),
        ({"content": [result()]}, "content[0].type"),
        ({"content": [{"type": "tool_reference"}]}, "content[0].tool_name"),
        ({"is_error": "yes"}, "is_error"),
    ],
)
def test_other_result_is_refused(fields: Json, param: str) -> None:
    assert refused(user({**result(), **fields})).param == f"messages[0].content[0].{param}"
