"""Files in a message's content: every form that clients send them in, and what is refused by its place."""

import pytest

from agproxy.chat import AttachmentPart, Part, ToolResultPart
from agproxy.errors import BadRequest
from agproxy.protocols.openai_messages import decode_messages
from tests.chat_bodies import PDF, PNG, WAV, Json

LINK = "https://example.com/cat.png"
PART = "messages[0].content[0]"


def message(value: Json) -> tuple[Part, ...]:
    """The parts of the only message."""
    (decoded,) = decode_messages({"messages": [value]}, [])
    return decoded.parts


def user(part: Json) -> Json:
    return {"role": "user", "content": [part]}


def decoded(part: Json, role: str = "user") -> Part:
    """What becomes of the only part of a message."""
    (only,) = message({**user(part), "role": role, "tool_call_id": "a"})
    return only


def ignored(part: Json) -> list[str]:
    names: list[str] = []
    decode_messages({"messages": [user(part)]}, names)
    return names


def image(url: Json, **others: Json) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **others}}


# What is taken.


def bare(url: Json, kind: str = "image_url") -> Json:
    return {"type": kind, kind: url}


FILES: dict[str, tuple[Json, AttachmentPart]] = {
    "image inline": (image(f"data:image/png;base64,{PNG}"), AttachmentPart("image/png", PNG)),
    "image type from bytes": (image(f"data:;base64,{PNG}"), AttachmentPart("image/png", PNG)),
    "image/jpg": (image("data:image/jpg;base64,QUJD"), AttachmentPart("image/jpeg", "QUJD")),
    "image linked": (image(LINK), AttachmentPart("image/png", url=LINK)),
    "image as a string": (bare(LINK), AttachmentPart("image/png", url=LINK)),
    "image with format": (
        image("https://a.co/b", format="image/webp"),
        AttachmentPart("image/webp", url="https://a.co/b"),
    ),
    "format of no type": (image("https://a.co/b", format=["x"]), AttachmentPart("", url="https://a.co/b")),
    "bare base64": (image(PNG), AttachmentPart("image/png", PNG)),
    "PDF as an image": (image(f"data:image/png;base64,{PDF}"), AttachmentPart("application/pdf", PDF)),
    "input_image": ({"type": "input_image", "image_url": LINK}, AttachmentPart("image/png", url=LINK)),
    "video": (bare({"url": "data:video/mp4;base64,QUJD"}, "video_url"), AttachmentPart("video/mp4", "QUJD")),
    "video as a string": (
        bare("https://youtu.be/abc", "video_url"),
        AttachmentPart("", url="https://youtu.be/abc"),
    ),
    "input_video": (
        {"type": "input_video", "video_url": "https://a.co/b.mp4"},
        AttachmentPart("video/mp4", url="https://a.co/b.mp4"),
    ),
    "audio": (
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        AttachmentPart("audio/mp3", "QUJD"),
    ),
    "audio without format": ({"type": "input_audio", "input_audio": {"data": WAV}}, AttachmentPart("audio/wav", WAV)),
    "audio as data: URL": (
        {"type": "input_audio", "input_audio": {"data": "data:audio/flac;base64,QUJD", "format": "wav"}},
        AttachmentPart("audio/flac", "QUJD"),
    ),
    "file as data: URL": (
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
        AttachmentPart("application/pdf", PDF),
    ),
    "file as base64": (
        {"type": "file", "file": {"file_data": "QUJD", "filename": "a.pdf"}},
        AttachmentPart("application/pdf", "QUJD"),
    ),
    "file of code": (
        {"type": "file", "file": {"file_data": "QUJD", "filename": "a.py"}},
        AttachmentPart("text/plain", "QUJD"),
    ),
    "file with format": (
        {"type": "file", "file": {"file_data": "QUJD", "format": "text/csv"}},
        AttachmentPart("text/csv", "QUJD"),
    ),
    "file_data linked": (
        {"type": "file", "file": {"file_data": "https://a.co/b.pdf"}},
        AttachmentPart("application/pdf", url="https://a.co/b.pdf"),
    ),
    "file_id linked": (
        {"type": "file", "file": {"file_id": "https://a.co/b", "filename": "b.pdf"}},
        AttachmentPart("application/pdf", url="https://a.co/b"),
    ),
    "file_url": (
        {"type": "file", "file": {"file_url": "https://a.co/b.pdf", "file_id": "file-abc"}},
        AttachmentPart("application/pdf", url="https://a.co/b.pdf"),
    ),
    "file_data before others": (
        {"type": "file", "file": {"file_id": "file-abc", "file_url": "", "file_data": PDF}},
        AttachmentPart("application/pdf", PDF),
    ),
    "input_file": (
        {"type": "input_file", "file_data": f"data:text/plain;base64,{PDF}", "filename": "a.pdf"},
        AttachmentPart("application/pdf", PDF),
    ),
    "input_file with url": (
        {"type": "input_file", "file": None, "file_url": "https://a.co/b"},
        AttachmentPart("", url="https://a.co/b"),
    ),
    "file of Gemini": (
        {"type": "file", "file": {"file_id": "files/abc-1"}},
        AttachmentPart("", url="https://generativelanguage.googleapis.com/v1beta/files/abc-1"),
    ),
}


@pytest.mark.parametrize(("part", "expected"), FILES.values(), ids=FILES)
def test_file_in_a_part(part: Json, expected: AttachmentPart) -> None:
    assert decoded(part) == expected
    assert ignored(part) == []


@pytest.mark.parametrize("part", [part for part, _ in FILES.values()], ids=FILES)
def test_tool_result_holds_files_as_a_user_does(part: Json) -> None:
    result = decoded(part, "tool")
    assert isinstance(result, ToolResultPart)
    assert result.parts == (decoded(part),)


# What is not honoured.


@pytest.mark.parametrize("detail", ["low", "high", "original", 5])
@pytest.mark.parametrize("null", [False, True])
def test_detail_of_an_image_is_listed(detail: Json, null: bool) -> None:
    inside = image(LINK, detail=None if null else detail)
    beside = {"type": "input_image", "image_url": LINK, "detail": None if null else detail}
    listed = [] if null else ["image_url.detail"]
    assert ignored(inside) == listed
    assert ignored(beside) == listed


def test_detail_left_to_the_model_is_not_listed() -> None:
    assert ignored(image(LINK, detail="auto")) == []


PARTS: list[Json] = [
    {"type": "text", "text": "x"},
    image(LINK),
    {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
    {"type": "file", "file": {"file_data": PDF}},
]


@pytest.mark.parametrize("part", PARTS, ids=[part["type"] for part in PARTS])
def test_keys_of_parts_that_are_not_read_are_listed_unless_empty(part: Json) -> None:
    more = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}, "cache_control": None}
    assert ignored({**part, **more}) == ["messages[].content[].prompt_cache_breakpoint"]
    assert decoded({**part, **more}) == decoded(part)


# Bad input.


def each(*values: Json) -> tuple[Json, ...]:
    return values


BAD_PARTS: list[tuple[Json, str]] = [
    # images
    *(
        ({"role": "user", "content": [{"type": "image_url", "image_url": value}]}, "messages[0].content[0].image_url")
        for value in each(None, 5, [])
    ),
    ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].image_url.url"),
    *(
        (user(image(url)), f"{PART}.image_url.url")
        for url in (
            *(None, 5, "", "cat.png", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "data:", "https://"),
            *("data:image/png;base64", "data:image/png,hello", "data:image/png;charset=utf-8,hello"),
            *("data:image/png;base64,not base64!", "data:image/png;base64,Q", "data:image/png;base64,"),
            *("data:image/png;base64,日本", "data:image/png;base64,R0lGODlhAAAA", "data:image/gif;base64,QUJD"),
            *("data:text/html;base64,QUJD", "data:;base64,QUJD", f"javascript:data:image/png;base64,{PNG}"),
        )
    ),
    ({"role": "assistant", "content": [{"type": "image_url", "image_url": {}}]}, f"{PART}.image_url.url"),
    ({"role": "assistant", "images": 5}, "messages[0].images"),
    ({"role": "assistant", "images": ["x"]}, "messages[0].images[0]"),
    ({"role": "assistant", "images": [image(LINK), {}]}, "messages[0].images[1].image_url"),
    ({"role": "assistant", "images": [image("http://a.co/")]}, "messages[0].images[0].image_url.url"),
    # audio, video and files
    *((user({"type": "input_audio", "input_audio": value}), f"{PART}.input_audio") for value in each(None, "x", 5)),
    *(
        (user({"type": "input_audio", "input_audio": {"format": "wav", **value}}), f"{PART}.input_audio.data")
        for value in each({}, {"data": None}, {"data": 5}, {"data": ""}, {"data": "x.wav"}, {"data": "ftp://a.co/b"})
    ),
    (user({"type": "input_audio", "input_audio": {"data": WAV, "format": 5}}), f"{PART}.input_audio.format"),
    (user({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "pcm16"}}), f"{PART}.input_audio.data"),
    *((user({"type": "video_url", "video_url": value}), f"{PART}.video_url") for value in each(None, 5, [])),
    *((user({"type": "video_url", **value}), f"{PART}.video_url") for value in each({}, {"video": LINK})),
    (user({"type": "video_url", "video_url": {"url": "http://a.co/b.mp4"}}), f"{PART}.video_url.url"),
    *((user({"type": "file", "file": value}), f"{PART}.file") for value in each("x", 5, [])),
    *((user({"type": "file", "file": value}), f"{PART}.file.file_data") for value in each({}, {"filename": "a"})),
    *((user({"type": kind}), f"{PART}.file_data") for kind in ("file", "input_file")),
    *(
        (user({"type": "file", "file": {"file_data": PDF, name: 5}}), f"{PART}.file.{name}")
        for name in ("file_data", "filename", "format")
    ),
    *((user({"type": "file", "file": {name: 5}}), f"{PART}.file.{name}") for name in ("file_url", "file_id")),
    *(
        (user({"type": "file", "file": {name: value}}), f"{PART}.file.{name}")
        for name in ("file_data", "file_url", "file_id")
        for value in ("http://a.co/b.pdf", "data:application/zip;base64,UEsD/w==", "https://localhost/")
    ),
    (user({"type": "file", "file": {"file_id": "file-abc"}}), f"{PART}.file.file_id"),
    (user({"type": "input_file", "file_id": "file-abc"}), f"{PART}.file_id"),
    (user({"type": "input_file", "file_data": "x.pdf"}), f"{PART}.file_data"),
]


@pytest.mark.parametrize(
    ("value", "param"), BAD_PARTS, ids=[f"{position}-{param}" for position, (_, param) in enumerate(BAD_PARTS)]
)
def test_bad_part_is_refused_by_the_name_of_its_field(value: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        message(value)
    assert caught.value.param == param
    assert len(caught.value.message) < 400


def test_file_that_was_uploaded_to_openai_is_refused_with_a_way_out() -> None:
    with pytest.raises(BadRequest, match="agproxy stores none; send its content as file_data") as caught:
        message(user({"type": "file", "file": {"file_id": "file-abc123"}}))
    assert caught.value.param == f"{PART}.file.file_id"


def test_part_of_another_kind_is_refused_with_those_that_are_taken() -> None:
    with pytest.raises(BadRequest, match="one of text, image_url, input_audio, file, video_url here, not 'thinking'"):
        message(user({"type": "thinking", "thinking": "Hm"}))
    with pytest.raises(BadRequest, match="one of text here, not 'input_image'"):
        message({"role": "system", "content": [{"type": "input_image", "image_url": LINK}]})


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (image("ftp://a.co/b"), "image"),
        ({"type": "input_audio", "input_audio": {"data": "ftp://a.co/b"}}, "audio"),
        ({"type": "video_url", "video_url": "ftp://a.co/b"}, "video"),
        ({"type": "file", "file": {"file_data": "ftp://a.co/b"}}, "file"),
    ],
)
def test_file_is_called_what_it_is_to_be(part: Json, what: str) -> None:
    with pytest.raises(BadRequest, match=f"^the {what} cannot be given by this address"):
        message(user(part))
